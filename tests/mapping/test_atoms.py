"""Atoms of populations, and which of them read which, against single synapses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.ir.cores import Box
from nmcompiler.mapping import atoms as module
from nmcompiler.mapping.atoms import TooMany, atoms
from nmcompiler.mapping.divided import Divided
from nmcompiler.mapping.needs import network_needs
from nmcompiler.mapping.partition import complete, partition
from nmcompiler.target.model import Limits
from tests.mapping.mapping_oracle import Builder, chip, networks, positions, synapses


def atoms_of(builder, neurons):
    parted = partition(network_needs(builder.spiking(), chip(Limits(neurons=neurons))), None)
    order = list(range(len(parted.cores)))[::-1]
    return parted, order, atoms(parted, order)


@settings(max_examples=60, deadline=None)
@given(networks(), st.integers(2, 60))
def test_every_neuron_is_in_the_one_atom_that_says_so(builder, neurons):
    parted, order, found = atoms_of(builder, neurons)
    core_of = {}
    for k, core in enumerate(order):
        for piece in parted.cores[core].pieces:
            core_of |= {(piece.needs.name, p): k for p in positions(piece.box)}
    seen = set()
    for name, label in found.labels.items():
        for atom in found.of(name):
            box = found.box(atom)
            assert box.y1 - box.y0 == box.x1 - box.x0 == 1, "an atom is a part of one pixel"
            assert found.neurons[atom] == box.size
            for position in positions(box):
                assert label[position] == atom
                assert found.owner[atom] == core_of.get((name, position), len(order))
                assert (name, position) not in seen
                seen.add((name, position))
    assert len(seen) == sum(p.size for p in parted.needs.sources)
    assert len(found) == len(found.boxes) == len(found.owner) == len(found.population)
    rng = np.random.default_rng(0)
    for k, (name, label) in enumerate(found.labels.items()):
        values = rng.integers(0, 9, label.shape)
        sums = found.sums(name, values)
        assert sums.tolist() == [values[label == atom].sum() for atom in found.of(name)]
        assert (found.population[found.first[name] :][: len(sums)] == k).all()


@settings(max_examples=60, deadline=None)
@given(networks(), st.integers(2, 60))
def test_an_atom_reads_another_where_a_synapse_joins_neurons_of_both(builder, neurons):
    _, _, found = atoms_of(builder, neurons)
    graph = builder.graph
    joined = set()
    for edge in graph.edges():
        shapes = graph.node(edge.source).shape, graph.node(edge.target).shape
        for to, origin in synapses(edge.payload.kernel, *shapes):
            joined.add((int(found.labels[edge.target][to]), int(found.labels[edge.source][origin])))
    reader, read = found.reads
    pairs = list(zip(reader.tolist(), read.tolist(), strict=True))
    assert len(set(pairs)) == len(pairs)
    assert (np.diff(reader) >= 0).all()
    # a kernel may read a range of channels of which it has no weight for some, as ``reach`` does
    assert joined <= set(pairs)
    assert all(_may_read(found, *pair) for pair in set(pairs) - joined)


@settings(max_examples=60, deadline=None)
@given(networks(), st.integers(2, 60))
def test_atoms_meet_where_four_neurons_of_one_channel_do(builder, neurons):
    parted, _, found = atoms_of(builder, neurons)
    expected = set()
    for name in parted.needs.populations:
        label = found.labels[name]
        h, w, c = label.shape

        def at(y, x, channel, label=label):
            inside = 0 <= y < label.shape[0] and 0 <= x < label.shape[1]
            return int(label[y, x, channel]) if inside else -1

        for y, x, k in np.ndindex(h + 1, w + 1, c):
            expected.add(tuple(at(y + dy, x + dx, k) for dy in (-1, 0) for dx in (-1, 0)))
        for y, x, k in np.ndindex(h, w, c - 1):
            if at(y, x, k) != at(y, x, k + 1):
                expected.add((at(y, x, k), at(y, x, k + 1), -1, -1))
    meetings = [tuple(four) for four in found.meetings.tolist()]
    assert set(meetings) == expected
    assert len(meetings) == len(expected)


def _may_read(found, reader, read):
    """Whether a box that reads through several kernels or groups counts the range that holds them all."""
    names = list(found.first)
    needs = found.needs.populations[names[found.population[reader]]]
    for wire in needs.wires:
        if wire.key[0] == names[found.population[read]]:
            mask = np.zeros(wire.source_shape, bool)
            wire.reach.mark(mask, found.box(reader))
            if mask[tuple(np.s_[a:b] for a, b in found.boxes[read].reshape(3, 2))].any():
                return True
    return False


def test_a_pixel_is_one_atom_unless_cores_divide_it_or_there_are_few():
    builder = (
        Builder().add("x", (4, 4, 3), "input").add("a", (4, 4, 8)).add("b", (1, 1, 20)).add("o", (1, 1, 200))
    )
    builder.conv("x", "a").dense("a", "b").dense("b", "o")
    _, _, found = atoms_of(builder, 300)
    assert [len(found.of(name)) for name in found.first] == [16, 16, 20, 64]
    _, order, found = atoms_of(builder, 100)  # a is divided along space, o along channels
    assert len(order) == 4
    assert [len(found.of(name)) for name in found.first] == [16, 16, 20, 64]


def test_sources_of_a_depthwise_layer_are_divided_as_it_is():
    """Else the whole pixel would seem to travel where a core reads some of its channels."""
    builder = Builder().add("x", (4, 4, 8), "input").add("a", (4, 4, 8)).add("d", (4, 4, 8))
    builder.conv("x", "a").conv("a", "d", groups=8)
    builder.add("o", (1, 1, 1), "readout").dense("d", "o")
    halves = [[Box(0, 4, 0, 4, 0, 3)], [Box(0, 4, 0, 4, 3, 8)]]
    boxes = {"a": [[Box.whole((4, 4, 8))], []], "d": halves, "o": [[], [Box.whole((1, 1, 1))]]}
    parted = Divided(network_needs(builder.spiking(), chip()), None, boxes=boxes)
    assert complete(parted)
    found = atoms(parted, [0, 1])
    assert [len(found.of(name)) for name in found.first] == [16, 32, 32, 1]
    reader, read = found.reads
    for atom in found.of("d"):
        channels = {(box.c0, box.c1) for box in map(found.box, read[reader == atom])}
        assert channels == {(found.box(atom).c0, found.box(atom).c1)}


def test_more_pairs_than_can_be_looked_at_are_refused(monkeypatch):
    builder = Builder().add("x", (4, 4, 1), "input").add("a", (4, 4, 2)).conv("x", "a")
    _, _, found = atoms_of(builder, 8)
    assert len(found.reads[0]) == 100
    monkeypatch.setattr(module, "_MOST_READ", 99)
    _, _, found = atoms_of(builder, 8)
    with pytest.raises(TooMany):
        _ = found.reads
