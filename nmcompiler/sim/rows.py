"""The steps of a program, sample after sample: weight rows are added for every spike.

A step of a block adds, for every spike that arrives, the row of weights between its axon and the neurons that
it reaches. Rows of 16-bit weights are added to accumulators in registers over all spikes of a link, and these
have 16 bits too where the sums of a step fit. What a block sent in a step is kept as one bit for each neuron,
and as values beside them where there are other values than 0 and 1.

Code is explicit but portable: LLVM vector types, no instruction of any one processor. What it computes is
what the plain loops of ``nmcompiler.sim.kernels`` do, which tests hold it to, and which run where values,
weights or registers are too wide. numba is imported with this module, which therefore the first run imports.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import types
from numba.extending import register_jitable

from nmcompiler.sim.columns import IS_WIDE, LANES, OTHER_VALUES, PADDING, UNITS
from nmcompiler.sim.vectors import add_products, add_rows, add_straight, list_rows, pack, window

__all__ = ["arrive", "arriving_signature", "run_steps", "signature"]

_inner: Any = register_jitable(
    error_model="numpy", forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True
)

# Columns of the table of blocks.
(
    INPUT, GID0, N, LINKS, LINKS_END, STEPS, FIRE_START, LEVELS, SIGNED, READ_STEP, READOUT, GAIN, WIDE, KIND,
    BITS, VALUES, EVENTS, TABLE, PLACE, KEPT, ARRIVING, ARRIVED, BOUNDED,
    CURRENT,
) = range(24)  # fmt: skip
# What is known of each step: neurons that send something above 0, and below, and whether the values changed.
ABOVE_0, BELOW_0, CHANGED = (np.uint64(k) for k in range(3))
EACH = np.uint64(3)
# Columns of what a block receives from another over links of one delay.
SOURCE, DELAY, BEGIN, ALONE, STRAIGHT, MOVES, END, FIRST_ALONE, GROUP, WIDTH = range(10)
# Columns of a link.
FIRST, AXONS, PATTERN, INTO, WEIGHT, WEIGHT_STRIDE, TARGET_STRIDE = range(7)
# What holds for all blocks: words, values, entries of ``events`` and membranes of one sample among them.
TOTAL_STEPS, TURNED, BITS_OF_SAMPLE, VALUES_OF_SAMPLE, EVENTS_OF_SAMPLE, KEPT_OF_SAMPLE = range(6)
# Likewise, where it may be below 0.
ABOVE, FLOORED, FLOOR, LOWEST, HIGHEST, KEEPS = range(6)
# Rows of the registers.
V, ARRIVALS, SILENCE, DENDRITE, AUX = range(5)


def signature(integrates: bool) -> Any:
    """Returns the types of a code's ``integrate``, or of its ``fire``, over registers of 32 bits."""
    registers, sent, number = types.int32[::1], types.int16[::1], types.int64
    if integrates:
        return number(registers, registers, registers, registers, *[number] * 5)
    return types.void(registers, registers, sent, registers, *[number] * 6)


def arriving_signature() -> Any:
    """Returns the types of ``arrive``, which is compiled alone and called by its address.

    Within ``run_steps`` it would be compiled twice: numba makes machine code of every function by itself too.
    """

    def array(kind: Any, dimensions: int = 1) -> Any:
        return types.Array(kind, dimensions, "C")

    octets, shorts, words, whole, number = types.uint8, types.int16, types.uint32, types.uint64, types.uint64
    table = array(whole, 2)
    return types.boolean(
        array(shorts), array(types.int32), number, number, types.int64, number, number, array(whole), table,
        table, table, array(whole), table, array(shorts), array(whole), array(shorts), array(words),
        array(octets), array(words), array(words), array(words),
    )  # fmt: skip


@_inner
def _some(bits, at, axons):  # type: ignore[no-untyped-def]
    """Returns whether any of so many bits from ``at`` on may be set."""
    most = np.uint64(56)
    found = window(bits, at)
    return axons > most or found << (np.uint64(64) - axons) != np.uint64(0)


