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
from nmcompiler.sim.certificate import Bounds
from nmcompiler.sim.jit import jit
from nmcompiler.sim.load import Block, Loaded
from nmcompiler.sim.profile import Profile, timed
from nmcompiler.sim.result import Array, Int64Array
from nmcompiler.sim.stream import Stream
from nmcompiler.sim.tile import Arrivals, Store, TileCounters, input_values, views

__all__ = ["Windows", "prepare", "run_windowed"]


@dataclass(frozen=True, eq=False)
class _Pass:
    """How one block is executed.

    Attributes:
        block: The block.
        start: ``(n,)`` v0, of the type of the accumulators.
        theta: ``(n,)`` float64.
        spikes: ``(levels + 1,)`` spikes that stand for each magnitude.
        narrow: Whether any four products of weights and values that arrive add up in 16 bits.
    """

    block: Block
    start: Array
    theta: npt.NDArray[np.float64]
    spikes: Int64Array
    narrow: bool


@dataclass(frozen=True, eq=False)
class Windows:
    """A certified program, ready for the windowed path."""

    loaded: Loaded
    passes: tuple[_Pass, ...]


def prepare(loaded: Loaded, reach: Sequence[Bounds]) -> Windows:
    """Returns a program ready for the windowed path; legal only with a certificate.

    Accumulators are int32 where everything that a block can reach (``reach``) fits: twice as many to a
    vector as of int64.
    """
    narrow = np.iinfo(np.int32)
    passes = []
    for block in loaded.blocks:
        mine = slice(block.gid0, block.gid0 + block.n)
        fits = reach[block.index].fits(narrow.min, narrow.max)
        passes.append(
            _Pass(
                block=block,
                start=loaded.v0[mine].astype(np.int32 if fits else np.int64),
                theta=loaded.theta[mine].astype(np.float64),
                spikes=loaded.coding.spikes_per_value(block.levels),
                narrow=_four_fit(loaded, block),
            )
        )
    return Windows(loaded, tuple(passes))


def _four_fit(loaded: Loaded, block: Block) -> bool:
    """Returns whether any four products that arrive in a block add up in 16 bits."""
    links = loaded.links_of(block.index)
    levels = np.array([b.levels for b in loaded.blocks])[links[:, kernels.SOURCE].astype(np.int64)]
    gain = int(links[:, kernels.GAIN].max(initial=1))
    return 4 * loaded.largest_weight(block) * int(levels.max(initial=0)) * gain <= np.iinfo(np.int16).max


def run_windowed(
    windows: Windows,
    encoded: Sequence[Int64Array],
    rows: slice,
    store: Store,
    stream: Stream | None = None,
    profile: Profile | None = None,
) -> TileCounters:
    """Runs a tile of samples and keeps what the store wants; arguments as in ``run_literally``.

    A frame of a stream has the values and membranes that it has alone: only the events are fewer, one for
    each value that is another than in the frame before.
    """
    loaded = windows.loaded
    samples = rows.stop - rows.start
    values = np.zeros(samples * loaded.neurons, np.int32)
    counts = np.zeros(loaded.neurons, np.int64)
    values_of, counts_of = views(values, loaded.blocks, samples), views(counts, loaded.blocks, 1)
    arrivals, alive = Arrivals(loaded, samples), np.ones(len(loaded.blocks), np.uint8)
    inputs = input_values(loaded, encoded, rows)
    for work in windows.passes:
        block = work.block
        with timed(profile, block.index):
            mine = values_of[block.index]
            if block.is_input:
                mine[:] = inputs[block.index].reshape(-1)
            else:
                acc = np.tile(work.start, samples)
                for group in loaded.groups[block.index]:
                    arrivals.add(group, values, alive, acc, narrow=work.narrow)
                if store.wants_membranes(block):
                    membranes = acc.reshape(samples, -1).astype(np.int64) - loaded.above
                    store.put_membranes(block, rows, membranes)
                if stream is not None:
                    stream.v[block.gid0 : block.gid0 + block.n] = acc[-block.n :]
                if block.is_readout:
                    continue
                jit(kernels.quantise)(
                    acc, work.theta, loaded.above, block.lowest, block.levels, mine, samples
                )
            if stream is None:
                jit(kernels.tally)(mine, work.spikes, counts_of[block.index], samples)
            else:
                changes = stream.send(block, mine.reshape(samples, -1))
                counts_of[block.index][:] = np.count_nonzero(changes, axis=0)
            store.put_values(block, rows, mine.reshape(samples, -1))
    return TileCounters(counts, 0)
