"""The windowed path for sixteen samples at once, one in each lane of a vector.

Weights are then scalars, the same for all lanes, and every link is visited once for sixteen samples; an axon
that is silent in all of them is left out. Code is explicit but portable: LLVM vector types, no instruction of
any one processor. What it computes is what the plain loops of ``nmcompiler.sim.kernels`` do, which tests hold
it to, and which run where values or weights are too wide.

numba is imported with this module, which therefore the first run imports.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from nmcompiler.sim.columns import LANES
from nmcompiler.sim.vectors import call, constant, data, splat

__all__ = ["LANES", "MODES", "run_blocks"]

_intrinsic: Any = intrinsic
_alloca: Any = cgutils.alloca_once
_alloca_value: Any = cgutils.alloca_once_value


MODES = ("popcount", "value", "one")
"""How many spikes stand for a value: as many as its binary digits that are 1, its magnitude, or one."""

# Columns of the table of blocks.
(
    INPUT,
    GID0,
    N,
    RESTING,
    RESTING_END,
    MOVING,
    MOVING_END,
    ACC0,
    SHIFT,
    READOUT,
    LEVELS,
    LOWEST,
    FLOAT32,
    SHORT,
) = range(14)
# Columns of a link, beside those of ``nmcompiler.sim.kernels``: how many axons add up in 16 bits; with 0 they
# are taken two by two, and weights are those of ``paired``.
SOURCE, FIRST, AXONS, PATTERN, INTO, WEIGHT, WEIGHT_STRIDE, TARGET_STRIDE, CHUNK = range(9)

_I8, _I16, _I32, _I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_V16, _V32 = ir.VectorType(_I16, LANES), ir.VectorType(_I32, LANES)
_PAIRS = ir.VectorType(_I16, 2 * LANES)
_BYTES = ir.VectorType(_I8, 2 * LANES)
_MOST_TARGETS = 8


def _at(b: Any, pointer: Any, neuron: Any, vector: Any) -> Any:
    """Returns the pointer to the lanes of a neuron."""
    return b.gep(b.bitcast(pointer, vector.as_pointer()), [neuron])


def _load(b: Any, pointer: Any, neuron: Any, vector: Any) -> Any:
    return b.load(_at(b, pointer, neuron, vector), align=vector.element.width // 8)


def _store(b: Any, value: Any, pointer: Any, neuron: Any, vector: Any) -> None:
    b.store(value, _at(b, pointer, neuron, vector), align=vector.element.width // 8)


def _add_to(b: Any, value: Any, pointer: Any, neuron: Any, vector: Any) -> None:
    """Adds 16-bit lanes to those of a neuron, which have 16 or 32."""
    value = value if vector is _V16 else b.sext(value, vector)
    _store(b, b.add(_load(b, pointer, neuron, vector), value), pointer, neuron, vector)


def _fence(b: Any, value: Any, vector: Any = None) -> Any:
    """Returns a vector, as another type where one is given, as something that LLVM does not look behind.

    It knows the sum of two products of neighbours as one instruction, but only where it finds them side by
    side: not once shuffles have been folded into what they are of, or the additions put in another order.
    """
    floats = ir.VectorType(ir.FloatType(), LANES)
    kept = call(b, "llvm.arithmetic.fence.v16f32", floats, [b.bitcast(value, floats)])
    return b.bitcast(kept, vector or value.type)


def _dot(b: Any, left: Any, right: Any) -> Any:
    """Returns for each lane the sum of the products of two neighbours, as 32 bits."""
    halves = []
    for k in (0, 1):
        mask = ir.Constant(_V32, list(range(k, 2 * LANES, 2)))
        halves.append([b.sext(b.shuffle_vector(x, x, mask), _V32) for x in (left, right)])
    return b.add(b.mul(*halves[0]), b.mul(*halves[1]))


class _Loop:
    """``for variable in start, start + step, … below end``, not unrolled: most loops over axons are short."""

    def __init__(self, builder: Any, start: Any, end: Any, step: Any) -> None:
        self.b, self.end, self.step = builder, end, step
        self.variable = _alloca_value(builder, start)

    def __enter__(self) -> Any:
        b = self.b
        self.head, self.body, self.done = (b.append_basic_block(n) for n in ("head", "body", "done"))
        b.branch(self.head)
        b.position_at_end(self.head)
        here = b.load(self.variable)
        b.cbranch(b.icmp_unsigned("<", here, self.end), self.body, self.done)
        b.position_at_end(self.body)
        return here

    def __exit__(self, *error: object) -> None:
        b = self.b
        b.store(b.add(b.load(self.variable), self.step), self.variable)
        b.branch(self.head).set_metadata("llvm.loop", _as_written(b.module))
        b.position_at_end(self.done)


def _as_written(module: Any) -> Any:
    """Returns metadata of a loop that LLVM neither unrolls nor keeps accumulators for in registers.

    Most loops over axons are short, and accumulators of several loops are more than there are registers. The
    metadata of a loop names itself first.
    """
    names = ("llvm.loop.unroll.disable", "llvm.licm.disable")
    told = [module.add_metadata([ir.MetaDataString(module, name)]) for name in names]
    loop = module.add_metadata([*told, ir.Constant(_I32, len(module.metadata))])
    loop.operands = (loop, *told)
    return loop


@dataclass(frozen=True)
class _Segment:
    """Axons of one source pixel and the targets that they share: pointers, and the list of axons."""

    b: Any
    acc: Any
    weights: Any
    positions: Any
    values: Any
    stride: Any
    neuron0: Any
    start: Any
    end: Any
    chunk: Any
    short: Any
    paired: Any

    def narrow(self, targets: int, at: Any, first: Any) -> None:
        """Adds all axons to ``targets`` neurons from ``at`` on, in products of 16 bits.

        They are added up over ``chunk`` axons, as many as cannot overflow, and then to the accumulators.
        Where these have 16 bits too, what overflows on the way comes back: the whole fits.
        """
        b = self.b
        sums = [_alloca(b, _V16) for _ in range(targets)]
        with _Loop(b, self.start, self.end, self.chunk) as low:
            for s in sums:
                b.store(ir.Constant(_V16, None), s)
            high = b.add(low, self.chunk)
            high = b.select(b.icmp_unsigned("<", high, self.end), high, self.end)
            with _Loop(b, low, high, constant(1)) as r:
                q, row = self._axon(r, first)
                for k, s in enumerate(sums):
                    w = b.load(b.gep(self.weights, [b.add(row, constant(k))]))
                    b.store(b.add(b.load(s), b.mul(q, splat(b, w, _V16))), s)
            with b.if_else(b.icmp_unsigned("!=", self.short, constant(0))) as (then, otherwise):
                for branch, lanes in ((then, _V16), (otherwise, _V32)):
                    with branch:
                        for k, s in enumerate(sums):
                            _add_to(b, b.load(s), self.acc, b.add(at, constant(k)), lanes)

    def pairs(self, targets: int, at: Any, first: Any) -> None:
        """Likewise in products of 32 bits, two axons at a time, zeros included; weights stand two by two."""
        b = self.b
        sums = [_alloca(b, _V32) for _ in range(targets)]
        for k, s in enumerate(sums):
            b.store(_load(b, self.acc, b.add(at, constant(k)), _V32), s)
        with _Loop(b, self.start, self.end, constant(2)) as axon:
            neuron = b.add(self.neuron0, axon)
            two = [_load(b, self.values, b.add(neuron, constant(k)), _V16) for k in (0, 1)]
            mask = [lane + LANES * k for lane in range(LANES) for k in (0, 1)]
            q = _fence(b, b.shuffle_vector(*two, ir.Constant(ir.VectorType(_I32, 2 * LANES), mask)))
            row = b.add(first, b.mul(b.lshr(axon, constant(1)), self.stride))
            for k, s in enumerate(sums):
                w = b.load(b.gep(self.paired, [b.add(row, constant(k))]))
                both = _fence(b, splat(b, w, _V32), _PAIRS)
                b.store(b.add(b.load(s), _fence(b, _dot(b, q, both))), s)
        for k, s in enumerate(sums):
            _store(b, b.load(s), self.acc, b.add(at, constant(k)), _V32)

    def _axon(self, r: Any, first: Any) -> tuple[Any, Any]:
        """Returns the values of the axon that stands at r, and where its weights begin."""
        b = self.b
        axon = b.zext(b.load(b.gep(self.positions, [b.add(self.neuron0, r)])), _I64)
        q = _load(b, self.values, b.add(self.neuron0, axon), _V16)
        return q, b.add(first, b.mul(axon, self.stride))

    def add(self, most: int, write: Any, at: Any, first: Any, length: Any) -> None:
        """Adds all axons to ``length`` targets, ``most`` at a time, as registers hold; then to half."""
        b = self.b
        done = _alloca_value(b, constant(0))
        head, after = b.append_basic_block("targets"), b.append_basic_block("after")
        b.branch(head)
        b.position_at_end(head)
        here = b.load(done)
        left = b.sub(length, here)
        sizes = [most >> k for k in range(most.bit_length())]
        cases = {size: b.append_basic_block(f"targets{size}") for size in sizes}
        choice = b.switch(left, cases[most])
        choice.add_case(constant(0), after)
        for few in range(1, most):
            choice.add_case(constant(few), cases[1 << few.bit_length() - 1])
        for size, case in cases.items():
            b.position_at_end(case)
            write(size, b.add(at, here), b.add(first, here))
            b.store(b.add(here, constant(size)), done)
            b.branch(head)
        b.position_at_end(after)


@_intrinsic
def _add_segment(  # type: ignore[no-untyped-def]
    typingctx,
    acc,
    at,
    weights,
    first,
    stride,
    positions,
    values,
    neuron0,
    start,
    end,
    length,
    chunk,
    short,
    paired,
):
    """Adds weight · value of some axons to ``length`` neurons from ``at`` on.

    They are those that ``positions`` lists from start to end; or, where ``chunk`` is 0, these themselves.
    """
    u = types.uint64
    signature = types.void(acc, u, weights, u, u, positions, values, u, u, u, u, u, u, paired)

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        acc, weights, positions, values, paired = (
            data(context, b, signature, args, k) for k in (0, 2, 5, 6, 13)
        )
        _, at, _, first, stride, _, _, neuron0, start, end, length, chunk, short, _ = args
        segment = _Segment(
            b, acc, weights, positions, values, stride, neuron0, start, end, chunk, short, paired
        )
        with b.if_else(b.icmp_unsigned("!=", chunk, constant(0))) as (then, otherwise):
            with then:
                segment.add(_MOST_TARGETS, segment.narrow, at, first, length)
            with otherwise:
                segment.add(_MOST_TARGETS // 2, segment.pairs, at, first, length)
        return context.get_dummy_value()

    return signature, codegen


@_intrinsic
def _add_axon(typingctx, acc, at, values, neuron, weight, short):  # type: ignore[no-untyped-def]
    """Adds weight · value of one neuron to another's accumulators."""
    signature = types.void(acc, types.uint64, values, types.uint64, types.int16, types.uint64)

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        acc, values = (data(context, b, signature, args, k) for k in (0, 2))
        _, at, _, neuron, weight, short = args
        q = _load(b, values, neuron, _V16)
        with b.if_else(b.icmp_unsigned("!=", short, constant(0))) as (then, otherwise):
            with then:
                _add_to(b, b.mul(q, splat(b, weight, _V16)), acc, at, _V16)
            with otherwise:
                w = splat(b, b.sext(weight, _I32), _V32)
                total = b.add(_load(b, acc, at, _V32), b.mul(b.sext(q, _V32), w))
                _store(b, total, acc, at, _V32)
        return context.get_dummy_value()

    return signature, codegen


