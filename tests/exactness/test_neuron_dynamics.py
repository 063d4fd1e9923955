"""Neurons that do more than subtract once a step: chip = layer by layer = oracle, and lift."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.evaluate.rate import run_rate
from nmcompiler.program.container import load, save
from nmcompiler.program.lift import check_lift
from nmcompiler.sim import Record, Simulator
from nmcompiler.sim.events import EventTable
from nmcompiler.sim.literal import run_literally
from nmcompiler.sim.load import load as load_for_the_simulator
from nmcompiler.sim.ports import encode
from nmcompiler.sim.tile import Store
from nmcompiler.target.model import Dynamics
from nmcompiler.testing import random_network, random_samples, tiny_target
from nmcompiler.testing.chain import placed_program

from ..oracle import oracle

STEPS = 6

dynamics = st.builds(
    Dynamics,
    reset=st.sampled_from(["subtract", "zero"]),
    floor=st.sampled_from([None, 0, -3]),
    compares=st.sampled_from(["step", "event"]),
) | st.builds(
    Dynamics,
    reset=st.sampled_from(["subtract", "zero"]),
    floor=st.sampled_from([None, 0]),
    compares=st.just("event"),
    ties=st.integers(0, 2**63 - 1),
)


def placed(seed, dynamics, *, signed_spikes=False, fires_when="ge", **limits):
    target = tiny_target(
        neurons=8 + seed % 9,
        columns=4,
        max_chips=16,
        dynamics=dynamics,
        signed_spikes=signed_spikes,
        fires_when=fires_when,
        membrane_bits=30,
        input_encodings=("spikes",),
        **limits,
    )
    network = random_network(seed, levels=STEPS, input_levels=STEPS)
    return placed_program(network, target, "rate", seed=seed, timesteps=STEPS)


def assert_equal_to_the_reference(program, spiking, samples):
    """Compares counts, spikes and read-outs of the placed program with the network layer by layer."""
    result = Simulator(program).run(samples, record=Record(values=True, membranes=True))
    wanted = run_rate(spiking, samples)
    for number, p in enumerate(spiking.network.graph):
        if p.sends:
            found = result.values[number].reshape(-1, *p.shape)
            assert np.array_equal(found, wanted.counts[p.name]), p.name
            assert result.spikes[number] == wanted.spikes[p.name].sum(), p.name
    for port, read in zip(program.outputs, result.outputs, strict=True):
        node = next(p.node for p in spiking.network.outputs if p.name == port.name)
        unit = 1 if spiking.network.graph.node(node).sends else 2 ** spiking.neurons[node].shift
        expected = wanted.outputs[port.name].reshape(len(read), -1)
        assert np.array_equal(port.read(read) / unit, expected)
    return result


def assert_equal_to_the_oracle(program, samples, result, file):
    save(program, file)
    expected = oracle.run(oracle.read(file), samples)
    for number, values in expected.values.items():
        assert np.array_equal(result.values[number], values)
    for number, membranes in expected.membranes.items():
        assert np.array_equal(result.membranes[number], membranes)
    assert result.spikes_per_block.tolist() == list(expected.counters.spikes_per_block)
    assert (result.synops, result.hops) == (expected.counters.synops, expected.counters.hops)
    assert result.saturations == expected.counters.saturations


@given(
    seed=st.integers(0, 10_000),
    dynamics=dynamics,
    signed=st.booleans(),
    fires_when=st.sampled_from(["ge", "gt"]),
)
@settings(max_examples=25, deadline=None)
def test_chip_reference_and_oracle_agree(tmp_path_factory, seed, dynamics, signed, fires_when):
    signed = signed and dynamics.compares == "step"  # events that are compared one by one carry no sign
    program, spiking = placed(seed, dynamics, signed_spikes=signed, fires_when=fires_when)
    if dynamics.ties is not None:  # a target draws with the seed 0
        program, spiking = program.with_ties(dynamics.ties), replace(spiking, dynamics=dynamics)
    samples = random_samples(spiking.network, seed, 2)
    assert check_lift(program, spiking).ok
    result = assert_equal_to_the_reference(program, spiking, samples)
    file = tmp_path_factory.mktemp("programs") / "p.nmc"
    assert_equal_to_the_oracle(program, samples, result, file)
    assert load(file).dynamics == dynamics


def test_the_rules_make_a_difference():
    """Else nothing above would have been tested."""
    found = []
    for rule in (Dynamics(), Dynamics(reset="zero"), Dynamics(floor=0), Dynamics(compares="event")):
        program, spiking = placed(11, rule)
        samples = random_samples(spiking.network, 11, 8)
        found.append(Simulator(program).run(samples, record=Record(values=True)).values)
    for other in found[1:]:
        assert any(not np.array_equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_the_order_of_events_makes_a_difference():
    """The sources of the second half before those of the first: other spikes, so the order is a rule."""
    program, spiking = placed(11, Dynamics("zero", 0, "event"))
    samples = random_samples(spiking.network, 11, 8)
    before = Simulator(program).run(samples, record=Record(values=True)).values
    loaded = load_for_the_simulator(program)
    loaded.__dict__["events"] = tuple(in_reverse(table) for table in loaded.events)
    store = Store(loaded, 8, Record(values=True))
    run_literally(loaded, encode(program, samples), slice(0, 8), store)
    assert any(not np.array_equal(a, b) for a, b in zip(before, store.values, strict=True))


def test_a_seed_draws_the_order_of_events_and_the_judge_takes_the_same():
    program, spiking = placed(11, Dynamics(compares="event", ties=0))
    samples = random_samples(spiking.network, 11, 8)
    found = []
    for ties in (0, 1, 1, 2**63 - 1):
        other = program.with_ties(ties)
        assert other.golden is None or other.golden.dynamics.ties == ties
        result = assert_equal_to_the_reference(other, replace(spiking, dynamics=other.dynamics), samples)
        found.append(result.values)
    same = [all(np.array_equal(a, b) for a, b in zip(found[1], x, strict=True)) for x in found]
    assert same == [False, True, True, False]


def test_lift_sees_events_in_another_order():
    program, spiking = placed(3, Dynamics(compares="event", ties=0))
    report = check_lift(program.with_ties(1), spiking)
    assert not report.ok
    assert "ties of the program is 1, not 0" in report.message


def in_reverse(table):
    lengths = np.diff(table.starts)[::-1]
    order = np.arange(len(table.delay))[::-1]
    entries = np.concatenate(
        [np.zeros(0, np.int64), *(np.arange(table.starts[e], table.starts[e + 1]) for e in order)]
    )
    return EventTable(
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        table.targets[entries],
        table.weights[entries],
        *(np.ascontiguousarray(a[order]) for a in (table.first, table.size, table.local, table.delay)),
    )


def test_a_cut_into_other_pieces_changes_no_spike():
    """The order is that of places in a population, not of cores and axons."""
    found = []
    for neurons in (3, 7, 400):
        target = tiny_target(
            neurons=neurons,
            columns=16,
            max_chips=64,
            dynamics=Dynamics("zero", 0, "event"),
            signed_spikes=False,
            input_encodings=("spikes",),
        )
        network = random_network(4, levels=STEPS, input_levels=STEPS)
        program, spiking = placed_program(network, target, "rate", timesteps=STEPS)
        result = Simulator(program).run(random_samples(spiking.network, 4, 4), record=Record(values=True))
        found.append((len(program.arrays["cores"]), result.values))
    assert len({cores for cores, _ in found}) == 3
    for _, values in found[1:]:
        assert all(map(np.array_equal, found[0][1], values))


def test_what_the_floor_lifts_is_no_saturation():
    program, spiking = placed(11, Dynamics(floor=0))
    samples = random_samples(spiking.network, 11, 8)
    assert Simulator(program).run(samples).saturations == 0
    narrow = replace(program, membrane_bits=6)
    assert Simulator(narrow).run(samples).saturations > 0


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        (Dynamics(reset="zero"), "reset"),
        (Dynamics(floor=0), "membrane_floor"),
        (Dynamics(compares="event"), "compares"),
    ],
)
def test_lift_sees_neurons_of_another_chip(changed, name):
    program, spiking = placed(3, Dynamics())
    report = check_lift(replace(program, dynamics=changed), spiking)
    assert not report.ok
    assert name in report.message
