"""Refinement: what the kernel counts against single synapses, the limits of cores, and what is gained."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nmcompiler.errors import DoesNotFit
from nmcompiler.ir.schedule import Schedule
from nmcompiler.mapping import anneal_atoms, mapper, refine
from nmcompiler.mapping import atoms as atoms_module
from nmcompiler.mapping.atoms import atoms
from nmcompiler.mapping.divided import divided
from nmcompiler.mapping.mapper import MapOptions, map_network
from nmcompiler.mapping.needs import network_needs
from nmcompiler.mapping.nets import nets
from nmcompiler.mapping.partition import partition
from nmcompiler.mapping.refine import MOST_CORES, Aim, Places, refined, rounds
from nmcompiler.mapping.route import Positions, tree_sizes
from nmcompiler.mapping.work import core_work, duration
from nmcompiler.target.figures import Figure
from nmcompiler.target.model import Limits
from tests.mapping.mapping_oracle import Builder, Count, chip, count, networks
from tests.mapping.test_filled import limits
from tests.mapping.test_mapper import lenet

TIMES = {
    key: Figure(value, "made up", "modelled", "marginal")
    for key, value in {
        "time_per_synop_ns": 2.0,
        "time_per_neuron_update_active_ns": 7.0,
        "time_per_neuron_update_inactive_ns": 1.0,
        "time_per_spike_ns": 3.0,
        "time_per_barrier_ns": 20.0,
    }.items()
}


def scheduled(builder):
    """A network whose populations fire one after another, for overlapping times."""
    spiking = builder.spiking()
    slots = {
        name: replace(slot, fire_start=2 * k, steps=3 + k % 2)
        for k, (name, slot) in enumerate(spiking.schedule.slots.items())
    }
    return replace(
        spiking, schedule=Schedule("rate", (0,), 2 * len(slots) + 3, slots, spiking.schedule.delays)
    )


def case(builder, target, seed=0):
    """A partition, and cores at random places of a mesh, the host at its corner."""
    parted = partition(network_needs(scheduled(builder), target, builder.traffic(seed)), None)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(parted.cores)).tolist()
    spots = rng.choice(64 * 64, len(order), replace=False)
    row, column = np.append(spots // 64, 0), np.append(spots % 64, 0)
    return parted, order, Positions(row, column)


def fitting(builder, target, seed):
    """A case, but for networks of which a neuron is too large for a core."""
    try:
        return case(builder, target, seed)
    except DoesNotFit:
        return reject()


def places(at):
    return Places(at.row, at.column.astype(float))


def cost(parted, order, at, traffic):
    found = nets(parted, order, traffic)
    return float(found.spikes @ tree_sizes(at, found))


def whole_pixels(populations=3):
    """Networks of convolutions of all channels: a core reads an atom or nothing of it."""

    @st.composite
    def draw_one(draw):
        builder = Builder().add("p0", (draw(st.integers(4, 6)), 5, 2), "input")
        for i in range(1, populations + 1):
            shape = (*builder.graph.node(f"p{i - 1}").shape[:2], draw(st.integers(1, 3)))
            builder.add(f"p{i}", shape).conv(f"p{i - 1}", f"p{i}", size=draw(st.sampled_from([1, 3])))
            if i > 1 and draw(st.booleans()):
                builder.conv(f"p{i - 2}", f"p{i}", size=1, padding=0)
        return builder.add("out", (1, 1, 3), "readout").dense(f"p{populations}", "out")

    return draw_one()


@settings(max_examples=40, deadline=None)
@given(whole_pixels(), st.integers(6, 40), st.integers(0, 9), st.booleans())
def test_the_kernel_counts_links_and_time_as_everything_else_does(builder, neurons, seed, priced):
    target = chip(Limits(neurons=neurons))
    target = replace(target, figures=TIMES if priced else {})
    parted, order, at = case(builder, target, seed)
    traffic = parted.needs.traffic
    kernel = refine._Kernel(atoms(parted, order), len(order), places(at), traffic)
    links, time = kernel.figures(kernel._owner)
    assert links == pytest.approx(cost(parted, order, at, traffic))
    assert time == pytest.approx(duration(parted, core_work(parted, order, traffic)))
    assert kernel.least <= time * (1 + 1e-9)


def test_an_input_behind_other_populations_takes_no_time_of_a_core():
    builder = Builder().add("x", (4, 4, 1), "input").add("a", (4, 4, 2)).conv("x", "a")
    builder.add("y", (4, 4, 9), "input").add("b", (4, 4, 2)).conv("a", "b").conv("y", "b")
    target = replace(chip(Limits(neurons=20)), figures=TIMES)
    parted, order, at = case(builder, target)
    traffic = parted.needs.traffic
    kernel = refine._Kernel(atoms(parted, order), len(order), places(at), traffic)
    work = core_work(parted, order, traffic)
    assert kernel.figures(kernel._owner)[1] == pytest.approx(duration(parted, work))
    assert kernel.least <= duration(parted, work)


@settings(max_examples=60, deadline=None)
@given(networks(), limits(), st.booleans(), st.sampled_from(["neuron", "pixel"]), st.integers(0, 9))
def test_what_cores_hold_after_moves_is_what_their_atoms_need(builder, limit, sharing, unit, seed):
    target = replace(chip(limit, sharing=sharing, axon_unit=unit), figures=TIMES)
    parted, order, at = fitting(builder, target, seed)
    if len(order) < 2:
        return
    kernel = refine._Kernel(atoms(parted, order), len(order), places(at), parted.needs.traffic)
    state = kernel._state(kernel._owner)
    goals = np.maximum(kernel._even, kernel._whole)
    links, late = kernel._call(state, goals, 400, (1.0, 0.1), 0.1, seed)
    owner, counted, used, load, reached = state
    again = kernel._state(owner)
    for now, anew in zip((counted, used, reached), (again[1], again[2], again[4]), strict=True):
        assert np.array_equal(now, anew)
    assert np.allclose(load, again[3])
    assert (used <= kernel._limit[:-1]).all()
    assert (links, late) == pytest.approx(kernel._call(again, goals, 0, (0.0, 0.0), 0.0, 0), abs=1e-6)
    placed = kernel._owner < len(order)
    assert (owner[~placed] == len(order)).all()
    assert (owner[placed] < len(order)).all()


@settings(max_examples=60, deadline=None)
@given(networks(), limits(), st.booleans(), st.sampled_from(["neuron", "pixel"]), st.integers(0, 9))
def test_every_limit_holds_and_no_time_is_lost(builder, limit, sharing, unit, seed):
    target = replace(chip(limit, sharing=sharing, axon_unit=unit), figures=TIMES)
    parted, order, at = fitting(builder, target, seed)
    traffic = parted.needs.traffic
    made = refined(parted, order, places(at), traffic, moves=40, visits=100_000, seed=seed, aim=Aim())
    if made is None:
        return
    assert len(made.cores) == len(order)
    pieces = [(i, p.needs.name, p.box) for i, core in enumerate(made.cores) for p in core.pieces]
    found = Count(parted.needs.spiking, target, pieces)
    assert len(found.owner) == parted.needs.spiking.network.neurons
    for i, core in enumerate(made.cores):
        used = found.used(i)
        assert {r: core.used[r] for r in used} == used
        for resource, amount in used.items():
            most = getattr(limit, resource)
            assert most is None or amount <= most
    same = range(len(order))
    before = duration(parted, core_work(parted, order, traffic))
    assert duration(made, core_work(made, same, traffic)) <= before * 1.0031


def two_layers():
    """Layers of which one has most of the operations, with cores in a row."""
    builder = Builder().add("x", (12, 12, 1), "input").add("a", (12, 12, 4)).add("b", (12, 12, 4))
    return builder.conv("x", "a").conv("a", "b", size=5, padding=2)


def test_a_sample_is_shorter_and_its_spikes_travel_less():
    target = replace(chip(Limits(neurons=150)), figures=TIMES)
    parted, order, at = case(two_layers(), target)
    traffic = parted.needs.traffic
    made = refined(parted, order, places(at), traffic, moves=300, visits=10**8, seed=0, aim=Aim())
    same = range(len(made.cores))
    assert len(made.cores) == len(order)
    links = [cost(p, o, at, traffic) for p, o in ((made, same), (parted, order))]
    times = [duration(p, core_work(p, o, traffic)) for p, o in ((made, same), (parted, order))]
    assert links[0] <= links[1]
    assert times[0] < 0.8 * times[1]


@pytest.mark.parametrize(("worth", "taken"), [(0.1, 1), (1.0, 0), (8.0, 2)])
def test_time_is_worth_what_is_asked(monkeypatch, worth, taken):
    parted, order, at = case(two_layers(), replace(chip(Limits(neurons=150)), figures=TIMES))
    shares = [(0.7, 0.7), (0.6, 0.9), (1.1, 0.6), (0.1, 1.1), (1.4, 0.1)]  # of links, and of time
    before = []

    def anneal(kernel, _moves, _hot, _goal, number):
        before[:] = kernel.figures(kernel._owner)
        links, time = shares[number]
        return links * before[0], time * before[1], number

    monkeypatch.setattr(refine._Kernel, "anneal", anneal)
    monkeypatch.setattr(refine, "divided", lambda parts, owner, *_: owner)
    how = {"moves": 1, "visits": 1, "seed": 0, "aim": Aim(worth=worth, worst=1.2, goals=(1.0,) * 5)}
    assert refined(parted, order, places(at), parted.needs.traffic, **how) == taken
    longer = refined(parted, order, places(at), parted.needs.traffic, **how, longest=1.2 * before[1])
    assert longer == (taken if worth == 8 else 3)


def test_equal_seeds_give_equal_partitions_whatever_the_threads(monkeypatch):
    target = chip(Limits(neurons=150))
    parted, order, at = case(two_layers(), target)

    def boxes(seed, threads):
        monkeypatch.setattr(refine.os, "cpu_count", lambda: threads)
        how = {"moves": 50, "visits": 10**7, "aim": Aim(goals=(0.0, 0.1, 0.25, 0.5))}
        made = refined(parted, order, places(at), parted.needs.traffic, seed=seed, **how)
        return [[(p.needs.name, p.box) for p in core.pieces] for core in made.cores]

    assert boxes(3, 1) == boxes(3, 4)
    assert boxes(3, 1) != boxes(4, 1)


def test_nothing_is_refined_where_nothing_can_be(monkeypatch):
    builder, how = two_layers(), {"moves": 9, "visits": 99, "seed": 0, "aim": Aim()}
    for neurons in (5000, 1):  # one core, and more than are looked at
        parted, order, at = case(builder, chip(Limits(neurons=neurons)))
        assert len(order) == 1 or len(order) > MOST_CORES
        assert refined(parted, order, places(at), parted.needs.traffic, **how) is None
    parted, order, at = case(builder, chip(Limits(neurons=150)))
    monkeypatch.setattr(atoms_module, "_MOST_READ", 99)
    assert refined(parted, order, places(at), parted.needs.traffic, **how) is None


def test_corners_that_cost_more_are_fewer(monkeypatch):
    parted, order, at = case(two_layers(), chip(Limits(neurons=150)))
    pieces = []
    for bend in (0.0, 1.0):
        monkeypatch.setattr(refine, "_BEND", bend)
        parts = atoms(parted, order)
        kernel = refine._Kernel(parts, len(order), places(at), parted.needs.traffic)
        _, _, owner = kernel.anneal(300 * len(parts), 1.0, 2.0, 0)
        made = divided(parts, owner, len(order), None)
        pieces.append(sum(len(core.pieces) for core in made.cores))
    assert pieces[1] < 0.8 * pieces[0]


@given(arrays(np.int64, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.integers(0, 2)))
@settings(max_examples=200, deadline=None)
def test_corners_are_the_ends_of_straight_edges(owner):
    """An area has two corners for every run of its upper edges and of its lower ones."""
    h, w = owner.shape
    wide = np.pad(owner, 1, constant_values=-1)
    expected = 0
    for core in range(-1, 3):
        mine = np.pad(wide == core, 1, mode="edge")  # what lies beyond goes on without an end
        for edges in (mine[1:] & ~mine[:-1], mine[:-1] & ~mine[1:]):
            expected += 2 * int((np.diff(edges.astype(int), axis=1) == 1).sum())
    numbers = np.pad(np.arange(h * w).reshape(h, w), 1, constant_values=-1)
    four = np.stack([numbers[:-1, :-1], numbers[:-1, 1:], numbers[1:, :-1], numbers[1:, 1:]], axis=-1)
    four = four.reshape(-1, 4)
    points = np.arange(len(four))
    first = np.array([0, len(four)])  # as if one atom met the others everywhere
    assert anneal_atoms._corners(0, (first, points, four), owner.reshape(-1)) == expected


def test_without_published_times_operations_decide_little():
    timed, untimed = (rounds(replace(chip(Limits()), figures=figures)) for figures in (TIMES, {}))
    assert min(aim.worth for aim in timed) > 1
    assert max(aim.worth for aim in untimed) < 1
    assert {goal for aim in untimed for goal in aim.goals} == {1.0}


def test_mapped_networks_are_refined_unless_that_is_not_wanted(monkeypatch):
    builder, target = lenet(), chip(Limits(neurons=1000), cores=64, rows=8, columns=8)
    spiking, traffic = builder.spiking(), builder.traffic()
    made = []
    monkeypatch.setattr(mapper, "refined", lambda *a, **k: made.append(refined(*a, **k)) or made[-1])
    plain = map_network(spiking, target, traffic, MapOptions(moves=50, atom_moves=0))
    assert not made
    better = map_network(spiking, target, traffic, MapOptions(moves=50, atom_moves=100))
    assert made[0] is not None
    assert len(plain.cores) == len(better.cores)
    assert len(count(spiking, target, better).owner) == spiking.network.neurons
    # What has more pixels than there may be atoms is never tried: its second mapping would be for nothing.
    monkeypatch.setattr(mapper, "MOST_ATOMS", sum(p.shape[0] * p.shape[1] for p in spiking.network.graph) - 1)
    made.clear()
    large = map_network(spiking, target, traffic, MapOptions(moves=50, atom_moves=100))
    assert not made
    assert large.cores == plain.cores


def test_what_is_not_refined_is_mapped_as_without_a_refinement(monkeypatch):
    builder, target = lenet(), chip(Limits(neurons=1000), cores=64, rows=8, columns=8)
    spiking, traffic = builder.spiking(), builder.traffic()
    monkeypatch.setattr(mapper, "refined", lambda *a, **k: None)
    plain, tried = (map_network(spiking, target, traffic, MapOptions(moves=50, atom_moves=n)) for n in (0, 9))
    assert plain.cores == tried.cores
    assert plain.placement == tried.placement
