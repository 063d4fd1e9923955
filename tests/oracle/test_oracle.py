"""Tiny programs, written by hand as the document says, with answers computed by hand."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from . import oracle
from .drafts import Draft, block, narrow, pack, port_in, port_out, signed_ties, source, write
from .events import turns

# ------------------------------------------------------------------------------------------- phase


def dense_phase() -> Draft:
    """Two inputs, two hidden neurons (θ = 2, L = 3, b = 1 and −2), one read-out (b = 10), on one core."""
    return Draft(
        coding="phase",
        blocks=[
            source(2, levels=3, steps=2),
            block(2, (1, 1, 2), 1, levels=3, window=1, fire_start=2, steps=2, param_n=2, weight_n=4, run_n=1),
            block(4, (1, 1, 1), 2, window=2, fire_start=4, steps=1, param0=2, weight0=4, weight_n=2,
                  run0=1, run_n=1),
        ],
        runs=[(0, 2, 0, 0, 0, 2, 0), (2, 2, 1, 0, 0, 1, 0)],
        patterns=[0, 1, 2],
        segments=[(0, 0, 2), (0, 0, 1)],
        weights=[1, 2, -1, 1, 3, -5],
        theta=[2, 2, 1],
        v0=[2, -1, 10],  # b + θ//2
        routes=[(0, 2, 0, 0, 1), (2, 2, 0, 2, 1)],
        window_starts=[0, 2, 4],
        total_steps=5,
        inputs=[port_in([2])],
        outputs=[port_out([1], 2, scale=0.5)],
    )  # fmt: skip


def test_a_dense_phase_program_computes_what_the_integer_network_computes(tmp_path: Path) -> None:
    result = dense_phase().run(tmp_path, [[3, 1], [0.49, 2.5], [9, -4]])
    # q = (3, 1): acc = 3 − 1 + 1, 6 + 1 − 2 = 3, 5; v = 4, 6; values 2, 3; read-out 10 + 6 − 15 = 1.
    # q = (0, 3), for 2.5 rounds up: v = 2 − 3, −1 + 3 = −1, 2; values 0, 1; read-out 10 − 5 = 5.
    # q = (3, 0), both clipped: v = 5, 5; values 2, 2; read-out 10 + 6 − 10 = 6.
    assert result.values[0].tolist() == [[3, 1], [0, 3], [3, 0]]
    assert result.membranes[1].tolist() == [[4, 6], [-1, 2], [5, 5]]
    assert result.values[1].tolist() == [[2, 3], [0, 1], [2, 2]]
    assert result.results[0].tolist() == [[1], [5], [6]]
    assert result.outputs[0].tolist() == [[0.5], [2.5], [3.0]]
    assert result.outputs[0].dtype == np.float64
    # Set bits: inputs 2 + 1, 0 + 2, 2 + 0; hidden 1 + 2, 0 + 1, 1 + 1. A spike of an input reaches two
    # synapses, one of the hidden neurons one. Everything lies on core (0, 0): no link.
    first, second, third = result.per_sample
    assert first.spikes_per_block == [3, 3, 0]
    assert second.spikes_per_block == [2, 1, 0]
    assert third.spikes_per_block == [2, 2, 0]
    assert (first.synops, second.synops, third.synops) == (9, 5, 6)
    assert result.counters.as_dict() == {
        "spikes": 13, "spikes_per_block": [7, 6, 0], "synops": 20, "hops": 0, "saturations": 0,
    }  # fmt: skip


def test_scale_offset_and_order_of_an_input_are_applied_per_neuron(tmp_path: Path) -> None:
    draft = dense_phase()
    draft.inputs = [port_in([2], order=[1, 0], scale=[0.5, 2.0], offset=[10.0, -1.0])]
    # Neuron 0 takes x[1] = 11.3: floor(1.3/0.5 + 0.5) = 3; neuron 1 takes x[0] = 1: floor(2/2 + 0.5) = 1.
    assert draft.run(tmp_path, [[1, 11.3]]).values[0].tolist() == [[3, 1]]


def test_phase_clamps_the_membrane_where_levels_are_no_power_of_two_less_one(tmp_path: Path) -> None:
    draft = dense_phase()
    draft.blocks[1]["levels"] = 2
    # v = 4, 6 is clamped to 4, (2 + 1)·2 − 1 = 5; values 2, 2 (3 without the clamp); 10 + 6 − 10 = 6.
    result = draft.run(tmp_path, [[3, 1]])
    assert result.membranes[1].tolist() == [[4, 6]]
    assert result.values[1].tolist() == [[2, 2]]
    assert result.results[0].tolist() == [[6]]


def test_the_clamp_of_phase_is_one_higher_with_gt(tmp_path: Path) -> None:
    draft = dense_phase()
    draft.blocks[1]["levels"] = 2
    draft.fires_when = "gt"
    draft.theta = [1, 1, 1]
    draft.v0 = [2, -1, 11]
    # θ = 1, b = 1 and −2, `v0` one higher: acc = 3, 5, v = 4, 6, clamped to (2 + 1)·1 − 1 + 1 = 3, which is
    # just what the digit 2 needs. Values 2, 2; read-out 11 + 6 − 10 − 1 = 6.
    result = draft.run(tmp_path, [[3, 1]])
    assert result.membranes[1].tolist() == [[3, 5]]
    assert result.values[1].tolist() == [[2, 2]]
    assert result.results[0].tolist() == [[6]]


def test_a_skip_over_a_window_counts_once(tmp_path: Path) -> None:
    draft = dense_phase()
    draft.blocks[2] |= {"run_n": 2, "weight_n": 4}
    draft.runs.append((4, 2, 1, 0, 2, 1, 0))
    draft.weights += [7, -2]
    draft.routes.append((0, 2, 0, 4, 1))
    # 7·3 − 2·1 joins v at the first boundary, the dendrite starts again at 0: 10 + 6 − 15 + 19 = 20.
    result = draft.run(tmp_path, [[3, 1]])
    assert result.results[0].tolist() == [[20]]
    assert result.counters.synops == 9 + 3


# ------------------------------------------------------------------- signed populations, ties, `gt`


@pytest.mark.parametrize("coding", ["rate-sync", "phase", "ttfs", "graded"])
@pytest.mark.parametrize("fires_when", ["ge", "gt"])
def test_signed_values_round_ties_as_floor_does(tmp_path: Path, coding: str, fires_when: str) -> None:
    result = signed_ties(coding, fires_when).run(tmp_path, [[1], [-1], [2]])
    # floor((acc + 2) / 4), clipped to −2 … 2. The membrane at firing is acc + 2, with `gt` as with `ge`.
    # q = 1: acc 2, 1, −2, −3, −6, −7: 2 and −2, −6 are ties (go up). Sum 1 − 1 − 1 − 2 = −3.
    # q = −1: acc −2, −1, 2, 3, 6, 7. Sum 1 + 1 + 2 + 2 = 6.
    # q = 2: acc 4, 2, −4, −6, −12, −14: floors 1, 1, −1, −1, −3 → −2, −3 → −2. Sum −4.
    assert result.values[0].tolist() == [[1], [-1], [2]]
    assert result.membranes[1].tolist() == [
        [4, 3, 0, -1, -4, -5], [0, 1, 4, 5, 8, 9], [6, 4, -2, -4, -10, -12],
    ]  # fmt: skip
    assert result.values[1].tolist() == [[1, 0, 0, -1, -1, -2], [0, 0, 1, 1, 2, 2], [1, 1, -1, -1, -2, -2]]
    assert result.results[0].tolist() == [[-3], [6], [-4]]
    # rate-sync sends |q| spikes, phase one for every set bit (1 = 01, 2 = 10), the others one where q ≠ 0.
    once = [[1, 4, 0], [1, 4, 0], [1, 6, 0]]
    spikes = [[1, 5, 0], [1, 6, 0], [2, 8, 0]] if coding == "rate-sync" else once
    assert [c.spikes_per_block for c in result.per_sample] == spikes
    assert [c.synops for c in result.per_sample] == [6 * fed + hidden for fed, hidden, _ in spikes]


@pytest.mark.parametrize("coding", ["rate-sync", "ttfs", "graded"])
def test_gt_does_not_fire_when_the_membrane_equals_the_threshold(tmp_path: Path, coding: str) -> None:
    draft = signed_ties(coding, "gt")
    draft.v0 = [2, 1]  # one too low on purpose: every neuron decides as if acc were one lower
    # q = 1: v = 4, 3, 0, −1, −4, −5 and above = 1. 4 ≥ 4 + 1 is false; 0 < 1 takes θ: floor((v − 1) / 4).
    result = draft.run(tmp_path, [[1]])
    assert result.membranes[1].tolist() == [[3, 2, -1, -2, -5, -6]]
    assert result.values[1].tolist() == [[0, 0, -1, -1, -2, -2]]


# ------------------------------------------------------------------------------- shared convolution


def convolution() -> Draft:
    """A convolution with 3 taps and padding 1 over width 4, 1 → 2 channels, as a read-out."""
    return Draft(
        coding="rate-sync",
        blocks=[
            block(0, (1, 4, 1), 0, kind=0, core=-1, levels=3, steps=3),
            block(4, (1, 4, 2), 1, kind=3, window=1, fire_start=3, steps=1, weight0=1, weight_n=6, run_n=3,
                  shift=1),
        ],
        # Axon x reaches the outputs x − 1, x, x + 1 through the taps 2, 1, 0.
        runs=[(11, 2, 0, 0, 0, 0, 2), (10, 1, 1, 0, 0, 0, 0), (13, 1, 2, 4, 0, 0, 0)],
        patterns=[0, 2, 3, 4],
        segments=[(0, 0, 2), (2, 2, 4), (2, 0, 4), (0, 0, 4)],
        weights=[99, 3, -30, 2, 20, 1, 10],  # taps 2, 1, 0; the first weight belongs to nobody
        theta=[1],
        v0=[0],
        routes=[(0, 4, 0, 10, 1)],
        window_starts=[0, 3],
        total_steps=4,
        inputs=[port_in([1, 4], scale=[1.0], offset=[0.0])],
        outputs=[port_out([2, 4], 1, order=[0, 2, 4, 6, 1, 3, 5, 7])],
    )  # fmt: skip


def test_a_shared_run_moves_its_targets_and_cuts_them_at_the_border(tmp_path: Path) -> None:
    result = convolution().run(tmp_path, [[[1, 0, 2, 3]]])
    # Channel 0: x[o−1] + 2 x[o] + 3 x[o+1] = 2, 7, 4 + 9, 2 + 6.
    # Channel 1: 10 x[o−1] + 20 x[o] − 30 x[o+1] = 20, 10 − 60, 40 − 90, 20 + 60.
    assert result.outputs[0].tolist() == [[[2, 7, 13, 8], [20, -50, -50, 80]]]
    # All times 2^shift = 2.
    assert result.results[0].tolist() == [[4, 40, 14, -100, 26, -100, 16, 160]]
    # 1·4 + 2·6 + 3·4 synapses.
    assert (result.counters.spikes, result.counters.synops) == (6, 28)


# --------------------------------------------------------------------------------------------- rate


def test_rate_with_current_input_and_bias_currents(tmp_path: Path) -> None:
    draft = Draft(
        coding="rate",
        blocks=[
            source(1, levels=16, steps=4),
            block(1, (1, 1, 1), 1, levels=4, fire_start=1, steps=4, weight_n=1, run_n=1),
            block(2, (1, 1, 1), 2, fire_start=2, steps=4, param0=1, weight0=1, weight_n=1, run0=1, run_n=1),
        ],
        runs=[(0, 1, 0, 0, 0, 0, 0), (1, 1, 0, 0, 0, 0, 0)],
        segments=[(0, 0, 1)],
        weights=[1, 3],
        theta=[4, 1],
        v0=[2, 0],
        current=[1, -1],
        routes=[(0, 1, 0, 0, 1), (1, 1, 0, 1, 1)],
        window_starts=[0],
        total_steps=6,
        inputs=[port_in([1], encoding="current")],
        outputs=[port_out([1], 2)],
    )
    result = draft.run(tmp_path, [[8], [0]])
    # q = 8 is sent as the value 2 in t = 0 … 3. Hidden: t = 1: 2 + 2 + 1 = 5 fires, 1; t = 2: 4 fires, 0;
    # t = 3: 3; t = 4: 6 fires, 2; t = 5: not active, no current. Read-out: 3 spikes of 3, less the current
    # of t = 2 … 5: 9 − 4 = 5.
    # q = 0: t = 1: 3; t = 2: 4 fires, 0; t = 3: 1; t = 4: 2. Read-out 3 − 4 = −1.
    assert result.values[0].tolist() == [[8], [0]]
    assert result.membranes[1].tolist() == [[5], [3]]
    assert result.values[1].tolist() == [[3], [1]]
    assert result.results[0].tolist() == [[5], [-1]]
    assert [c.spikes_per_block for c in result.per_sample] == [[4, 3, 0], [0, 1, 0]]
    assert [c.synops for c in result.per_sample] == [7, 1]
    assert result.outputs[0].tolist() == [[5.0], [-1.0]]
    draft.blocks[2]["shift"] = 2  # of the read-out: 3 spikes of 12, less 4; a unit of it is a quarter
    shifted = draft.run(tmp_path, [[8], [0]])
    assert shifted.results[0].tolist() == [[32], [8]]
    assert shifted.outputs[0].tolist() == [[8.0], [2.0]]


def rate_spikes(signed: int, above: int = 0) -> Draft:
    """Two inputs as spikes over routes with delay 2; what the neuron may send back is the parameter."""
    return Draft(
        coding="rate",
        blocks=[
            source(2, levels=4, steps=4),
            block(2, (1, 1, 1), 1, levels=4, signed=signed, fire_start=2, steps=4, weight_n=2, run_n=1),
            block(3, (1, 1, 1), 2, fire_start=3, steps=4, param0=1, weight0=2, weight_n=1, run0=1, run_n=1),
        ],
        runs=[(0, 2, 0, 0, 0, 1, 0), (2, 1, 0, 0, 0, 0, 0)],
        segments=[(0, 0, 1)],
        weights=[3, -9, 1],
        theta=[4, 1],
        v0=[2 + above, above],
        routes=[(0, 2, 0, 0, 2), (2, 1, 0, 2, 1)],
        window_starts=[0],
        total_steps=7,
        inputs=[port_in([2])],
        outputs=[port_out([1], 2)],
        fires_when="gt" if above else "ge",
    )


@pytest.mark.parametrize("above", [0, 1])
@pytest.mark.parametrize(("signed", "value", "spikes"), [(0, 1, 1), (1, 0, 4), (2, 0, 2)])
def test_rate_with_spikes_and_a_delay_of_two(
    tmp_path: Path, signed: int, value: int, spikes: int, above: int
) -> None:
    result = rate_spikes(signed, above).run(tmp_path, [[3, 1]])
    # T = 4. q = 3: ⌊(2 + 3j) / 4⌋ for j = 0 … 4 is 0, 1, 2, 2, 3: sent in steps 0, 1, 3.
    # q = 1: ⌊(2 + j) / 4⌋ is 0, 0, 1, 1, 1: sent in step 1. Two steps later they arrive: 3, 3 − 9, 0, 3.
    # t = 2: v = 2 + 3 = 5 fires, 1. t = 3: v = −5, and then
    #   signed 0: −5, −5, −2: one spike;
    #   signed 1: −1 is sent, v = −1; t = 4: −1 is sent, v = 3; t = 5: 6 fires: 1 − 1 − 1 + 1;
    #   signed 2: −1 is taken back, v = −1; t = 4: nothing left to take back; t = 5: 2: 1 − 1.
    # `gt` starts one higher and compares with one more: the same.
    assert result.membranes[1].tolist() == [[5]]
    assert result.values[1].tolist() == [[value]]
    assert result.results[0].tolist() == [[value]]
    assert result.counters.spikes_per_block == [4, spikes, 0]


def test_gt_does_not_fire_at_the_threshold_in_rate_either(tmp_path: Path) -> None:
    draft = rate_spikes(0, above=1)
    draft.v0 = [1, 1]
    # q = 1 on the first input arrives once, in t = 3: v = 1 + 3 = 4, and 4 ≥ 4 + 1 is false.
    assert draft.run(tmp_path, [[1, 0]]).values[1].tolist() == [[0]]


@pytest.mark.parametrize("above", [0, 1])
@pytest.mark.parametrize(
    ("neurons", "value"),
    [
        # v = 5 fires → 1, 1 − 6 = −5 → −5, −5, −2 as above; to zero: 0 − 6, …: one spike.
        ({"reset": "zero", "membrane_floor": None}, 1),
        # 5 fires → 1; 1 − 6 is lifted to −2; −2; −2 + 3 = 1: one spike.
        ({"reset": "subtract", "membrane_floor": -2}, 1),
        # 5 fires → 1; lifted to 1 (a floor above zero, to tell the two); 1; 1 + 3 = 4 fires: two.
        ({"reset": "subtract", "membrane_floor": 1}, 2),
        # 5 fires → 0; lifted to 0; 0; 3: one.
        ({"reset": "zero", "membrane_floor": 0}, 1),
    ],
)
def test_rate_of_neurons_with_a_reset_to_zero_or_a_floor(
    tmp_path: Path, above: int, neurons: dict[str, Any], value: int
) -> None:
    draft = rate_spikes(0, above)
    draft.version, draft.neurons = 2, {"compares": "step", **neurons}
    result = draft.run(tmp_path, [[3, 1]])
    assert result.values[1].tolist() == [[value]]
    assert result.counters.saturations == 0


@pytest.mark.parametrize("above", [0, 1])
@pytest.mark.parametrize(
    ("reset", "weights", "value", "spikes"),
    [
        # v0 = 2, θ = 4. Both inputs send in every step of T = 2; each step takes the first one's event first.
        # 2 + 3 = 5 fires → 0, 0 − 9 → 0; 3, −6 → 0: one spike.
        ("zero", [3, -9], 1, [4, 1]),
        # 2 − 9 → 0, 3; −6 → 0, 3: none. Once a step, without an order, these two would be the same.
        ("zero", [-9, 3], 0, [4, 0]),
        # 11 fires → 7; 10 fires → 6. The next step begins with the bias, 0: 6 fires → 2; 11 fires; 10 fires.
        ("subtract", [9, 3], 5, [4, 5]),
        # A synapse of weight 0 is no event: 11 fires → 7. The next step: 7 fires → 3; 12 fires → 8.
        ("subtract", [9, 0], 3, [4, 3]),
    ],
)
def test_rate_compared_after_every_event(
    tmp_path: Path, above: int, reset: str, weights: list[int], value: int, spikes: list[int]
) -> None:
    draft = rate_spikes(0, above)
    draft.version = 2
    draft.neurons = {"reset": reset, "membrane_floor": 0 if reset == "zero" else None, "compares": "event"}
    for row, start in zip(draft.blocks, (0, 2, 3), strict=True):
        row |= {"levels": min(row["levels"], 2), "steps": 2, "fire_start": start}
    draft.total_steps, draft.weights = 5, [*weights, 1]
    result = draft.run(tmp_path, [[2, 2]])
    assert result.values[1].tolist() == [[value]]
    assert result.results[0].tolist() == [[value]]
    assert result.counters.spikes_per_block == [*spikes, 0]
    assert result.counters.synops == sum(spikes)


def test_a_seed_orders_events_of_one_step(tmp_path: Path) -> None:
    found = {}
    for ties in range(8):
        draft = rate_spikes(0, 0)
        draft.version = 3
        draft.neurons = {"reset": "zero", "membrane_floor": 0, "compares": "event", "ties": ties}
        for row, start in zip(draft.blocks, (0, 2, 3), strict=True):
            row |= {"levels": min(row["levels"], 2), "steps": 2, "fire_start": start}
        draft.total_steps, draft.weights = 5, [3, -9, 1]
        program = oracle.read(write(tmp_path / "program.nmc", draft))
        first, second = turns(program, ties)[:2]
        found[ties] = first < second
        # With the exciting input first one spike is sent, as above, else none.
        assert draft.run(tmp_path, [[2, 2]]).values[1].tolist() == [[1 if found[ties] else 0]]
    assert set(found.values()) == {False, True}
    # SplitMix64's first number for the seed 0, as published with java.util.SplittableRandom and xoshiro.
    draft.neurons["ties"] = 0
    assert turns(oracle.read(write(tmp_path / "program.nmc", draft)), 0)[0] == 0xE220A8397B1DCDAF
    draft.version = 2
    with pytest.raises(ValueError, match="version 2 with ties"):
        oracle.read(write(tmp_path / "program.nmc", draft))


def test_only_rate_knows_other_neurons_and_only_since_version_2(tmp_path: Path) -> None:
    draft = dense_phase()
    draft.version, draft.neurons = 2, {"reset": "zero"}
    with pytest.raises(ValueError, match="phase with other neurons"):
        oracle.read(write(tmp_path / "program.nmc", draft))
    draft = rate_spikes(0)
    draft.neurons = {"membrane_floor": 0}
    with pytest.raises(ValueError, match="version 1"):
        oracle.read(write(tmp_path / "program.nmc", draft))
    draft.version, draft.neurons = 2, {"reset": "half"}
    with pytest.raises(ValueError, match="unknown reset"):
        oracle.read(write(tmp_path / "program.nmc", draft))


def test_negative_inputs_of_rate_send_negative_spikes(tmp_path: Path) -> None:
    draft = rate_spikes(0)
    draft.blocks[0]["signed"] = 1
    assert draft.run(tmp_path, [[-3, 9]]).values[0].tolist() == [[-3, 4]]


# --------------------------------------------------------------------------------------- saturation


def test_a_membrane_of_six_bits_saturates_and_counts(tmp_path: Path) -> None:
    result = narrow("rate-sync", 3, [20, -20, 10, 10], [0, 0, 1, 0]).run(tmp_path, [[3]])
    # 20, 40 → 31, 51 → 31; −20, −40 → −32, −52 → −32; 11, 21, 31 just fits; 10, 20, 30.
    assert result.results[0].tolist() == [[31, -32, 31, 30]]
    assert result.counters.saturations == 4


def test_dendrite_and_membrane_of_phase_saturate_apart(tmp_path: Path) -> None:
    result = narrow("phase", 2, [20, -5], [10, 0]).run(tmp_path, [[3]])
    # D = 20, 2·20 + 20 = 60 → 31; v = 10 + 31 → 31: two. −5, −15: none.
    assert result.results[0].tolist() == [[31, -15]]
    assert result.counters.saturations == 2


# -------------------------------------------------------------------------------------------- routes


def two_cores() -> Draft:
    """Hidden channels 0 and 1 of two columns on two cores of two chips, a read-out on the first of them."""
    return Draft(
        coding="rate-sync",
        blocks=[
            source(1, levels=1, steps=1),
            block(1, (1, 2, 1), 1, core=0, levels=1, window=1, fire_start=1, steps=1, weight_n=2, run_n=1),
            block(3, (1, 2, 1), 1, core=1, c0=1, levels=1, window=1, fire_start=1, steps=1, weight0=2,
                  weight_n=2, run0=1, run_n=1),
            block(5, (1, 1, 1), 2, core=0, window=2, fire_start=2, steps=1, weight0=4, weight_n=4, run0=2,
                  run_n=1),
        ],
        cores=[(0, 1, 1), (1, 0, 1)],
        runs=[(0, 1, 0, 0, 0, 0, 0), (0, 1, 0, 0, 0, 0, 0), (1, 4, 1, 0, 0, 1, 0)],
        patterns=[0, 1, 2],
        segments=[(0, 0, 2), (0, 0, 1)],
        weights=[1, 0, 1, 1, 1, 10, 100, 1000],
        theta=[1],
        v0=[0],
        routes=[(0, 1, 0, 0, 1), (0, 1, 1, 0, 1), (1, 4, 0, 1, 1)],
        window_starts=[0, 1, 2],
        total_steps=3,
        inputs=[port_in([1])],
        outputs=[port_out([1], 2)],
    )  # fmt: skip


def test_hops_count_the_union_of_the_links(tmp_path: Path) -> None:
    result = two_cores().run(tmp_path, [[1]])
    # Flat order (column, channel): column 0 has 1 and 1, column 1 has 0 and 1; neurons 1, 3, 4 fire.
    assert result.values[1].tolist() == [[1, 1, 0, 1]]
    assert result.results[0].tolist() == [[1101]]
    # The mesh has 2 columns: the cores stand at (1, 1) and (0, 1·2 + 1). The input at (0, 0) takes
    # (0,0)-(0,1)-(1,1) and (0,0)-(0,1)-(0,2)-(0,3): 4 links in the union. To the read-out at (1, 1):
    # 0 links from its own core, (0,3)-(0,2)-(0,1)-(1,1) = 3 from the other, two events.
    assert result.counters.hops == 4 + 0 + 2 * 3
    # An event of the input reaches 2 + 2 synapses (one has weight 0 and counts), a hidden one 1.
    assert (result.counters.spikes, result.counters.synops) == (4, 7)


def test_two_routes_to_one_axon_add_up(tmp_path: Path) -> None:
    draft = narrow("rate-sync", 3, [2], [0])
    draft.blocks[0] = source(2, levels=3, steps=3)
    draft.blocks[1]["gid0"] = 2
    draft.inputs = [port_in([2])]
    draft.routes = [(0, 1, 0, 0, 1), (1, 1, 0, 0, 1)]
    result = draft.run(tmp_path, [[3, 2]])
    assert result.results[0].tolist() == [[10]]
    assert (result.counters.spikes, result.counters.synops) == (5, 5)
    draft.routes = [(0, 1, 0, 0, 1), (1, 1, 0, 0, 1), (1, 1, 0, 0, 1)]  # the second neuron twice
    result = draft.run(tmp_path, [[3, 2]])
    assert result.results[0].tolist() == [[14]]
    assert (result.counters.spikes, result.counters.synops) == (5, 7)


# ---------------------------------------------------------------------------------------------- file


def rewrite(path: Path, member: str, content: bytes | None) -> None:
    """Replace or remove a member and leave the manifest as it is."""
    with zipfile.ZipFile(path) as archive:
        data = {name: archive.read(name) for name in archive.namelist()}
    header = json.loads(data.pop("manifest.json"))
    del data[member]
    pack(path, header, data if content is None else data | {member: content})


@pytest.mark.parametrize("member", ["arrays/weights.npy", "io/input0/scale.npy", "golden/network.json"])
def test_a_member_that_does_not_match_its_sum_is_refused(tmp_path: Path, member: str) -> None:
    file = write(tmp_path / "program.nmc", dense_phase())
    with zipfile.ZipFile(file) as archive:
        content = bytearray(archive.read(member))
    content[-1] ^= 1
    rewrite(file, member, bytes(content))
    with pytest.raises(ValueError, match=f"{member} does not match its sum"):
        oracle.read(file)


def test_only_what_runs_must_be_present(tmp_path: Path) -> None:
    file = write(tmp_path / "program.nmc", dense_phase())
    rewrite(file, "golden/network.json", None)
    assert oracle.read(file).total_steps == 5
    rewrite(file, "arrays/theta.npy", None)
    with pytest.raises(ValueError, match=r"theta\.npy is missing"):
        oracle.read(file)


def test_a_newer_version_is_refused(tmp_path: Path) -> None:
    draft = dense_phase()
    draft.version = 5
    with pytest.raises(ValueError, match="newer"):
        oracle.read(write(tmp_path / "program.nmc", draft))


def test_a_synapse_outside_its_block_is_refused(tmp_path: Path) -> None:
    draft = dense_phase()
    draft.segments[0] = (0, 1, 2)
    with pytest.raises(ValueError, match="outside its block"):
        oracle.read(write(tmp_path / "program.nmc", draft))


def test_the_command_line_prints_outputs_and_counters(tmp_path: Path) -> None:
    file = write(tmp_path / "program.nmc", dense_phase())
    np.savez(tmp_path / "data.npz", x=np.array([[3, 1], [0, 3]], dtype=np.float32))
    command = [sys.executable, "-m", oracle.__name__, str(file), str(tmp_path / "data.npz")]
    root = Path(oracle.__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
    printed = json.loads(done.stdout)
    assert printed["outputs"] == {"y": [[0.5], [2.5]]}
    assert printed["counters"] == {
        "spikes": 9, "spikes_per_block": [5, 4, 0], "synops": 14, "hops": 0, "saturations": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("coding", "steps", "counted"),
    [
        ("phase", 2, 1),  # the digit 2 as 1; the digit 1 arrives in the step after the read-out
        ("rate-sync", 3, 2),  # the third spike arrives in the step after the read-out
        ("ttfs", 3, 2),  # one step less
        ("graded", 1, 0),
    ],
)
def test_an_event_that_travels_two_steps_counts_as_what_arrives_in_its_step(
    tmp_path: Path, coding: str, steps: int, counted: int
) -> None:
    draft = narrow(coding, steps, [1], [0])
    assert draft.run(tmp_path, [[3]]).results[0].tolist() == [[3]]
    draft.routes = [(0, 1, 0, 0, 2)]
    assert draft.run(tmp_path, [[3]]).results[0].tolist() == [[counted]]


@pytest.mark.parametrize(
    ("coding", "encoding"), [("phase", "current"), ("ttfs", "graded"), ("graded", "spikes"), ("rate", "host")]
)
def test_an_input_that_enters_as_its_code_does_not_know_is_refused(
    tmp_path: Path, coding: str, encoding: str
) -> None:
    draft = narrow(coding, 3, [1], [0])
    draft.inputs = [port_in([1], encoding=encoding)]
    with pytest.raises(ValueError, match=f"enters as {encoding}"):
        draft.run(tmp_path, [[1]])


def test_an_input_with_more_levels_than_steps_cannot_enter_as_spikes(tmp_path: Path) -> None:
    draft = narrow("rate", 2, [1], [0])
    with pytest.raises(ValueError, match="more levels than steps"):
        draft.run(tmp_path, [[1]])


def test_an_input_without_levels_is_refused(tmp_path: Path) -> None:
    draft = narrow("phase", 2, [1], [0])
    draft.blocks[0]["levels"] = 0
    with pytest.raises(ValueError, match="an input has no levels"):
        draft.run(tmp_path, [[1]])
