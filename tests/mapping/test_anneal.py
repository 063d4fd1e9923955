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
        self.along = np.cumsum([0, *rng.integers(1, 4, self.columns - 1)]).astype(np.float64)
        self.slot = rng.integers(0, 2, nets)
        self.limit = rng.integers(0, 20, (2, 4)).astype(np.float64)

    def run(self, moves, hot, cold, seed, least=0, price=None):
        """Returns cost and mean change, where items are left, and the loads of links."""
        nets_of = [
            [e for e, m in enumerate(self.members) if i == self.source[e] or i in m] for i in range(self.n)
        ]
        spot = self.spot.copy()
        row, column = np.append(self.row[spot], 0), np.append(self.column[spot], 0)
        slots = 0 if price is None else 2
        load = np.zeros((slots, 4, self.rows, self.columns))
        cost, change = jit(anneal.anneal)(
            (
                self.source, np.cumsum([0, *map(len, self.members)]), np.concatenate(self.members),
                self.spikes, np.cumsum([0, *map(len, nets_of)]),
                np.array([e for nets in nets_of for e in nets], np.int64),
            ),
            (row, column),
            (self.at.reshape(self.rows, self.columns), self.row, self.column, self.group, self.along),
            (self.slot, self.limit[:slots], load),
            spot, least, self.most, moves, hot, cold, price or 0.0, 2, 0.5, seed,
        )  # fmt: skip
        assert np.array_equal(row[:-1], self.row[spot])
        assert np.array_equal(column[:-1], self.column[spot])
        assert (row[-1], column[-1]) == (0, 0)
        return cost, change, spot, load

    def trees(self, spot):
        places = [*zip(self.row[spot].tolist(), self.column[spot].tolist(), strict=True), (0, 0)]
        return [links_of(s, m, places) for s, m in zip(self.source, self.members, strict=True)]

    def cost(self, spot):
        def length(link):
            return abs(self.along[link[3]] - self.along[link[1]]) if link[1] != link[3] else 1

        return sum(
            spikes * sum(map(length, tree))
            for spikes, tree in zip(self.spikes, self.trees(spot), strict=True)
        )

    def load(self, spot):
        """The spikes on each link, by slot and direction."""
        found = np.zeros((2, 4, self.rows, self.columns))
        direction = {(0, 1): 0, (0, -1): 1, (1, 0): 2, (-1, 0): 3}
        for slot, spikes, tree in zip(self.slot, self.spikes, self.trees(spot), strict=True):
            for y, x, to_y, to_x in tree:
                found[slot, direction[to_y - y, to_x - x], y, x] += spikes
        return found

    def priced(self, spot, price):
        beyond = np.maximum(self.load(spot) - self.limit[:, :, None, None], 0)
        return self.cost(spot) + price * (beyond**2).sum()


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 10**6), most=st.integers(1, 3), moves=st.sampled_from([0, 1, 30, 500]))
def test_what_it_leaves_costs_what_it_says(seed, most, moves):
    items = Items(np.random.default_rng(seed), most)
    cost, _, spot, _ = items.run(moves, 3.0, 0.1, seed)
    assert cost == items.cost(spot)
    assert np.array_equal(items.group[spot], items.group[items.spot])
    assert np.bincount(spot).max() <= most


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_no_spot_is_left_with_fewer_than_the_least(seed):
    items = Items(np.random.default_rng(seed), 3)
    least = int(np.bincount(items.spot, minlength=len(items.spots)).min())
    _, _, spot, _ = items.run(500, 100.0, 1.0, seed, least)
    assert np.bincount(spot, minlength=len(items.spots)).min() >= least


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_without_heat_nothing_moves_and_changes_are_measured(seed):
    items = Items(np.random.default_rng(seed), 1)
    cost, change, spot, _ = items.run(300, 0.0, 0.0, seed)
    assert np.array_equal(spot, items.spot)
    assert cost == items.cost(items.spot)
    _, one, *_ = items.run(1, 0.0, 0.0, seed)
    assert one == abs(items.run(1, 1e12, 1e12, seed)[0] - cost)
    assert 0 <= change <= items.spikes.sum() * (items.rows + 3) * items.columns


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_frozen_runs_never_cost_more_and_equal_seeds_end_equally(seed):
    items = Items(np.random.default_rng(seed), 2)
    one, other = items.run(400, 1e-9, 1e-9, 5), items.run(400, 1e-9, 1e-9, 5)
    assert one[0] <= items.cost(items.spot)
    assert np.array_equal(one[2], other[2])


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 10**6), most=st.integers(1, 3), moves=st.sampled_from([0, 1, 30, 500]))
def test_links_carry_what_routes_bring(seed, most, moves):
    items = Items(np.random.default_rng(seed), most)
    cost, _, spot, load = items.run(moves, 30.0, 0.1, seed, price=2.0)
    assert cost == items.cost(spot)
    assert np.array_equal(load, items.load(spot))


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10**6), price=st.sampled_from([0.0, 0.25, 64.0]))
def test_spikes_beyond_limits_cost_what_they_should(seed, price):
    items = Items(np.random.default_rng(seed), 2)
    _, _, spot, _ = items.run(400, 1e-9, 1e-9, 5, price=price)
    assert items.priced(spot, price) <= items.priced(items.spot, price)
    # The change of a single move that is kept whatever it costs.
    _, change, spot, _ = items.run(1, 1e12, 1e12, seed, price=price)
    assert change == abs(items.priced(spot, price) - items.priced(items.spot, price))
