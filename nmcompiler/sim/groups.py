"""The windowed path for groups of sixteen samples: tables for ``lanes``, and what comes back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from nmcompiler.sim import kernels
from nmcompiler.sim.certificate import Bounds
from nmcompiler.sim.jit import jit
from nmcompiler.sim.load import Block, Loaded
from nmcompiler.sim.pairs import Pairs
from nmcompiler.sim.profile import Profile
from nmcompiler.sim.result import Array, Int64Array
from nmcompiler.sim.tile import Store, TileCounters, input_values

__all__ = ["KEPT", "Groups", "run_grouped", "tables"]

_WIDEST = np.iinfo(np.int16).max
# Fewer axons than that are not added up in 16 bits: the sums would be widened too often.
_FEWEST = 8
# (L + 2)·θ below which the quotient of the kernel is exact in 32-bit floats, see ``_exact_in_float32``.
_FLOAT32 = 2**21
# Columns of links that kernels of vector code take, the source first.
KEPT = (
    kernels.SOURCE,
    kernels.FIRST,
    kernels.AXONS,
    kernels.PATTERN,
    kernels.INTO,
    kernels.WEIGHT,
    kernels.WEIGHT_STRIDE,
    kernels.TARGET_STRIDE,
)


@dataclass(frozen=True, eq=False)
class Groups:
    """A program as ``lanes.run_blocks`` takes it; M neurons, B blocks.

    Attributes:
        loaded: The program.
        blocks: ``(B, 14)`` int64; accumulators are given their place by each run.
        resting: ``(E, 9)`` uint64: links whose axons share their targets.
        moving: ``(F, 9)`` uint64: those whose targets move with the axon.
        patterns: ``(P + 1,)`` uint64.
        segments: ``(Q, 3)`` uint64.
        weights: ``(W + 64,)`` int16.
        paired: ``(V,)`` int32.
        start: ``(M,)`` int64.
        scale: ``(M,)`` float64.
        mode: How spikes of a value are counted.
    """

    loaded: Loaded
    blocks: Int64Array
    resting: Array
    moving: Array
    patterns: Array
    segments: Array
    weights: Array
    paired: Array
    start: Int64Array
    scale: Array
    mode: int


def tables(loaded: Loaded, reach: Sequence[Bounds]) -> Groups | None:
    """Returns a program for groups of samples, or None where values or sums are too wide for its lanes.

    Legal only with a certificate. Sums need 32 bits, values 16; spikes must be counted in a way of ``MODES``.
    """
    mode = _mode(loaded)
    narrow = np.iinfo(np.int32)
    # Membranes that start one higher are lowered by that before they are divided.
    fits = all(reach[b.index].fits(narrow.min + loaded.above, narrow.max) for b in loaded.blocks)
    if mode is None or not fits or max((b.levels for b in loaded.blocks), default=0) > _WIDEST:
        return None
    short = [_is_short(loaded, b, reach[b.index]) for b in loaded.blocks]
    pairs = Pairs(loaded)
    resting = [_resting(loaded, b, is_short, pairs) for b, is_short in zip(loaded.blocks, short, strict=True)]
    moving = [_with_chunk(_links(loaded, b, "moving"), 0) for b in loaded.blocks]
    rests, moves = (np.cumsum([0, *map(len, links)]).tolist() for links in (resting, moving))
    blocks = [
        (
            b.is_input,
            b.gid0,
            b.n,
            rests[k],
            rests[k + 1],
            moves[k],
            moves[k + 1],
            0,
            loaded.program.column("shift")[k],
            b.is_readout,
            b.levels,
            b.lowest,
            _exact_in_float32(loaded, b),
            short[k],
        )
        for k, b in enumerate(loaded.blocks)
    ]
    theta = np.maximum(loaded.theta, 1).astype(np.float64)
    return Groups(
        loaded=loaded,
        blocks=np.array(blocks, np.int64).reshape(-1, 14),
        resting=np.concatenate(resting),
        moving=np.concatenate(moving),
        patterns=pairs.patterns,
        segments=pairs.segments,
        weights=loaded.padded_weights,
        paired=pairs.weights,
        start=loaded.v0 - loaded.above,
        scale=1.0 / theta,
        mode=mode,
    )


def run_grouped(
    groups: Groups,
    encoded: Sequence[Int64Array],
    rows: slice,
    store: Store,
    profile: Profile | None = None,
) -> TileCounters:
    """Runs a tile of samples and keeps what the store wants; arguments as in ``run_literally``."""
    # numba is imported by the first run, not by commands that never simulate.
    from nmcompiler.sim import lanes

    loaded, run = groups.loaded, jit(lanes.run_blocks)
    neurons, n_blocks = loaded.neurons, len(loaded.blocks)
    blocks, places = _placed(groups, store)
    # The last axon of an odd number is taken with the neuron behind it, and a weight of 0.
    values = np.empty((neurons + 1, lanes.LANES), np.int16)
    acc = np.empty((places, lanes.LANES), np.int32)
    counts = np.zeros(neurons, np.int64)
    scratch = np.empty(neurons + n_blocks, np.uint32), np.empty(neurons, np.uint32)
    kept = _kept(groups, blocks, store)
    fed = [
        (loaded.blocks[index].gid0, q.T.astype(np.int16))
        for index, q in input_values(loaded, encoded, rows).items()
    ]
    for first in range(0, rows.stop - rows.start, lanes.LANES):
        part = slice(first, min(first + lanes.LANES, rows.stop - rows.start))
        live = part.stop - part.start
        for gid0, q in fed:
            values[gid0 : gid0 + len(q), :live] = q[:, part]
            values[gid0 : gid0 + len(q), live:] = 0
        work = (
            blocks,
            groups.resting,
            groups.moving,
            groups.patterns,
            groups.segments,
            groups.weights,
            groups.paired,
            groups.start,
            groups.scale,
            live,
            groups.mode,
            values.reshape(-1),
            acc.reshape(-1),
            counts,
            *scratch,
        )
        if profile is None:
            run(0, n_blocks, *work)
        else:
            for k in range(n_blocks):
                with profile.at(k):
                    run(k, k + 1, *work)
        mine = slice(rows.start + part.start, rows.start + part.stop)
        for keep in kept:
            keep(mine, values[:, :live], acc, live)
    return TileCounters(counts, 0)


def _placed(groups: Groups, store: Store) -> tuple[Int64Array, int]:
    """Returns the blocks with a place for their accumulators, and how many places there are.

    Blocks whose membranes are kept have places of their own; all others share one.
    """
    from nmcompiler.sim import lanes

    blocks = groups.blocks.copy()
    end = int(blocks[:, lanes.N].max(initial=0))
    for block in groups.loaded.blocks:
        if not block.is_input and store.wants_membranes(block):
            blocks[block.index, lanes.ACC0] = end
            end += block.n
    return blocks, end


def _kept(
    groups: Groups, blocks: Int64Array, store: Store
) -> list[Callable[[slice, Array, Array, int], None]]:
    """Returns what hands the store what it wants of each block: of some samples, their lanes and how many."""
    from nmcompiler.sim import lanes

    def values_of(block: Block) -> Callable[[slice, Array, Array, int], None]:
        mine = slice(block.gid0, block.gid0 + block.n)
        return lambda rows, values, acc, live: store.put_values(block, rows, values[mine].T)

    def membranes_of(block: Block) -> Callable[[slice, Array, Array, int], None]:
        place, shift, short = blocks[block.index, [lanes.ACC0, lanes.SHIFT, lanes.SHORT]]
        start = groups.start[block.gid0 : block.gid0 + block.n]

        def keep(rows: slice, values: Array, acc: Array, live: int) -> None:
            own = acc[place : place + block.n].reshape(-1)
            own = own.view(np.int16)[: block.n * lanes.LANES] if short else own
            sums = own.reshape(-1, lanes.LANES)[:, :live].T.astype(np.int64) << shift
            store.put_membranes(block, rows, sums + start)

        return keep

    kept = []
    for block in groups.loaded.blocks:
        if not block.is_readout and store.wants_values(block):
            kept.append(values_of(block))
        if not block.is_input and store.wants_membranes(block):
            kept.append(membranes_of(block))
    return kept


def _links(loaded: Loaded, block: Block, kind: str) -> Array:
    """Returns the links into a block whose targets rest or move."""
    none = np.zeros((0, 12), np.uint64)
    return np.concatenate([none, *(getattr(group, kind) for group in loaded.groups[block.index])])


def _resting(loaded: Loaded, block: Block, is_short: bool, pairs: Pairs) -> Array:
    """Returns the links into a block whose targets rest, in the columns of ``lanes``.

    All axons of a link add up in 16 bits where the block is short, or as many as are sure to fit. Where these
    are too few to be worth their widening, axons are taken two by two.
    """
    links = _links(loaded, block, "resting")
    if is_short:
        return _with_chunk(links, links[:, kernels.AXONS] + np.uint64(1))
    fit = _axons_that_fit(loaded, block, links)
    few = fit < _FEWEST
    return np.concatenate([_with_chunk(pairs.paired(links[few]), 0), _with_chunk(links[~few], fit[~few])])


def _with_chunk(links: Array, chunk: Array | int) -> Array:
    """Returns links in the columns of ``lanes``."""
    chunk = np.broadcast_to(np.asarray(chunk, np.uint64), len(links))
    return np.column_stack([links[:, KEPT], chunk])


def _axons_that_fit(loaded: Loaded, block: Block, links: Array) -> Array:
    """Returns of how many axons of each link the products are sure to add up in 16 bits."""
    levels = np.array([b.levels for b in loaded.blocks], np.int64)
    sent = levels[links[:, kernels.SOURCE].astype(np.int64)]
    fit = _WIDEST // np.maximum(loaded.largest_weight(block) * sent, 1)
    return np.asarray(fit, np.uint64)


def _is_short(loaded: Loaded, block: Block, reach: Bounds) -> bool:
    """Returns whether all that arrives in a block adds up in 16 bits, before it is shifted."""
    shift = int(loaded.program.column("shift")[block.index])
    scale = 1 << shift
    return not block.is_input and reach.arrivals_fit(-_WIDEST * scale, _WIDEST * scale)


def _mode(loaded: Loaded) -> int | None:
    """Returns how the code's spikes are counted, None where in no way of ``lanes.MODES``."""
    levels = max((b.levels for b in loaded.blocks), default=0)
    table = loaded.coding.spikes_per_value(levels)
    q = np.arange(levels + 1)
    for mode, counted in enumerate((np.bitwise_count(q), q, np.minimum(q, 1))):
        if np.array_equal(table, counted):
            return mode
    return None


def _exact_in_float32(loaded: Loaded, block: Block) -> bool:
    """Returns whether ``(x + ½)·(1/θ)`` in 32-bit floats lies on the right side of every whole number.

    With x whole, (x + ½)/θ is at least 1/(2θ) from any whole number. Below (L + 1)·θ < 2^21 x + ½ is exact,
    and two roundings move the product by less than (L + 2)·2^−22 < 1/(2θ); what is larger or below 0 is
    clipped, and rounding never changes an order. In 64-bit floats the same holds for all that 32 bits hold.
    """
    theta = loaded.theta[block.gid0 : block.gid0 + block.n]
    return bool((block.levels + 2) * int(np.abs(theta).max(initial=1)) < _FLOAT32)
