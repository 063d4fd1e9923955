"""The least cost of a placement, against every placement there is."""

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings

from nmcompiler.mapping.exact_place import least_cost
from nmcompiler.mapping.nets import HOST
from nmcompiler.mapping.place import Board, place, positions
from nmcompiler.mapping.placement_bounds import placement_bounds
from nmcompiler.mapping.route import Positions, tree_sizes
from nmcompiler.target.model import Limits
from tests.mapping.mapping_oracle import chip
from tests.mapping.test_place import nets_of
from tests.mapping.test_placement_bounds import small_nets
from tests.mapping.test_route import build


def best(nets, cores, rows, columns):
    everywhere = permutations(product(range(rows), range(columns)), cores)
    return min(cost_of(np.array([*at, (0, 0)]), nets) for at in everywhere)


def cost_of(at, nets):
    return float(nets.spikes @ tree_sizes(Positions(*at.T), nets))


@settings(max_examples=40, deadline=None)
@given(small_nets())
def test_it_is_the_least_of_all_placements(case):
    nets, cores, rows, columns = case
    found, proved = least_cost(nets, cores, rows, columns)
    assert proved
    assert found == pytest.approx(best(nets, cores, rows, columns), abs=1e-6)
    assert found >= placement_bounds(nets, cores, rows, columns).cost - 1e-6


@pytest.mark.parametrize("seed", range(3))
def test_a_large_mesh_is_no_harder_than_the_corner_that_cores_need(seed):
    rng = np.random.default_rng(seed)
    nets = nets_of(rng, 3)
    found, proved = least_cost(nets, 3, 30, 40)
    assert proved
    assert found == pytest.approx(best(nets, 3, 3, 3), abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_moves_find_what_is_proved_to_be_the_least(seed):
    nets = nets_of(np.random.default_rng(10 + seed), 5)
    target = chip(Limits(neurons=1), cores=6, rows=2, columns=3)
    placed = place(Board(target, 1), [0] * 5, nets, moves=60_000, seed=seed)
    cost = float(nets.spikes @ tree_sizes(positions(placed, target), nets))
    found, proved = least_cost(nets, 5, 2, 3)
    assert proved
    assert cost == pytest.approx(found, abs=1e-6)


def test_without_time_there_is_still_a_bound():
    groups = [(HOST, [0, 3, 5])] + [(a, [b, (b + 3) % 8]) for a in range(8) for b in range(8) if a != b]
    groups = [(a, sorted({b for b in reached if b != a})) for a, reached in groups]
    nets = build(groups, np.ones(len(groups)))
    found, proved = least_cost(nets, 8, 8, 8, seconds=0.2)
    assert not proved
    assert 0 <= found <= best_of_one(nets)


def best_of_one(nets):
    """The cost of one placement."""
    return float(nets.spikes @ tree_sizes(Positions(np.arange(8) // 3, np.arange(8) % 3), nets))
