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

from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, register_jitable

__all__ = ["PADDING", "feed", "run_steps", "signature"]

_intrinsic: Any = intrinsic
_inner: Any = register_jitable(
    error_model="numpy", forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True
)

PADDING = 64
"""Entries behind accumulators, weights and what is sent that vectors may read."""

# Columns of the table of blocks.
(
    INPUT, GID0, N, LINKS, LINKS_END, STEPS, FIRE_START, LEVELS, SIGNED, READ_STEP, READOUT, GAIN, WIDE, KIND,
    BITS, VALUES, EVENTS, TABLE, PLACE, KEPT,
) = range(20)  # fmt: skip
# What a block sends in one step: 0 or 1; −1 too; or other values.
UNITS, SIGNED_UNITS, OTHER_VALUES = range(3)
# What is known of each step: neurons that send something above 0, and below, and whether the values changed.
ABOVE_0, BELOW_0, CHANGED = (np.uint64(k) for k in range(3))
EACH = np.uint64(3)
# Columns of what a block receives from another over links of one delay.
SOURCE, DELAY, BEGIN, ALONE, STRAIGHT, MOVES, END, FIRST_ALONE, GROUP, WIDTH = range(10)
# How wide what arrives is: all of a group has 16 bits; all of a link has; not even a product has.
GROUP_IS_NARROW, LINK_IS_NARROW, IS_WIDE = range(3)
# Columns of a link.
FIRST, AXONS, PATTERN, INTO, WEIGHT, WEIGHT_STRIDE, TARGET_STRIDE = range(7)
# What holds for all blocks: words, values, entries of ``events`` and membranes of one sample among them.
TOTAL_STEPS, TURNED, BITS_OF_SAMPLE, VALUES_OF_SAMPLE, EVENTS_OF_SAMPLE, KEPT_OF_SAMPLE = range(6)
# Likewise, where it may be below 0.
ABOVE, FLOORED, FLOOR, LOWEST, HIGHEST = range(5)
# Rows of the registers.
V, ARRIVALS, SILENCE, DENDRITE, AUX, V_BEFORE, DENDRITE_BEFORE = range(7)

LANES = 16
_MOST_VECTORS = 4
_I8, _I16, _I32, _I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_ONES = ir.VectorType(ir.IntType(1), LANES)
_V16, _V32 = ir.VectorType(_I16, LANES), ir.VectorType(_I32, LANES)


def signature(integrates: bool) -> Any:
    """Returns the types of a code's ``integrate``, or of its ``fire``, over registers of 32 bits."""
    registers, sent, number = types.int32[::1], types.int16[::1], types.int64
    if integrates:
        return number(registers, registers, registers, registers, *[number] * 5)
    return types.void(registers, registers, sent, registers, *[number] * 6)


def _index(value: int) -> Any:
    return ir.Constant(_I64, value)


def _data(context: Any, builder: Any, signature: Any, args: Any, k: int) -> Any:
    """Returns the pointer to the data of array argument k."""
    return context.make_array(signature.args[k])(context, builder, args[k]).data


def _splat(b: Any, scalar: Any, vector: Any) -> Any:
    one = b.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.Constant(_I32, 0))
    return b.shuffle_vector(one, one, ir.Constant(ir.VectorType(_I32, vector.count), None))


