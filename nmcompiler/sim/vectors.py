"""Vector code of the step kernels: numba intrinsics of LLVM's own vector types, for any processor.

It is compiled into functions of other files, which ``jit`` therefore keeps by names that depend on this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from nmcompiler.sim.columns import LANES

__all__ = [
    "add_products",
    "add_rows",
    "add_straight",
    "call",
    "constant",
    "data",
    "list_rows",
    "pack",
    "splat",
    "window",
]

_intrinsic: Any = intrinsic

_MOST_VECTORS = 4
_I8, _I16, _I32, _I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_ONES = ir.VectorType(ir.IntType(1), LANES)
_V16, _V32 = ir.VectorType(_I16, LANES), ir.VectorType(_I32, LANES)


def constant(value: int) -> Any:
    """Returns a whole number of 64 bits."""
    return ir.Constant(_I64, value)


def data(context: Any, builder: Any, signature: Any, args: Any, k: int) -> Any:
    """Returns the pointer to the data of array argument k."""
    return context.make_array(signature.args[k])(context, builder, args[k]).data


def splat(b: Any, scalar: Any, vector: Any) -> Any:
    """Returns a vector of one value."""
    one = b.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.Constant(_I32, 0))
    return b.shuffle_vector(one, one, ir.Constant(ir.VectorType(_I32, vector.count), None))


def _load(b: Any, pointer: Any, at: Any, vector: Any) -> Any:
    place = b.bitcast(b.gep(pointer, [at]), vector.as_pointer())
    return b.load(place, align=vector.element.width // 8)


def _store(b: Any, value: Any, pointer: Any, at: Any) -> None:
    place = b.bitcast(b.gep(pointer, [at]), value.type.as_pointer())
    b.store(value, place, align=value.type.element.width // 8)


def call(b: Any, name: str, result: Any, args: list[Any]) -> Any:
    """Calls one of LLVM's own functions."""
    kind = ir.FunctionType(result, [a.type for a in args])
    function: Any = cgutils.get_or_insert_function
    return b.call(function(b.module, kind, name), args)


@_intrinsic
def pack(typingctx, sent, at, bits, place, below):  # type: ignore[no-untyped-def]
    """Writes which of 16 values are above 0, or below, to the 16 bits at ``place``; returns how many are."""

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        sent, bits = (data(context, b, signature, args, k) for k in (0, 2))
        value, zero = _load(b, sent, args[1], _V16), ir.Constant(_V16, None)
        value = b.select(b.icmp_unsigned("!=", args[4], constant(0)), b.sub(zero, value), value)
        word = b.bitcast(b.icmp_signed(">", value, zero), _I16)
        b.store(word, b.gep(b.bitcast(bits, _I16.as_pointer()), [args[3]]), align=2)
        return b.zext(call(b, "llvm.ctpop.i16", _I16, [word]), _I64)

    u = types.uint64
    return u(sent, u, bits, u, u), codegen


def _window(b: Any, bits: Any, at: Any) -> Any:
    octets = b.bitcast(bits, _I8.as_pointer())
    place = b.bitcast(b.gep(octets, [b.lshr(at, constant(3))]), _I64.as_pointer())
    return b.lshr(b.load(place, align=1), b.and_(at, constant(7)))


@_intrinsic
def window(typingctx, bits, at):  # type: ignore[no-untyped-def]
    """Returns the bits from bit ``at`` on, at least 57."""

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        return _window(b, data(context, b, signature, args, 0), args[1])

    u = types.uint64
    return u(bits, u), codegen


@_intrinsic
def list_rows(typingctx, places, octet, rows, k, first, stride):  # type: ignore[no-untyped-def]
    """Writes ``first + j · stride`` of each bit j of eight that is set, from entry k on; returns how many."""

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        places, rows = (data(context, b, signature, args, n) for n in (0, 2))
        _, octet, _, k, first, stride = args
        eight = ir.VectorType(_I32, 8)
        j = b.zext(_load(b, places, b.shl(octet, constant(3)), ir.VectorType(_I8, 8)), eight)
        row = b.add(b.mul(j, splat(b, b.trunc(stride, _I32), eight)), splat(b, b.trunc(first, _I32), eight))
        _store(b, row, rows, k)
        return call(b, "llvm.ctpop.i64", _I64, [octet])

    u = types.uint64
    return u(places, u, rows, u, u, u), codegen


