"""The literal path: a program step by step, as ``docs/program-format.md`` defines it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nmcompiler.codings import StepFunction
from nmcompiler.sim import kernels
from nmcompiler.sim.jit import jit
from nmcompiler.sim.load import Block, Loaded
from nmcompiler.sim.profile import Profile, timed
from nmcompiler.sim.result import Array, Int64Array
from nmcompiler.sim.stream import Stream
from nmcompiler.sim.tile import Arrivals, Store, TileCounters, input_values, views

__all__ = ["firing", "run_literally"]


def run_literally(
    loaded: Loaded,
    encoded: Sequence[Int64Array],
    rows: slice,
    store: Store,
    stream: Stream | None = None,
    profile: Profile | None = None,
) -> TileCounters:
    """Runs a tile of samples and keeps what the store wants.

    Args:
        loaded: The program.
        encoded: Values of the input neurons, ``(N, n)`` for each port.
        rows: The samples of the tile.
        store: Receives values, membranes and trains.
        stream: Where the samples are frames of a stream: how far it is; moved on.
        profile: Counts the time of each block, where anybody wants to know it.
    """
    if stream is None:
        return _run(_Tile(loaded, encoded, rows, store), profile)
    counts, saturations = np.zeros(loaded.neurons, np.int64), 0
    for row in range(rows.start, rows.stop):
        tile = _Tile(loaded, encoded, slice(row, row + 1), store, stream)
        counted = _run(tile, profile)
        tile.leave(stream)
        counts += counted.counts
        saturations += counted.saturations
    return TileCounters(counts, saturations)


_NO_MINIMUM = -(2**62)


def _run(tile: _Tile, profile: Profile | None) -> TileCounters:
    loaded = tile.loaded
    for t in range(loaded.program.total_steps):
        for block in loaded.blocks:
            if not block.is_input:
                with timed(profile, block.index):
                    if loaded.by_event:
                        tile.walk(block, t)
                    else:
                        tile.deliver(block, t)
                        tile.integrate(block, t)
                    tile.read(block, t)
        for block in loaded.blocks:
            with timed(profile, block.index):
                tile.fire(block, t)
    return TileCounters(tile.counts, tile.saturations)


class _Tile:
    """Registers of all blocks for S samples, or one frame of a stream, and what is on its way."""

    def __init__(
        self,
        loaded: Loaded,
        encoded: Sequence[Int64Array],
        rows: slice,
        store: Store,
        stream: Stream | None = None,
    ) -> None:
        self.loaded = loaded
        self.rows = rows
        self.store = store
        self.samples = rows.stop - rows.start
        self.saturations = 0
        self.counts = np.zeros(loaded.neurons, np.int64)
        self._boundaries = frozenset(loaded.program.window_starts) - {0}
        total = self.samples * loaded.neurons
        ring = loaded.longest_delay
        self._sent = np.zeros((ring, total), np.int32)
        self._alive = np.zeros((ring, len(loaded.blocks)), np.uint8)
        self._senders: list[set[int]] = [set() for _ in range(ring)]  # those that are alive
        # Where there is a floor, no register gets as low as it may: what the floor lifts is no saturation.
        self._range = loaded.minimum if loaded.floor is None else _NO_MINIMUM, loaded.maximum
        self._arrivals = Arrivals(loaded, self.samples)
        self._touched = [False] * len(loaded.blocks)

        blocks = loaded.blocks
        self._arrivals_of, self._v_of, self._dendrite_of, self._aux_of = (
            views(np.zeros(total, np.int64), blocks, self.samples) for _ in range(4)
        )
        self._sent_of = [views(row, blocks, self.samples) for row in self._sent]
        self._counts_of = views(self.counts, blocks, 1)
        self._theta_of = views(loaded.theta, blocks, 1)
        self._current_of = views(loaded.current, blocks, 1)
        for block, v, v0 in zip(blocks, self._v_of, views(loaded.v0, blocks, 1), strict=True):
            v.reshape(-1, block.n)[:] = v0
        # A step that changed nothing changes nothing when it is repeated: the modes in which that is known.
        self._at_rest: list[set[tuple[int, int]]] = [set() for _ in blocks]
        inputs = input_values(loaded, encoded, rows)
        self._values_of: list[Array] | None = None
        if stream is not None:
            self._values_of = views(stream.values.copy(), blocks, 1)
            for v, left in zip(self._v_of, views(stream.v, blocks, 1), strict=True):
                v[:] = left
            for aux, value in zip(self._aux_of, self._values_of, strict=True):
                aux[:] = value
            inputs = {index: q - self._values_of[index] for index, q in inputs.items()}
        self._trains = {index: loaded.coding.encode(q, blocks[index].slot) for index, q in inputs.items()}
        self._integrate, self._fire = jit(loaded.coding.integrate), jit(firing(loaded))
        self._count = jit(kernels.count_units if loaded.by_event else kernels.count_sent)
        if loaded.by_event:
            assert loaded.coding.walk is not None
            self._walk = jit(loaded.coding.walk)
            self._fired_of = views(np.zeros(total, np.int64), blocks, self.samples)

    def deliver(self, block: Block, t: int) -> None:
        """The arrivals of every neuron are the sum over all values whose travel ends now."""
        for group in self.loaded.groups[block.index]:
            slot = (t - group.delay) % len(self._sent)
            if not group.sources.isdisjoint(self._senders[slot]):
                sums = self._arrivals_of[block.index]
                self._arrivals.add(group, self._sent[slot], self._alive[slot], sums)
                self._touched[block.index] = True

    def integrate(self, block: Block, t: int) -> None:
        """The code's update of the registers; left out where it is known to change none of them."""
        b = block.index
        active = int(0 <= t - block.slot.fire_start < block.slot.steps)
        boundary = int(t in self._boundaries)
        quiet = not self._touched[b]
        if quiet and (active, boundary) in self._at_rest[b]:
            return
        before = (self._v_of[b].copy(), self._dendrite_of[b].copy()) if quiet else None
        clipped = self._integrate(
            self._arrivals_of[b],
            self._v_of[b],
            self._dendrite_of[b],
            self._current_of[b],
            block.n,
            active,
            boundary,
            *self._range,
        )
        self.saturations += clipped
        if self.loaded.floor is not None:
            np.maximum(self._v_of[b], self.loaded.floor, out=self._v_of[b])
        if before is None:
            self._arrivals_of[b][:] = 0
            self._touched[b] = False
            self._at_rest[b].clear()
        elif clipped == 0 and _same(before, (self._v_of[b], self._dendrite_of[b])):
            self._at_rest[b].add((active, boundary))
        else:
            self._at_rest[b].clear()

    def walk(self, block: Block, t: int) -> None:
        """Takes the events that arrive now one after another; what the block sends is ready after it."""
        b, events = block.index, self.loaded.events[block.index]
        active = int(0 <= t - block.slot.fire_start < block.slot.steps)
        if not active and not any(self._senders):
            return
        self.saturations += self._walk(
            events.starts,
            events.targets,
            events.weights,
            events.first,
            events.size,
            events.local,
            events.delay,
            self._sent,
            t,
            self._v_of[b],
            self._fired_of[b],
            self._current_of[b],
            self._theta_of[b],
            block.n,
            active,
            int(not block.is_readout),
            int(self.loaded.program.dynamics.reset == "zero"),
            self.loaded.above,
            _NO_MINIMUM if self.loaded.floor is None else self.loaded.floor,
            self.loaded.minimum,
            self.loaded.maximum,
        )

    def read(self, block: Block, t: int) -> None:
        """The membrane at firing; of a read-out, the result."""
        if t == block.read_step and self.store.wants_membranes(block):
            membranes = self._v_of[block.index].reshape(-1, block.n) - self.loaded.above
            self.store.put_membranes(block, self.rows, membranes)

    def fire(self, block: Block, t: int) -> None:
        """What the block sends now; inputs send what their encoding says."""
        b, slot = block.index, block.slot
        j = t - slot.fire_start
        now = t % len(self._sent)
        sent = self._sent_of[now][b]
        if not 0 <= j < slot.steps or block.is_readout:
            if b in self._senders[now]:
                sent[:] = 0
                self._mark(now, b, False)
            return
        if block.is_input:
            sent[:] = self._trains[b][j].reshape(-1)
        elif self.loaded.by_event:
            sent[:] = self._fired_of[b]
        else:
            self._at_rest[b].clear()
            self._fire(
                self._v_of[b],
                self._aux_of[b],
                sent,
                self._theta_of[b],
                block.n,
                j,
                slot.steps,
                slot.levels,
                block.signed,
                self.loaded.above,
            )
        fired = self._count(sent, self._counts_of[b], self.samples) > 0
        self._mark(now, b, fired)
        if fired:
            if self._values_of is not None:
                self._values_of[b] += sent
            self.store.add_sent(
                block, self.rows, t, sent.reshape(-1, block.n), int(self.loaded.step_weights[b][j])
            )

    def _mark(self, now: int, block: int, alive: bool) -> None:
        self._alive[now, block] = alive
        (self._senders[now].add if alive else self._senders[now].discard)(block)

    def leave(self, stream: Stream) -> None:
        """Hands the registers over to the next frame, and keeps the values that neurons now stand for."""
        assert self._values_of is not None
        for block, v, value in zip(self.loaded.blocks, self._v_of, self._values_of, strict=True):
            mine = slice(block.gid0, block.gid0 + block.n)
            stream.v[mine], stream.values[mine] = v, value
            self.store.put_values(block, self.rows, value[None])


def firing(loaded: Loaded) -> StepFunction:
    """Returns what the code's neurons do on a chip that resets as this one."""
    if loaded.program.dynamics.reset == "subtract":
        return loaded.coding.fire
    assert loaded.coding.fire_to_zero is not None
    return loaded.coding.fire_to_zero


def _same(before: tuple[Array, Array], after: tuple[Array, Array]) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(before, after, strict=True))
