"""The code `graded`: one event carries the value, and on a stream of frames what has changed."""

import json
from pathlib import Path

import numpy as np
import pytest

from . import oracle
from .drafts import merging, narrow, signed_ties, two_speeds, write


def test_one_event_carries_the_value(tmp_path: Path) -> None:
    result = two_speeds("graded").run(tmp_path, [[3, 1], [0, 3], [3, 3]])
    # x = (3, 1): A: 2 + 3 − 1 = 4, −1 + 6 + 1 = 6: values 2, 3; B: 1 + 6 + 1 = 8: value 2;
    # the read-out 10 + 3·2 − 5·3 + 7·2 + 3 − 2 = 16; x reaches it one window before A and B do.
    # x = (0, 3): A: −1, 2: values 0, 1; B: 4: value 1; 10 − 5 + 7 − 6 = 6.
    # x = (3, 3): A: 2, 8: values 1, 4; B: 10, three times θ, but L is 2; 10 + 3 − 20 + 14 + 3 − 6 = 4.
    assert result.events == [
        [(0, 0, 3), (0, 1, 1), (1, 2, 2), (1, 3, 3), (1, 4, 2)],
        [(0, 1, 3), (1, 3, 1), (1, 4, 1)],
        [(0, 0, 3), (0, 1, 3), (1, 2, 1), (1, 3, 4), (1, 4, 2)],
    ]
    assert result.membranes[1].tolist() == [[4, 6], [-1, 2], [2, 8]]
    assert result.membranes[2].tolist() == [[8], [4], [10]]
    assert result.values[1].tolist() == [[2, 3], [0, 1], [1, 4]]
    assert result.results[0].tolist() == [[16], [6], [4]]
    # An event of an input reaches A0, A1, B and the read-out.
    assert [c.spikes_per_block for c in result.per_sample] == [[2, 2, 1, 0], [1, 1, 1, 0], [2, 2, 1, 0]]
    assert [c.synops for c in result.per_sample] == [2 * 4 + 3, 4 + 2, 2 * 4 + 3]


def test_what_arrives_in_one_step_adds_up_before_it_saturates(tmp_path: Path) -> None:
    result = merging("graded", 1, [20, -15], 5).run(tmp_path, [[3, 3], [3, 2], [0, 3]])
    # 5 + 60 − 45 = 20; 5 + 60 − 30 = 35 → 31; 5 − 45 = −40 → −32.
    assert result.results[0].tolist() == [[20], [31], [-32]]
    assert [c.saturations for c in result.per_sample] == [0, 1, 1]


@pytest.mark.parametrize("neuron", [1, 3])  # 3 is the read-out
def test_a_threshold_below_one_is_refused(tmp_path: Path, neuron: int) -> None:
    draft = two_speeds("graded")
    draft.theta[neuron] = 0
    with pytest.raises(ValueError, match="threshold is below 1"):
        draft.run(tmp_path, [[3, 1]])


# -------------------------------------------------------------------------------- streams of frames

FRAMES = [[3, 1], [3, 1], [0, 3], [3, 3]]


def test_a_stream_sends_only_changes(tmp_path: Path) -> None:
    result = two_speeds("graded").run(tmp_path, FRAMES, stream=True)
    # The values, as in the first test: (3, 1 | 2, 3 | 2) twice, (0, 3 | 0, 1 | 1) and (3, 3 | 1, 4 | 2).
    assert result.events == [
        [(0, 0, 3), (0, 1, 1), (1, 2, 2), (1, 3, 3), (1, 4, 2)],
        [],
        [(0, 0, -3), (0, 1, 2), (1, 2, -2), (1, 3, -2), (1, 4, -1)],
        [(0, 0, 3), (1, 2, 1), (1, 3, 3), (1, 4, 1)],
    ]
    assert [c.spikes_per_block for c in result.per_sample] == [
        [2, 2, 1, 0], [0, 0, 0, 0], [2, 2, 1, 0], [1, 2, 1, 0],
    ]  # fmt: skip
    assert [c.synops for c in result.per_sample] == [2 * 4 + 3, 0, 2 * 4 + 3, 4 + 3]
    assert result.counters.spikes_per_block == [5, 6, 3, 0]