def _quotient(b: Any, x: Any, scale: Any, lowest: Any, levels: Any, kind: Any) -> Any:
    """Returns ``clip(floor((x + ½) · scale), lowest, levels)`` as 32-bit lanes."""
    floats = ir.VectorType(kind, LANES)
    half = ir.Constant(floats, [0.5] * LANES)
    y = b.fmul(b.fadd(b.sitofp(x, floats), half), splat(b, scale, floats))
    y = call(b, "llvm.floor.v16f32" if kind == ir.FloatType() else "llvm.floor.v16f64", floats, [y])
    for bound, sign in ((b.sitofp(lowest, kind), ">"), (b.sitofp(levels, kind), "<")):
        limit = splat(b, bound, floats)
        y = b.select(b.fcmp_ordered(sign, y, limit), y, limit)
    return b.fptosi(y, _V32)


def _counted(b: Any, sent: Any, mode: Any) -> Any:
    """Returns how many spikes stand for values, all lanes together, and 2^32 more where there are any."""
    zero = ir.Constant(_V16, None)
    word = b.bitcast(b.icmp_signed("!=", sent, zero), _I16)
    size = b.select(b.icmp_signed("<", sent, zero), b.sub(zero, sent), sent)
    count = _alloca(b, _I32)
    b.store(b.zext(call(b, "llvm.ctpop.i16", _I16, [word]), _I32), count)
    after, digits, whole = (b.append_basic_block(name) for name in ("counted", "digits", "whole"))
    ways = b.switch(mode, after)
    for way, block in enumerate((digits, whole)):
        ways.add_case(constant(way), block)
    b.position_at_end(digits)
    # No more than 15 digits in each of sixteen lanes.
    ones = call(b, "llvm.ctpop.v32i8", _BYTES, [b.bitcast(size, _BYTES)])
    b.store(b.zext(call(b, "llvm.vector.reduce.add.v32i8", _I8, [ones]), _I32), count)
    b.branch(after)
    b.position_at_end(whole)
    b.store(call(b, "llvm.vector.reduce.add.v16i32", _I32, [b.zext(size, _V32)]), count)
    b.branch(after)
    b.position_at_end(after)
    some = b.zext(b.icmp_unsigned("!=", word, ir.Constant(_I16, 0)), _I64)
    return b.or_(b.zext(b.load(count), _I64), b.shl(some, constant(32)))


