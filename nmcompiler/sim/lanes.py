"""The windowed path for sixteen samples at once, one in each lane of a vector.

Weights are then scalars, the same for all lanes, and every link is visited once for sixteen samples; an axon
that is silent in all of them is left out. Code is explicit but portable: LLVM vector types, no instruction of
any one processor. What it computes is what the plain loops of ``nmcompiler.sim.kernels`` do, which tests hold
it to, and which run where values or weights are too wide.

numba is imported with this module, which therefore the first run imports. All functions that are compiled
together stand in this file: numba's cache looks at no other.
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
INPUT, GID0, N, RESTING, RESTING_END, MOVING, MOVING_END, ACC0, SHIFT, READOUT, LEVELS, LOWEST, FLOAT32 = (
    range(13)
)
# Columns of a link, beside those of ``nmcompiler.sim.kernels``: rows whose products add up in 16 bits.
SOURCE, FIRST, AXONS, PATTERN, INTO, WEIGHT, WEIGHT_STRIDE, TARGET_STRIDE, CHUNK = range(9)

_I16, _I32, _I64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)
_V16, _V32 = ir.VectorType(_I16, LANES), ir.VectorType(_I32, LANES)
_MOST_TARGETS = 8


def _at(b: Any, pointer: Any, neuron: Any, vector: Any) -> Any:
    """Returns the pointer to the lanes of a neuron."""
    return b.bitcast(b.gep(pointer, [b.shl(neuron, constant(4))]), vector.as_pointer())


def _load(b: Any, pointer: Any, neuron: Any, vector: Any) -> Any:
    return b.load(_at(b, pointer, neuron, vector), align=vector.element.width // 8)


def _store(b: Any, value: Any, pointer: Any, neuron: Any, vector: Any) -> None:
    b.store(value, _at(b, pointer, neuron, vector), align=vector.element.width // 8)


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

    def narrow(self, targets: int, at: Any, first: Any) -> None:
        """Adds all axons to ``targets`` neurons from ``at`` on, in products of 16 bits.

        They are added up over ``chunk`` axons, as many as cannot overflow, and then to the accumulators.
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
            for k, s in enumerate(sums):
                place = b.add(at, constant(k))
                total = b.add(_load(b, self.acc, place, _V32), b.sext(b.load(s), _V32))
                _store(b, total, self.acc, place, _V32)

    def wide(self, targets: int, at: Any, first: Any) -> None:
        """Likewise in products of 32 bits."""
        b = self.b
        sums = [_alloca(b, _V32) for _ in range(targets)]
        for k, s in enumerate(sums):
            b.store(_load(b, self.acc, b.add(at, constant(k)), _V32), s)
        with _Loop(b, self.start, self.end, constant(1)) as r:
            q, row = self._axon(r, first)
            q = b.sext(q, _V32)
            for k, s in enumerate(sums):
                w = b.sext(b.load(b.gep(self.weights, [b.add(row, constant(k))])), _I32)
                b.store(b.add(b.load(s), b.mul(q, splat(b, w, _V32))), s)
        for k, s in enumerate(sums):
            _store(b, b.load(s), self.acc, b.add(at, constant(k)), _V32)

    def _axon(self, r: Any, first: Any) -> tuple[Any, Any]:
        """Returns the values of the axon that stands at r, and where its weights begin."""
        b = self.b
        axon = b.zext(b.load(b.gep(self.positions, [b.add(self.neuron0, r)])), _I64)
        q = _load(b, self.values, b.add(self.neuron0, axon), _V16)
        return q, b.add(first, b.mul(axon, self.stride))

    def add(self, most: int, write: Any, at: Any, first: Any, length: Any) -> None:
        """Adds all axons to ``length`` targets, ``most`` at a time: as many as registers hold."""
        b = self.b
        with _Loop(b, constant(0), length, constant(most)) as done:
            left = b.sub(length, done)
            left = b.select(b.icmp_unsigned("<", left, constant(most)), left, constant(most))
            after = b.append_basic_block("after")
            cases = [b.append_basic_block(f"targets{k}") for k in range(1, most + 1)]
            choice = b.switch(left, after)
            for k, case in enumerate(cases, 1):
                choice.add_case(constant(k), case)
                b.position_at_end(case)
                write(k, b.add(at, done), b.add(first, done))
                b.branch(after)
            b.position_at_end(after)