def test_a_stream_computes_what_the_frames_one_by_one_compute(tmp_path: Path) -> None:
    stream = two_speeds("graded").run(tmp_path, FRAMES, stream=True)
    alone = two_speeds("graded").run(tmp_path, FRAMES)
    assert stream.results[0].tolist() == alone.results[0].tolist() == [[16], [16], [6], [4]]
    for number in alone.values:
        assert stream.values[number].tolist() == alone.values[number].tolist()
    for number in alone.membranes:
        assert stream.membranes[number].tolist() == alone.membranes[number].tolist()


@pytest.mark.parametrize("fires_when", ["ge", "gt"])
def test_changes_of_signed_values_reach_twice_the_levels(tmp_path: Path, fires_when: str) -> None:
    result = signed_ties("graded", fires_when).run(tmp_path, [[1], [-1], [2]], stream=True)
    # Values 1 | 1, 0, 0, −1, −1, −2, then −1 | 0, 0, 1, 1, 2, 2, then 2 | 1, 1, −1, −1, −2, −2; L = 2.
    assert result.events == [
        [(0, 0, 1), (1, 1, 1), (1, 4, -1), (1, 5, -1), (1, 6, -2)],
        [(0, 0, -2), (1, 1, -1), (1, 3, 1), (1, 4, 2), (1, 5, 3), (1, 6, 4)],
        [(0, 0, 3), (1, 1, 1), (1, 2, 1), (1, 3, -2), (1, 4, -2), (1, 5, -4), (1, 6, -4)],
    ]
    assert result.results[0].tolist() == [[-3], [6], [-4]]


def test_what_saturation_took_is_missing_in_the_frames_that_follow(tmp_path: Path) -> None:
    draft = narrow("graded", 1, [20, -5], [0, 0])
    # 60 → 31, −15; then the change −3 takes 60 away: −29, 0.
    result = draft.run(tmp_path, [[3], [0]], stream=True)
    assert result.results[0].tolist() == [[31, -15], [-29, 0]]
    assert [c.saturations for c in result.per_sample] == [1, 0]
    assert draft.run(tmp_path, [[3], [0]]).results[0].tolist() == [[31, -15], [0, 0]]


def test_an_event_that_is_late_for_its_frame_is_lost(tmp_path: Path) -> None:
    draft = narrow("graded", 1, [2, -5], [0, 0])
    draft.routes = [(0, 1, 0, 0, 2)]  # sent in step 0, it would arrive in step 2 of two
    result = draft.run(tmp_path, [[3], [3], [1]], stream=True)
    assert result.results[0].tolist() == [[0, 0], [0, 0], [0, 0]]
    assert result.counters.spikes_per_block == [2, 0]


@pytest.mark.parametrize(
    ("levels", "bits", "signed", "fits"),
    [
        (5, 4, True, True),
        (5, 3, True, False),
        (3, 3, True, True),
        (3, 3, False, False),
        (3, None, True, False),
    ],
)
def test_a_stream_needs_events_that_carry_every_change(
    tmp_path: Path, levels: int, bits: int | None, signed: bool, fits: bool
) -> None:
    """The largest change of an input counts as that of any other block."""
    draft = narrow("graded", 1, [2], [0])
    draft.blocks[0]["levels"] = levels
    draft.events = {"signed_spikes": signed} | ({} if bits is None else {"graded_payload_bits": bits})
    assert draft.run(tmp_path, [[3], [0]]).results[0].tolist() == [[6], [0]]
    if fits:
        assert draft.run(tmp_path, [[3], [0]], stream=True).results[0].tolist() == [[6], [0]]
    else:
        with pytest.raises(ValueError, match=f"carries a change of {levels}"):
            draft.run(tmp_path, [[3], [0]], stream=True)


@pytest.mark.parametrize("coding", ["phase", "rate-sync", "ttfs"])
def test_other_codes_run_no_stream(tmp_path: Path, coding: str) -> None:
    with pytest.raises(ValueError, match="no stream"):
        signed_ties(coding).run(tmp_path, [[1]], stream=True)


def test_the_command_line_runs_a_stream(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "program.nmc", two_speeds("graded"))
    np.savez(tmp_path / "data.npz", x=np.array(FRAMES, dtype=np.float32))
    oracle.main([str(file), str(tmp_path / "data.npz"), "--stream"])
    printed = json.loads(capsys.readouterr().out)
    assert printed["outputs"] == {"y": [[16], [16], [6], [4]]}
    assert printed["counters"]["spikes"] == 14
