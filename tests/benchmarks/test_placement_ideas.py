from itertools import permutations

import numpy as np
import pytest

from nmcompiler.mapping.route import Positions, unicast_cost
from tests.benchmarks.bench_mapping import layered
from tests.benchmarks.placement_ideas import Neighbours, assigned, by_independent_sets, by_layers

SIDE = 5


def scattered(seed):
    spot = np.random.default_rng(seed).permutation(SIDE * SIDE)
    return Positions(spot // SIDE, spot % SIDE)


@pytest.mark.parametrize("seed", [1, 2])
def test_clusters_that_know_nothing_of_one_another_are_placed_best(seed):
    nets, at = layered("dense", SIDE, seed), scattered(seed)
    chosen, costs = np.arange(SIDE, 2 * SIDE), []
    for order in permutations(range(SIDE)):
        row, column = at.row.copy(), at.column.copy()
        row[chosen], column[chosen] = (a[chosen][list(order)] for a in (at.row, at.column))
        costs.append(unicast_cost(Positions(row, column), nets))
    found = assigned(at, Neighbours.of(nets, SIDE * SIDE), chosen)
    assert unicast_cost(found, nets) == pytest.approx(min(costs))


@pytest.mark.parametrize("kind", ["conv", "dense"])
def test_both_ways_keep_every_position_and_cost_less(kind):
    nets, at = layered(kind, SIDE, 3), scattered(3)
    near = Neighbours.of(nets, SIDE * SIDE)
    for found in (by_layers(at, near, SIDE), by_independent_sets(at, near, SIDE, 3)):
        assert sorted(zip(found.row, found.column, strict=True)) == sorted(
            zip(at.row, at.column, strict=True)
        )
        assert unicast_cost(found, nets) < unicast_cost(at, nets)
