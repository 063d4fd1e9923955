"""Several passes over the chips: the fewest, the fewest spikes kept, and every limit in each of them."""

import random
from collections import Counter
from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from nmcompiler.errors import DoesNotFit, UsageError
from nmcompiler.ir.cores import Traffic
from nmcompiler.mapping import MapOptions, map_network
from nmcompiler.mapping.needs import network_needs
from nmcompiler.mapping.partition import OutOfCores, partition
from nmcompiler.target.model import CoreType, Limits
from tests.mapping.mapping_oracle import Builder, chip, count, networks

AUTO = MapOptions(moves=2, atom_moves=0, passes=None)


def board(limit, cores, **changes):
    return chip(limit, cores=cores, rows=1, columns=cores, **changes)


def chain(*widths):
    """Vectors one after another, each of which reads all of the one before."""
    builder = Builder().add("x", (1, 1, widths[0]), "input")
    for k, width in enumerate(widths[1:]):
        builder.add(f"p{k}", (1, 1, width)).dense("x" if k == 0 else f"p{k - 1}", f"p{k}")
    return builder


def ones(*amounts):
    """Spikes of every neuron of a chain, layer by layer, in parts of the largest."""
    return Traffic(
        {
            "x" if k == 0 else f"p{k - 1}": np.full((1, 1, 1), amount / max(amounts))
            for k, amount in enumerate(amounts)
        }
    )


def mapped(builder, target, options=AUTO, traffic=None):
    return map_network(builder.spiking(), target, traffic or builder.traffic(), options)


def turns_of(graph):
    return {p.population: core.turn for core in graph.cores for p in core.pieces}


@given(networks(), st.integers(4, 40), st.integers(1, 4), st.booleans())
@settings(max_examples=25, deadline=None)
def test_no_spike_goes_back_no_place_is_taken_twice_and_every_limit_holds(builder, neurons, cores, sharing):
    limit = Limits(neurons=neurons, input_axons=300, output_axons=200, destinations=6)
    target = board(limit, cores, sharing=sharing)
    spiking = builder.spiking()
    try:
        graph = map_network(spiking, target, builder.traffic(), AUTO)
    except DoesNotFit as error:
        refused = error
    else:
        refused = None
    if refused is not None:
        assert refused.used > refused.limit == getattr(limit, refused.resource)
        return
    places = Counter((c.turn, c.chip, c.row, c.column) for c in graph.cores)
    assert max(places.values()) == 1
    assert {core.turn for core in graph.cores} == set(range(graph.turns))
    found = count(spiking, target, graph)
    assert len(found.owner) == spiking.network.neurons
    turn = {core.index: core.turn for core in graph.cores}
    for edge in spiking.network.graph.edges():
        sources = [turn[c] for (name, _), c in found.owner.items() if name == edge.source]
        assert max(sources, default=0) <= min(
            turn[c] for (name, _), c in found.owner.items() if name == edge.target
        )
    host = -1
    for key, cores_of in found.reached.items():  # the host takes one destination for all later passes
        own = found.owner.get(key)
        if own is not None:
            found.reached[key] = {c if turn[c] == turn[own] else host for c in cores_of}
    for core in graph.cores:
        used = found.used(core.index)
        for usage in core.usage:
            assert usage.used == used[usage.resource], usage.resource
            assert usage.limit is None or usage.used <= usage.limit
    assert 1 <= graph.lower_bound <= len(graph.cores)
    costs, most = graph.placement, 1 + 1e-9
    assert costs.unicast_bound <= costs.unicast_cost * most + 1e-9
    assert costs.cost_bound <= costs.cost * most + 1e-9
    assert costs.max_link_bound <= costs.max_link_load * most + 1e-9
    kept = {key for key, cores_of in found.reached.items() if host in cores_of}
    assert graph.placement.spilled_spikes == pytest.approx(
        sum(float(builder.traffic().spikes[n][p]) for n, p in kept)
    )


