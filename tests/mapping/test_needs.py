"""Needs of boxes, against counting every synapse."""

import math
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.ir.kernels import Conv, Dense, Sparse
from nmcompiler.mapping.needs import network_needs
from nmcompiler.mapping.reach import cut, grid_box, reach, segment_sums
from nmcompiler.mapping.search import Outputs, grid_needs
from nmcompiler.target.model import RESOURCES, BiasFormat
from tests.mapping.mapping_oracle import Builder, Count, chip, kernels, networks, shapes, synapses


@st.composite
def projections(draw):
    source, target = draw(shapes()), draw(shapes())
    parts = tuple(draw(st.integers(1, n)) for n in target)
    return draw(kernels(source, target)), source, target, parts


@given(projections())
@settings(max_examples=150, deadline=None)
def test_fan_in_and_sources_of_every_box_equal_an_enumeration_of_synapses(projection):
    kernel, source, target, parts = projection
    found = reach(kernel, source, target)
    every = list(synapses(kernel, source, target))
    cuts = cut(target, parts)
    fan_in = np.zeros(target, np.int64)
    for to, _ in every:
        fan_in[to] += 1
    assert np.array_equal(np.broadcast_to(found.fan_in, target), fan_in)
    assert np.array_equal(found.synapses(cuts), segment_sums(fan_in, cuts))
    neurons, pixels = found.sources(cuts, pixels=False), found.sources(cuts, pixels=True)
    for index in np.ndindex(*parts):
        box = grid_box(cuts, index)
        inside = [
            origin
            for (y, x, c), origin in every
            if box.y0 <= y < box.y1 and box.x0 <= x < box.x1 and box.c0 <= c < box.c1
        ]
        mask = np.zeros(source, bool)
        found.mark(mask, box)
        assert set(zip(*(a.tolist() for a in np.nonzero(mask)), strict=True)) == set(inside)
        assert neurons[index] == len(set(inside))
        assert pixels[index] == len({origin[:2] for origin in inside})


def test_sources_of_long_lists_are_sorted_where_marking_takes_too_much_memory(monkeypatch):
    rng = np.random.default_rng(0)
    kernel = Sparse(rng.integers(0, 60, 200), rng.integers(0, 48, 200), np.ones(200))
    found, cuts = reach(kernel, (4, 4, 3), (3, 4, 5)), cut((3, 4, 5), (2, 3, 2))
    marked = [found.sources(cuts, pixels=pixels) for pixels in (False, True)]
    monkeypatch.setattr("nmcompiler.mapping.reach._MOST_MARKED", 0)
    assert np.array_equal(marked, [found.sources(cuts, pixels=pixels) for pixels in (False, True)])


def alone(needs):
    """Needs by resource where nobody reads the population."""
    return grid_needs(needs, Outputs(np.zeros(needs.shape, np.int64)))


@given(
    networks(populations=3),
    st.booleans(),
    st.sampled_from(["neuron", "pixel"]),
    st.integers(1, 3),
    st.integers(1, 3),
    st.data(),
)
@settings(max_examples=60, deadline=None)
def test_needs_of_a_box_equal_what_it_uses_alone_on_a_core(builder, sharing, unit, each, compartments, data):
    spiking = builder.spiking()
    target = replace(
        chip(sharing=sharing, axon_unit=unit), axons_per_source=each, compartments_per_neuron=compartments
    )
    needs = data.draw(st.sampled_from(list(network_needs(spiking, target).populations.values())))
    parts = tuple(data.draw(st.integers(1, n)) for n in needs.shape)
    cuts = cut(needs.shape, parts)
    index = tuple(data.draw(st.integers(0, n - 1)) for n in parts)
    used = Count(spiking, target, [(0, needs.name, grid_box(cuts, index))]).used(0)
    for resource in ("neurons", "state_bits", "input_axons", "synapse_bits", "thresholds"):
        assert alone(needs)[resource](cuts)[index] == used[resource], resource