def _as_written(module: Any) -> Any:
    """Returns metadata of a loop that is not unrolled: few spikes come at a time. It names itself first."""
    told = module.add_metadata([ir.MetaDataString(module, "llvm.loop.unroll.disable")])
    loop = module.add_metadata([told, ir.Constant(_I32, len(module.metadata))])
    loop.operands = (loop, told)
    return loop


class _Sums:
    """Accumulators of 16 bits, or of 32 where ``is_wide`` is other than 0; vectors of 16 bits are added."""

    def __init__(self, b: Any, narrow: Any, wide: Any, is_wide: Any) -> None:
        self.b, self.narrow, self.wide = b, narrow, wide
        self.is_wide = b.icmp_unsigned("!=", is_wide, constant(0))

    def add(self, sums: Sequence[Any], at: Any) -> None:
        """Adds vectors to the neurons from ``at`` on."""
        b = self.b
        places = [b.add(at, constant(LANES * v)) for v in range(len(sums))]
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
        b, whole = self.b, constant(LANES * _MOST_VECTORS)
        begun = b.block
        loop, done = b.append_basic_block("pieces"), b.append_basic_block("added")
        b.branch(loop)
        b.position_at_end(loop)
        here = b.phi(_I64)
        here.add_incoming(constant(0), begun)
        left = b.sub(length, here)
        left = b.select(b.icmp_unsigned("<", left, whole), left, whole)
        after = b.append_basic_block("after")
        cases = [b.append_basic_block(f"vectors{k}") for k in range(1, _MOST_VECTORS + 1)]
        choice = b.switch(b.lshr(b.add(left, constant(LANES - 1)), constant(4)), cases[-1])
        for k, case in enumerate(cases, 1):
            if k < _MOST_VECTORS:
                choice.add_case(constant(k), case)
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
        places = [b.add(at, constant(LANES * v)) for v in range(vectors)]
        first = [_load(b, self.sums.narrow, p, _V16) for p in places]
        begun, loop, done = b.block, b.append_basic_block("spikes"), b.append_basic_block("all")
        b.branch(loop)
        b.position_at_end(loop)
        r = b.phi(_I64)
        sums = [b.phi(_V16) for _ in range(vectors)]
        r.add_incoming(constant(0), begun)
        # A row may begin below the weights where its segments do not.
        row = b.sext(b.load(b.gep(self.rows, [r])), _I64)
        value = None
        if self.values is not None:
            value = splat(b, b.trunc(b.load(b.gep(self.values, [r])), _I16), _V16)
        added = []
        for v, total in enumerate(sums):
            w = _load(b, weights, b.add(row, constant(LANES * v)), _V16)
            added.append(b.add(total, w if value is None else b.mul(value, w)))
            total.add_incoming(first[v], begun)
            total.add_incoming(added[v], loop)
        following = b.add(r, constant(1))
        r.add_incoming(following, loop)
        back = b.cbranch(b.icmp_unsigned("<", following, self.spikes), loop, done)
        back.set_metadata("llvm.loop", _as_written(b.module))
        b.position_at_end(done)
        left = b.trunc(b.sub(length, constant(LANES * (vectors - 1))), _I16)
        mine = b.icmp_signed("<", ir.Constant(_V16, list(range(LANES))), splat(b, left, _V16))
        added[-1] = b.select(mine, added[-1], first[-1])
        self.sums.add(added, at)


