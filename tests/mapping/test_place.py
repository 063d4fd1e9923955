"""Starts, and the placement that is made of them."""

from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mapping_oracle import chip
from test_route import build

from nmcompiler.mapping.curve import snake
from nmcompiler.mapping.place import multicast_cost, place, start, starts
from nmcompiler.target.model import CoreType, Limits


@given(rows=st.integers(1, 9), columns=st.integers(1, 9), height=st.integers(1, 9))
def test_a_snake_visits_every_position_and_mostly_goes_to_a_neighbour(rows, columns, height):
    order = list(snake(rows, columns, height))
    assert sorted(order) == [(r, c) for r in range(rows) for c in range(columns)]
    if height == 1:
        far = [abs(a[0] - b[0]) + abs(a[1] - b[1]) for a, b in pairwise(order)]
        assert set(far) <= {1}


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
    spots = start([0] * 6, target, 1)
    best = min(multicast_cost(order, nets, target) for order in permutations(spots, 5))
    placed = place(list(starts([0] * 5, target, 1)), nets, target, moves=40_000, seed=seed)
    assert multicast_cost(placed, nets, target) == best


def test_threads_change_nothing(monkeypatch):
    rng = np.random.default_rng(1)
    target, nets = chip(Limits(neurons=1), cores=36, rows=6, columns=6), nets_of(rng, 30)
    first = list(starts([0] * 30, target, 1))
    found = []
    for cpus in (1, 3, None):
        monkeypatch.setattr("os.cpu_count", lambda cpus=cpus: cpus)
        found.append(place(first, nets, target, moves=50_000, seed=3))
    assert found[0] == found[1] == found[2]
    other = place(first, nets, target, moves=50_000, seed=4)
    assert other != found[0]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), chips=st.integers(1, 2))
def test_cores_stay_on_positions_of_their_type_and_chip(seed, chips):
    rng = np.random.default_rng(seed)
    types = (CoreType(6, Limits(neurons=1)), CoreType(3, Limits(neurons=9)))
    target = chip(kinds=types, rows=3, columns=3, chips=2)
    kinds = [*rng.permutation([0] * (5 * chips) + [1] * (2 * chips)).tolist()]
    first = list(starts(kinds, target, chips))
    nets = nets_of(rng, len(kinds))
    placed = place(first, nets, target, moves=3_000, seed=seed)
    for positions in (*first, placed):
        assert [s.kind for s in positions] == kinds
        assert len(set(positions)) == len(kinds)
        assert all(s.kind == target.core_type(s.row * 3 + s.column) for s in positions)
    assert multicast_cost(placed, nets, target) <= min(multicast_cost(p, nets, target) for p in first)
