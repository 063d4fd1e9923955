"""The windowed path: each block in one pass with multiplier q, where the certificate holds.

Without saturation a membrane at firing is ``v0 + Σ w·q``, whatever the order of arrival, and a block sends
``q = clip(floor(v / θ))`` with the spikes of the code's closed form: the same numbers, without the steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nmcompiler.sim import kernels
from nmcompiler.sim.certificate import bounds
from nmcompiler.sim.jit import jit
from nmcompiler.sim.load import Block, Loaded
from nmcompiler.sim.result import Array, Int64Array
from nmcompiler.sim.tile import Store, TileCounters, input_values, views

__all__ = ["Windows", "prepare", "run_windowed"]


@dataclass(frozen=True, eq=False)
class _Pass:
    """How one block is executed.

    Attributes:
        block: The block.
        resting: Its links whose axons share their targets.
        moving: Its links whose targets move with the axon.
        start: ``(n,)`` v0, of the type of the accumulators.
        theta: ``(n,)`` float64.
        spikes: ``(levels + 1,)`` spikes that stand for each magnitude.
    """

    block: Block
    resting: Array
    moving: Array
    start: Array
    theta: npt.NDArray[np.float64]
    spikes: Int64Array


@dataclass(frozen=True, eq=False)
class Windows:
    """A certified program, ready for the windowed path."""

    loaded: Loaded
    passes: tuple[_Pass, ...]
    longest: int


def prepare(loaded: Loaded) -> Windows:
    """Returns a program ready for the windowed path; legal only with a certificate.

    Accumulators are int32 where everything that a block can reach fits, twice as many to a vector.
    """
    reach = bounds(loaded)
    narrow = np.iinfo(np.int32)
    passes = []
    for block in loaded.blocks:
        links = loaded.links_of(block.index)
        moves = links[:, kernels.TARGET_STRIDE] != 0
        mine = slice(block.gid0, block.gid0 + block.n)
        fits = reach[block.index].fits(narrow.min, narrow.max)
        passes.append(
            _Pass(
                block=block,
                resting=np.ascontiguousarray(links[~moves]),
                moving=np.ascontiguousarray(links[moves]),
                start=loaded.v0[mine].astype(np.int32 if fits else np.int64),
                theta=loaded.theta[mine].astype(np.float64),
                spikes=loaded.coding.spikes_per_value(block.levels),
            )
        )
    return Windows(loaded, tuple(passes), int(loaded.links[:, kernels.AXONS].max(initial=1)))


def run_windowed(windows: Windows, encoded: Sequence[Int64Array], rows: slice, store: Store) -> TileCounters:
    """Runs a tile of samples and keeps what the store wants; arguments as in ``run_literally``."""
    loaded = windows.loaded
    samples = rows.stop - rows.start
    values = np.zeros(samples * loaded.neurons, np.int32)
    counts = np.zeros(loaded.neurons, np.int64)
    values_of, counts_of = views(values, loaded.blocks, samples), views(counts, loaded.blocks, 1)
    scratch = np.empty(windows.longest, np.uint64)
    inputs = input_values(loaded, encoded, rows)
    for work in windows.passes:
        block = work.block
        mine = values_of[block.index]
        if block.is_input:
            mine[:] = inputs[block.index].reshape(-1)
        else:
            acc = _accumulate(loaded, work, values, scratch, samples)
            if store.wants_membranes(block):
                membranes = acc.reshape(samples, -1).astype(np.int64) - loaded.above
                store.put_membranes(block, rows, membranes)
            if block.is_readout:
                continue
            jit(kernels.quantise)(acc, work.theta, loaded.above, block.lowest, block.levels, mine, samples)
        jit(kernels.tally)(mine, work.spikes, counts_of[block.index], samples)
        store.put_values(block, rows, mine.reshape(samples, -1))
    return TileCounters(counts, 0)


def _accumulate(loaded: Loaded, work: _Pass, values: Array, scratch: Array, samples: int) -> Array:
    acc = np.tile(work.start, samples)
    program = loaded.patterns, loaded.segments, loaded.weights, loaded.gid0, loaded.sizes
    if len(work.resting):
        factors = np.empty(scratch.size, acc.dtype)
        jit(kernels.accumulate_rows)(work.resting, *program, values, acc, scratch, factors, samples)
    if len(work.moving):
        jit(kernels.accumulate_moving)(work.moving, *program, values, acc, samples)
    return acc
