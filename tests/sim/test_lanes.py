"""The kernels for sixteen samples at a time, one by one, against numpy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.sim import lanes
from nmcompiler.sim.jit import jit
from nmcompiler.sim.lanes import LANES

WIDEST = 32767


def listed(values: np.ndarray):
    """What ``list_active`` writes for values ``(G, m, 16)``: spikes, ranks, positions and counts."""
    groups, m, _ = values.shape
    ranks, positions = np.full(groups * (m + 1), 99, np.uint32), np.full(groups * m, 99, np.uint32)
    counts = np.arange(m)
    events = jit(lanes.list_active)(values.reshape(-1), m, ranks, positions, counts)
    return events, ranks.reshape(groups, m + 1), positions.reshape(groups, m), counts - np.arange(m)


def some_values(rng, groups, m, largest, alive):
    """Neurons that are silent in all samples, in some, or in none."""
    q = rng.integers(-largest, largest + 1, (groups, m, LANES))
    q *= rng.random((groups, m, 1)) < alive
    return (q * (rng.random(q.shape) < 0.6)).astype(np.int16)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    groups=st.integers(1, 4),
    m=st.integers(1, 40),
    alive=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_neurons_that_send_are_listed_and_counted(seed, groups, m, alive):
    values = some_values(np.random.default_rng(seed), groups, m, 3, alive)
    events, ranks, positions, counts = listed(values)
    sends = (values != 0).any(axis=2)
    assert events == np.count_nonzero(values)
    assert np.array_equal(counts, np.count_nonzero(values, axis=(0, 2)))
    for g in range(groups):
        assert ranks[g].tolist() == [0, *np.cumsum(sends[g])]
        found = np.flatnonzero(sends[g])
        assert positions[g, : len(found)].tolist() == found.tolist()


def test_one_lane_alone_is_seen():
    for lane in range(LANES):
        values = np.zeros((1, 3, LANES), np.int16)
        values[0, 1, lane] = -(2**15)
        events, ranks, positions, counts = listed(values)
        assert (events, ranks[0].tolist(), positions[0, 0]) == (1, [0, 0, 1, 1], 1)
        assert counts.tolist() == [0, 1, 0]


class Wires:
    """Random links from m to n neurons: tables for ``deliver``, and the same as one matrix ``(m, n)``."""

    def __init__(self, rng, m: int, n: int, weight: int, *, moves: bool, chunk: int) -> None:
        self.matrix = np.zeros((m, n), np.int64)
        self.patterns, self.segments, rows = [0], [], []
        self.weights = rng.integers(-weight, weight + 1, 4000).astype(np.int16)
        for pattern in range(rng.integers(1, 4)):
            rows.append(self._link(rng, pattern, m, n, moves, chunk))
        self.links = np.array(rows, np.int64).view(np.uint64)

    def _link(self, rng, pattern, m, n, moves, chunk):
        first = rng.integers(0, m)
        axons = rng.integers(1, m - first + 1)
        move = int(rng.choice([-2, -1, 1, 2])) if moves else 0
        if moves:
            axons = min(axons, 1 + (n - 1) // (2 * abs(move)))
        travel = (axons - 1) * move
        room = n - abs(travel)
        into0 = max(0, -travel)
        stride = int(rng.integers(-20, 21))
        weight0 = 2000 if stride < 0 else 0
        for _ in range(rng.integers(1, 4)):
            length = int(rng.integers(1, min(20, room) + 1))
            at = int(rng.integers(0, room - length + 1))
            self.segments.append((int(rng.integers(0, 500)), at, length))
        self.patterns.append(len(self.segments))
        for offset, at, length in self.segments[self.patterns[pattern] :]:
            for j in range(axons):
                w = weight0 + offset + j * stride
                a = into0 + at + j * move
                self.matrix[first + j, a : a + length] += self.weights[w : w + length]
        return (0, first, axons, pattern, into0, weight0, stride, move, chunk)

    def deliver(self, values: np.ndarray, acc: np.ndarray) -> None:
        """Adds to ``acc`` ``(G, n, 16)`` int32 what values ``(G, m, 16)`` bring."""
        _, ranks, positions, _ = listed(values)
        none = self.links[:0]
        resting = self.links[:, lanes.TARGET_STRIDE] == 0
        jit(lanes.deliver)(
            self.links[resting] if resting.any() else none,
            self.links[~resting] if (~resting).any() else none,
            np.array(self.patterns, np.uint64),
            np.array(self.segments, np.uint64),
            np.concatenate([self.weights, np.zeros(8, np.int16)]),
            values.reshape(-1),
            ranks.reshape(-1),
            positions.reshape(-1),
            acc.reshape(-1),
            acc.shape[1],
        )


def assert_delivers(rng, wires, m, n, largest, alive=0.7, groups=2):
    values = some_values(rng, groups, m, largest, alive)
    before = rng.integers(-(2**20), 2**20, (groups, n, LANES)).astype(np.int32)
    acc = before.copy()
    wires.deliver(values, acc)
    expected = before + np.einsum("gml,mn->gnl", values.astype(np.int64), wires.matrix)
    assert np.array_equal(acc, expected)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 100_000),
    m=st.integers(1, 70),
    n=st.integers(1, 45),
    weight=st.sampled_from([1, 127, 1000]),
    largest=st.sampled_from([1, 15, 32]),
    alive=st.sampled_from([0.0, 0.2, 1.0]),
)
def test_axons_that_share_their_targets_are_added(seed, m, n, weight, largest, alive):
    """In as many as 16 bits hold: sums of more axons would leave them."""
    rng = np.random.default_rng(seed)
    wires = Wires(rng, m, n, weight, moves=False, chunk=WIDEST // (weight * largest))
    assert_delivers(rng, wires, m, n, largest, alive)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 100_000), m=st.integers(1, 40), n=st.integers(1, 45))
def test_products_of_thirty_two_bits_are_added(seed, m, n):
    rng = np.random.default_rng(seed)
    assert_delivers(rng, Wires(rng, m, n, 1500, moves=False, chunk=0), m, n, 2500)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 100_000), m=st.integers(1, 40), n=st.integers(4, 60))
def test_axons_whose_targets_move_are_added(seed, m, n):
    rng = np.random.default_rng(seed)
    assert_delivers(rng, Wires(rng, m, n, 1500, moves=True, chunk=0), m, n, 2500)


def segment(m: int, length: int, weight: int, chunk: int) -> Wires:
    """All of m axons onto ``length`` targets, with one weight."""
    wires = Wires(np.random.default_rng(0), 1, 1, 0, moves=False, chunk=0)
    wires.patterns, wires.segments = [0, 1], [(0, 0, length)]
    wires.weights = np.full(m * length, weight, np.int16)
    wires.links = np.array([(0, 0, m, 0, 0, 0, length, 0, chunk)], np.uint64)
    wires.matrix = np.full((m, length), weight)
    return wires


@pytest.mark.parametrize("chunk", [0, 1, 2, 3, 8, 1000])
@pytest.mark.parametrize("length", range(1, 21))
def test_segments_of_every_length_leave_their_neighbours_alone(length, chunk):
    rng = np.random.default_rng(length)
    values = some_values(rng, 1, 13, 3, 1.0)
    acc = np.zeros((1, length + 9, LANES), np.int32)
    segment(13, length, 5, chunk).deliver(values, acc)
    assert np.array_equal(acc[0, :length], np.broadcast_to(5 * values[0].sum(axis=0), (length, LANES)))
    assert not acc[0, length:].any()


@pytest.mark.parametrize("length", [1, 7, 8, 9, 20])
@pytest.mark.parametrize(("weight", "value"), [(WIDEST, 1), (-1, WIDEST), (181, 181), (-127, 255), (127, 25)])
def test_full_scale_sums_are_handed_on_before_sixteen_bits_are_full(weight, value, length):
    chunk = WIDEST // (abs(weight) * value)
    assert chunk >= 1
    values = np.full((1, 50, LANES), value, np.int16)
    acc = np.zeros((1, length, LANES), np.int32)
    segment(50, length, weight, chunk).deliver(values, acc)
    assert (acc == 50 * weight * value).all()


@pytest.mark.parametrize("value", [WIDEST, -WIDEST - 1])
@pytest.mark.parametrize("weight", [WIDEST, -WIDEST - 1])
def test_the_widest_products_fill_thirty_two_bits(weight, value):
    values = np.full((1, 1, LANES), value, np.int16)
    acc = np.zeros((1, 5, LANES), np.int32)
    segment(1, 5, weight, 0).deliver(values, acc)
    assert (acc == weight * value).all()


def test_what_the_groups_of_a_tile_send_stays_apart():
    values = np.zeros((3, 4, LANES), np.int16)
    values[1, 2, 5] = 1
    acc = np.zeros((3, 6, LANES), np.int32)
    segment(4, 6, 7, 100).deliver(values, acc)
    assert acc[1, :, 5].tolist() == [7] * 6
    assert np.count_nonzero(acc) == 6