@_intrinsic
def add_rows(typingctx, narrow, wide, is_wide, at, weights, offset, rows, values, valued, spikes, length):  # type: ignore[no-untyped-def]
    """Adds the rows of all spikes of a link to ``length`` neurons from ``at`` on."""
    u = types.uint64

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        narrow, wide, weights, rows, values = (data(context, b, signature, args, k) for k in (0, 1, 4, 6, 7))
        _, _, is_wide, at, _, offset, _, _, valued, spikes, length = args
        sums = _Sums(b, narrow, wide, is_wide)
        with b.if_else(b.icmp_unsigned("!=", valued, constant(0))) as (then, otherwise):
            with then:
                _Rows(sums, weights, rows, values, spikes).add(at, offset, length)
            with otherwise:
                _Rows(sums, weights, rows, None, spikes).add(at, offset, length)
        return context.get_dummy_value()

    return types.void(narrow, wide, u, u, weights, u, rows, values, u, u, u), codegen


def _add_masked(
    b: Any, sums: _Sums, at: Any, weights: Any, row: Any, values: Any, valued: tuple[Any, Any], mask: Any
) -> None:
    """Adds the weights from ``row`` on to the neurons from ``at`` on, each where its bit of 16 is set.

    ``valued`` says whether they are multiplied by values, and where these begin.
    """
    alive = b.bitcast(mask, _ONES)
    alloca: Any = cgutils.alloca_once
    added = alloca(b, _V16)
    b.store(b.select(alive, _load(b, weights, row, _V16), ir.Constant(_V16, None)), added)
    multiplied, value0 = valued
    with b.if_then(b.icmp_unsigned("!=", multiplied, constant(0)), likely=False):
        b.store(b.mul(b.load(added), _load(b, values, value0, _V16)), added)
    sums.add([b.add(_load(b, sums.narrow, at, _V16), b.load(added))], at)


@_intrinsic
def add_products(typingctx, narrow, wide, is_wide, at, weights, row, values, value0, valued, mask):  # type: ignore[no-untyped-def]
    """Adds the weights from ``row`` on to the neurons from ``at`` on, each where its spike is among 16."""
    u = types.uint64

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        narrow, wide, weights, values = (data(context, b, signature, args, k) for k in (0, 1, 4, 6))
        _, _, is_wide, at, _, row, _, value0, valued, mask = args
        sums = _Sums(b, narrow, wide, is_wide)
        _add_masked(b, sums, at, weights, row, values, (valued, value0), b.trunc(mask, _I16))
        return context.get_dummy_value()

    return types.void(narrow, wide, u, u, weights, u, values, u, u, u), codegen


@_intrinsic
def add_straight(  # type: ignore[no-untyped-def]
    typingctx, narrow, wide, is_wide, at, weights, row, values, value0, valued, bits, bit0, axons
):
    """Adds the weights from ``row`` on to the neurons from ``at`` on, each where its bit is set."""
    u = types.uint64

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        narrow, wide, weights, values, bits = (data(context, b, signature, args, k) for k in (0, 1, 4, 6, 9))
        _, _, is_wide, at, _, row, _, value0, valued, _, bit0, axons = args
        sums, begun = _Sums(b, narrow, wide, is_wide), b.block
        loop, some, after, done = (b.append_basic_block(k) for k in ("lanes", "some", "after", "done"))
        b.branch(loop)
        b.position_at_end(loop)
        axon = b.phi(_I64)
        axon.add_incoming(constant(0), begun)
        left = b.sub(axons, axon)
        left = b.select(b.icmp_unsigned("<", left, constant(LANES)), left, constant(LANES))
        here = b.sub(b.shl(constant(1), left), constant(1))
        mask = b.trunc(b.and_(_window(b, bits, b.add(bit0, axon)), here), _I16)
        b.cbranch(b.icmp_unsigned("!=", mask, ir.Constant(_I16, 0)), some, after)
        b.position_at_end(some)
        place = valued, b.add(value0, axon)
        _add_masked(b, sums, b.add(at, axon), weights, b.add(row, axon), values, place, mask)
        b.branch(after)
        b.position_at_end(after)
        further = b.add(axon, constant(LANES))
        axon.add_incoming(further, after)
        back = b.cbranch(b.icmp_unsigned("<", further, axons), loop, done)
        back.set_metadata("llvm.loop", _as_written(b.module))
        b.position_at_end(done)
        return context.get_dummy_value()

    return types.void(narrow, wide, u, u, weights, u, values, u, u, bits, u, u), codegen
