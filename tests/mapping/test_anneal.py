"""The kernel that moves items over spots, against walking every link."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.mapping import anneal
from nmcompiler.sim.jit import jit


def links_of(source, members, places):
    """The links that one spike crosses: along the row first, each of them once."""
    found = set()
    for item in members:
        (y, x), (row, column) = places[source], places[item]
        while (y, x) != (row, column):
            step = (0, int(np.sign(column - x))) if x != column else (int(np.sign(row - y)), 0)
            found.add((y, x, y + step[0], x + step[1]))
            y, x = y + step[0], x + step[1]
    return found


class Items:
    """Random items on random spots of a mesh, some of whose positions hold none."""

    def __init__(self, rng, most):
        self.rows, self.columns = (int(n) for n in rng.integers(1, 7, 2))
        everywhere = rng.permutation(self.rows * self.columns)
        self.spots = np.sort(everywhere[: max(1, len(everywhere) - int(rng.integers(0, 4)))])
        self.row, self.column = self.spots // self.columns, self.spots % self.columns
        self.at = np.full(self.rows * self.columns, -1)
        self.at[self.spots] = np.arange(len(self.spots))
        self.group = rng.integers(0, 2, len(self.spots))
        self.n = int(rng.integers(1, len(self.spots) * most + 1))
        self.spot = rng.permutation(np.repeat(np.arange(len(self.spots)), most))[: self.n]
        nets = int(rng.integers(1, 9))
        # The last item is the host, which nothing reaches.
        self.source = rng.integers(0, self.n + 1, nets)
        self.members = [rng.choice(self.n, rng.integers(1, self.n + 1), replace=False) for _ in range(nets)]
        self.spikes = rng.integers(0, 9, nets).astype(np.float64)
        self.most = most

    def run(self, moves, hot, cold, seed, least=0):
        """Returns cost and mean change, and where items are left."""
        nets_of = [
            [e for e, m in enumerate(self.members) if i == self.source[e] or i in m] for i in range(self.n)
        ]
        spot = self.spot.copy()
        row, column = np.append(self.row[spot], 0), np.append(self.column[spot], 0)
        cost, change = jit(anneal.anneal)(
            self.source, np.cumsum([0, *map(len, self.members)]), np.concatenate(self.members), self.spikes,
            np.cumsum([0, *map(len, nets_of)]), np.array([e for nets in nets_of for e in nets], np.int64),
            row, column, self.at.reshape(self.rows, self.columns), self.row, self.column, self.group, spot,
            least, self.most, moves, hot, cold, 2, 0.5, seed,
        )  # fmt: skip
        assert np.array_equal(row[:-1], self.row[spot])
        assert np.array_equal(column[:-1], self.column[spot])
        assert (row[-1], column[-1]) == (0, 0)
        return cost, change, spot

    def cost(self, spot):
        places = [*zip(self.row[spot].tolist(), self.column[spot].tolist(), strict=True), (0, 0)]
        trees = [links_of(s, m, places) for s, m in zip(self.source, self.members, strict=True)]
        return sum(spikes * len(tree) for spikes, tree in zip(self.spikes, trees, strict=True))


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 10**6), most=st.integers(1, 3), moves=st.sampled_from([0, 1, 30, 500]))
def test_what_it_leaves_costs_what_it_says(seed, most, moves):
    items = Items(np.random.default_rng(seed), most)
    cost, _, spot = items.run(moves, 3.0, 0.1, seed)
    assert cost == items.cost(spot)
    assert np.array_equal(items.group[spot], items.group[items.spot])
    assert np.bincount(spot).max() <= most


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_no_spot_is_left_with_fewer_than_the_least(seed):
    items = Items(np.random.default_rng(seed), 3)
    least = int(np.bincount(items.spot, minlength=len(items.spots)).min())
    _, _, spot = items.run(500, 100.0, 1.0, seed, least)
    assert np.bincount(spot, minlength=len(items.spots)).min() >= least


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_without_heat_nothing_moves_and_changes_are_measured(seed):
    items = Items(np.random.default_rng(seed), 1)
    cost, change, spot = items.run(300, 0.0, 0.0, seed)
    assert np.array_equal(spot, items.spot)
    assert cost == items.cost(items.spot)
    _, one, _ = items.run(1, 0.0, 0.0, seed)
    assert one == abs(items.run(1, 1e12, 1e12, seed)[0] - cost)
    assert 0 <= change <= items.spikes.sum() * (items.rows + 1) * items.columns


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_frozen_runs_never_cost_more_and_equal_seeds_end_equally(seed):
    items = Items(np.random.default_rng(seed), 2)
    one, other = items.run(400, 1e-9, 1e-9, 5), items.run(400, 1e-9, 1e-9, 5)
    assert one[0] <= items.cost(items.spot)
    assert np.array_equal(one[2], other[2])