def _load(b: Any, pointer: Any, at: Any, vector: Any) -> Any:
    place = b.bitcast(b.gep(pointer, [at]), vector.as_pointer())
    return b.load(place, align=vector.element.width // 8)


def _store(b: Any, value: Any, pointer: Any, at: Any) -> None:
    place = b.bitcast(b.gep(pointer, [at]), value.type.as_pointer())
    b.store(value, place, align=value.type.element.width // 8)


def _call(b: Any, name: str, result: Any, args: list[Any]) -> Any:
    """Calls one of LLVM's own functions."""
    kind = ir.FunctionType(result, [a.type for a in args])
    function: Any = cgutils.get_or_insert_function
    return b.call(function(b.module, kind, name), args)


@_intrinsic
def _pack(typingctx, sent, at, bits, place, below):  # type: ignore[no-untyped-def]
    """Writes which of 16 values are above 0, or below, to the 16 bits at ``place``; returns how many are."""

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        sent, bits = (_data(context, b, signature, args, k) for k in (0, 2))
        value, zero = _load(b, sent, args[1], _V16), ir.Constant(_V16, None)
        value = b.select(b.icmp_unsigned("!=", args[4], _index(0)), b.sub(zero, value), value)
        word = b.bitcast(b.icmp_signed(">", value, zero), _I16)
        b.store(word, b.gep(b.bitcast(bits, _I16.as_pointer()), [args[3]]), align=2)
        return b.zext(_call(b, "llvm.ctpop.i16", _I16, [word]), _I64)

    u = types.uint64
    return u(sent, u, bits, u, u), codegen


@_intrinsic
def _window(typingctx, bits, at):  # type: ignore[no-untyped-def]
    """Returns the bits from bit ``at`` on, at least 57."""

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        octets = b.bitcast(_data(context, b, signature, args, 0), _I8.as_pointer())
        place = b.bitcast(b.gep(octets, [b.lshr(args[1], _index(3))]), _I64.as_pointer())
        return b.lshr(b.load(place, align=1), b.and_(args[1], _index(7)))

    u = types.uint64
    return u(bits, u), codegen


@_intrinsic
def _list(typingctx, places, octet, rows, k, first, stride):  # type: ignore[no-untyped-def]
    """Writes ``first + j · stride`` of each bit j of eight that is set, from entry k on; returns how many."""

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        places, rows = (_data(context, b, signature, args, n) for n in (0, 2))
        _, octet, _, k, first, stride = args
        eight = ir.VectorType(_I32, 8)
        j = b.zext(_load(b, places, b.shl(octet, _index(3)), ir.VectorType(_I8, 8)), eight)
        row = b.add(b.mul(j, _splat(b, b.trunc(stride, _I32), eight)), _splat(b, b.trunc(first, _I32), eight))
        _store(b, row, rows, k)
        return _call(b, "llvm.ctpop.i64", _I64, [octet])

    u = types.uint64
    return u(places, u, rows, u, u, u), codegen


def _as_written(module: Any) -> Any:
    """Returns metadata of a loop that is not unrolled: few spikes come at a time. It names itself first."""
    told = module.add_metadata([ir.MetaDataString(module, "llvm.loop.unroll.disable")])
    loop = module.add_metadata([told, ir.Constant(_I32, len(module.metadata))])
    loop.operands = (loop, told)
    return loop


class _Sums:
    """Accumulators of 16 bits, or of 32 where ``wide`` is other than 0, to which vectors of 16 bits are added."""

    def __init__(self, b: Any, narrow: Any, wide: Any, is_wide: Any) -> None:
        self.b, self.narrow, self.wide = b, narrow, wide
        self.is_wide = b.icmp_unsigned("!=", is_wide, _index(0))

    def add(self, sums: Sequence[Any], at: Any) -> None:
        """Adds vectors to the neurons from ``at`` on."""
        b = self.b
        places = [b.add(at, _index(LANES * v)) for v in range(len(sums))]
        with b.if_else(self.is_wide) as (then, otherwise):
            with then:
                for total, place in zip(sums, places, strict=True):
                    _store(b, b.add(_load(b, self.wide, place, _V32), b.sext(total, _V32)), self.wide, place)
            with otherwise:
                for total, place in zip(sums, places, strict=True):
                    _store(b, total, self.narrow, place)


class _Rows:
    """Rows of weights that spikes of one link add to neurons next to each other.

    Attributes:
        sums: What they are added to.
        weights: Pointer to all weights.
        rows: Pointer to where the row of each spike begins.
        values: Pointer to the value of each spike, None where all are 1.
        spikes: How many there are, at least one.
    """

    def __init__(self, sums: _Sums, weights: Any, rows: Any, values: Any, spikes: Any) -> None:
        self.b = sums.b
        self.sums, self.weights, self.rows, self.values, self.spikes = sums, weights, rows, values, spikes

    def add(self, at: Any, offset: Any, length: Any) -> None:
        """Adds entries ``offset`` … ``offset + length − 1`` of all rows to the neurons from ``at`` on."""
        b, whole = self.b, _index(LANES * _MOST_VECTORS)
        begun = b.block
        loop, done = b.append_basic_block("pieces"), b.append_basic_block("added")
        b.branch(loop)
        b.position_at_end(loop)
        here = b.phi(_I64)
        here.add_incoming(_index(0), begun)
        left = b.sub(length, here)
        left = b.select(b.icmp_unsigned("<", left, whole), left, whole)
        after = b.append_basic_block("after")
        cases = [b.append_basic_block(f"vectors{k}") for k in range(1, _MOST_VECTORS + 1)]
        choice = b.switch(b.lshr(b.add(left, _index(LANES - 1)), _index(4)), cases[-1])
        for k, case in enumerate(cases, 1):
            if k < _MOST_VECTORS:
                choice.add_case(_index(k), case)
            b.position_at_end(case)
            self._piece(k, b.add(at, here), b.add(offset, here), left)
            b.branch(after)
        b.position_at_end(after)
        further = b.add(here, whole)
        here.add_incoming(further, after)
        b.cbranch(b.icmp_unsigned("<", further, length), loop, done)
        b.position_at_end(done)

    def _piece(self, vectors: int, at: Any, offset: Any, length: Any) -> None:
        """Adds to as many vectors of accumulators as registers hold; the last may be left in part."""
        b = self.b
        weights = b.gep(self.weights, [offset])
        places = [b.add(at, _index(LANES * v)) for v in range(vectors)]
        first = [_load(b, self.sums.narrow, p, _V16) for p in places]
        begun, loop, done = b.block, b.append_basic_block("spikes"), b.append_basic_block("all")
        b.branch(loop)
        b.position_at_end(loop)
        r = b.phi(_I64)
        sums = [b.phi(_V16) for _ in range(vectors)]
        r.add_incoming(_index(0), begun)
        # A row may begin below the weights where its segments do not.
        row = b.sext(b.load(b.gep(self.rows, [r])), _I64)
        value = None
        if self.values is not None:
            value = _splat(b, b.trunc(b.load(b.gep(self.values, [r])), _I16), _V16)
        added = []
        for v, total in enumerate(sums):
            w = _load(b, weights, b.add(row, _index(LANES * v)), _V16)
            added.append(b.add(total, w if value is None else b.mul(value, w)))
            total.add_incoming(first[v], begun)
            total.add_incoming(added[v], loop)
        following = b.add(r, _index(1))
        r.add_incoming(following, loop)
        back = b.cbranch(b.icmp_unsigned("<", following, self.spikes), loop, done)
        back.set_metadata("llvm.loop", _as_written(b.module))
        b.position_at_end(done)
        left = b.trunc(b.sub(length, _index(LANES * (vectors - 1))), _I16)
        mine = b.icmp_signed("<", ir.Constant(_V16, list(range(LANES))), _splat(b, left, _V16))
        added[-1] = b.select(mine, added[-1], first[-1])
        self.sums.add(added, at)


@_intrinsic
def _add_rows(typingctx, narrow, wide, is_wide, at, weights, offset, rows, values, valued, spikes, length):  # type: ignore[no-untyped-def]
    """Adds the rows of all spikes of a link to ``length`` neurons from ``at`` on."""
    u = types.uint64

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        narrow, wide, weights, rows, values = (_data(context, b, signature, args, k) for k in (0, 1, 4, 6, 7))
        _, _, is_wide, at, _, offset, _, _, valued, spikes, length = args
        sums = _Sums(b, narrow, wide, is_wide)
        with b.if_else(b.icmp_unsigned("!=", valued, _index(0))) as (then, otherwise):
            with then:
                _Rows(sums, weights, rows, values, spikes).add(at, offset, length)
            with otherwise:
                _Rows(sums, weights, rows, None, spikes).add(at, offset, length)
        return context.get_dummy_value()

    return types.void(narrow, wide, u, u, weights, u, rows, values, u, u, u), codegen


@_intrinsic
def _add_products(typingctx, narrow, wide, is_wide, at, weights, row, values, value0, valued, mask):  # type: ignore[no-untyped-def]
    """Adds the weights from ``row`` on to the neurons from ``at`` on, each where its spike is among 16."""
    u = types.uint64

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        narrow, wide, weights, values = (_data(context, b, signature, args, k) for k in (0, 1, 4, 6))
        _, _, is_wide, at, _, row, _, value0, valued, mask = args
        alive = b.bitcast(b.trunc(mask, _I16), _ONES)
        added: Any = cgutils.alloca_once(b, _V16)
        b.store(b.select(alive, _load(b, weights, row, _V16), ir.Constant(_V16, None)), added)
        with b.if_then(b.icmp_unsigned("!=", valued, _index(0)), likely=False):
            b.store(b.mul(b.load(added), _load(b, values, value0, _V16)), added)
        _Sums(b, narrow, wide, is_wide).add([b.add(_load(b, narrow, at, _V16), b.load(added))], at)
        return context.get_dummy_value()

    return types.void(narrow, wide, u, u, weights, u, values, u, u, u), codegen


@_inner
def _some(bits, at, axons):  # type: ignore[no-untyped-def]
    """Returns whether any of so many bits from ``at`` on may be set."""
    most = np.uint64(56)
    found = _window(bits, at)
    return axons > most or found << (np.uint64(64) - axons) != np.uint64(0)


@_inner
def _list_rows(bits, at, axons, places, rows, k, first, stride):  # type: ignore[no-untyped-def]
    """Appends ``first + j · stride`` of each of ``axons`` bits from ``at`` on that is set; returns how many."""
    eight, most, j = np.uint64(8), np.uint64(56), np.uint64(0)
    while j < axons:
        left = min(axons - j, most)
        found = _window(bits, at + j) & ~(~np.uint64(0) << left)
        for _ in range((left + np.uint64(7)) // eight):
            k += _list(places, found & np.uint64(255), rows, k, first + j * stride, stride)
            found >>= eight
            j += eight
    return k


@_inner
def _add_widely(  # type: ignore[no-untyped-def]
    wide, begin, end, links, patterns, segments, weights, turned, bits, above0, below0, signs, values, value0, other,
    places, queue,
):  # fmt: skip
    """Adds what links bring whose products have more than 16 bits, one row after the other."""
    one, zero = np.uint64(1), np.uint64(0)
    for e in range(begin, end):
        first, axons = links[e, FIRST], links[e, AXONS]
        units = _list_rows(bits, above0 + first, axons, places, queue, zero, zero, one)
        count = _list_rows(bits, below0 + first, axons, places, queue, units, zero, one) if signs != zero else units
        for i in range(count):
            axon = np.uint64(queue[i])
            a0 = links[e, INTO] + axon * links[e, TARGET_STRIDE]
            w0 = links[e, WEIGHT] + axon * links[e, WEIGHT_STRIDE] + (zero if i < units else turned)
            q = np.int32(values[value0 + first + axon]) if other != zero else np.int32(1)
            for s in range(patterns[links[e, PATTERN]], patterns[links[e, PATTERN] + one]):
                a, w = a0 + segments[s, 1], w0 + segments[s, 0]
                for j in range(segments[s, 2]):
                    wide[a + j] += q * np.int32(weights[w + j])


@_inner
def _arrive(  # type: ignore[no-untyped-def]
    narrow, wide, n, t, sample, first_link, last_link, numbers, blocks, received, links, patterns, segments,
    weights, bits, values, events, places, rows, factors, queue,
):  # fmt: skip
    """Adds what arrives in n neurons in one step to the sums of 16 and of 32 bits; returns whether anything does.

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
                wide, received[r, BEGIN], alone, links, patterns, segments, weights, turned, bits, above0, below0, signs,
                values, value0, other, places, queue,
            )  # fmt: skip
            continue
        for e in range(received[r, BEGIN], alone):
            first, axons, stride, row = links[e, FIRST], links[e, AXONS], links[e, WEIGHT_STRIDE], links[e, WEIGHT]
            k = _list_rows(bits, above0 + first, axons, places, rows, zero, row, stride)
            if signs != zero and _some(bits, below0 + first, axons):
                k = _list_rows(bits, below0 + first, axons, places, rows, k, row + turned, stride)
            if k == zero:
                continue
            if other != zero:
                k = _list_rows(bits, above0 + first, axons, places, factors, zero, zero, one)
                if signs != zero:
                    k = _list_rows(bits, below0 + first, axons, places, factors, k, zero, one)
                for i in range(k):
                    factors[i] = np.uint32(values[value0 + first + factors[i]])
            into, pattern = links[e, INTO], links[e, PATTERN]
            for s in range(patterns[pattern], patterns[pattern + one]):
                _add_rows(
                    narrow, wide, is_wide, into + segments[s, 1], weights, segments[s, 0], rows, factors, other, k,
                    segments[s, 2],
                )  # fmt: skip
        units = _list_rows(bits, above0 + first_alone, straight - alone, places, queue, zero, zero, one)
        count = units
        if signs != zero:
            count = _list_rows(bits, below0 + first_alone, straight - alone, places, queue, units, zero, one)
        for i in range(count):
            e = alone + queue[i]
            rows[0] = links[e, WEIGHT] + (zero if i < units else turned)
            if other != zero:
                factors[0] = np.uint32(values[value0 + first_alone + queue[i]])
            into, pattern = links[e, INTO], links[e, PATTERN]
            for s in range(patterns[pattern], patterns[pattern + one]):
                _add_rows(
                    narrow, wide, is_wide, into + segments[s, 1], weights, segments[s, 0], rows, factors, other, one,
                    segments[s, 2],
                )  # fmt: skip
        for e in range(straight, received[r, END]):
            first, axons, row, into = links[e, FIRST], links[e, AXONS], links[e, WEIGHT], links[e, INTO]
            low, high, abreast = zero, one, lanes
            if e >= moves:
                pattern = links[e, PATTERN]
                low, high = patterns[pattern], patterns[pattern + one]
                abreast = lanes if links[e, WEIGHT_STRIDE] == one and links[e, TARGET_STRIDE] == one else one
            for axon in range(zero, axons, abreast):
                alive = ~(~zero << min(axons - axon, abreast))
                for side in range(one + signs):
                    mask = _window(bits, (above0 if side == zero else below0) + first + axon) & alive
                    if mask == zero:
                        continue
                    a0, w0 = into + axon, row + axon + (zero if side == zero else turned)
                    if abreast == one:
                        a0 += axon * (links[e, TARGET_STRIDE] - one)
                        w0 += axon * (links[e, WEIGHT_STRIDE] - one)
                    for s in range(low, high):
                        a, w, length = a0, w0, one
                        if e >= moves:
                            a, w, length = a0 + segments[s, 1], w0 + segments[s, 0], segments[s, 2]
                        for i in range(length):
                            _add_products(
                                narrow, wide, is_wide, a + i, weights, w + i, values, value0 + first + axon, other, mask
                            )  # fmt: skip
    return touched


@_inner
def _repeats(t, sample, first_link, last_link, numbers, blocks, received, events):  # type: ignore[no-untyped-def]
    """Returns whether all that is sent to a block in one step is known to be what was sent in the step before."""
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
            sent += _pack(out, g * lanes, bits, bit0 + side * words * four + g, side)
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


def feed(b, samples, numbers, blocks, fed, tables, bits, values, events, counts, out):  # type: ignore[no-untyped-def]
    """Sends what an input block is given.

    Args:
        b: The block.
        samples: S.
        numbers: As in ``run_steps``, like all arguments that are not here.
        blocks: Likewise.
        fed: ``(S, n)`` int32: the column of ``tables`` for each value.
        tables: ``(T, 2 L + 1)`` int16: what is sent in each step for each value.
        bits: Written.
        values: Written.
        events: Written.
        counts: Added to.
        out: Scratch.
    """
    gid0, n, column, table = blocks[b, GID0], blocks[b, N], blocks[b, PLACE], blocks[b, TABLE]
    mine = counts[gid0 : gid0 + n]
    for i in range(np.uint64(LANES)):
        out[n + i] = 0
    for s in range(samples):
        for j in range(blocks[b, STEPS]):
            for i in range(n):
                out[i] = tables[table + j, fed[s, column + i]]
            _send(b, s, j, numbers, blocks, out, bits, values, events, mine)


def run_steps(  # type: ignore[no-untyped-def]
    integrate, fire, begin, end, samples, numbers, limits, blocks, received, links, patterns, segments, weights,
    theta, current, v0, boundaries, places, bits, values, events, membranes, counts, registers, narrow, out, rows,
    factors, queue,
):  # fmt: skip
    """Runs samples through all steps of some blocks; returns how many registers were clipped.

    Args:
        integrate: Of the code, over int32.
        fire: Likewise, with int16 for what is sent.
        begin: First of the blocks; those before it have been run, and inputs fed.
        end: The one after the last.
        samples: S.
        numbers: ``(6,)`` uint64: what holds for all blocks.
        limits: ``(5,)`` int64: likewise.
        blocks: ``(B, 20)`` uint64.
        received: ``(R, 10)`` uint64: what blocks receive from others.
        links: ``(E, 7)`` uint64, by what is received: those whose axons share their targets, or all where
            products are wide; those of one axon,
            with sources next to each other from ``FIRST_ALONE`` on; straight ones, whose axons have one target
            each, next to each other like their weights, the first at ``INTO`` and ``WEIGHT``; other ones whose
            targets move with the axon.
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
        events: uint32: for each sample, block and step how many send something above 0, and below, and whether
            that is other than in the step before.
        membranes: ``(S · K,)`` int32, written: those that are kept, when they are read.
        counts: ``(M,)`` int32: spikes of each neuron are added.
        registers: Scratch, ``(7, most neurons + 64)`` int32.
        narrow: Scratch, ``(most neurons + 64,)`` int16.
        out: Likewise.
        rows: Scratch, uint32.
        factors: Scratch, uint32.
        queue: Scratch, uint32.
    """
    one, zero, saturations = np.uint64(1), np.uint64(0), 0
    floor, lowest, highest = np.int32(limits[FLOOR]), limits[LOWEST], limits[HIGHEST]
    for b in range(begin, end):
        if blocks[b, INPUT] != zero:
            continue
        gid0, n, steps, wide, gain = (
            blocks[b, GID0], blocks[b, N], blocks[b, STEPS], blocks[b, WIDE], np.int32(blocks[b, GAIN])
        )  # fmt: skip
        is_wide = np.int32(wide)
        mine, sent = counts[gid0 : gid0 + n], out[:n]
        v, arrivals, dendrite, aux = (
            registers[V, :n], registers[ARRIVALS, :n], registers[DENDRITE, :n], registers[AUX, :n]
        )  # fmt: skip
        v_before, dendrite_before = registers[V_BEFORE, :n], registers[DENDRITE_BEFORE, :n]
        thresholds, currents, starts = theta[gid0 : gid0 + n], current[gid0 : gid0 + n], v0[gid0 : gid0 + n]
        for i in range(n + np.uint64(PADDING)):
            registers[ARRIVALS, i], registers[SILENCE, i], narrow[i], out[i] = 0, 0, 0, 0
        # What leaves the start as it is does so in every sample.
        rests_at_start = 0
        for s in range(samples):
            for i in range(n):
                v[i], dendrite[i], aux[i], arrivals[i] = starts[i], 0, 0, 0
            rest, begun, touched, filled = rests_at_start, False, False, False
            for t in range(numbers[TOTAL_STEPS]):
                repeats = touched and _repeats(
                    t, s, blocks[b, LINKS], blocks[b, LINKS_END], numbers, blocks, received, events
                )
                if wide != zero and filled and not repeats:
                    filled = False
                    for i in range(n):
                        arrivals[i] = 0
                touched = repeats or _arrive(
                    narrow, registers[ARRIVALS], n, t, s, blocks[b, LINKS], blocks[b, LINKS_END], numbers, blocks,
                    received, links, patterns, segments, weights, bits, values, events, places, rows, factors, queue,
                )  # fmt: skip
                filled = filled or touched
                step = t - blocks[b, FIRE_START]
                active, boundary = np.int64(step < steps), np.int64(boundaries[t])
                mode = 1 << (2 * active + boundary)
                if touched or (rest & mode) == 0:
                    watched = not touched and active == 0
                    begun = begun or not watched
                    if watched:
                        for i in range(n):
                            v_before[i], dendrite_before[i] = v[i], dendrite[i]
                    elif touched and not repeats:
                        for i in range(n):
                            arrivals[i] = np.int32((arrivals[i] * is_wide + narrow[i]) * gain)
                            narrow[i] = 0
                    arriving = registers[ARRIVALS if touched else SILENCE, :n]
                    clipped = integrate(
                        arriving, v, dendrite, currents, np.int64(n), active, boundary, lowest, highest
                    )
                    saturations += clipped
                    if limits[FLOORED] != 0:
                        for i in range(n):
                            v[i] = max(v[i], floor)
                    rest = rest if watched else 0
                    if watched:
                        differ = np.int32(clipped != 0)
                        for i in range(n):
                            differ |= (v[i] ^ v_before[i]) | (dendrite[i] ^ dendrite_before[i])
                        rest = rest | mode if differ == 0 else 0
                        begun = begun or differ != 0
                        rests_at_start = rests_at_start if begun else rest
                if blocks[b, KEPT] != zero and t == blocks[b, READ_STEP]:
                    place = s * numbers[KEPT_OF_SAMPLE] + blocks[b, PLACE]
                    for i in range(n):
                        membranes[place + i] = v[i]
                if active != 0 and blocks[b, READOUT] == zero:
                    rest = 0
                    fire(
                        v, aux, sent, thresholds, np.int64(n), np.int64(step), np.int64(steps),
                        np.int64(blocks[b, LEVELS]), np.int64(blocks[b, SIGNED]), limits[ABOVE],
                    )  # fmt: skip
                    _send(b, s, step, numbers, blocks, out, bits, values, events, mine)
    return saturations
