"""The code `ttfs`: one spike a neuron, the earlier the larger its value."""

from pathlib import Path

import pytest

from .drafts import merging, narrow, signed_ties, two_speeds


def test_every_spike_comes_in_its_step_and_counts_until_its_window_ends(tmp_path: Path) -> None:
    result = two_speeds("ttfs").run(tmp_path, [[3, 1], [3, 3]])
    # x = (3, 1) is sent in steps 0 and 2. A: u = (1, 2), (1, 2), then (1 − 1, 2 + 1) in step 3, the first of
    # the next window: v = 2, −1 → 3, 1 → 4, 3 → 4, 6, just before A compares.
    # A with θ = 2: the thresholds are 10, 8, 6, 4, 2 in steps 3 … 7: 6 is reached in step 5 (q = 3), 4 in
    # step 6 (q = 2). B: 1 + 2·3 + 1 = 8, threshold 6 in its first step, which is 6: q = 2.
    # The read-out: 10 + 3·2 − 5·3 + 7·2 + 3 − 2 = 16. The slope of x is 0 again when A and B send.
    assert result.membranes[1].tolist()[0] == [4, 6]
    assert result.membranes[2].tolist()[0] == [8]
    assert result.events[0] == [(0, 0, 1), (2, 1, 1), (5, 3, 1), (6, 2, 1), (6, 4, 1)]
    # x = (3, 3): A: 2 + 3 − 3 = 2, −1 + 6 + 3 = 8: q = 1 (step 7), 4 (step 4); B: 1 + 6 + 3 = 10, three times
    # θ, but L is 2. 10 + 3 − 20 + 14 + 3 − 6 = 4.
    assert result.events[1] == [(0, 0, 1), (0, 1, 1), (4, 3, 1), (6, 4, 1), (7, 2, 1)]
    assert result.values[0].tolist() == [[3, 1], [3, 3]]
    assert result.values[1].tolist() == [[2, 3], [1, 4]]
    assert result.values[2].tolist() == [[2], [2]]
    assert result.results[0].tolist() == [[16], [4]]
    # A spike of an input reaches A0, A1, B and the read-out.
    assert [c.spikes_per_block for c in result.per_sample] == [[2, 2, 1, 0], [2, 2, 1, 0]]
    assert [c.synops for c in result.per_sample] == [2 * 4 + 3, 2 * 4 + 3]


def test_spikes_of_the_last_step_arrive_before_the_comparison(tmp_path: Path) -> None:
    result = two_speeds("ttfs").run(tmp_path, [[1, 2], [0, 3]])
    # x = (1, 2) is sent in steps 2 and 1. A: 2 + 1 − 2 = 1: nothing; −1 + 2 + 2 = 3: q = 1, in step 7;
    # B: 1 + 2 + 2 = 5: q = 1, in step 7, the last as well. 10 − 5 + 7 + 1 − 4 = 9.
    # x = (0, 3): A: 2 − 3 = −1; −1 + 3 = 2, which is the threshold of step 7. B: 4. 10 − 5 + 7 − 6 = 6.
    assert result.events == [
        [(1, 1, 1), (2, 0, 1), (7, 3, 1), (7, 4, 1)],
        [(0, 1, 1), (7, 3, 1), (7, 4, 1)],
    ]
    assert result.membranes[1].tolist() == [[1, 3], [-1, 2]]
    assert result.results[0].tolist() == [[9], [6]]


def test_gt_needs_a_start_that_is_one_higher(tmp_path: Path) -> None:
    draft = two_speeds("ttfs")
    draft.fires_when = "gt"
    # As if every accumulator were one lower. A: 2 + 3 − 1 − 1 = 3, −1 + 6 + 1 − 1 = 5: q = 1, 2;
    # B: 1 + 7 − 1 = 7: 2; the read-out 10 + 3 − 10 + 14 + 1 − 1 = 17.
    result = draft.run(tmp_path, [[3, 1]])
    assert result.values[1].tolist() == [[1, 2]]
    assert result.results[0].tolist() == [[17]]
    draft.v0 = [v + 1 for v in draft.v0]
    result = draft.run(tmp_path, [[3, 1]])
    assert result.membranes[1].tolist() == [[4, 6]]
    assert result.values[1].tolist() == [[2, 3]]
    assert result.results[0].tolist() == [[16]]


@pytest.mark.parametrize("fires_when", ["ge", "gt"])
def test_negative_values_are_spikes_with_a_sign(tmp_path: Path, fires_when: str) -> None:
    result = signed_ties("ttfs", fires_when).run(tmp_path, [[-2], [1]])
    # L = 2: −2 is sent in step 0. Start 2, accumulators −4, −2, 4, 6, 12, 14: floor((acc + 2) / 4) =
    # −1, 0, 1, 2, 3 → 2, 4 → 2; −1 and 1 are sent in step 3, 2 in step 2. Σ = 6.
    assert result.events[0] == [(0, 0, -1), (2, 4, 1), (2, 5, 1), (2, 6, 1), (3, 1, -1), (3, 3, 1)]
    # 1 is sent in step 1: accumulators 2, 1, −2, −3, −6, −7: 1, 0, 0, −1, −1, −2. Σ = −3.
    assert result.events[1] == [(1, 0, 1), (2, 6, -1), (3, 1, 1), (3, 4, -1), (3, 5, -1)]
    assert result.results[0].tolist() == [[6], [-3]]


def test_slope_and_membrane_of_six_bits_saturate_apart_and_once_a_step(tmp_path: Path) -> None:
    result = narrow("ttfs", 3, [20, -20, 10, 40], [0, 0, 1, -32]).run(tmp_path, [[3]])
    # 20: v = 20, 40 → 31, 51 → 31: two. −20: v = −20, −40 → −32, −52 → −32: two. 10: v = 11, 21, 31: none.
    # 40: u → 31; v = −1, 30, 61 → 31: one for u, one for v.
    assert result.results[0].tolist() == [[31, -32, 31, 31]]
    assert result.counters.saturations == 6


def test_what_arrives_in_one_step_adds_up_before_it_saturates(tmp_path: Path) -> None:
    result = merging("ttfs", 3, [40, -35], 0).run(tmp_path, [[3, 3], [3, 2]])
    # Together: u = 5; v = 5, 10, 15. Apart: u = 40 → 31, 31 − 35 = −4 in the next step; v = 31, 27, 23.
    assert result.results[0].tolist() == [[15], [23]]
    assert [c.saturations for c in result.per_sample] == [0, 1]
