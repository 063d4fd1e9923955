"""Costs of routes, against walking every link."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.mapping.curve import hilbert
from nmcompiler.mapping.nets import HOST, Nets
from nmcompiler.mapping.place import Board, place, positions
from nmcompiler.mapping.placement_bounds import placement_bounds
from nmcompiler.mapping.route import Positions, max_link_load, off_chip_spikes, tree_sizes, unicast_cost
from tests.mapping.mapping_oracle import chip


@st.composite
def placed_nets(draw):
    rows, columns = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    cores = draw(st.integers(1, rows * columns))
    order = draw(st.permutations(range(rows * columns)))[:cores]
    at = Positions(
        np.array([p // columns for p in order]),
        np.array([p % columns for p in order]),
    )
    groups = []
    for source in draw(st.lists(st.integers(HOST, cores - 1), min_size=1, max_size=8)):
        others = sorted(draw(st.sets(st.integers(0, cores - 1), min_size=1)) - {source})
        if others:
            groups.append((source, others))
    spikes = np.array([draw(st.integers(0, 9)) for _ in groups], np.float64)
    return at, build(groups, spikes), (rows, columns)


def build(groups, spikes):
    degrees = [len(cores) for _, cores in groups]
    return Nets(
        np.array([s for s, _ in groups], np.int64),
        spikes,
        np.concatenate([[0], np.cumsum(degrees)]).astype(np.int64),
        np.array([c for _, cores in groups for c in cores], np.int64),
        np.zeros(len(groups), np.int64),
    )


def walk(at, nets):
    """Returns the set of directed links of each net, and the length of all its routes."""
    trees, lengths = [], []
    for i, source in enumerate(nets.source):
        links, length = set(), 0
        for core in nets.cores[nets.start[i] : nets.start[i + 1]]:
            y, x = (0, 0) if source == HOST else (int(at.row[source]), int(at.column[source]))
            while (y, x) != (at.row[core], at.column[core]):
                step = (0, int(np.sign(at.column[core] - x)))
                if step == (0, 0):
                    step = (int(np.sign(at.row[core] - y)), 0)
                links.add((y, x, y + step[0], x + step[1]))
                y, x = y + step[0], x + step[1]
                length += 1
        trees.append(links)
        lengths.append(length)
    return trees, lengths


@given(placed_nets())
@settings(max_examples=150, deadline=None)
def test_costs_equal_those_of_walking_every_link(case):
    at, nets, _ = case
    trees, lengths = walk(at, nets)
    assert tree_sizes(at, nets).tolist() == [len(t) for t in trees]
    assert unicast_cost(at, nets) == float(nets.spikes @ np.array(lengths)) if lengths else True
    loads = {}
    for links, spikes in zip(trees, nets.spikes, strict=True):
        for link in links:
            loads[link] = loads.get(link, 0.0) + spikes
    assert max_link_load(at, nets) == max(loads.values(), default=0.0)


@given(placed_nets(), st.integers(1, 3))
@settings(max_examples=100, deadline=None)
def test_links_to_other_chips_are_counted(case, columns):
    at, nets, _ = case
    trees, _ = walk(at, nets)
    crossing = [sum(x // columns != to_x // columns for _, x, _, to_x in tree) for tree in trees]
    assert off_chip_spikes(at, nets, columns) == (float(nets.spikes @ crossing) if crossing else 0.0)


@given(st.integers(1, 12), st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_the_curve_visits_every_position_once_from_the_corner_in_short_steps(rows, columns):
    curve = hilbert(rows, columns)
    assert sorted(curve) == [(y, x) for y in range(rows) for x in range(columns)]
    assert curve[0] == (0, 0)
    steps = [abs(a - c) + abs(b - d) for (a, b), (c, d) in pairwise(curve)]
    assert sum(s > 1 for s in steps) <= 1
    assert max(steps, default=1) <= 2


def chain(cores):
    return build([(i, [i + 1]) for i in range(cores - 1)], np.ones(cores - 1))


def test_figures_of_many_cores_take_no_table_of_all_pairs():
    cores = 100_000  # a table of core by core, or of net by column, would take 80 GB
    at, nets = Positions(np.zeros(cores, np.int64), np.arange(cores)), chain(cores)
    assert tree_sizes(at, nets).sum() == unicast_cost(at, nets) == cores - 1
    bounds = placement_bounds(nets, cores, 1, cores)
    assert bounds.unicast_cost == bounds.cost == cores - 1
    assert max_link_load(at, nets) == 1.0


def test_annealing_finds_a_chain():
    target = chip(cores=36, rows=6, columns=6)
    nets = chain(30)
    relabelled = np.random.default_rng(0).permutation(30)
    mixed = build([(int(relabelled[i]), [int(relabelled[i + 1])]) for i in range(29)], nets.spikes)

    def cost(placed, nets):
        return float(nets.spikes @ tree_sizes(positions(placed, target), nets))

    board = Board(target, 1)
    assert cost(place(board, [0] * 30, nets, moves=2000, seed=0), nets) == 29
    regular = min(cost(board.spots(start), mixed) for start in board.starts([0] * 30))
    found = place(board, [0] * 30, mixed, moves=100_000, seed=0)
    assert len(set(found)) == 30
    assert cost(found, mixed) < 0.5 * regular