@_intrinsic
def _add_segment(  # type: ignore[no-untyped-def]
    typingctx, acc, at, weights, first, stride, positions, values, neuron0, start, end, length, chunk
):
    """Adds weight · value of the axons listed from start to end to ``length`` neurons from ``at`` on."""
    u = types.uint64
    signature = types.void(acc, u, weights, u, u, positions, values, u, u, u, u, u)

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        acc, weights, positions, values = (data(context, b, signature, args, k) for k in (0, 2, 5, 6))
        _, at, _, first, stride, _, _, neuron0, start, end, length, chunk = args
        segment = _Segment(b, acc, weights, positions, values, stride, neuron0, start, end, chunk)
        with b.if_else(b.icmp_unsigned("!=", chunk, constant(0))) as (then, otherwise):
            with then:
                segment.add(_MOST_TARGETS, segment.narrow, at, first, length)
            with otherwise:
                segment.add(_MOST_TARGETS // 2, segment.wide, at, first, length)
        return context.get_dummy_value()

    return signature, codegen


@_intrinsic
def _add_axon(typingctx, acc, at, values, neuron, weight):  # type: ignore[no-untyped-def]
    """Adds weight · value of one neuron to another's accumulators."""
    signature = types.void(acc, types.uint64, values, types.uint64, types.int32)

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        acc, values = (data(context, b, signature, args, k) for k in (0, 2))
        q = b.sext(_load(b, values, args[3], _V16), _V32)
        total = b.add(_load(b, acc, args[1], _V32), b.mul(q, splat(b, args[4], _V32)))
        _store(b, total, acc, args[1], _V32)
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
    """Returns how many spikes stand for values, all lanes together."""
    zero = ir.Constant(_V32, None)
    size = b.select(b.icmp_signed("<", sent, zero), b.sub(zero, sent), sent)
    digits = call(b, "llvm.ctpop.v16i32", _V32, [size])
    ones = b.zext(b.icmp_signed("!=", sent, zero), _V32)
    other = b.select(b.icmp_signed("==", mode, constant(1)), size, ones)
    count = b.select(b.icmp_signed("==", mode, constant(0)), digits, other)
    return call(b, "llvm.vector.reduce.add.v16i32", _I32, [count])


@_intrinsic
def _fire(typingctx, acc, at, shift, start, scale, lowest, levels, float32, live, mode, values, neuron):  # type: ignore[no-untyped-def]
    """Writes the values of one neuron; returns its spikes, and 2^32 more where any value is other than 0."""
    u, i = types.uint64, types.int64
    signature = u(acc, u, i, i, types.float64, i, i, i, i, i, values, u)

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        acc, values = (data(context, b, signature, args, k) for k in (0, 10))
        _, at, shift, start, scale, lowest, levels, float32, live, mode, _, neuron = args
        x = b.shl(_load(b, acc, at, _V32), splat(b, b.trunc(shift, _I32), _V32))
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
        sent = b.select(alive, b.load(q), zero)
        _store(b, b.trunc(sent, _V16), values, neuron, _V16)
        word = b.bitcast(b.icmp_signed("!=", sent, zero), _I16)
        some = b.zext(b.icmp_unsigned("!=", word, ir.Constant(_I16, 0)), _I64)
        return b.or_(b.zext(_counted(b, sent, mode), _I64), b.shl(some, constant(32)))

    return signature, codegen


@_intrinsic
def _some(typingctx, values, neuron):  # type: ignore[no-untyped-def]
    """Returns 1 where any value of a neuron is other than 0."""
    signature = types.uint64(values, types.uint64)

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        q = _load(b, data(context, b, signature, args, 0), args[1], _V16)
        word = b.bitcast(b.icmp_signed("!=", q, ir.Constant(_V16, None)), _I16)
        return b.zext(b.icmp_unsigned("!=", word, ir.Constant(_I16, 0)), _I64)

    return signature, codegen


@_intrinsic
def _spikes(typingctx, values, neuron, mode):  # type: ignore[no-untyped-def]
    """Returns the spikes that stand for the values of one neuron."""
    signature = types.uint64(values, types.uint64, types.int64)

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        q = b.sext(_load(b, data(context, b, signature, args, 0), args[1], _V16), _V32)
        return b.zext(_counted(b, q, args[2]), _I64)

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
        blocks: ``(B, 13)`` int64: the columns above.
        resting: ``(E, 9)`` uint64: links whose axons share their targets.
        moving: ``(F, 9)`` uint64: those whose targets move with the axon.
        patterns: ``(P + 1,)`` uint64.
        segments: ``(Q, 3)`` uint64.
        weights: ``(W + 8,)`` int16.
        start: ``(M,)`` int64: membranes at firing without arrivals, less 1 where neurons fire on v > θ.
        scale: ``(M,)`` float64: 1 / θ.
        live: Samples of the group.
        mode: Number in ``MODES``.
        values: ``(16 · M,)`` int16: of inputs, read; of all other neurons, written.
        acc: int32: accumulators, those of block b from ``blocks[b, ACC0]`` neurons on, written.
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
                counts[gid0 + i] += np.int64(_spikes(values, gid0 + i, mode))
                if _some(values, gid0 + i) != zero:
                    positions[gid0 + k] = i
                    k += one
            ranks[rank0 + n] = k
            continue
        acc0 = np.uint64(blocks[b, ACC0])
        for i in range(n * lanes):
            acc[acc0 * lanes + i] = 0
        for e in range(np.uint64(blocks[b, RESTING]), np.uint64(blocks[b, RESTING_END])):
            source, first = resting[e, SOURCE], resting[e, FIRST]
            neuron0 = np.uint64(blocks[source, GID0])
            at = neuron0 + source + first
            low, high = np.uint64(ranks[at]), np.uint64(ranks[at + resting[e, AXONS]])
            if low == high:
                continue
            stride = resting[e, WEIGHT_STRIDE]
            base, into = resting[e, WEIGHT] - first * stride, acc0 + resting[e, INTO]
            pattern = resting[e, PATTERN]
            for s in range(patterns[pattern], patterns[pattern + one]):
                _add_segment(
                    acc, into + segments[s, 1], weights, base + segments[s, 0], stride, positions, values,
                    neuron0, low, high, segments[s, 2], resting[e, CHUNK],
                )  # fmt: skip
        for e in range(np.uint64(blocks[b, MOVING]), np.uint64(blocks[b, MOVING_END])):
            neuron0 = np.uint64(blocks[moving[e, SOURCE], GID0]) + moving[e, FIRST]
            into, weight = acc0 + moving[e, INTO], moving[e, WEIGHT]
            stride, move, pattern = moving[e, WEIGHT_STRIDE], moving[e, TARGET_STRIDE], moving[e, PATTERN]
            for s in range(patterns[pattern], patterns[pattern + one]):
                for i in range(segments[s, 2]):
                    a, w = into + segments[s, 1] + i, weight + segments[s, 0] + i
                    for j in range(moving[e, AXONS]):
                        _add_axon(acc, a + j * move, values, neuron0 + j, np.int32(weights[w + j * stride]))
        if blocks[b, READOUT] != 0:
            continue
        for i in range(n):
            ranks[rank0 + i] = k
            sent: Any = _fire(
                acc, acc0 + i, blocks[b, SHIFT], start[gid0 + i], scale[gid0 + i], blocks[b, LOWEST],
                blocks[b, LEVELS], blocks[b, FLOAT32], live, mode, values, gid0 + i,
            )  # fmt: skip
            counts[gid0 + i] += np.int64(sent & np.uint64(0xFFFFFFFF))
            if sent >> np.uint64(32) != zero:
                positions[gid0 + k] = i
                k += one
        ranks[rank0 + n] = k
