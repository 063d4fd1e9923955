"""Partitions with unequal boxes: every limit, counted from scratch."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.errors import DoesNotFit
from nmcompiler.mapping.bounds import lower_bound
from nmcompiler.mapping.filled import Filled, Style, static_shares
from nmcompiler.mapping.needs import network_needs
from nmcompiler.mapping.partition import OutOfCores, TooSpread
from nmcompiler.mapping.portfolio import best, candidates, quality
from nmcompiler.target.model import CoreType, Limits
from tests.mapping.mapping_oracle import Builder, Count, chip, networks


@st.composite
def limits(draw):
    def maybe(low, high):
        return draw(st.one_of(st.none(), st.integers(low, high)))

    return Limits(
        neurons=maybe(2, 60),
        input_axons=maybe(30, 300),
        output_axons=maybe(8, 100),
        synapse_bits=maybe(1500, 10000),
        state_bits=maybe(32, 800),
        thresholds=maybe(1, 3),
        destinations=maybe(4, 40),
    )


@st.composite
def styles(draw):
    return Style(
        depth=draw(st.integers(1, 3)),
        cap=draw(st.sampled_from([1.0, 0.8])),
        weight=draw(st.sampled_from([0.0, 1.0, 4.0])),
        beside=draw(st.sampled_from([0.0, 0.5])),
        tries=draw(st.integers(1, 3)),
    )


def filled(needs, style, chips=None):
    parted = Filled(needs, chips, style=style, shares=static_shares(needs))
    for population in reversed(list(needs.populations.values())):
        parted.add(population)
    for core in parted.cores:
        core.settle()
    return parted


def check(parted, spiking, target):
    """Everything that the cores use, and that nothing is more than they hold."""
    pieces = [(i, p.needs.name, p.box) for i, core in enumerate(parted.cores) for p in core.pieces]
    found = Count(spiking, target, pieces)
    assert len(found.owner) == spiking.network.neurons
    for i, core in enumerate(parted.cores):
        used, held = found.used(i), vars(target.core_types[core.kind].limits)
        assert core.used == used
        assert all(held[r] is None or amount <= held[r] for r, amount in used.items())


@given(networks(), limits(), styles(), st.booleans(), st.sampled_from(["neuron", "pixel"]), st.integers(1, 2))
@settings(max_examples=35, deadline=None)
def test_every_limit_holds_and_usage_is_exact(builder, limit, style, sharing, unit, each):
    target = replace(chip(limit, sharing=sharing, axon_unit=unit), compartments_per_neuron=each)
    spiking = builder.spiking()
    try:
        parted = filled(network_needs(spiking, target), style)
    except (DoesNotFit, TooSpread, OutOfCores):
        return
    check(parted, spiking, target)
    assert len(parted.cores) >= lower_bound(parted.needs, target, 1)


@given(networks(populations=3), styles(), st.integers(5, 30), st.integers(31, 90))
@settings(max_examples=20, deadline=None)
def test_cores_of_two_types_are_filled_within_their_own_limits(builder, style, small, large):
    kinds = (CoreType(40, Limits(neurons=large)), CoreType(40, Limits(neurons=small, fan_in=60)))
    target, spiking = chip(kinds=kinds, rows=10, columns=8), builder.spiking()
    try:
        parted = filled(network_needs(spiking, target), style, chips=1)
    except (DoesNotFit, TooSpread, OutOfCores):
        return
    check(parted, spiking, target)
    for kind in (0, 1):
        assert sum(core.kind == kind for core in parted.cores) <= 40


def chain(*shapes):
    builder, last = Builder().add("x", shapes[0], "input"), "x"
    for i, shape in enumerate(shapes):
        builder.add(f"c{i}", shape).conv(last, f"c{i}")
        last = f"c{i}"
    return builder


@pytest.mark.parametrize("neurons", [50, 77, 100, 128])
def test_unequal_boxes_fill_cores_to_the_last_neuron_where_nothing_else_is_limited(neurons):
    builder = chain((8, 8, 5), (8, 8, 3), (7, 5, 4))
    parted = filled(network_needs(builder.spiking(), chip(Limits(neurons=neurons))), Style())
    assert len(parted.cores) == -(-(64 * 5 + 64 * 3 + 140) // neurons)


def test_layers_of_many_weights_leave_room_for_layers_of_many_neurons():
    """Late layers fill the synapses of cores and early ones the neurons; together they need four cores."""
    builder = chain((8, 8, 4), (8, 8, 4), (2, 2, 32), (2, 2, 32))
    bits = sum(9 * a * b for a, b in ((4, 4), (4, 4), (4, 32), (32, 32))) * 8
    target = chip(Limits(neurons=200, synapse_bits=bits // 4 + 3000))
    needs = network_needs(builder.spiking(), target)
    first, chosen = filled(needs, Style()), best(candidates(needs, None))
    assert len(chosen.cores) <= len(first.cores)
    assert len(chosen.cores) <= lower_bound(needs, target, 1) + 1
    check(chosen, builder.spiking(), target)


def test_equal_numbers_of_cores_are_decided_by_time_and_then_by_traffic():
    builder = chain((8, 8, 5), (8, 8, 3), (7, 5, 4))
    needs = network_needs(builder.spiking(), chip(Limits(neurons=100)), builder.traffic())
    chosen = quality(best(candidates(needs, None)))
    some = [quality(filled(needs, Style(depth=d, beside=b))) for d in (1, 2) for b in (0.0, 0.5)]
    assert chosen.cores <= min(q.cores for q in some)
    equal = [q for q in some if q.cores == chosen.cores]
    assert all(chosen.time <= 1.03 * q.time for q in equal)
    assert all(chosen.traffic <= q.traffic for q in equal if q.time <= chosen.time)


@given(networks(), st.integers(4, 60))
@settings(max_examples=30, deadline=None)
def test_spikes_count_once_for_every_other_core_that_reads_them(builder, neurons):
    spiking, traffic = builder.spiking(), builder.traffic(2)
    parted = best(candidates(network_needs(spiking, chip(Limits(neurons=neurons)), traffic), None))
    pieces = [(i, p.needs.name, p.box) for i, core in enumerate(parted.cores) for p in core.pieces]
    found = Count(spiking, parted.target, pieces)
    total = sum(
        traffic.spikes[name][position] * len(cores - {found.owner.get((name, position))})
        for (name, position), cores in found.reached.items()
    )
    assert quality(parted).cores == len(parted.cores)
    assert quality(parted).traffic == pytest.approx(total)