@_intrinsic
def _fire(  # type: ignore[no-untyped-def]
    typingctx, acc, at, short, shift, start, scale, lowest, levels, float32, live, mode, values, neuron
):
    """Writes the values of one neuron; returns its spikes, and 2^32 more where any value is other than 0."""
    u, i = types.uint64, types.int64
    signature = u(acc, u, u, i, i, types.float64, i, i, i, i, i, values, u)

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        acc, values = (data(context, b, signature, args, k) for k in (0, 11))
        _, at, short, shift, start, scale, lowest, levels, float32, live, mode, _, neuron = args
        arrived = _alloca(b, _V32)
        with b.if_else(b.icmp_unsigned("!=", short, constant(0))) as (then, otherwise):
            with then:
                b.store(b.sext(_load(b, acc, at, _V16), _V32), arrived)
            with otherwise:
                b.store(_load(b, acc, at, _V32), arrived)
        x = b.shl(b.load(arrived), splat(b, b.trunc(shift, _I32), _V32))
        x = b.add(x, splat(b, b.trunc(start, _I32), _V32))
        q = _alloca(b, _V32)
        single, double = ir.FloatType(), ir.DoubleType()
        with b.if_else(b.icmp_signed("!=", float32, constant(0))) as (then, otherwise):
            with then:
                b.store(_quotient(b, x, b.fptrunc(scale, single), lowest, levels, single), q)
            with otherwise:
                b.store(_quotient(b, x, scale, lowest, levels, double), q)
        zero = ir.Constant(_V32, None)
        lanes = ir.Constant(_V32, list(range(LANES)))
        alive = b.icmp_signed("<", lanes, splat(b, b.trunc(live, _I32), _V32))
        sent = b.trunc(b.select(alive, b.load(q), zero), _V16)
        _store(b, sent, values, neuron, _V16)
        return _counted(b, sent, mode)

    return signature, codegen


