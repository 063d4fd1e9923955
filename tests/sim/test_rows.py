"""The kernel that adds a row of weights for every spike, part by part, against numpy."""

from dataclasses import dataclass, field
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.codings import CODINGS
from nmcompiler.sim import columns, rows, stepwise
from nmcompiler.sim.jit import jit, pointer

WIDEST = 32767
UNITS, SIGNED, VALUES = columns.UNITS, columns.SIGNED_UNITS, columns.OTHER_VALUES
NARROW, LINK, WIDE = columns.GROUP_IS_NARROW, columns.LINK_IS_NARROW, columns.IS_WIDE
NUMBER = np.uint64
CODE = (
    pointer(rows.arrive, rows.arriving_signature()),
    pointer(CODINGS["graded"].integrate, rows.signature(True)),
    pointer(CODINGS["graded"].fire, rows.signature(False)),
)


# --- what a block sends -----------------------------------------------------------------------------------


@dataclass
class Sent:
    """What inputs of one block send, ``(S, steps, m)``, as the kernel writes it."""

    values: np.ndarray
    kind: int
    numbers: np.ndarray = field(init=False)
    block: np.ndarray = field(init=False)
    written: tuple[np.ndarray, ...] = field(init=False)
    counts: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        samples, steps, m = self.values.shape
        words = steps * (1 + (self.kind != UNITS)) * (-(-m // 64) + 1)
        self.numbers = np.array([steps + 1, 0, words, steps * m, 3 * steps, 0], np.uint64)
        self.block = np.zeros(24, np.uint64)
        self.block[[rows.INPUT, rows.N, rows.STEPS, rows.KIND, rows.GAIN]] = 1, m, steps, self.kind, 1
        sizes = samples * self.numbers[2:5].astype(int) + columns.PADDING
        # What was there before must not matter.
        self.written = tuple(np.full(n, 77, d) for n, d in zip(sizes, stepwise._SENT, strict=True))
        self.counts = np.zeros(m, np.int32)
        # Every neuron of every sample has a column of its own in the table of what is sent.
        table = np.ascontiguousarray(self.values.transpose(1, 0, 2).reshape(steps, -1), np.int16)
        fed = np.arange(samples * m, dtype=np.uint32).reshape(samples, m)
        for _ in range(2):  # nor what an earlier run has sent
            self.counts[:] = 0
            run(self, self.block[None], 0, 1, np.zeros((3, m), np.int32), np.zeros(0, np.int32), fed, table)

    def bits(self) -> np.ndarray:
        """The bits kept, ``(S, steps, 1 or 2, m)``."""
        samples, steps, m = self.values.shape
        kept = self.written[0][: -columns.PADDING].reshape(samples, steps, 1 + (self.kind != UNITS), -1)
        return np.unpackbits(kept.view(np.uint8), axis=3, count=m, bitorder="little")


NO_WIRES = (
    *(np.zeros((0, columns), np.uint64) for columns in (10, 7)),
    np.zeros(1, np.uint64),
    np.zeros((0, 3), np.uint64),
    np.zeros(columns.PADDING, np.int16),
)


def run(
    sent: Sent, blocks, begin: int, end: int, registers, membranes, fed=None, table=None, wires=NO_WIRES
) -> int:
    """Runs some blocks behind or before what inputs have sent; scratch is full of what must not matter."""
    samples, _, m = sent.values.shape
    fed = np.zeros((samples, m), np.uint32) if fed is None else fed
    table = np.zeros((1, 1), np.int16) if table is None else table
    neurons, many = registers.shape[1], int(blocks[:, rows.N].max()) + columns.PADDING
    counts = sent.counts if begin == 0 else np.zeros(neurons, np.int32)
    return jit(rows.run_steps)(
        *CODE, begin, end, samples, fed, table, sent.numbers, np.array([0, 0, 0, -(2**31), 2**31 - 1, 1]),
        blocks, *wires, *registers, np.zeros(int(sent.numbers[0]), np.int8), stepwise._places(),
        *sent.written, membranes, counts, np.full((5, many), 55, np.int32), np.full(many, 55, np.int16),
        np.full(many, 55, np.int16), *np.full((3, 2 * many), 55, np.uint32),
    )  # fmt: skip


def drawn(rng, samples, m, kind, alive=0.5, largest=9, steps=1):
    """Values ``(S, steps, m)`` that a block of a kind may send; all, some or none of a step."""
    low, high = {UNITS: (0, 1), SIGNED: (-1, 1), VALUES: (-largest, largest)}[kind]
    q = rng.integers(low, high + 1, (samples, steps, m)) * (rng.random((samples, steps, m)) < alive)
    return q * (rng.random((samples, steps, 1)) < 0.8)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    m=st.integers(1, 200),
    kind=st.sampled_from([UNITS, SIGNED, VALUES]),
    alive=st.sampled_from([0.0, 0.1, 1.0]),
)
def test_what_is_sent_is_kept_and_counted(seed, m, kind, alive):
    values = drawn(np.random.default_rng(seed), 3, m, kind, alive, steps=4)
    sent = Sent(values, kind)
    sides = [values > 0] if kind == UNITS else [values > 0, values < 0]
    assert np.array_equal(sent.bits(), np.stack(sides, axis=2))
    assert np.array_equal(sent.counts, np.count_nonzero(values, axis=(0, 1)))
    events = sent.written[2][: -columns.PADDING].reshape(3, 4, 3)
    assert np.array_equal(events[..., 0], (values > 0).sum(axis=2))
    assert np.array_equal(events[..., 1], (values < 0).sum(axis=2))
    if kind == VALUES:
        assert np.array_equal(sent.written[1][: -columns.PADDING].reshape(values.shape), values)
        changed = np.ones((3, 4), bool)
        changed[:, 1:] = (values[:, 1:] != values[:, :-1]).any(axis=2)
        assert np.array_equal(events[..., 2], changed)


@pytest.mark.parametrize("value", [WIDEST, -WIDEST])
@pytest.mark.parametrize("m", [1, 16, 17, 64, 65])
def test_one_neuron_alone_is_seen(m, value):
    for i in range(m):
        values = np.zeros((1, 1, m), int)
        values[0, 0, i] = value
        sent = Sent(values, VALUES)
        assert np.flatnonzero(sent.bits()[0, 0, int(value < 0)]).tolist() == [i]
        assert not sent.bits()[0, 0, int(value > 0)].any()


# --- which spikes there are -------------------------------------------------------------------------------


@numba.njit(error_model="numpy")
def list_rows(bits, at, axons, places, listed, k, first, stride):
    return rows._list_rows(bits, at, axons, places, listed, k, first, stride)


@numba.njit(error_model="numpy")
def some(bits, at, axons):
    return rows._some(bits, at, axons)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    at=st.integers(0, 130),
    axons=st.integers(1, 200),
    alive=st.sampled_from([0.0, 0.1, 1.0]),
    stride=st.integers(-9, 9),
)
def test_rows_of_spikes_are_listed_behind_those_before_them(seed, at, axons, alive, stride):
    found = np.random.default_rng(seed).random(at + axons + 1) < alive
    found[-1] = True  # of another link
    octets = np.packbits(found, bitorder="little")
    bits = np.zeros(8, np.uint64)
    bits.view(np.uint8)[: len(octets)] = octets
    expected = 2000 + stride * np.flatnonzero(found[at : at + axons])
    listed = np.full(axons + 16, 99, np.uint32)
    numbers = map(NUMBER, (5, 2000, stride % 2**64))
    end = list_rows(bits, NUMBER(at), NUMBER(axons), stepwise._places(), listed, *numbers)
    assert listed[:5].tolist() == [99] * 5
    assert listed[5:end].tolist() == expected.tolist()
    if len(expected):
        assert some(bits, NUMBER(at), NUMBER(axons))
    elif axons <= 56:
        assert not some(bits, NUMBER(at), NUMBER(axons))


