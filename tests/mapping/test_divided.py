"""Atoms on cores become boxes: each neuron where it was sent, and no core beyond its limits."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nmcompiler.mapping.atoms import atoms
from nmcompiler.mapping.divided import divided, rectangles
from nmcompiler.mapping.needs import network_needs
from nmcompiler.mapping.partition import partition
from nmcompiler.target.model import Limits
from tests.mapping.mapping_oracle import Builder, chip, networks, positions


@given(arrays(bool, st.tuples(st.integers(1, 7), st.integers(1, 7))))
def test_rectangles_are_a_mask_and_do_not_overlap(mask):
    count = np.zeros(mask.shape, int)
    for y0, y1, x0, x1 in rectangles(np.argwhere(mask).tolist()):
        assert y0 < y1
        assert x0 < x1
        count[y0:y1, x0:x1] += 1
    assert np.array_equal(count, mask)


def test_runs_that_the_next_row_repeats_are_one_rectangle():
    mask = np.array([[1, 1, 0, 1], [1, 1, 0, 1], [1, 1, 1, 1]], bool)
    assert sorted(rectangles(np.argwhere(mask).tolist())) == [(0, 2, 0, 2), (0, 2, 3, 4), (2, 3, 0, 4)]


@settings(max_examples=50, deadline=None)
@given(networks(), st.integers(0, 99), st.integers(2, 4))
def test_every_neuron_goes_where_its_atom_is_sent(builder, seed, cores):
    parted = partition(network_needs(builder.spiking(), chip()), None)
    parts = atoms(parted, range(len(parted.cores)))
    placed = parts.owner < len(parted.cores)
    owner = np.where(placed, np.random.default_rng(seed).integers(0, cores, len(parts)), cores)
    made = divided(parts, owner, cores, None)
    if made is None:  # a core has nothing
        assert len(set(owner[placed].tolist())) < cores
        return
    assert len(made.cores) == cores
    seen = set()
    for k, core in enumerate(made.cores):
        for piece in core.pieces:
            for position in positions(piece.box):
                assert owner[parts.labels[piece.needs.name][position]] == k
                assert (piece.needs.name, position) not in seen
                seen.add((piece.needs.name, position))
    assert len(seen) == sum(p.population.size for p in parted.needs.populations.values())


def halves(limits):
    """Two layers of 32 neurons on two cores, half of each on either."""
    builder = Builder().add("x", (4, 4, 1), "input").add("a", (4, 4, 2)).add("b", (4, 4, 2))
    builder.conv("x", "a").conv("a", "b")
    parts = atoms(partition(network_needs(builder.spiking(), chip(limits)), None), range(2))
    left = parts.boxes[:, 2] < 2
    return parts, np.where(parts.population == 0, 2, np.where(left, 0, 1))


def test_rows_of_pixels_become_one_box():
    made = divided(*halves(Limits(neurons=32)), 2, None)
    assert [len(core.pieces) for core in made.cores] == [2, 2]
    assert [core.used["neurons"] for core in made.cores] == [32, 32]


def test_what_a_core_has_no_room_for_is_refused():
    parts, owner = halves(Limits(neurons=32))
    owner[np.flatnonzero(owner == 1)[0]] = 0
    assert divided(parts, owner, 2, None) is None


def test_atoms_of_a_pixel_stay_apart_where_joined_ones_store_kernels_twice():
    """A core has one pixel and two of the four channels of three others."""
    builder = Builder().add("x", (1, 4, 1), "input").add("a", (1, 4, 4)).conv("x", "a", size=1, padding=0)
    for bits, pieces in ((48, 2), (40, 4)):
        needs = network_needs(builder.spiking(), chip(Limits(synapse_bits=bits)))
        parts = atoms(partition(needs, None), range(1))
        pixel, channel = parts.boxes[:, 2], parts.boxes[:, 4]
        owner = np.where(parts.population == 0, 2, ((pixel > 0) & (channel >= 2)) * 1)
        core, _ = divided(parts, owner, 2, None).cores
        assert core.used["synapse_bits"] <= bits
        assert len(core.pieces) == pieces