@given(networks(populations=5), st.integers(4, 16), st.integers(1, 3), st.integers(0, 99), st.booleans())
@settings(max_examples=30, deadline=None)
def test_the_cuts_have_the_fewest_passes_and_then_the_fewest_spikes_kept(
    builder, neurons, cores, seed, by_memory
):
    """Against all ways to cut, each part cut and packed by itself."""
    limit = Limits(synapse_bits=900 * neurons, state_bits=40 * neurons) if by_memory else Limits(neurons)
    target = board(limit, cores)
    spiking, draw = builder.spiking(), np.random.default_rng(seed)
    traffic = Traffic({p.name: np.full(p.shape, draw.random()) for p in spiking.network.graph})
    try:
        graph = map_network(spiking, target, traffic, AUTO)
    except DoesNotFit:
        reject()  # a single neuron is too large
    if graph.turns == 1:
        return
    needs = network_needs(spiking, target)
    slots = spiking.schedule.slots
    names = sorted(needs.populations, key=lambda n: slots[n].window)  # stable: in topological order
    best = min(
        ways
        for k in range(len(names))
        for cuts in combinations(range(1, len(names)), k)
        if (ways := cost(needs, names, (0, *cuts, len(names)), cores, traffic)) is not None
    )
    turn = turns_of(graph)
    kept = sum(
        float(traffic.spikes[name].sum())
        for name in names
        if any(turn[reader] > turn[name] for reader in spiking.network.graph.successors(name))
    )
    assert (graph.turns, pytest.approx(kept)) == best