# --- what arrives -----------------------------------------------------------------------------------------


class Wires:
    """Links from m to n neurons in the columns of ``rows``, and the same as one matrix ``(m, n)``."""

    def __init__(self, m: int, n: int, weights: Any) -> None:
        self.m, self.n = m, n
        self.weights = np.array(weights, np.int16)
        self.matrix = np.zeros((m, n), np.int64)
        self.patterns: list[int] = [0]
        self.segments: list[tuple[int, int, int]] = []
        self.received: list[list[int]] = []
        self.links: list[tuple[int, ...]] = []

    def pattern(self, segments) -> int:
        """The number of a new pattern."""
        self.segments += segments
        self.patterns.append(len(self.segments))
        return len(self.patterns) - 2

    def link(self, first, axons, pattern, into, weight, stride=0, move=0, straight=False) -> None:
        """One more link; straight ones have no segment."""
        self.links.append((first, axons, pattern, into, weight, stride, move))
        segments = self.segments[self.patterns[pattern] : self.patterns[pattern + 1]]
        for offset, at, length in [(0, 0, 1)] if straight else segments:
            for j in range(axons):
                w, a = weight + offset + j * stride, into + at + j * move
                self.matrix[first + j, a : a + length] += self.weights[w : w + length]

    def arrive(self, *ends: int, first_alone: int = 0, group: int = 0, width: int = NARROW) -> None:
        """What stands between the links so far: those that rest, are alone, are straight, and move."""
        begin = self.received[-1][6] if self.received else 0
        ends = (*ends, *[len(self.links)] * (4 - len(ends)))
        self.received.append([0, 1, begin, *ends, first_alone, group, width])

    def bring(self, values, kind, gain=1, *, start=0, wide=None) -> np.ndarray:
        """The membranes ``(S, n)`` of a read-out, started from ``start``, after values ``(S, m)`` arrived."""
        sent = Sent(values[:, None], kind)
        samples = len(values)
        received = np.array(self.received, np.uint64)
        block = np.zeros(24, np.uint64)
        block[[rows.GID0, rows.N, rows.LINKS_END, rows.STEPS]] = self.m, self.n, len(received), 1
        block[[rows.FIRE_START, rows.READ_STEP, rows.READOUT, rows.KEPT, rows.ARRIVING]] = 1
        block[rows.ARRIVED] = 2
        widths = received[:, [rows.GROUP, rows.WIDTH]]
        block[[rows.GAIN, rows.WIDE]] = gain, widths.any() if wide is None else wide
        none, neurons = np.zeros(columns.PADDING, np.int16), self.m + self.n
        sent.numbers[[rows.TURNED, rows.KEPT_OF_SAMPLE]] = len(self.weights) + columns.PADDING, self.n
        v0 = np.zeros(neurons, np.int32)
        v0[self.m :] = start
        membranes = np.empty(samples * self.n, np.int32)
        wires = (
            received,
            np.array(self.links, np.int64).view(np.uint64),
            np.array(self.patterns, np.uint64),
            np.array(self.segments, np.int64).reshape(-1, 3).view(np.uint64),
            np.concatenate([self.weights, none, -self.weights, none]),
        )
        registers = np.stack([np.zeros(neurons, np.int32), np.zeros(neurons, np.int32), v0])
        assert run(sent, np.stack([sent.block, block]), 1, 2, registers, membranes, wires=wires) == 0
        return membranes.reshape(samples, self.n)

    def assert_brings(self, values, kind, gain=1, **options) -> None:
        """What arrives is the product with the matrix."""
        start = np.arange(self.n) * 1000 - 7
        left = self.bring(values, kind, gain, start=start, **options)
        assert np.array_equal(left, start + gain * (values @ self.matrix))


