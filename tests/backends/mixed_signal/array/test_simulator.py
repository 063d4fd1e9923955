"""Arrays against the digital simulator and the golden network, and chips that vary."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nmcompiler.errors import InputFileError, NotVerified, UsageError
from nmcompiler.evaluate.integer import run_integer
from nmcompiler.sim import Record, Simulator
from nmcompiler.sim.jit import jit
from nmcompiler.testing import random_samples
from nmcompiler.testing.programs import random_program
from nmcompiler_backends.mixed_signal.array import kernels
from nmcompiler_backends.mixed_signal.array.simulator import ArraySimulator

from ....exactness.checks import counters
from .chips import analog, drawn, placed

EVERYTHING = Record(values=True, membranes=True, trains=True)


def on_array(program, **array):
    """A program of any chip as one of an array."""
    return replace(program, target=replace(program.target, neuron_array=analog(**array).neuron_array))


@pytest.mark.parametrize("seed", range(0, 24, 2))
def test_ideal_circuits_in_phase_are_the_golden_network(seed):
    """On random cores: signed values, chips that fire on v > θ."""
    program = on_array(random_program(seed))
    samples = random_samples(program.golden.network, seed, 10)
    golden = run_integer(program.golden.network, samples, record=True)
    result = ArraySimulator(program).run(samples, record=EVERYTHING)
    for number, population in enumerate(program.golden.network.graph):
        if population.role != "input":
            found = result.membranes[number]
            assert np.array_equal(found, golden.membranes[population.name].reshape(found.shape))
        if population.sends:
            found = result.values[number]
            assert np.array_equal(found, golden.values[population.name].reshape(found.shape))
    assert result.saturations == 0


@pytest.mark.parametrize("code", ["phase", "rate"])
@pytest.mark.parametrize("seed", range(1, 13, 2))
def test_ideal_circuits_without_leak_do_what_digital_neurons_do(seed, code):
    program, samples = placed(seed, code)
    digital = Simulator(program).run(samples, record=EVERYTHING)
    for simulator in (ArraySimulator(program), ArraySimulator(program, drawn(program, 3, ()))):
        array = simulator.run(samples, record=EVERYTHING)
        assert all(map(np.array_equal, array.trains, digital.trains))
        assert all(map(np.array_equal, array.values, digital.values))
        assert counters(array) == counters(digital)
    ideal = ArraySimulator(program).run(samples, record=EVERYTHING)
    assert all(map(np.array_equal, ideal.outputs, digital.outputs))
    assert all(map(np.array_equal, ideal.membranes, digital.membranes))


def test_a_wrong_weight_is_seen():
    program, samples = placed(3)
    weights = program.arrays["weights"].copy()
    weights[np.argmax(np.abs(weights))] += 1
    digital = Simulator(program).run(samples, record=EVERYTHING)
    changed = ArraySimulator(program.with_arrays(weights=weights)).run(samples, record=EVERYTHING)
    assert not all(map(np.array_equal, changed.membranes, digital.membranes))


@pytest.mark.parametrize("code", ["phase", "rate"])
def test_a_seed_is_a_chip_bit_for_bit_for_any_threads_and_any_batch(code):
    program, _ = placed(5, code)
    samples = random_samples(program.golden.network, 5, 60)
    chip = drawn(program, 7)
    whole = ArraySimulator(program, chip).run(samples, record=EVERYTHING)
    threaded = ArraySimulator(program, chip).run(samples, record=EVERYTHING, threads=4)
    third = ArraySimulator(program, chip).run({k: x[1::3] for k, x in samples.items()}, record=EVERYTHING)
    other = ArraySimulator(program, drawn(program, 8)).run(samples, record=EVERYTHING)
    assert counters(whole) == counters(threaded)
    for number, membranes in enumerate(whole.membranes):
        assert np.array_equal(membranes, threaded.membranes[number])
        assert np.array_equal(membranes[1::3], third.membranes[number])
    assert not all(map(np.array_equal, whole.membranes, other.membranes))


@pytest.mark.parametrize("source", ["weight", "threshold", "gain"])
def test_each_source_of_variation_alone_changes_the_chip(source):
    program, samples = placed(3)
    still = ArraySimulator(program, drawn(program, 1, ())).run(samples)
    simulator = ArraySimulator(program, drawn(program, 1, (source,)))
    assert simulator.drawn["sources"] == [source]
    assert not all(map(np.array_equal, simulator.run(samples).outputs, still.outputs))


def test_time_constants_vary_where_membranes_leak():
    program, samples = placed(3, "rate", tau_steps=4.0, time_constant_cv=0.3)
    record = Record(trains=True)
    plain = ArraySimulator(replace(program, target=analog())).run(samples, record=record)
    leaky = ArraySimulator(program).run(samples, record=record)
    varied = ArraySimulator(program, drawn(program, 1, ("time-constant",))).run(samples, record=record)
    assert not all(map(np.array_equal, plain.trains, leaky.trains))
    assert not all(map(np.array_equal, leaky.trains, varied.trains))


def test_neurons_that_cross_their_threshold_between_steps_are_found_among_the_others():
    """Thresholds this wide apart lie below the rest of every fifth neuron."""
    program, _ = placed(3, "rate", tau_steps=4.0, threshold_cv=0.6)
    machine = ArraySimulator(program, drawn(program, 2)).machine
    rng = np.random.default_rng(0)
    early = 0
    for part in machine.parts.values():
        circuits, block = part.circuits, part.block
        steps, n, fired = block.slot.fire_end - part.plan.begin, block.n, block.slot.steps
        arrivals = rng.normal(0, 0.3, (4, steps, n)) * circuits.nominal
        lost = np.tile(-np.expm1(-1.0 / circuits.tau), (steps, 1))
        lost[0] = 0
        v, held, sent = np.empty((4, n)), np.empty((4, n)), np.empty((4, n, fired), np.int32)
        numbers = circuits.current, circuits.start, circuits.theta, circuits.nominal / 2, circuits.tau
        times, never = np.arange(steps, dtype=float), np.empty((0, 0, 0))
        fires = int(not block.is_readout)
        jit(kernels.integrate_and_fire)(
            arrivals, *numbers, times, lost, steps - fired, fires, v, held, sent, never
        )
        answer = machine.code.answer(part, arrivals, circuits.theta, np.zeros(n))
        assert np.array_equal(answer.sent, sent)
        assert np.array_equal(answer.v, v if block.is_readout else held)
        early += fires * int((circuits.nominal / 2 > circuits.theta).sum())
    assert early > 5


def test_sums_of_whole_numbers_do_not_vary_where_the_router_makes_them():
    program = next(made for made, _ in map(placed, range(40)) if _pools(made))
    exact = replace(program, target=analog(digital_terms=16))
    simulator = ArraySimulator(exact, drawn(exact, 2))
    parts = simulator.machine.parts.values()
    assert any(part.plan.exact for part in parts)
    for part in parts:
        same = np.array_equal(part.circuits.weights, part.rows.weights)
        assert same == part.plan.exact or not part.rows.weights.any()


def _pools(program):
    exact = replace(program, target=analog(digital_terms=16))
    return any(p.exact for p in ArraySimulator(exact).plan.blocks.values())


def test_programs_that_no_array_can_run_are_refused():
    shared = on_array(random_program(1))
    with pytest.raises(InputFileError, match="SHARED_CONV"):
        ArraySimulator(shared).run(random_samples(shared.golden.network, 1, 2))
    late = random_program(2)
    late = replace(on_array(late), window_starts=(0,) * len(late.window_starts))
    with pytest.raises(NotVerified, match="certificate"):
        ArraySimulator(late).run(random_samples(late.golden.network, 2, 2))
    signed = next(p for p in (random_program(s, "rate") for s in range(0, 40, 2)) if _sends_signed(p))
    with pytest.raises(InputFileError, match="signed spikes"):
        ArraySimulator(on_array(signed)).run(random_samples(signed.golden.network, 1, 2))


def _sends_signed(program):
    inner = (program.column("signed") > 0) & (program.column("levels") > 0) & (program.column("kind") > 0)
    shared = (program.column("kind") > 2).any()
    return bool(inner.any()) and not shared


def test_streams_are_refused():
    program, samples = placed(3)
    with pytest.raises(UsageError, match="stream"):
        ArraySimulator(program).run(samples, stream=True)


def test_what_was_drawn_is_said():
    program, _ = placed(3)
    assert ArraySimulator(program).drawn is None
    assert ArraySimulator(program, drawn(program, 9)).drawn == {
        "chip_seed": 9,
        "sources": ["weight", "threshold", "gain"],
        "adc_bits": 8,
        "read_after_s": None,
        "tau_steps": None,
    }
    leaky = replace(program, target=analog(tau_steps=6.0))
    assert ArraySimulator(leaky).drawn["tau_steps"] == 6
    assert ArraySimulator(leaky).drawn["chip_seed"] is None
