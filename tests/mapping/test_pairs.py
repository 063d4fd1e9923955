"""Placement where every net has one destination, against sums over its nets one by one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.mapping import anneal_pairs
from nmcompiler.mapping.pairs import Pairs, are_pairs
from nmcompiler.mapping.place import Board, place, positions
from nmcompiler.mapping.route import unicast_cost
from nmcompiler.sim.jit import jit
from nmcompiler.target.model import CoreType, Limits
from tests.mapping.mapping_oracle import chip
from tests.mapping.test_route import build


def drawn(seed, chips=2):
    """A board of two kinds of cores, cores of both kinds, and nets of one destination; some the host's."""
    rng = np.random.default_rng(seed)
    types = (CoreType(9, Limits(neurons=1)), CoreType(5, Limits(neurons=9)))
    target = chip(kinds=types, rows=3, columns=5, chips=chips)
    kinds = rng.permutation([0] * (8 * chips) + [1] * (4 * chips)).tolist()
    groups = []
    for _ in range(3 * len(kinds)):
        source, reached = (int(i) for i in rng.integers(-1, len(kinds), 2))
        if source != reached >= 0:
            groups.append((source, [reached]))
    return target, kinds, build(groups, rng.integers(1, 9, len(groups)) / 4)


def slow_cost(board, placed, nets):
    total = 0.0
    for source, reached, spikes in zip(nets.source, nets.cores, nets.spikes, strict=True):
        row, column = (0, 0) if source < 0 else (board.row[placed[source]], board.column[placed[source]])
        total += spikes * (
            abs(row - board.row[placed[reached]]) + abs(column - board.column[placed[reached]])
        )
    return total


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_every_pair_is_a_partner_of_both_its_items(seed):
    rng = np.random.default_rng(seed)
    n, pairs = int(rng.integers(1, 9)), int(rng.integers(0, 30))
    source, target = rng.integers(0, n, pairs), rng.integers(0, n, pairs)
    weight = rng.integers(1, 99, pairs).astype(np.float64)
    first = np.zeros(n + 1, np.int64)
    partner, amount = np.empty(2 * pairs, np.uint32), np.empty(2 * pairs, np.float32)
    jit(anneal_pairs.pair_graph)(source, target, weight, first, partner, amount)
    listed = [(i, *x) for i in range(n) for x in zip(
        partner[first[i] : first[i + 1]].tolist(), amount[first[i] : first[i + 1]].tolist(), strict=True
    )]  # fmt: skip
    ends = [*zip(source, target, weight, strict=True), *zip(target, source, weight, strict=True)]
    assert first[-1] == 2 * pairs
    assert sorted(listed) == sorted((int(a), int(b), float(w)) for a, b, w in ends)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_costs_are_sums_over_nets(seed):
    target, kinds, nets = drawn(seed)
    board = Board(target, 2)
    pairs, placements = Pairs(board, nets, len(kinds)), list(board.starts(kinds))
    wanted = [slow_cost(board, placed, nets) for placed in placements]
    assert [pairs.cost(placed) for placed in placements] == wanted
    assert pairs.costs(placements) == wanted  # so few quarters are whole in any sum


def test_long_sums_of_many_placements_keep_seven_digits():
    rng = np.random.default_rng(1)
    source, target, weight = rng.integers(0, 90, 50_000), rng.integers(0, 90, 50_000), rng.random(50_000)
    row, column = rng.integers(0, 99, (2, 90, 3)).astype(np.float32)
    found = jit(anneal_pairs.pair_costs)(source, target, weight, row, column)
    each = np.abs(row[source] - row[target]) + np.abs(column[source] - column[target])
    assert found == pytest.approx(weight @ each.astype(np.float64), rel=1e-7)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_moves_end_no_dearer_than_the_best_start_on_positions_of_each_core_s_kind(seed):
    target, kinds, nets = drawn(seed, 1)
    board = Board(target, 1)
    starts = list(board.starts(kinds))
    assert are_pairs(nets)
    placed = place(board, kinds, nets, moves=4_000, seed=seed)
    assert [s.kind for s in placed] == kinds
    assert len(set(placed)) == len(kinds)
    assert unicast_cost(positions(placed, target), nets) <= min(slow_cost(board, s, nets) for s in starts)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_frozen_moves_never_make_it_dearer(seed):
    target, kinds, nets = drawn(seed)
    board = Board(target, 2)
    pairs, start = Pairs(board, nets, len(kinds)), next(board.starts(kinds))
    placed, cost = start, pairs.cost(start)
    for turn in range(8):
        before = placed.copy()
        placed = placed.copy()
        pairs._move(placed, 20, 1e-9, 1e-9, 2, seed + turn)
        assert slow_cost(board, placed, nets) == pairs.cost(placed) <= cost
        assert np.array_equal(board.kind[placed], board.kind[before])
        cost = pairs.cost(placed)


def test_many_frozen_moves_help():
    target, kinds, nets = drawn(5)
    board = Board(target, 2)
    pairs, placed = Pairs(board, nets, len(kinds)), next(board.starts(kinds))
    before = pairs.cost(placed)
    pairs._move(placed, 20_000, 1e-9, 1e-9, 2, 1)
    assert pairs.cost(placed) < 0.9 * before


def test_the_mean_change_is_that_of_single_moves():
    target, kinds, nets = drawn(3)
    board = Board(target, 2)
    pairs, start = Pairs(board, nets, len(kinds)), next(board.starts(kinds))
    found = []
    for seed in range(300):
        placed = start.copy()
        change = pairs._move(placed, 1, 1e9, 1e9, 2, seed)  # whatever it costs is kept
        assert change == abs(slow_cost(board, placed, nets) - slow_cost(board, start, nets))
        found.append(change)
    assert max(found) > 0.0


def test_nets_of_several_destinations_are_no_pairs():
    assert not are_pairs(build([(0, [1, 2]), (1, [2])], np.ones(2)))
    assert are_pairs(build([(0, [1]), (-1, [2])], np.ones(2)))