@_inner
def _list_rows(bits, at, axons, places, rows, k, first, stride):  # type: ignore[no-untyped-def]
    """Appends ``first + j · stride`` of each of ``axons`` bits from ``at`` on that is set.

    Returns how many there are then.
    """
    eight, most, j = np.uint64(8), np.uint64(56), np.uint64(0)
    while j < axons:
        left = min(axons - j, most)
        found = window(bits, at + j) & ~(~np.uint64(0) << left)
        for _ in range((left + np.uint64(7)) // eight):
            k += list_rows(places, found & np.uint64(255), rows, k, first + j * stride, stride)
            found >>= eight
            j += eight
    return k


@_inner
def _add_widely(  # type: ignore[no-untyped-def]
    wide, begin, end, links, patterns, segments, weights, turned, bits, above0, below0, signs, values, value0,
    other, places, queue,
):  # fmt: skip
    """Adds what links bring whose products have more than 16 bits, one row after the other."""
    one, zero = np.uint64(1), np.uint64(0)
    for e in range(begin, end):
        first, low, high = links[e, FIRST], patterns[links[e, PATTERN]], patterns[links[e, PATTERN] + one]
        for side in range(one + signs):
            bit0 = (above0 if side == zero else below0) + first
            for i in range(_list_rows(bits, bit0, links[e, AXONS], places, queue, zero, zero, one)):
                axon = np.uint64(queue[i])
                a0 = links[e, INTO] + axon * links[e, TARGET_STRIDE]
                w0 = links[e, WEIGHT] + axon * links[e, WEIGHT_STRIDE] + side * turned
                q = np.int32(values[value0 + first + axon]) if other != zero else np.int32(1)
                for s in range(low, high):
                    for j in range(segments[s, 2]):
                        wide[a0 + segments[s, 1] + j] += q * np.int32(weights[w0 + segments[s, 0] + j])


def arrive(  # type: ignore[no-untyped-def]
    narrow, wide, n, t, sample, first_link, last_link, numbers, blocks, received, links, patterns, segments,
    weights, bits, values, events, places, rows, factors, queue,
):  # fmt: skip
    """Adds what arrives in n neurons in one step to sums of 16 and of 32 bits; returns whether anything does.

    What one group of sources sends adds up in 16 bits, and is handed on before the next.
    """
    filled, group = False, np.uint64(0)
    one, zero, word, lanes, touched = np.uint64(1), np.uint64(0), np.uint64(64), np.uint64(LANES), False
    for r in range(first_link, last_link):
        source = received[r, SOURCE]
        # Before the first step this wraps around, beyond the last.
        step = t - received[r, DELAY] - blocks[source, FIRE_START]
        if step >= blocks[source, STEPS]:
            continue
        event0 = sample * numbers[EVENTS_OF_SAMPLE] + blocks[source, EVENTS] + step * EACH
        if events[event0 + ABOVE_0] == zero and events[event0 + BELOW_0] == zero:
            continue
        touched, is_wide = True, received[r, WIDTH]
        if filled and received[r, GROUP] != group:
            for i in range(n):
                wide[i] += narrow[i]
                narrow[i] = 0
        filled, group = is_wide == zero, received[r, GROUP]
        m, kind = blocks[source, N], blocks[source, KIND]
        signs = one if events[event0 + BELOW_0] != zero else zero
        other, turned = (one, zero) if kind == OTHER_VALUES else (zero, numbers[TURNED])
        words = _words(m)
        above0 = sample * numbers[BITS_OF_SAMPLE] + blocks[source, BITS]
        above0 = (above0 + step * (words if kind == UNITS else words + words)) * word
        below0 = above0 + words * word
        value0 = sample * numbers[VALUES_OF_SAMPLE] + blocks[source, VALUES] + step * m
        alone, straight, moves = received[r, ALONE], received[r, STRAIGHT], received[r, MOVES]
        first_alone = received[r, FIRST_ALONE]
        if is_wide == IS_WIDE:
            _add_widely(
                wide, received[r, BEGIN], alone, links, patterns, segments, weights, turned, bits, above0,
                below0, signs, values, value0, other, places, queue,
            )  # fmt: skip
            continue
        shared = alone - received[r, BEGIN]
        for of_side in range(one + signs):
            bit0 = (above0 if of_side == zero else below0) + first_alone
            listed = _list_rows(bits, bit0, straight - alone, places, queue, zero, zero, one)
            # Links whose axons share their targets, with both signs, then those of one axon that sends.
            for i in range(shared if of_side != zero else zero, shared + listed):
                e, k = received[r, BEGIN] + i, zero
                if i >= shared:
                    e, k = alone + queue[i - shared], one
                    rows[0] = links[e, WEIGHT] + of_side * turned
                    if other != zero:
                        factors[0] = np.uint32(values[value0 + first_alone + queue[i - shared]])
                else:
                    first, axons, row, stride = (
                        links[e, FIRST],
                        links[e, AXONS],
                        links[e, WEIGHT],
                        links[e, WEIGHT_STRIDE],
                    )
                    for side in range(one + signs):
                        bit0 = (above0 if side == zero else below0) + first
                        if side == zero or _some(bits, bit0, axons):
                            # Where values matter as well, where rows begin is found from the axons.
                            at, by = (row + side * turned, stride) if other == zero else (zero, one)
                            k = _list_rows(bits, bit0, axons, places, rows, k, at, by)
                    if other != zero:
                        for j in range(k):
                            factors[j] = np.uint32(values[value0 + first + rows[j]])
                            rows[j] = row + rows[j] * stride
                if k == zero:
                    continue
                into, pattern = links[e, INTO], links[e, PATTERN]
                for s in range(patterns[pattern], patterns[pattern + one]):
                    add_rows(
                        narrow, wide, is_wide, into + segments[s, 1], weights, segments[s, 0], rows, factors,
                        other, k, segments[s, 2],
                    )  # fmt: skip
        for e in range(straight, received[r, END]):
            axons, into, pattern = links[e, AXONS], links[e, INTO], links[e, PATTERN]
            move, stride = links[e, TARGET_STRIDE], links[e, WEIGHT_STRIDE]
            abreast = lanes if move == one and stride == one else one
            for side in range(one + signs):
                bit0 = (above0 if side == zero else below0) + links[e, FIRST]
                row = links[e, WEIGHT] + side * turned
                if e < moves:
                    add_straight(
                        narrow, wide, is_wide, into, weights, row, values, value0 + links[e, FIRST], other,
                        bits, bit0, axons,
                    )  # fmt: skip
                    continue
                for axon in range(zero, axons, abreast):
                    mask = window(bits, bit0 + axon) & ~(~zero << min(axons - axon, abreast))
                    if mask == zero:
                        continue
                    a, w, value = into + axon * move, row + axon * stride, value0 + links[e, FIRST] + axon
                    for s in range(patterns[pattern], patterns[pattern + one]):
                        add_products(
                            narrow, wide, is_wide, a + segments[s, 1], weights, w + segments[s, 0], values,
                            value, other, mask,
                        )  # fmt: skip
    return touched


@_inner
def _repeats(t, sample, first_link, last_link, numbers, blocks, received, events):  # type: ignore[no-untyped-def]
    """Returns whether what is sent to a block in one step is known to be what was sent in the step before."""
    for r in range(first_link, last_link):
        source = received[r, SOURCE]
        step = t - received[r, DELAY] - blocks[source, FIRE_START]
        event0 = sample * numbers[EVENTS_OF_SAMPLE] + blocks[source, EVENTS] + step * EACH
        if step >= blocks[source, STEPS] or events[event0 + CHANGED] != np.uint64(0):
            return False
    return first_link < last_link


@_inner
def _words(n):  # type: ignore[no-untyped-def]
    """Returns how many words hold a bit of n neurons, one more to read beyond them."""
    return (n + np.uint64(63)) // np.uint64(64) + np.uint64(1)


@_inner
def _send(b, sample, step, numbers, blocks, out, bits, values, events, counts):  # type: ignore[no-untyped-def]
    """Keeps what the neurons of a block send in a step of their firing, and counts it."""
    lanes, four, one, two = np.uint64(LANES), np.uint64(4), np.uint64(1), np.uint64(2)
    n, kind, words = blocks[b, N], blocks[b, KIND], _words(blocks[b, N])
    groups = (n + lanes - one) // lanes
    above, below = np.uint64(0), np.uint64(0)
    bit0 = sample * numbers[BITS_OF_SAMPLE] + blocks[b, BITS]
    bit0 = (bit0 + step * (words if kind == UNITS else words + words)) * four
    for side in range(one if kind == UNITS else two):
        sent = np.uint64(0)
        for g in range(groups):
            sent += pack(out, g * lanes, bits, bit0 + side * words * four + g, side)
        above, below = (sent, below) if side == 0 else (above, sent)
    event0 = sample * numbers[EVENTS_OF_SAMPLE] + blocks[b, EVENTS] + step * EACH
    events[event0 + ABOVE_0], events[event0 + BELOW_0] = above, below
    if above + below != np.uint64(0):
        for i in range(n):
            counts[i] += np.int32(out[i] != 0)
    events[event0 + CHANGED] = one
    if kind == OTHER_VALUES:
        value0 = sample * numbers[VALUES_OF_SAMPLE] + blocks[b, VALUES] + step * n
        differ = np.int16(step == np.uint64(0))
        before = value0 - (n if step != np.uint64(0) else np.uint64(0))
        for i in range(n):
            differ |= np.int16(out[i] ^ values[before + i])
            values[value0 + i] = out[i]
        events[event0 + CHANGED] = np.uint32(differ != 0)


def run_steps(  # type: ignore[no-untyped-def]
    arrived, integrate, fire, begin, end, samples, fed, tables, numbers, limits, blocks, received, links,
    patterns, segments, weights, theta, current, v0, boundaries, places, bits, values, events, membranes,
    counts, registers, narrow, out, rows, factors, queue,
):  # fmt: skip
    """Runs samples through all steps of some blocks; returns how many registers were clipped.

    Args:
        arrived: ``arrive`` as machine code.
        integrate: Of the code, over int32.
        fire: Likewise, with int16 for what is sent.
        begin: First of the blocks; those before it have been run.
        end: The one after the last.
        samples: S.
        fed: ``(S, n)`` int32: what inputs are given, as the column of ``tables`` for each value.
        tables: ``(T, 2 L + 1)`` int16: what inputs send in each step for each value.
        numbers: ``(6,)`` uint64: what holds for all blocks.
        limits: ``(6,)`` int64: likewise.
        blocks: ``(B, 24)`` uint64.
        received: ``(R, 10)`` uint64: what blocks receive from others.
        links: ``(E, 7)`` uint64, by what is received: those whose axons share their targets, or all where
            products are wide; those of one axon, with sources next to each other from ``FIRST_ALONE`` on;
            straight ones, whose axons have one target each, next to each other like their weights, the first
            at ``INTO`` and ``WEIGHT``; others whose targets move with the axon, by segments of one target.
        patterns: ``(P + 1,)`` uint64.
        segments: ``(Q, 3)`` uint64.
        weights: int16: those of a spike, and ``TURNED`` behind them those of one of −1.
        theta: ``(M,)`` int32.
        current: ``(M,)`` int32.
        v0: ``(M,)`` int32.
        boundaries: ``(total steps,)`` int8: 1 where a window begins.
        places: ``(256 · 8,)`` uint8: which bits of each octet are set.
        bits: uint64: for each sample, block and step the neurons that send something above 0, and where a
            block may send it those that send something below.
        values: int16: for each sample, block and step what is sent where it is other than 0, 1 and −1.
        events: uint32: for each sample, block and step how many send something above 0, and below, and
            whether that is other than in the step before.
        membranes: ``(S · K,)`` int32, written: those that are kept, when they are read.
        counts: ``(M,)`` int32: spikes of each neuron are added.
        registers: Scratch, ``(5, most neurons + 64)`` int32.
        narrow: Scratch, ``(most neurons + 64,)`` int16.
        out: Likewise.
        rows: Scratch, uint32.
        factors: Scratch, uint32.
        queue: Scratch, uint32.
    """
    zero, saturations = np.uint64(0), 0
    floor, lowest, highest = np.int32(limits[FLOOR]), limits[LOWEST], limits[HIGHEST]
    for b in range(begin, end):
        is_input = blocks[b, INPUT] != zero
        gid0, n, steps, wide, gain = (
            blocks[b, GID0], blocks[b, N], blocks[b, STEPS], blocks[b, WIDE], np.int32(blocks[b, GAIN])
        )  # fmt: skip
        is_wide, bounded = np.int32(wide), blocks[b, BOUNDED] != zero
        mine, sent = counts[gid0 : gid0 + n], out[:n]
        v, arrivals, dendrite, aux = (
            registers[V, :n], registers[ARRIVALS, :n], registers[DENDRITE, :n], registers[AUX, :n]
        )  # fmt: skip
        thresholds, currents, starts = theta[gid0 : gid0 + n], current[gid0 : gid0 + n], v0[gid0 : gid0 + n]
        for i in range(n + np.uint64(PADDING)):
            registers[ARRIVALS, i], registers[SILENCE, i], narrow[i], out[i] = 0, 0, 0, 0
        for s in range(samples):
            for i in range(n):
                v[i], dendrite[i], aux[i], arrivals[i] = starts[i], 0, 0, 0
            # Whether a step without arrivals and current changes nothing.
            calm, touched, filled = bounded, False, False
            for t in range(numbers[TOTAL_STEPS]):
                repeats = touched and _repeats(
                    t, s, blocks[b, LINKS], blocks[b, LINKS_END], numbers, blocks, received, events
                )
                if wide != zero and filled and not repeats:
                    filled = False
                    for i in range(n):
                        arrivals[i] = 0
                touched = repeats
                if not repeats and blocks[b, ARRIVING] <= t < blocks[b, ARRIVED]:
                    touched = arrived(
                        narrow, registers[ARRIVALS], n, t, s, blocks[b, LINKS], blocks[b, LINKS_END],
                        numbers, blocks, received, links, patterns, segments, weights, bits, values, events,
                        places, rows, factors, queue,
                    )  # fmt: skip
                filled = filled or touched
                step = t - blocks[b, FIRE_START]
                active, boundary = np.int64(step < steps), np.int64(boundaries[t])
                # A membrane beyond its range may be left so until the next window.
                settles = boundary != 0 and not bounded
                if is_input:
                    calm = True
                elif touched or settles or not calm or (active != 0 and blocks[b, CURRENT] != zero):
                    if touched and not repeats:
                        for i in range(n):
                            arrivals[i] = np.int32((arrivals[i] * is_wide + narrow[i]) * gain)
                            narrow[i] = 0
                    arriving = registers[ARRIVALS if touched else SILENCE, :n]
                    saturations += integrate(
                        arriving, v, dendrite, currents, np.int64(n), active, boundary, lowest, highest
                    )
                    if limits[FLOORED] != 0:
                        for i in range(n):
                            v[i] = max(v[i], floor)
                    slope = np.int32(0)
                    for i in range(n):
                        slope |= dendrite[i]
                    calm = slope == 0 and limits[KEEPS] != 0
                if blocks[b, KEPT] != zero and t == blocks[b, READ_STEP]:
                    place = s * numbers[KEPT_OF_SAMPLE] + blocks[b, PLACE]
                    for i in range(n):
                        membranes[place + i] = v[i]
                if active != 0 and blocks[b, READOUT] == zero:
                    calm = calm and bounded
                    if is_input:
                        column, table = blocks[b, PLACE], blocks[b, TABLE] + step
                        for i in range(n):
                            out[i] = tables[table, fed[s, column + i]]
                    else:
                        fire(
                            v, aux, sent, thresholds, np.int64(n), np.int64(step), np.int64(steps),
                            np.int64(blocks[b, LEVELS]), np.int64(blocks[b, SIGNED]), limits[ABOVE],
                        )  # fmt: skip
                    _send(b, s, step, numbers, blocks, out, bits, values, events, mine)
    return saturations