def any_links(rng, m, n, weight, *, moves):
    """Random links with random segments, all in one received entry."""
    wires = Wires(m, n, rng.integers(-weight, weight + 1, 4000))
    for _ in range(rng.integers(1, 4)):
        first = rng.integers(0, m)
        axons = int(rng.integers(1, m - first + 1))
        move = int(rng.choice([-2, -1, 1, 2])) if moves else 0
        if moves:
            axons = min(axons, 1 + (n - 1) // (2 * abs(move)))
        stride = 1 if moves and rng.random() < 0.5 else int(rng.integers(-9, 10))
        room, segments = n - (axons - 1) * abs(move), []
        for _ in range(rng.integers(1, 4)):
            length = int(rng.integers(1, min(150, room) + 1))
            offset, at = int(rng.integers(0, 500)), int(rng.integers(0, room - length + 1))
            # Links whose targets move have segments of one target.
            units = [(offset + k, at + k, 1) for k in range(length)]
            segments += units if moves else [(offset, at, length)]
        into = max(0, -(axons - 1) * move)
        wires.link(first, axons, wires.pattern(segments), into, 2000, stride, move)
    return wires


ANY = {
    "seed": st.integers(0, 100_000),
    "m": st.integers(1, 140),
    "n": st.integers(1, 200),
    "kind": st.sampled_from([UNITS, SIGNED, VALUES]),
    "alive": st.sampled_from([0.0, 0.2, 1.0]),
    "width": st.sampled_from([NARROW, LINK, WIDE]),
    "gain": st.sampled_from([1, 8]),
}


@pytest.mark.parametrize("moves", [False, True])
@settings(max_examples=60, deadline=None)
@given(**ANY)
def test_links_of_every_kind_are_added(moves, seed, m, n, kind, alive, width, gain):
    rng = np.random.default_rng(seed)
    # At most nine segments of all links reach one neuron, from 140 axons each.
    weight, largest = (WIDEST, 2**30 // (140 * 9 * WIDEST)) if width == WIDE else (2, 9)
    wires = any_links(rng, m, n, weight, moves=moves)
    ends = [len(wires.links)] * 4 if width == WIDE or not moves else [0, 0, 0, len(wires.links)]
    wires.arrive(*ends, width=width)
    values = drawn(rng, 3, m, kind, alive, largest)[:, 0]
    wires.assert_brings(values, kind, 1 if width == WIDE else gain)


@settings(max_examples=40, deadline=None)
@given(**(ANY | {"width": st.sampled_from([NARROW, LINK])}))
def test_axons_that_stand_alone_are_added(seed, m, n, kind, alive, width, gain):
    """One link for each source from some first on, some of them without a synapse."""
    rng = np.random.default_rng(seed)
    wires = Wires(m, n, rng.integers(-9, 10, 400))
    first = int(rng.integers(0, m))
    none = wires.pattern([])
    for source in range(first, m):
        length = int(rng.integers(1, n + 1))
        some = wires.pattern([(int(rng.integers(0, 99)), int(rng.integers(0, n - length + 1)), length)])
        wires.link(source, 1, none if rng.random() < 0.3 else some, 0, int(rng.integers(0, 100)))
    wires.arrive(0, len(wires.links), first_alone=first, width=width)
    wires.assert_brings(drawn(rng, 3, m, kind, alive)[:, 0], kind, gain)


@settings(max_examples=40, deadline=None)
@given(**(ANY | {"width": st.sampled_from([NARROW, LINK])}))
def test_axons_with_one_target_each_are_added(seed, m, n, kind, alive, width, gain):
    rng = np.random.default_rng(seed)
    wires = Wires(m, n, rng.integers(-WIDEST // 200, WIDEST // 200, 400))
    none = wires.pattern([])
    for _ in range(3):
        axons = int(rng.integers(1, min(m, n) + 1))
        first, into = int(rng.integers(0, m - axons + 1)), int(rng.integers(0, n - axons + 1))
        wires.link(first, axons, none, into, int(rng.integers(0, 200)), 1, 1, straight=True)
    wires.arrive(0, 0, 3, width=width)
    wires.assert_brings(drawn(rng, 3, m, kind, alive)[:, 0], kind, gain)


def segment(m: int, length: int, weight: int, n: int = 0, at: int = 0) -> Wires:
    """All of m axons onto ``length`` of n targets, with one weight; no entry received yet."""
    wires = Wires(m, n or length, np.full(length, weight))
    wires.link(0, m, wires.pattern([(0, at, length)]), 0, 0)
    return wires


@pytest.mark.parametrize("width", [NARROW, LINK, WIDE])
@pytest.mark.parametrize("kind", [UNITS, VALUES])
def test_segments_of_every_length_leave_their_neighbours_alone(width, kind):
    rng = np.random.default_rng(0)
    for length in range(1, 131):
        wires = segment(13, length, 5, length + 70, at=3)
        wires.arrive(*[1] * (4 if width == WIDE else 1), width=width)
        wires.assert_brings(drawn(rng, 2, 13, kind, 1.0)[:, 0], kind)


@pytest.mark.parametrize("length", [1, 15, 16, 17, 64, 70])
@pytest.mark.parametrize(
    ("axons", "weight", "value"),
    [
        (1, WIDEST, 1),
        (1, -WIDEST, 1),
        (7, 4681, 1),
        (7, -4681, -1),
        (1, 1, -WIDEST),
        (7, 1, -4681),
        (1, -1, WIDEST),
    ],
)
def test_full_scale_sums_fill_sixteen_bits(axons, weight, value, length):
    kind = UNITS if value == 1 else SIGNED if value == -1 else VALUES
    wires = segment(axons, length, weight)
    wires.arrive(1)
    values = np.full((2, axons), value)
    assert (abs(values @ wires.matrix) == WIDEST).all()
    wires.assert_brings(values, kind)


def test_the_least_of_sixteen_bits_is_a_sum_too():
    wires = segment(2, 20, -16384)
    wires.arrive(1)
    wires.assert_brings(np.ones((1, 2), int), UNITS)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("width", [LINK, WIDE])
def test_full_scale_sums_of_links_are_handed_on_before_sixteen_bits_are_full(width, sign):
    wires = Wires(50, 20, np.full(20, WIDEST))
    pattern = wires.pattern([(0, 0, 20)])
    for axon in range(50):
        wires.link(axon, 1, pattern, 0, 0)
    wires.arrive(*[50] * (4 if width == WIDE else 1), width=width)
    left = wires.bring(np.full((2, 50), sign), SIGNED)
    assert (left == sign * 50 * WIDEST).all()


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("kind", ["rests", "moves"])
def test_the_widest_products_fill_thirty_two_bits(kind, sign):
    """Two of them, and what the membrane held before."""
    wires = Wires(2, 5, np.full(9, sign * WIDEST))
    wires.link(0, 2, wires.pattern([(0, 0, 5)]), 0, 0, 1)
    wires.arrive(*[1] * 4, width=WIDE)
    edge = sign * (2**31 - 1)
    left = wires.bring(np.full((1, 2), WIDEST), VALUES, start=edge - sign * 2 * WIDEST**2)
    assert (left == edge).all()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), kind=st.sampled_from([UNITS, SIGNED, VALUES]))
def test_groups_are_handed_on_one_after_the_other(seed, kind):
    """Some of 16 bits, each full; some by links; some wide; some silent, of sources that send nothing."""
    rng = np.random.default_rng(seed)
    parts, largest = 6, 9 if kind == VALUES else 1
    wires = Wires(parts, 37, rng.integers(-(WIDEST // largest), WIDEST // largest + 1, 300))
    number = 0
    for part in range(parts):
        length = int(rng.integers(1, 38))
        at = int(rng.integers(0, 38 - length))
        wires.link(part, 1, wires.pattern([(int(rng.integers(0, 200)), at, length)]), 0, 0)
        width = int(rng.choice([NARROW, LINK, WIDE]))
        number += part > 0 or width != NARROW
        wires.arrive(*[part + 1] * (4 if width == WIDE else 1), group=number, width=width)
    values = drawn(rng, 5, parts, kind, 0.7, largest)[:, 0]
    wires.assert_brings(values, kind, wide=True)


@pytest.mark.parametrize("kind", [UNITS, SIGNED, VALUES])
def test_one_sample_alone_and_many_stay_apart(kind):
    rng = np.random.default_rng(3)
    wires = Wires(70, 40, rng.integers(-50, 51, 2800))
    wires.link(0, 70, wires.pattern([(0, 0, 40)]), 0, 0, 40)
    wires.arrive(1)
    values = drawn(rng, 9, 70, kind, 0.3)[:, 0]
    together = wires.bring(values, kind)
    alone = [wires.bring(values[s : s + 1], kind) for s in range(9)]
    assert np.array_equal(together, np.concatenate(alone))
    assert len(np.unique(together, axis=0)) > 4


def test_every_octet_lists_the_bits_that_are_set():
    for row, octet in enumerate(stepwise._places().reshape(256, 8)):
        bits = np.flatnonzero(row >> np.arange(8) & 1)
        assert octet[: len(bits)].tolist() == bits.tolist()
