"""The bound of cores against every partition of tiny networks."""

import math
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.errors import DoesNotFit
from nmcompiler.ir.cores import Box
from nmcompiler.mapping import MapOptions, map_network
from nmcompiler.mapping.bounds import lower_bound, stored
from nmcompiler.mapping.exact import proved_more_than
from nmcompiler.mapping.needs import network_needs
from nmcompiler.mapping.reach import cut
from nmcompiler.target.model import Limits
from tests.mapping.mapping_oracle import Builder, Count, chip, kernels, networks, positions, shapes, thetas


def divisions(count):
    """Yields every way to divide items over cores, as the core of each."""

    def more(cores):
        if len(cores) == count:
            yield cores
            return
        for core in range(max(cores, default=-1) + 2):
            yield from more([*cores, core])

    yield from more([])


def fits(spiking, target, cores, neurons):
    """Whether a division holds every limit, counted synapse by synapse."""
    pieces = [
        (core, name, Box(y, y + 1, x, x + 1, c, c + 1))
        for core, (name, (y, x, c)) in zip(cores, neurons, strict=True)
    ]
    found = Count(spiking, target, pieces)
    limits = vars(target.core_types[0].limits)
    for core in set(cores):
        held = {name for k, name, _ in pieces if k == core}
        if target.populations_per_core is not None and len(held) > target.populations_per_core:
            return False
        if any(limits[r] is not None and used > limits[r] for r, used in found.used(core).items()):
            return False
    return True


def fewest(spiking, target):
    """The fewest cores of any partition; None where there is none."""
    neurons = [
        (p.name, position)
        for p in spiking.network.graph
        if p.role != "input"
        for position in sorted(positions(Box.whole(p.shape)))
    ]
    best = None
    for cores in divisions(len(neurons)):
        count = len(set(cores))
        if (best is None or count < best) and fits(spiking, target, cores, neurons):
            best = count
    return best


SMALL = ((1, 1, 1), (1, 1, 3), (3, 1, 1), (1, 3, 1), (1, 2, 1), (2, 1, 2), (1, 1, 2), (2, 2, 1))


@st.composite
def tiny_networks(draw):
    """One or two layers of up to six neurons in all."""
    builder = Builder().add("x", draw(shapes(3)), "input")
    for name, role in (("a", "hidden"), ("b", "readout"))[draw(st.integers(0, 1)) :]:
        shape = draw(st.sampled_from([s for s in SMALL if name == "b" or math.prod(s) <= 4]))
        sources = [p.name for p in builder.graph]
        room = 6 - sum(p.size for p in builder.graph if p.name != "x")
        shape = shape if math.prod(shape) <= room else (1, 1, room)
        builder.add(name, shape, role, draw(thetas(shape)))
        for source in draw(st.lists(st.sampled_from(sources), min_size=1, max_size=2)):
            builder.connect(source, name, draw(kernels(builder.graph.node(source).shape, shape)))
    return builder


@st.composite
def tiny_limits(draw):
    def maybe(low, high):
        return draw(st.one_of(st.none(), st.integers(low, high)))

    return Limits(
        neurons=maybe(1, 6),
        input_axons=maybe(2, 20),
        output_axons=maybe(1, 8),
        synapse_bits=maybe(16, 300),
        state_bits=maybe(16, 100),
        thresholds=maybe(1, 3),
        destinations=maybe(1, 4),
    )


@given(
    tiny_networks(),
    tiny_limits(),
    st.booleans(),
    st.sampled_from(["neuron", "pixel"]),
    st.sampled_from([None, 1, 2]),
)
@settings(max_examples=30, deadline=None)
def test_no_partition_of_a_tiny_network_has_fewer_cores_than_the_bound(builder, limits, sharing, unit, most):
    spiking = builder.spiking()
    target = replace(chip(limits, sharing=sharing, axon_unit=unit), populations_per_core=most)
    best = fewest(spiking, target)
    try:
        mapped = map_network(spiking, target, builder.traffic(), MapOptions(place=False))
    except DoesNotFit:
        return
    assert best is not None
    needs = network_needs(spiking, target)
    assert lower_bound(needs, target, 1) <= best <= len(mapped.cores)
    assert not proved_more_than(needs, best)


@given(networks(populations=3), st.integers(1, 5))
@settings(max_examples=20, deadline=None)
def test_powers_of_two_of_memory_never_lift_what_is_stored_above_the_whole_population(builder, bits):
    target = replace(chip(), kernel_memory="power_of_two", weight_bits=bits)
    for needs in network_needs(builder.spiking(), target).populations.values():
        assert stored(needs) <= needs.synapse_bits(cut(needs.shape, (1, 1, 1))).sum()
