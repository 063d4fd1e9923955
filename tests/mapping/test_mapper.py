"""The whole mapping: limits, completeness, bounds, refusals, determinism."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.errors import DoesNotFit, UsageError
from nmcompiler.ir.cores import Box, PlacementFigures
from nmcompiler.ir.kernels import Conv
from nmcompiler.mapping import MapOptions, map_network, mapper
from nmcompiler.mapping.bounds import lower_bound
from nmcompiler.mapping.needs import network_needs
from nmcompiler.mapping.partition import partition
from nmcompiler.target.model import RESOURCES, CoreType, Limits
from tests.mapping.mapping_oracle import Builder, Count, chip, count, networks

FEW = MapOptions(moves=2)


def fully(builder, target, options=FEW):
    return map_network(builder.spiking(), target, builder.traffic(), options)


@st.composite
def limits(draw):
    def maybe(low, high):
        return draw(st.one_of(st.none(), st.integers(low, high)))

    return Limits(
        neurons=draw(st.integers(1, 40)),
        input_axons=maybe(30, 300),
        output_axons=maybe(8, 100),
        synapse_bits=maybe(1500, 10000),
        state_bits=maybe(16, 800),
        thresholds=maybe(1, 3),
        fan_in=maybe(60, 400),
        destinations=maybe(4, 40),
    )


def check_refusal(refusal, limit):
    assert refusal.used > refusal.limit == getattr(limit, refusal.resource)


@given(networks(), limits(), st.booleans(), st.sampled_from(["neuron", "pixel"]), st.integers(1, 3))
@settings(max_examples=50, deadline=None)
def test_every_limit_holds_and_usage_is_exact_on_random_networks(builder, limit, sharing, unit, each):
    target = replace(chip(limit, sharing=sharing, axon_unit=unit), compartments_per_neuron=each)
    spiking = builder.spiking()
    try:
        mapped = map_network(spiking, target, builder.traffic(), FEW)
    except DoesNotFit as error:
        check_refusal(error, limit)
        return
    found = count(spiking, target, mapped)  # refuses neurons that are placed twice
    assert len(found.owner) == spiking.network.neurons
    for core in mapped.cores:
        used = found.used(core.index)
        assert tuple(u.resource for u in core.usage) == RESOURCES
        for usage in core.usage:
            assert usage.used == used[usage.resource], usage.resource
            assert usage.limit == getattr(limit, usage.resource)
            assert usage.limit is None or usage.used <= usage.limit
    assert 1 <= mapped.lower_bound <= len(mapped.cores)
    costs, most = mapped.placement, 1 + 1e-9
    assert costs.unicast_bound <= costs.unicast_cost * most + 1e-9
    assert costs.cost_bound <= costs.cost * most + 1e-9
    assert costs.max_link_bound <= costs.max_link_load * most + 1e-9
    assert costs.cost <= costs.unicast_cost * most + 1e-9


@given(networks(), st.integers(3, 20), st.integers(2, 4), st.data())
@settings(max_examples=25, deadline=None)
def test_cores_with_room_for_all_compartments_of_as_many_neurons_hold_the_same(builder, neurons, each, data):
    """What is left of a core when no whole neuron has room in it is of no use."""
    left = data.draw(st.integers(0, each - 1))
    single = fully(builder, chip(Limits(neurons=neurons)))
    several = fully(
        builder, replace(chip(Limits(neurons=neurons * each + left)), compartments_per_neuron=each)
    )
    assert [core.pieces for core in several.cores] == [core.pieces for core in single.cores]
    assert several.lower_bound <= single.lower_bound
    if not left:
        assert several.lower_bound == single.lower_bound
    for core in several.cores:
        (usage,) = (u for u in core.usage if u.resource == "neurons")
        assert usage.used == each * sum(p.box.size for p in core.pieces) <= usage.limit


def test_a_core_that_holds_no_whole_neuron_is_refused_by_its_compartments():
    target = replace(chip(Limits(neurons=2)), compartments_per_neuron=3)
    with pytest.raises(DoesNotFit, match=r"needs 3 compartments where tiny has 2.*the 3 compartments of one"):
        fully(lenet(), target)


@given(networks(populations=4), st.integers(1, 2))
@settings(max_examples=30, deadline=None)
def test_a_core_holds_neurons_of_no_more_populations_than_it_may(builder, most):
    target = replace(chip(Limits(neurons=40)), populations_per_core=most)
    spiking = builder.spiking()
    mapped = map_network(spiking, target, builder.traffic(), FEW)
    counts = [len({piece.population for piece in core.pieces}) for core in mapped.cores]
    assert max(counts) <= most
    populations = sum(p.role != "input" for p in spiking.network.graph)
    assert -(-populations // most) <= mapped.lower_bound <= len(counts)


@given(networks(populations=3), st.integers(5, 30), st.integers(31, 90))
@settings(max_examples=30, deadline=None)
def test_cores_of_two_types_are_each_within_their_own_limits(builder, small, large):
    kinds = (CoreType(8, Limits(neurons=large)), CoreType(8, Limits(neurons=small)))
    target = chip(kinds=kinds, rows=4, columns=4, chips=30)
    mapped = fully(builder, target)
    for core in mapped.cores:
        assert target.core_type(core.row * 4 + core.column) == core.core_type
        neurons = sum(p.box.size for p in core.pieces)
        assert neurons <= (large, small)[core.core_type]
    assert len({(c.chip, c.row, c.column) for c in mapped.cores}) == len(mapped.cores)


def test_a_layer_that_finds_no_large_core_is_named():
    kinds = (CoreType(1, Limits(fan_in=99)), CoreType(3, Limits(fan_in=5)))
    builder = Builder().add("x", (1, 1, 50), "input")
    for name in ("a", "b"):
        builder.add(name, (1, 1, 40), "readout").dense("x", name)
    assert len(fully(builder, chip(kinds=kinds, rows=2, columns=2)).cores) == 1
    kinds = (CoreType(1, Limits(fan_in=99, neurons=40)), CoreType(3, Limits(fan_in=5)))
    with pytest.raises(DoesNotFit, match="layer 'a' needs 2 cores of the kinds that can hold it where tiny"):
        fully(builder, chip(kinds=kinds, rows=2, columns=2))
    assert fully(builder, chip(kinds=kinds, rows=2, columns=2, chips=2)).chips == 2


def lenet():
    builder = Builder().add("x", (28, 28, 1), "input").add("c1", (28, 28, 16)).conv("x", "c1")
    builder.add("m1", (14, 28, 16)).conv("c1", "m1", size=1, stride=1, padding=0, groups=16)
    builder.add("m2", (14, 14, 16)).conv("m1", "m2", size=2, stride=1, padding=0, groups=16)
    builder.add("c2", (10, 10, 32)).conv("m2", "c2", size=5, padding=0)
    builder.add("p2", (5, 5, 32)).conv("c2", "p2", size=2, stride=2, padding=0, groups=32)
    builder.add("f1", (1, 1, 120)).dense("p2", "f1").add("out", (1, 1, 10), "readout").dense("f1", "out")
    return builder


def resnet8():
    builder = Builder().add("x", (32, 32, 3), "input").add("c0", (32, 32, 16)).conv("x", "c0")
    last = "c0"
    for i, (side, channels, stride) in enumerate([(32, 16, 1), (16, 32, 2), (8, 64, 2)]):
        builder.add(f"a{i}", (side, side, channels)).conv(last, f"a{i}", stride=stride)
        builder.add(f"b{i}", (side, side, channels)).conv(f"a{i}", f"b{i}")
        builder.conv(last, f"b{i}", size=1, stride=stride, padding=0)
        last = f"b{i}"
    builder.add("gap", (1, 1, 64)).conv(last, "gap", size=8, padding=0, groups=64)
    return builder.add("out", (1, 1, 10), "readout").dense("gap", "out")


GENERIC = Limits(1024, 4096, 8192, 1 << 20, 65536, 1024, 4096, 64)


@pytest.mark.parametrize("network", [lenet, resnet8])
def test_networks_of_usual_size_map_close_to_the_bound(network):
    target = replace(chip(GENERIC, cores=128, rows=8, columns=16), membrane_bits=24)
    mapped = fully(network(), target, MapOptions())
    assert mapped.chips == 1
    assert len(mapped.cores) <= 1.25 * mapped.lower_bound
    unmoved = fully(network(), target, MapOptions(moves=0, atom_moves=0))
    assert mapped.placement.cost < 0.8 * unmoved.placement.cost


def test_equal_seeds_give_equal_maps_and_the_seed_changes_only_places():
    target = chip(Limits(neurons=400), cores=128, rows=8, columns=16)
    one, same, other = (fully(lenet(), target, MapOptions(seed=s, moves=20, atom_moves=0)) for s in (1, 1, 2))
    assert one.cores == same.cores
    assert one.placement == same.placement
    assert [c.pieces for c in one.cores] == [c.pieces for c in other.cores]
    assert [(c.row, c.column) for c in one.cores] != [(c.row, c.column) for c in other.cores]


def test_cores_that_are_not_placed_are_the_same_without_links():
    target = chip(Limits(neurons=400), cores=128, rows=8, columns=16)
    placed, bare = (fully(lenet(), target, MapOptions(moves=0, place=p, atom_moves=0)) for p in (True, False))
    here = {"chip": 0, "row": 0, "column": 0}
    assert [replace(core, **here) for core in bare.cores] == [replace(core, **here) for core in placed.cores]
    assert (bare.chips, bare.lower_bound) == (placed.chips, placed.lower_bound)
    assert not bare.graph.edges()
    assert bare.placement == PlacementFigures()


def test_without_a_search_boxes_have_one_size_and_may_take_more_cores():
    target = replace(chip(GENERIC, cores=128, rows=8, columns=16), membrane_bits=24)
    searched, plain = (
        fully(lenet(), target, MapOptions(moves=2, search=s, atom_moves=0)) for s in (True, False)
    )
    assert len(plain.cores) == len(partition(network_needs(lenet().spiking(), target), None).cores)
    assert len(searched.cores) < len(plain.cores)


def test_a_few_cores_are_placed_with_the_moves_of_twenty(monkeypatch):
    asked = []
    real = mapper.place
    monkeypatch.setattr(mapper, "place", lambda *a, **k: asked.append(k["moves"]) or real(*a, **k))
    for neurons in (2000, 200):
        fully(
            lenet(),
            chip(Limits(neurons=neurons), cores=256, rows=16, columns=16),
            MapOptions(moves=3, atom_moves=0),
        )
    few, many = asked
    assert few == 3 * 20
    assert many > few


def test_space_is_cut_before_channels():
    builder = Builder().add("x", (8, 8, 4), "input").add("y", (8, 8, 4)).conv("x", "y")
    mapped = fully(builder, chip(Limits(neurons=64)))
    boxes = [p.box for c in mapped.cores for p in c.pieces]
    assert len(boxes) == 4
    assert all(box.shape in ((2, 8, 4), (4, 4, 4)) for box in boxes)


def test_small_populations_share_a_core_and_inputs_are_not_placed():
    builder = Builder().add("x", (1, 1, 9), "input").add("a", (1, 1, 8)).dense("x", "a")
    builder.add("out", (1, 1, 4), "readout").dense("a", "out")
    (core,) = fully(builder, chip(Limits(neurons=12))).cores
    assert [p.population for p in core.pieces] == ["a", "out"]


def test_shared_sources_count_once_where_pieces_share_a_core():
    builder = Builder().add("x", (1, 1, 9), "input")
    for name in ("a", "b"):
        builder.add(name, (1, 1, 2), "readout").dense("x", name)
    assert len(fully(builder, chip(Limits(input_axons=9))).cores) == 1
    builder.delays["x", "b"] = 2  # spikes that travel longer need axons of their own
    assert len(fully(builder, chip(Limits(input_axons=9))).cores) == 2


def test_as_few_chips_as_needed_are_filled_in_topological_order_at_first():
    target = chip(Limits(neurons=500), cores=16, rows=4, columns=4, chips=8)
    chips = [core.chip for core in fully(lenet(), target, MapOptions(moves=0, atom_moves=0)).cores]
    assert chips == sorted(chips)
    mapped = fully(lenet(), target)
    assert mapped.chips == -(-len(mapped.cores) // 16)


def test_consumers_are_cut_along_space_where_their_sources_reach_too_many_cores():
    builder = Builder().add("x", (4, 4, 8), "input").add("a", (4, 4, 8)).conv("x", "a", size=1, padding=0)
    builder.add("b", (4, 4, 8)).conv("a", "b", size=1, padding=0)
    found = []
    for destinations in (None, 1):
        limits = Limits(synapse_bits=3 * 8 * 16 * 8, destinations=destinations)
        parted = partition(network_needs(builder.spiking(), chip(limits, sharing=False)), None)
        found.append([p.box for core in parted.cores for p in core.pieces if p.needs.name == "b"])
    assert len(found[0]) == 3
    assert sorted(found[1]) == [Box(y, y + 1, 0, 4, 0, 8) for y in range(4)]


def test_too_few_cores_say_how_many_chips_would_do():
    target = chip(Limits(neurons=500), cores=16, rows=4, columns=4, chips=8)
    needed = len(fully(lenet(), target).cores)
    with pytest.raises(DoesNotFit, match=f"try --chips {-(-needed // 16)}") as caught:
        fully(lenet(), target, MapOptions(chips=1))
    assert (caught.value.resource, caught.value.used, caught.value.limit) == ("cores", needed, 16)
    with pytest.raises(DoesNotFit, match="larger or more cores"):
        fully(lenet(), replace(target, max_chips=2))


def test_cores_of_a_network_that_is_far_too_large_are_not_all_counted():
    target = chip(Limits(neurons=20), cores=16, rows=4, columns=4, chips=2)
    needed = len(fully(lenet(), replace(target, max_chips=1000)).cores)
    with pytest.raises(DoesNotFit, match="counting the cores stopped there") as caught:
        fully(lenet(), target)
    assert (caught.value.resource, caught.value.used, caught.value.limit) == ("cores", 2 * 2 * 16 + 1, 32)
    assert caught.value.used < needed


def test_a_neuron_that_breaks_a_limit_names_layer_resource_and_numbers():
    with pytest.raises(DoesNotFit, match=r"layer 'f1' needs 800 fan_in where tiny has 700") as caught:
        fully(lenet(), chip(Limits(fan_in=700)))
    assert (caught.value.layer, caught.value.resource) == ("f1", "fan_in")
    with pytest.raises(DoesNotFit, match="fewer weight bits"):
        fully(lenet(), chip(Limits(synapse_bits=6000)))
    with pytest.raises(DoesNotFit, match="read on") as caught:
        fully(lenet(), chip(Limits(neurons=10, destinations=3)))
    assert caught.value.resource == "destinations"


def test_a_number_of_chips_that_the_target_cannot_have_is_refused():
    with pytest.raises(UsageError, match="allowed: 1 to 1"):
        fully(lenet(), chip(), MapOptions(chips=2))


def test_the_bound_does_not_depend_on_the_cut_and_knows_kernels_are_shared():
    builder = Builder().add("x", (4, 4, 2), "input").add("y", (4, 4, 3)).conv("x", "y")
    kernel, single = 3 * 3 * 2 * 3 * 8, 10 * 10 * 2 * 3 * 8
    for sharing, bits in ((True, kernel), (False, single)):
        target = chip(Limits(synapse_bits=100), sharing=sharing)
        assert lower_bound(network_needs(builder.spiking(), target), target, 1) == -(-bits // 100)


def test_expected_spikes_between_cores_are_those_of_the_neurons_that_are_read():
    builder = Builder().add("x", (8, 8, 2), "input").add("a", (8, 8, 2)).conv("x", "a")
    builder.add("b", (8, 8, 2)).conv("a", "b")
    spiking, traffic, target = builder.spiking(), builder.traffic(3), chip(Limits(neurons=32))
    mapped = map_network(spiking, target, traffic, FEW)
    pieces = [(c.index, p.population, p.box) for c in mapped.cores for p in c.pieces]
    found = Count(spiking, target, pieces)
    expected: dict[tuple[int, int], float] = {}
    for (name, position), cores in found.reached.items():
        for core in cores:
            own = found.owner.get((name, position))
            if own is not None and own != core:
                spikes = traffic.spikes[name][position]
                expected[own, core] = expected.get((own, core), 0.0) + spikes
    links = {
        (int(e.source[4:]), int(e.target[4:])): e.payload.spikes
        for name in mapped.graph.nx.nodes
        for e in mapped.graph.in_edges(name)
    }
    assert links.keys() == expected.keys()
    assert all(np.isclose(links[key], expected[key]) for key in links)


def test_progress_counts_up_to_the_end_of_both_stages():
    told = []
    fully(
        lenet(),
        chip(Limits(neurons=500)),
        MapOptions(moves=60, atom_moves=0, progress=lambda *a: told.append(a)),
    )
    for stage in ("partition", "placement"):
        done, totals = zip(*((d, t) for s, d, t in told if s == stage), strict=True)
        assert list(done) == sorted(done)
        assert {done[-1]} == set(totals)


def test_a_network_as_large_as_vgg_is_cut_in_seconds_without_touching_its_weights():
    builder, side, last, channels = Builder().add("x", (32, 32, 3), "input"), 32, "x", 3
    for i, width in enumerate((64, 64, 128, 128, 256, 256, 512, 512)):
        stride = 2 if i in (2, 4, 6) else 1
        side //= stride
        builder.add(f"c{i}", (side, side, width))
        weight = np.broadcast_to(np.int64(1), (3, 3, channels, width))
        builder.connect(last, f"c{i}", Conv(weight, (stride, stride), (1, 1)))
        last, channels = f"c{i}", width
    target = chip(replace(GENERIC, fan_in=None, input_axons=8192), cores=128, rows=8, columns=16, chips=16)
    mapped = fully(builder, target, MapOptions(moves=20))
    assert len(mapped.cores) <= 1.5 * mapped.lower_bound
