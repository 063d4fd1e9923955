"""Starts, and the placement that is made of them."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.mapping.curve import snake
from nmcompiler.mapping.link_times import LinkTimes
from nmcompiler.mapping.place import Board, place, positions
from nmcompiler.mapping.route import max_link_load, off_chip_spikes, tree_sizes
from nmcompiler.target.model import CoreType, Limits, Mesh
from tests.mapping.mapping_oracle import chip
from tests.mapping.test_route import build, walk


@given(rows=st.integers(1, 9), columns=st.integers(1, 9), height=st.integers(1, 9))
def test_a_snake_visits_every_position_and_mostly_goes_to_a_neighbour(rows, columns, height):
    visited = snake(rows, columns, height)
    assert sorted(visited.reshape(-1).tolist()) == list(range(rows * columns))
    order = np.argsort(visited.reshape(-1))
    strip, column = order // columns // height, order % columns
    assert (np.diff(strip) >= 0).all()
    assert set(np.abs(np.diff(column)).tolist()) <= {0, 1}


def cost(placed, nets, target):
    return float(nets.spikes @ tree_sizes(positions(placed, target), nets))


def nets_of(rng, cores):
    groups = []
    for _ in range(2 * cores):
        others = sorted(set(rng.integers(0, cores, 3).tolist()))
        source = int(rng.integers(-1, cores))
        if set(others) - {source}:
            groups.append((source, sorted(set(others) - {source})))
    return build(groups, rng.integers(1, 9, len(groups)).astype(np.float64))


@pytest.mark.parametrize("seed", range(4))
def test_a_small_board_is_placed_best(seed):
    rng = np.random.default_rng(seed)
    target, nets = chip(Limits(neurons=1), cores=6, rows=2, columns=3), nets_of(rng, 5)
    board = Board(target, 1)
    spots = board.spots(np.arange(6))
    best = min(cost(order, nets, target) for order in permutations(spots, 5))
    placed = place(board, [0] * 5, nets, moves=40_000, seed=seed)
    assert cost(placed, nets, target) == best


def least_of_all(nets, cores, rows, columns):
    """Returns the least cost of all placements, each net being routed along the row of its source first."""
    every = np.array(list(permutations(range(rows * columns), cores)))
    row, column = (np.pad(a, ((0, 0), (0, 1))) for a in np.divmod(every, columns))  # the host is last
    total = np.zeros(len(every))
    for net in range(len(nets.source)):
        source, members = nets.source[net], nets.cores[nets.start[net] : nets.start[net + 1]]
        ends = [source, *members]
        total += nets.spikes[net] * np.ptp(column[:, ends], axis=1)
        for c in range(columns):
            here = np.where(column[:, members] == c, row[:, members], row[:, [source]])
            total += nets.spikes[net] * np.ptp(np.column_stack([here, row[:, source]]), axis=1)
    return total.min()


@pytest.mark.parametrize("seed", [1, 2, 5, 7, 9])  # a single long run ends elsewhere
def test_few_cores_are_placed_best(seed):
    target = chip(Limits(neurons=1), cores=9, rows=3, columns=3)
    nets = nets_of(np.random.default_rng(seed), 7)
    placed = place(Board(target, 1), [0] * 7, nets, moves=10_000, seed=seed)
    assert cost(placed, nets, target) == least_of_all(nets, 7, 3, 3)


def test_threads_change_nothing(monkeypatch):
    rng = np.random.default_rng(1)
    target, nets = chip(Limits(neurons=1), cores=36, rows=6, columns=6), nets_of(rng, 30)
    board, found = Board(target, 1), []
    for cpus in (1, 3, None):
        monkeypatch.setattr("os.cpu_count", lambda cpus=cpus: cpus)
        found.append(place(board, [0] * 30, nets, moves=50_000, seed=3))
    assert found[0] == found[1] == found[2]
    other = place(board, [0] * 30, nets, moves=50_000, seed=4)
    assert other != found[0]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), chips=st.integers(1, 2))
def test_cores_stay_on_positions_of_their_type(seed, chips):
    rng = np.random.default_rng(seed)
    types = (CoreType(6, Limits(neurons=1)), CoreType(3, Limits(neurons=9)))
    target = chip(kinds=types, rows=3, columns=3, chips=2)
    kinds = [*rng.permutation([0] * (5 * chips) + [1] * (2 * chips)).tolist()]
    target = replace(target, mesh=Mesh(3, 3, 1.0))
    board, nets = Board(target, chips), nets_of(rng, len(kinds))
    first = [board.spots(start) for start in board.starts(kinds)]
    placed = place(board, kinds, nets, moves=3_000, seed=seed)
    for spots in (*first, placed):
        assert [s.kind for s in spots] == kinds
        assert len(set(spots)) == len(kinds)
        assert all(s.kind == target.core_type(s.row * 3 + s.column) for s in spots)
    assert cost(placed, nets, target) <= min(cost(p, nets, target) for p in first)


@pytest.mark.parametrize("cores", [7, 20])
@pytest.mark.parametrize("seed", [2**61, 2**62 + 5, 2**63 - 1])
def test_seeds_of_any_size_are_taken(seed, cores):
    nets = nets_of(np.random.default_rng(2), cores)
    board = Board(chip(Limits(neurons=1), cores=25, rows=5, columns=5), 1)
    placed = place(board, [0] * cores, nets, moves=20_000, seed=seed)
    assert len(set(placed)) == cores
    assert placed == place(board, [0] * cores, nets, moves=20_000, seed=seed)


def path_time(placed, nets, target, core_ns, hop_ns):
    """How long a sample lasts: in each window as long as the cores, or the busiest link."""
    loads = {}
    trees, _ = walk(positions(placed, target), nets)
    for window, spikes, tree in zip(nets.window.tolist(), nets.spikes.tolist(), trees, strict=True):
        for link in tree:
            loads[window, link] = loads.get((window, link), 0.0) + spikes
    total = 0.0
    for window, ns in enumerate(core_ns):
        along = [spikes * hop_ns[y != to_y] for (w, (y, _, to_y, _)), spikes in loads.items() if w == window]
        total += max([ns, *along])
    return total


@pytest.mark.parametrize("seed", range(6))
def test_the_time_of_a_sample_counts_before_hops(seed):
    rng = np.random.default_rng(seed)
    target, nets = chip(Limits(neurons=1), cores=36, rows=6, columns=6), nets_of(rng, 30)
    nets = replace(nets, window=rng.integers(0, 2, len(nets.source)))
    board, hop_ns = Board(target, 1), np.array([1.0, 1.0, 1.5, 1.5])
    fewest = place(board, [0] * 30, nets, moves=30_000, seed=seed)
    for core_ns in (np.array([0.0, 1e9]), np.array([5.0, 2.0])):
        times = LinkTimes(nets.window, core_ns, hop_ns, np.inf)
        placed = place(board, [0] * 30, nets, moves=30_000, seed=seed, times=times)
        before, after = (path_time(p, nets, target, core_ns, (1.0, 1.5)) for p in (fewest, placed))
        assert after < before
    # Where no link decides, time changes nothing.
    slow = LinkTimes(nets.window, np.array([1e9, 1e9]), hop_ns, np.inf)
    assert place(board, [0] * 30, nets, moves=30_000, seed=seed, times=slow) == fewest


def test_a_window_in_which_nothing_travels_has_no_say():
    rng = np.random.default_rng(3)
    target, nets = chip(Limits(neurons=1), cores=36, rows=6, columns=6), nets_of(rng, 30)
    board, hop_ns = Board(target, 1), np.array([1.0, 1.0, 1.5, 1.5])
    found = []
    for windows in (1, 2):  # the second, if there is one, is that of a read-out, which sends nothing
        times = LinkTimes(nets.window, np.zeros(windows), hop_ns, np.inf)
        found.append(place(board, [0] * 30, nets, moves=30_000, seed=3, times=times))
    assert found[0] == found[1]


@pytest.mark.parametrize("seed", range(6))
def test_a_less_busy_link_costs_no_more_than_it_is_worth(seed):
    rng = np.random.default_rng(seed)
    target, nets = chip(Limits(neurons=1), cores=36, rows=6, columns=6), nets_of(rng, 30)
    board = Board(target, 1)
    fewest = place(board, [0] * 30, nets, moves=30_000, seed=seed)
    times = LinkTimes(np.zeros_like(nets.window), np.zeros(1), np.ones(4), 0.05)
    placed = place(board, [0] * 30, nets, moves=30_000, seed=seed, times=times)
    assert cost(placed, nets, target) <= 1.05 * cost(fewest, nets, target)
    assert max_link_load(positions(placed, target), nets) <= max_link_load(positions(fewest, target), nets)


def test_cores_change_chips_where_links_between_these_are_long():
    """Two groups that talk among themselves: every regular start divides both over two chips."""
    groups = [(2 * i + side, [2 * j + side]) for i in range(8) for j in range(8) for side in (0, 1) if i != j]
    nets = build(groups, np.ones(len(groups)))
    target = replace(chip(Limits(neurons=1), cores=9, chips=2), mesh=Mesh(3, 3, 6.0))
    board = Board(target, 2)
    regular = [positions(board.spots(start), target) for start in board.starts([0] * 16)]
    assert min(off_chip_spikes(at, nets, 3) for at in regular) > 0
    placed = place(board, [0] * 16, nets, moves=40_000, seed=1)
    assert off_chip_spikes(positions(placed, target), nets, 3) == 0