def cost(needs, names, marks, cores, traffic):
    """Passes and spikes kept of some cuts; None where a part of several populations needs several passes."""
    passes, kept, graph = 0, 0.0, needs.spiking.network.graph
    for first, end in pairwise(marks):
        part = replace(
            needs,
            populations={n: needs.populations[n] for n in names[first:end]},
            later=tuple(needs.populations[n] for n in names[end:]),
        )
        if end - first == 1:
            passes += -(-len(partition(part, None).cores) // cores)
        else:
            try:
                partition(part, 1)
            except OutOfCores:
                return None
            passes += 1
        for name in names[first:end]:
            if any(names.index(reader) >= end for reader in graph.successors(name)):
                kept += float(traffic.spikes[name].sum())
    return passes, kept


def test_what_fits_at_once_is_mapped_as_without_passes():
    builder, target = chain(6, 8, 8, 4), board(Limits(neurons=8), 3)
    once, auto = (mapped(builder, target, MapOptions(moves=2, atom_moves=0, passes=p)) for p in (1, None))
    assert once.turns == auto.turns == 1
    assert [(c.pieces, c.row, c.column) for c in once.cores] == [
        (c.pieces, c.row, c.column) for c in auto.cores
    ]
    assert auto.placement.spilled_spikes == 0.0


def test_a_chain_is_cut_where_the_fewest_spikes_cross():
    builder, target = chain(4, 8, 8, 8, 8), board(Limits(neurons=8), 3)
    quiet = {f"p{k}": np.full((1, 1, 8), amount) for k, amount in enumerate((5.0, 1.0, 3.0, 7.0))}
    graph = mapped(builder, target, traffic=Traffic({"x": np.ones((1, 1, 4)), **quiet}))
    assert turns_of(graph) == {"p0": 0, "p1": 0, "p2": 1, "p3": 1}
    assert graph.placement.spilled_spikes == pytest.approx(8.0)
    assert [core.index for core in graph.cores] == [0, 1, 2, 3]


def test_a_layer_larger_than_all_cores_has_passes_of_its_own():
    graph = mapped(chain(4, 40, 4), board(Limits(neurons=8), 2))
    turns = [core.turn for core in graph.cores]
    assert turns == [0, 0, 1, 1, 2, 3]
    assert {p.population for c in graph.cores[:5] for p in c.pieces} == {"p0"}


def test_the_host_is_one_destination_however_many_cores_read_later():
    """Fourteen cores read the neuron of the first layer; three destinations are enough with passes."""
    builder = Builder().add("x", (1, 1, 2), "input").add("a", (1, 1, 1)).dense("x", "a")
    for k in range(14):
        builder.add(f"b{k}", (1, 1, 1), "readout").dense("a", f"b{k}")
    target = board(Limits(neurons=1, destinations=3), 4)
    with pytest.raises(DoesNotFit, match="destinations"):
        mapped(builder, replace(target, max_chips=9), MapOptions(atom_moves=0))
    graph = mapped(builder, target)
    assert graph.turns == 4  # two cores read it in the first, four in each of the others
    usage = {u.resource: u.used for u in graph.cores[0].usage}
    assert usage["destinations"] == usage["output_axons"] == 3


def test_hops_lead_to_the_host_and_from_there_in_a_later_pass():
    """One core a population, the second pass with one of two; the host stands at the corner."""
    target = board(Limits(neurons=4), 2)
    graph = mapped(chain(4, 4, 4, 4), target, MapOptions(moves=0, passes=None), ones(4, 4, 4, 4))
    assert [c.column for c in graph.cores] in ([0, 1, 0], [0, 0, 1], [1, 0, 0])
    turn = turns_of(graph)
    expected = 0.0
    at = {core.pieces[0].population: core.column for core in graph.cores}
    expected += 4 * at["p0"]  # the inputs
    for source, reader in (("p0", "p1"), ("p1", "p2")):
        same = turn[source] == turn[reader]
        expected += 4 * (abs(at[source] - at[reader]) if same else at[source] + at[reader])
    assert graph.placement.cost == graph.placement.unicast_cost == pytest.approx(expected)


def test_cores_of_several_types_are_filled_in_each_pass_anew():
    kinds = (CoreType(1, Limits(neurons=12)), CoreType(2, Limits(neurons=4)))
    graph = mapped(chain(4, 12, 4, 12, 4, 12), chip(kinds=kinds, rows=1, columns=3))
    assert graph.turns == 3
    for turn in range(3):
        assert Counter(c.core_type for c in graph.cores if c.turn == turn)[0] == 1
    for core in graph.cores:
        assert graph.chips == 1
        assert core.column == 0 if core.core_type == 0 else core.column > 0


def test_passes_go_over_all_chips_that_may_be_used():
    builder, target = chain(4, 8, 8, 8, 8), board(Limits(neurons=8), 1, chips=3)
    graph = mapped(builder, target, traffic=ones(4, 8, 8, 1, 8))  # the third layer sends least
    assert (graph.turns, graph.chips) == (2, 3)
    assert mapped(builder, target, replace(AUTO, chips=2)).turns == 2
    assert mapped(builder, target, replace(AUTO, chips=1)).turns == 4


def test_too_many_passes_are_refused_with_the_number_that_is_needed():
    builder, target = chain(4, 8, 8, 8, 8), board(Limits(neurons=8), 1)
    with pytest.raises(DoesNotFit, match=r"needs 4 passes where tiny with 1 chip has 2; .*--passes 4, or"):
        mapped(builder, target, replace(AUTO, passes=2))
    assert mapped(builder, target, replace(AUTO, passes=4)).turns == 4
    with pytest.raises(DoesNotFit, match="several passes over the same cores with --passes auto"):
        mapped(builder, target, MapOptions(atom_moves=0))
    with pytest.raises(UsageError, match="--passes: 0 passes; allowed: 1 or more"):
        mapped(builder, target, replace(AUTO, passes=0))


def test_a_neuron_that_no_core_holds_is_refused_whatever_the_passes():
    with pytest.raises(DoesNotFit, match="fan_in"):
        mapped(chain(9, 8, 8), board(Limits(neurons=8, fan_in=8), 1))


@pytest.mark.parametrize("seed", [1, 2])
def test_equal_seeds_give_equal_passes(seed):
    builder, target = chain(4, 8, 8, 8, 8, 16), board(Limits(neurons=4), 3)
    one, two = (mapped(builder, target, replace(AUTO, seed=seed)) for _ in range(2))
    assert one.cores == two.cores
    assert one.placement.cost == two.placement.cost


@given(networks(populations=6), st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_packing_that_breaks_the_rule_of_parts_ends_in_passes_all_the_same(builder, seed):
    """Parts of a network are refused at random: less may not fit where more does."""

    def fickle(needs, chips, progress):
        names = sorted(needs.populations)
        if chips is not None and len(names) > 1 and random.Random(f"{seed} {names}").random() < 0.5:
            raise OutOfCores(names[0], 1, 1)
        return partition(needs, chips, progress)

    builder.add("last", (1, 1, 60), "readout")  # more than the cores hold
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nmcompiler.mapping.turns.partition", fickle)
        graph = mapped(builder, board(Limits(neurons=25), 2))
    spiking = builder.spiking()
    assert len(count(spiking, chip(), graph).owner) == spiking.network.neurons
    turn = turns_of(graph)
    assert all(turn.get(e.source, 0) <= turn[e.target] for e in spiking.network.graph.edges())