@given(networks(populations=3), st.integers(2, 5), st.data())
@settings(max_examples=30, deadline=None)
def test_compartments_multiply_neurons_and_their_state_and_nothing_else(builder, each, data):
    one, several = (
        network_needs(builder.spiking(), replace(chip(), compartments_per_neuron=k)).populations
        for k in (1, each)
    )
    name = data.draw(st.sampled_from(list(one)))
    cuts = cut(one[name].shape, tuple(data.draw(st.integers(1, n)) for n in one[name].shape))
    for resource in RESOURCES:
        factor = each if resource in ("neurons", "state_bits") else 1
        found, single = (alone(needs[name])[resource](cuts) for needs in (several, one))
        assert np.array_equal(found, factor * single), resource


def test_a_kernel_is_stored_once_only_where_that_is_less():
    builder = Builder().add("x", (4, 4, 2), "input").add("y", (4, 4, 3)).conv("x", "y")
    shared = network_needs(builder.spiking(), chip(sharing=True)).populations["y"]
    single = network_needs(builder.spiking(), chip(sharing=False)).populations["y"]
    whole, corner = cut((4, 4, 3), (1, 1, 1)), cut((4, 4, 3), (4, 4, 1))
    assert shared.synapse_bits(whole).item() == 3 * 3 * 2 * 3 * 8
    assert single.synapse_bits(whole).item() == 10 * 10 * 2 * 3 * 8
    assert shared.synapse_bits(corner)[0, 0, 0] == 2 * 2 * 2 * 3 * 8  # the corner lacks five taps


def test_a_dense_layer_counts_pixels_where_channels_travel_along():
    builder = Builder().add("x", (4, 4, 8), "input").add("y", (1, 1, 5)).dense("x", "y")
    needs = network_needs(builder.spiking(), chip(axon_unit="pixel")).populations["y"]
    assert needs.input_axons(cut((1, 1, 5), (1, 1, 1))).item() == 16


def test_the_sizes_of_balanced_boxes_differ_by_at_most_one():
    for length in range(1, 40):
        for parts in range(1, length + 1):
            sizes = np.diff(cut((length, 1, 1), (parts, 1, 1))[0])
            assert sizes.sum() == length
            assert sizes.min() >= 1
            assert sizes.max() - sizes.min() <= 1


def test_geometry_of_a_large_convolution_never_touches_its_weights():
    weight = np.lib.stride_tricks.as_strided(np.ones(1, np.int64), (3, 3, 512, 512), (0, 0, 0, 0))
    found = reach(Conv(weight, padding=(1, 1)), (32, 32, 512), (32, 32, 512))
    assert found.synapses(cut((32, 32, 512), (1, 1, 1))).item() == (32 * 3 - 2) ** 2 * 512 * 512


@given(
    side=st.integers(1, 5),
    read=st.integers(1, 9),
    written=st.integers(1, 40),
    parts=st.integers(1, 4),
)
@settings(max_examples=40, deadline=None)
def test_kernels_that_take_powers_of_two_follow_the_rule(side, read, written, parts):
    target = replace(chip(), kernel_memory="power_of_two")
    builder = Builder().add("x", (6, 6, read), "input").add("y", (6, 6, written)).add("z", (1, 1, written))
    builder.connect("x", "y", Conv(np.ones((side, side, read, written), np.int64)))
    builder.connect("x", "z", Dense(np.ones((written, 36 * read), np.int64)))
    needs = network_needs(builder.spiking(), target).populations
    for name, area in (("y", side * side), ("z", 36)):
        cuts = cut(needs[name].shape, (1, 1, min(parts, written)))
        for c, found in enumerate(needs[name].synapse_bits(cuts)[0, 0]):
            features = int(cuts[2][c + 1] - cuts[2][c])
            words = read * 2 ** math.ceil(math.log2(area) + math.log2(features) - 1e-9)
            assert found == 8 * words


def test_a_bias_takes_synapses_of_its_neuron_where_the_chip_says_so():
    builder = Builder().add("x", (1, 1, 12), "input").add("y", (1, 1, 3)).dense("x", "y")
    biased = replace(builder.graph.node("y"), bias=np.array([0, 5, -1]).reshape(1, 1, 3))
    builder.graph.replace(biased)
    for each in (0, 1, 3):
        target = replace(chip(), bias=BiasFormat(12, synapses=each))
        needs = network_needs(builder.spiking(), target).populations["y"]
        assert needs.fan_in.ravel().tolist() == [12, 12 + each, 12 + each]
    assert network_needs(builder.spiking(), chip()).populations["y"].fan_in.max() == 12