@_intrinsic
def _spikes(typingctx, values, neuron, mode):  # type: ignore[no-untyped-def]
    """Returns the spikes that stand for the values of one neuron, and 2^32 more where any is other than 0."""
    signature = types.uint64(values, types.uint64, types.int64)

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        q = _load(b, data(context, b, signature, args, 0), args[1], _V16)
        return _counted(b, q, args[2])

    return signature, codegen


def run_blocks(  # type: ignore[no-untyped-def]
    begin,
    end,
    blocks,
    resting,
    moving,
    patterns,
    segments,
    weights,
    paired,
    start,
    scale,
    live,
    mode,
    values,
    acc,
    counts,
    ranks,
    positions,
):
    """Runs a group of samples through some blocks of a program whose certificate holds.

    Args:
        begin: First of them; those before it have been run.
        end: The one after the last.
        blocks: ``(B, 14)`` int64: the columns above.
        resting: ``(E, 9)`` uint64: links whose axons share their targets.
        moving: ``(F, 9)`` uint64: those whose targets move with the axon.
        patterns: ``(P + 1,)`` uint64.
        segments: ``(Q, 3)`` uint64.
        weights: ``(W + 64,)`` int16.
        paired: ``(V,)`` int32: weights two by two, see ``nmcompiler.sim.pairs``.
        start: ``(M,)`` int64: membranes at firing without arrivals, less 1 where neurons fire on v > θ.
        scale: ``(M,)`` float64: 1 / θ.
        live: Samples of the group.
        mode: Number in ``MODES``.
        values: ``(16 · M + 16,)`` int16: of inputs, read; of all other neurons, written.
        acc: int32: accumulators, those of block b from ``blocks[b, ACC0]`` neurons on, written; of ``SHORT``
            blocks of 16 bits, twice as many in the same place.
        counts: ``(M,)`` int64: spikes of each neuron are added.
        ranks: ``(M + B,)`` uint32, scratch: neurons of the same block before each that send anything.
        positions: ``(M,)`` uint32, scratch: the neurons of each block that send anything.
    """
    one, zero, lanes = np.uint64(1), np.uint64(0), np.uint64(LANES)
    for b in range(begin, end):
        gid0, n = np.uint64(blocks[b, GID0]), np.uint64(blocks[b, N])
        rank0 = gid0 + np.uint64(b)
        k = zero
        if blocks[b, INPUT] != 0:
            for i in range(n):
                ranks[rank0 + i] = k
                sent: Any = _spikes(values, gid0 + i, mode)
                counts[gid0 + i] += np.int64(sent & np.uint64(0xFFFFFFFF))
                if sent >> np.uint64(32) != zero:
                    positions[gid0 + k] = i
                    k += one
            ranks[rank0 + n] = k
            continue
        acc0 = np.uint64(blocks[b, ACC0])
        for i in range(n * lanes):
            acc[acc0 * lanes + i] = 0
        # Neurons whose sums have 16 bits stand twice as densely.
        short = np.uint64(blocks[b, SHORT])
        acc0 <<= short
        for e in range(np.uint64(blocks[b, RESTING]), np.uint64(blocks[b, RESTING_END])):
            source, first = resting[e, SOURCE], resting[e, FIRST]
            neuron0 = np.uint64(blocks[source, GID0])
            at = neuron0 + source + first
            low, high = np.uint64(ranks[at]), np.uint64(ranks[at + resting[e, AXONS]])
            if low == high:
                continue
            stride = resting[e, WEIGHT_STRIDE]
            base, into = resting[e, WEIGHT] - first * stride, acc0 + resting[e, INTO]
            if resting[e, CHUNK] == zero:
                neuron0, base = neuron0 + first, resting[e, WEIGHT]
                low, high = zero, resting[e, AXONS]
            pattern = resting[e, PATTERN]
            for s in range(patterns[pattern], patterns[pattern + one]):
                _add_segment(
                    acc, into + segments[s, 1], weights, base + segments[s, 0], stride, positions, values,
                    neuron0, low, high, segments[s, 2], resting[e, CHUNK], short,
                    paired,
                )  # fmt: skip
        for e in range(np.uint64(blocks[b, MOVING]), np.uint64(blocks[b, MOVING_END])):
            neuron0 = np.uint64(blocks[moving[e, SOURCE], GID0]) + moving[e, FIRST]
            into, weight = acc0 + moving[e, INTO], moving[e, WEIGHT]
            stride, move, pattern = moving[e, WEIGHT_STRIDE], moving[e, TARGET_STRIDE], moving[e, PATTERN]
            for s in range(patterns[pattern], patterns[pattern + one]):
                for i in range(segments[s, 2]):
                    a, w = into + segments[s, 1] + i, weight + segments[s, 0] + i
                    for j in range(moving[e, AXONS]):
                        _add_axon(acc, a + j * move, values, neuron0 + j, weights[w + j * stride], short)
        if blocks[b, READOUT] != 0:
            continue
        for i in range(n):
            ranks[rank0 + i] = k
            sent = _fire(
                acc, acc0 + i, short, blocks[b, SHIFT], start[gid0 + i], scale[gid0 + i], blocks[b, LOWEST],
                blocks[b, LEVELS], blocks[b, FLOAT32], live, mode, values, gid0 + i,
            )  # fmt: skip
            counts[gid0 + i] += np.int64(sent & np.uint64(0xFFFFFFFF))
            if sent >> np.uint64(32) != zero:
                positions[gid0 + k] = i
                k += one
        ranks[rank0 + n] = k
