"""Nets, destinations and copies of neurons against networks that are enumerated synapse by synapse."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.ir.cores import Traffic
from nmcompiler.ir.kernels import Sparse
from nmcompiler.mapping import classes as classes_module
from nmcompiler.mapping.needs import network_needs
from nmcompiler.mapping.nets import HOST, nets
from nmcompiler.mapping.partition import partition
from nmcompiler.target.model import Limits
from tests.mapping.mapping_oracle import Builder, Count, chip, networks, synapses


def parted(builder, **limits):
    """A partition of a network in which every other population fires in a second window."""
    target = replace(chip(Limits(**limits)), axon_fan_out=None)
    spiking = builder.spiking()
    slots = {
        name: replace(slot, window=k % 2) for k, (name, slot) in enumerate(spiking.schedule.slots.items())
    }
    schedule = replace(spiking.schedule, slots=slots, window_starts=(0, 1), total_steps=2)
    return partition(network_needs(replace(spiking, schedule=schedule), target), None)


def counted(found):
    pieces = [(i, p.needs.name, p.box) for i, core in enumerate(found.cores) for p in core.pieces]
    return Count(found.needs.spiking, found.target, pieces)


def listed(made):
    ends = zip(made.start, made.start[1:], strict=False)
    rows = [tuple(made.cores[a:b].tolist()) for a, b in ends]
    return list(zip(made.window.tolist(), made.source.tolist(), rows, strict=True))


@given(networks(), st.integers(1, 40), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_nets_are_those_of_all_neurons_one_by_one(builder, neurons, random):
    found, traffic = parted(builder, neurons=neurons), builder.traffic()
    order = list(range(len(found.cores)))
    random.shuffle(order)
    number, seen = {core: k for k, core in enumerate(order)}, counted(found)
    wanted = defaultdict(float)
    for population in found.needs.sources:
        for position in np.ndindex(*population.shape):
            key = population.name, position
            source = number.get(seen.owner.get(key), HOST)
            others = sorted({number[core] for core in seen.reached.get(key, ())} - {source})
            if others:
                window = found.needs.spiking.schedule.slots[population.name].window
                wanted[window, source, tuple(others)] += traffic.spikes[population.name][position]
    made = nets(found, order, traffic)
    assert listed(made) == sorted(wanted)
    np.testing.assert_allclose(made.spikes, [wanted[key] for key in sorted(wanted)], rtol=1e-12)
    assert made.source.dtype == made.cores.dtype == made.start.dtype == np.int64


@given(networks(), st.integers(1, 40), st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_each_neuron_reaches_the_cores_and_axons_that_its_synapses_need(builder, neurons, fan_out):
    found = parted(builder, neurons=neurons)
    seen, schedule = counted(found), found.needs.spiking.schedule
    axons = defaultdict(set)
    graph = found.needs.spiking.network.graph
    for edge in graph.edges():
        shapes = graph.node(edge.source).shape, graph.node(edge.target).shape
        for to, origin in synapses(edge.payload.kernel, *shapes):
            core = seen.owner[edge.target, to]
            axons[edge.source, origin].add((core, schedule.delay(edge.source, edge.target)))
    assert found.readers.built("p0", graph.node("p0").shape) is None
    found.readers.fan_out = fan_out
    for population in graph:
        name, shape = population.name, population.shape
        at = list(np.ndindex(*shape))
        reached = np.array([len(seen.reached.get((name, p), ())) for p in at]).reshape(shape)
        copies = [max(1, -(-len(axons[name, p]) // fan_out)) for p in at]
        np.testing.assert_array_equal(found.readers.destinations(name, shape), reached)
        np.testing.assert_array_equal(found.readers.built(name, shape), np.reshape(copies, shape))


def test_spikes_that_travel_for_different_times_take_axons_of_their_own():
    builder = Builder().add("x", (2, 2, 3), "input").add("a", (2, 2, 3)).add("b", (2, 2, 3))
    builder.conv("x", "a").connect("x", "b", builder.graph.edges()[0].payload.kernel, delay=2)
    found = parted(builder, neurons=40)
    found.readers.fan_out = 1
    assert len(found.cores) == 1
    assert np.all(found.readers.destinations("x", (2, 2, 3)) == 1)
    assert np.all(found.readers.built("x", (2, 2, 3)) == 2)


def test_readers_that_are_left_out_read_the_source_itself():
    builder = Builder().add("x", (4, 4, 2), "input").add("relay", (4, 4, 2)).add("y", (4, 4, 3))
    builder.conv("x", "relay", size=1, padding=0, groups=2).conv("relay", "y")
    found = parted(builder, neurons=6)
    reached = found.readers.destinations("relay", (4, 4, 2))
    own = found.readers.destinations("x", (4, 4, 2))
    found.readers.leave_out("relay", "x")
    together = found.readers.destinations("x", (4, 4, 2))
    assert not found.readers.destinations("relay", (4, 4, 2)).any()
    assert (together >= np.maximum(own, reached)).all()
    assert reached.max() > 1


@pytest.mark.parametrize("marked", [0, 1 << 26])
def test_lists_beside_products_are_told_apart_by_marks_or_by_counting(marked, monkeypatch):
    monkeypatch.setattr("nmcompiler.mapping.classes._MOST_MARKED", marked)
    rng = np.random.default_rng(3)
    builder = Builder().add("x", (6, 5, 4), "input").add("a", (6, 5, 4)).add("b", (1, 1, 60))
    rows, columns = rng.integers(0, 60, 90), rng.integers(0, 120, 90)
    builder.conv("x", "a").connect("a", "b", Sparse(rows, columns, np.ones(90, np.int64))).dense("a", "b")
    builder.add("c", (6, 5, 7)).conv("a", "c", size=2, stride=2)
    found = parted(builder, neurons=9)
    traffic = Traffic({p.name: np.ones(p.shape) for p in found.needs.sources})
    made, seen = nets(found, range(len(found.cores)), traffic), counted(found)
    sent = Counter()
    for (name, position), cores in seen.reached.items():
        source = seen.owner.get((name, position), HOST)
        others = tuple(sorted(cores - {source}))
        window = found.needs.spiking.schedule.slots[name].window
        sent.update({(window, source, others): 1} if others else {})
    assert dict(zip(listed(made), made.spikes.tolist(), strict=True)) == sent


@given(st.lists(st.lists(st.integers(0, 5), max_size=4), min_size=1, max_size=12), st.booleans())
@settings(deadline=None)
def test_sets_that_are_equal_have_one_number(sets, alike):
    """Also where the sums that stand for them say nothing."""
    sets = [sorted(set(one)) for one in sets]
    start = np.cumsum([0, *map(len, sets)])
    readers = np.array([reader for one in sets for reader in one], np.int64)
    with pytest.MonkeyPatch.context() as patch:
        if alike:
            patch.setattr(classes_module, "_mixed", lambda numbers: np.zeros(len(numbers), np.uint64))
        group, first = classes_module._alike(start, readers)
    known = []
    for one in sets:
        known += [one] if one not in known else []
    assert group.tolist() == [known.index(one) for one in sets]
    assert first.tolist() == [sets.index(one) for one in known]
