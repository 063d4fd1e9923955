"""The steps of a program for one sample after the other, block after block.

What ``nmcompiler.sim.literal`` does step by step for all blocks is done here for all steps of one block
before the next: a block reads only those before it, so that nothing differs but the order of the work.
Registers have 32 bits, and what a block sent in a step is a bit for each of its neurons.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np

from nmcompiler.sim.columns import OTHER_VALUES, PADDING, SIGNED_UNITS
from nmcompiler.sim.jit import jit
from nmcompiler.sim.load import Block
from nmcompiler.sim.profile import Profile, timed
from nmcompiler.sim.result import Array, Int64Array
from nmcompiler.sim.steptables import Steps
from nmcompiler.sim.tile import Store, TileCounters, input_values

__all__ = ["run_steps"]

_SENT = (np.uint64, np.int16, np.uint32)  # bits, values and events


def run_steps(
    steps: Steps,
    encoded: Sequence[Int64Array],
    rows: slice,
    store: Store,
    profile: Profile | None = None,
) -> TileCounters:
    """Runs a tile of samples and keeps what the store wants."""
    from nmcompiler.sim import rows as kernel

    loaded, samples = steps.loaded, rows.stop - rows.start
    blocks, numbers = _placed(steps, store)
    sizes = [samples * n + PADDING for n in numbers[2:5].tolist()]
    bits, values, events = (np.empty(n, kind) for n, kind in zip(sizes, _SENT, strict=True))
    membranes, counts = np.empty(samples * int(numbers[5]), np.int32), np.zeros(loaded.neurons, np.int32)
    most = max((b.n for b in loaded.blocks), default=0) + PADDING
    out = np.zeros(most, np.int16)
    fed = np.concatenate([q for _, q in sorted(input_values(loaded, encoded, rows).items())], axis=1)
    # Kernels are compiled for one layout.
    indices = np.ascontiguousarray(fed + steps.tables.shape[1] // 2, np.uint32)
    run, saturations = jit(kernel.run_steps), 0
    work = (
        samples, indices, steps.tables, numbers, steps.limits, blocks, steps.received, steps.links,
        steps.patterns, steps.segments, steps.weights, *steps.registers, steps.boundaries, _places(), bits,
        values, events, membranes, counts, np.empty((5, most), np.int32), np.empty(most, np.int16), out,
        *np.empty((3, most + loaded.longest_link), np.uint32),
    )  # fmt: skip
    if profile is None:
        saturations = run(*steps.code, 0, len(blocks), *work)
    else:
        run(*steps.code, 0, 0, *work)  # no block is charged for what it takes to load the kernel
        for k in range(len(blocks)):
            with timed(profile, k):
                saturations += run(*steps.code, k, k + 1, *work)
    for block in loaded.blocks:
        if store.wants_membranes(block) and not block.is_input:
            place = int(blocks[block.index, kernel.PLACE])
            mine = membranes.reshape(samples, -1)[:, place : place + block.n]
            store.put_membranes(block, rows, mine.astype(np.int64) - loaded.above)
        if store.wants_sent(block) and not block.is_readout:
            for j, train in enumerate(_trains(steps, block, samples, bits, values)):
                weight = int(loaded.step_weights[block.index][j])
                store.add_sent(block, rows, block.slot.fire_start + j, train, weight)
    return TileCounters(counts.astype(np.int64), int(saturations))


def _placed(steps: Steps, store: Store) -> tuple[Array, Array]:
    """Returns the blocks with a place for membranes that are kept, and the numbers with how many."""
    from nmcompiler.sim import rows

    blocks, numbers, kept = steps.blocks.copy(), steps.numbers.copy(), 0
    for block in steps.loaded.blocks:
        if not block.is_input and store.wants_membranes(block):
            blocks[block.index, [rows.PLACE, rows.KEPT]] = kept, 1
            kept += block.n
    numbers[rows.KEPT_OF_SAMPLE] = kept
    return blocks, numbers


def _trains(steps: Steps, block: Block, samples: int, bits: Array, values: Array) -> Iterator[Array]:
    """Yields what a block sent in each step of its firing, ``(S, n)`` int16."""
    from nmcompiler.sim import rows

    n, length = block.n, block.slot.steps
    _, _, n_bits, n_values, _, _ = steps.numbers.tolist()
    row = steps.blocks[block.index].tolist()
    if row[rows.KIND] == OTHER_VALUES:
        mine = values[: samples * n_values].reshape(samples, -1)[:, row[rows.VALUES] :][:, : length * n]
        yield from mine.reshape(samples, length, n).swapaxes(0, 1)
        return
    signs = 1 + int(row[rows.KIND] == SIGNED_UNITS)
    words = signs * (-(-n // 64) + 1)
    mine = bits[: samples * n_bits].reshape(samples, -1)[:, row[rows.BITS] :][:, : length * words]
    by_step = mine.reshape(samples, length, signs, -1).transpose(1, 2, 0, 3)
    for step in np.ascontiguousarray(by_step).view(np.uint8):
        above, *below = (np.unpackbits(o, axis=1, count=n, bitorder="little").astype(np.int16) for o in step)
        yield above - below[0] if below else above


@cache
def _places() -> Array:
    """Returns which bits of each octet are set, ``(256 · 8,)`` uint8, zeros behind them."""
    places = np.zeros((256, 8), np.uint8)
    for octet in range(256):
        found = [j for j in range(8) if octet >> j & 1]
        places[octet, : len(found)] = found
    return places.reshape(-1)
