"""The steps of a program for groups of sixteen samples, block after block.

What ``nmcompiler.sim.literal`` does step by step for all blocks is done here for all steps of one block
before the next: a block reads only those before it, so that nothing differs but the order of the work.
Registers have 32 bits, and a sample has a lane of every vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nmcompiler.codings import StepFunction
from nmcompiler.sim import kernels
from nmcompiler.sim.certificate import Bounds, is_regular, prove
from nmcompiler.sim.groups import with_chunks
from nmcompiler.sim.jit import jit
from nmcompiler.sim.load import Block, Loaded
from nmcompiler.sim.profile import Profile, timed
from nmcompiler.sim.result import Array, Int64Array
from nmcompiler.sim.tile import Store, TileCounters, input_values

__all__ = ["Steps", "run_steps", "steps_of"]

LANES = 16
_WIDEST = np.iinfo(np.int16).max
# What registers and thresholds may reach: doubled, or with an arrival added, they still have 32 bits.
_REACH = 2**28


@dataclass(frozen=True, eq=False)
class _Links:
    """What one block receives from another over links of one delay."""

    source: int
    delay: int
    resting: Array
    moving: Array


@dataclass(frozen=True, eq=False)
class Steps:
    """A program ready to be stepped through.

    Attributes:
        loaded: The program.
        weights: ``(W + 8,)`` int16.
        links: Of every block.
        shifts: By how many bits what arrives in each block is shifted.
        fire: What the code's neurons do on this chip.
    """

    loaded: Loaded
    weights: Array
    links: tuple[tuple[_Links, ...], ...]
    shifts: tuple[int, ...]
    fire: StepFunction


def steps_of(loaded: Loaded, reach: Sequence[Bounds], fire: StepFunction) -> Steps | None:
    """Returns a program ready to be stepped through, None where it needs over 32 bits or other steps."""
    forward = bool((loaded.links[:, kernels.SOURCE] < loaded.links[:, kernels.TARGET]).all())
    regular = all(is_regular(loaded, b) for b in loaded.blocks)
    if loaded.by_event or not (forward and regular and _fits(loaded, reach)):
        return None
    return Steps(
        loaded=loaded,
        weights=np.concatenate([loaded.weights, np.zeros(8, np.int16)]),
        links=tuple(tuple(_links_of(loaded, b)) for b in loaded.blocks),
        shifts=tuple(loaded.program.column("shift").tolist()),
        fire=fire,
    )


def _fits(loaded: Loaded, reach: Sequence[Bounds]) -> bool:
    """Returns whether values have 16 bits, and thresholds and registers 32 of which some are left."""
    theta = np.repeat([b.levels + 2 for b in loaded.blocks], [b.n for b in loaded.blocks]) * loaded.theta
    levels = max((b.levels for b in loaded.blocks), default=0)
    extremes = (theta, loaded.v0, loaded.current)
    small = all(int(np.abs(a).max(initial=0)) < _REACH for a in extremes) and levels <= _WIDEST
    fits = all(r.fits(-_REACH, _REACH) and r.arrivals_fit(-_REACH, _REACH) for r in reach)
    # What blocks can reach holds where spikes come in time; elsewhere only their width limits registers.
    return small and fits and (loaded.maximum < _REACH or all(prove(loaded, reach).proved))


def _links_of(loaded: Loaded, block: Block) -> list[_Links]:
    found = []
    for group in loaded.groups[block.index]:
        for source in sorted(group.sources):
            resting, moving = (a[a[:, kernels.SOURCE] == source] for a in (group.resting, group.moving))
            parts = with_chunks(loaded, block, resting), with_chunks(loaded, block, moving)
            found.append(_Links(source, group.delay, *parts))
    return found


@dataclass(frozen=True, eq=False)
class _Sent:
    """What a block sends: in each step ``(G · n · 16,)`` int16, and the lists of ``lanes.list_active``."""

    values: Array
    ranks: Array
    positions: Array
    events: Int64Array

    @classmethod
    def nothing(cls, block: Block, groups: int) -> _Sent:
        steps, n = block.slot.steps, block.n
        return cls(
            np.empty((steps, groups * n * LANES), np.int16),
            np.empty((steps, groups * (n + 1)), np.uint32),
            np.empty((steps, groups * n), np.uint32),
            np.zeros(steps, np.int64),
        )


def run_steps(
    steps: Steps,
    encoded: Sequence[Int64Array],
    rows: slice,
    store: Store,
    profile: Profile | None = None,
) -> TileCounters:
    """Runs a tile of samples, a multiple of 16, and keeps what the store wants."""
    loaded = steps.loaded
    counts, saturations = np.zeros(loaded.neurons, np.int64), 0
    sent: dict[int, _Sent] = {}
    inputs = input_values(loaded, encoded, rows)
    for block in loaded.blocks:
        run = _Block(steps, block, rows, store, counts[block.gid0 : block.gid0 + block.n], sent)
        with timed(profile, block.index):
            if block.is_input:
                run.feed(loaded.coding.encode(inputs[block.index], block.slot))
            else:
                saturations += run.step_through()
    return TileCounters(counts, saturations)


class _Block:
    """The registers of a block, for a tile of samples."""

    def __init__(
        self, steps: Steps, block: Block, rows: slice, store: Store, counts: Array, sent: dict[int, _Sent]
    ) -> None:
        self.steps, self.block, self.rows, self.store = steps, block, rows, store
        self.groups = (rows.stop - rows.start) // LANES
        self._counts, self._sent = counts, sent
        self._mine = _Sent.nothing(block, self.groups)
        if not block.is_readout:
            sent[block.index] = self._mine

    def feed(self, trains: Array) -> None:
        """Sends what an input is given, ``(steps, S, n)``."""
        for j, train in enumerate(trains):
            lanes = train.reshape(self.groups, LANES, self.block.n).transpose(0, 2, 1)
            self._mine.values[j].reshape(lanes.shape)[:] = lanes
            self._send(j)

    def step_through(self) -> int:
        """Runs all steps of the block; returns how many registers were clipped."""
        block, loaded = self.block, self.steps.loaded
        mine, width = slice(block.gid0, block.gid0 + block.n), block.n * LANES
        theta, current, v0 = (
            np.repeat(a[mine], LANES).astype(np.int32) for a in (loaded.theta, loaded.current, loaded.v0)
        )
        v = np.tile(v0, self.groups)
        arrivals, dendrite, aux = (np.zeros_like(v) for _ in range(3))
        before = np.empty_like(v), np.empty_like(v)
        integrate, fire, differ = jit(loaded.coding.integrate), jit(self.steps.fire), jit(kernels.differ)
        slot, saturations = block.slot, 0
        boundaries = frozenset(loaded.program.window_starts) - {0}
        # Registers of 32 bits are never near the lowest, which a floor may lie below.
        floor = None if loaded.floor is None else max(loaded.floor, -_REACH * 4 + 1)
        low = -_REACH * 4 + 1 if floor is not None else max(loaded.minimum, -(2**31))
        limits = low, min(loaded.maximum, 2**31 - 1)
        rest: set[tuple[int, int]] = set()
        for t in range(loaded.program.total_steps):
            j = t - slot.fire_start
            active, boundary = int(0 <= j < slot.steps), int(t in boundaries)
            touched = self._deliver(t, arrivals)
            if touched or (active, boundary) not in rest:
                if not touched:
                    before[0][:], before[1][:] = v, dendrite
                clipped = integrate(arrivals, v, dendrite, current, width, active, boundary, *limits)
                saturations += clipped
                if floor is not None:
                    np.maximum(v, floor, out=v)
                if touched:
                    arrivals[:] = 0
                    rest.clear()
                elif not clipped and not differ(before[0], v) and not differ(before[1], dendrite):
                    rest.add((active, boundary))
                else:
                    rest.clear()
            if t == block.read_step and self.store.wants_membranes(block):
                self.store.put_membranes(block, self.rows, self._samples(v).astype(np.int64) - loaded.above)
            if active and not block.is_readout:
                rest.clear()
                out = self._mine.values[j]
                fire(v, aux, out, theta, width, j, slot.steps, slot.levels, block.signed, loaded.above)
                self._send(j)
        return saturations

    def _deliver(self, t: int, arrivals: Array) -> bool:
        """Adds what arrives in a step; returns whether anything did."""
        loaded, touched = self.steps.loaded, False
        add = None
        for links in self.steps.links[self.block.index]:
            j = t - links.delay - loaded.blocks[links.source].slot.fire_start
            sent = self._sent[links.source]
            if not 0 <= j < len(sent.events) or not sent.events[j]:
                continue
            add = add or _kernel("deliver")
            add(
                links.resting, links.moving, loaded.patterns, loaded.segments, self.steps.weights,
                sent.values[j], sent.ranks[j], sent.positions[j], arrivals, self.block.n,
            )  # fmt: skip
            touched = True
        if touched and (shift := self.steps.shifts[self.block.index]):
            np.left_shift(arrivals, shift, out=arrivals)
        return touched

    def _send(self, j: int) -> None:
        """Counts and lists what is sent in step j of the firing."""
        mine, block = self._mine, self.block
        values = mine.values[j]
        mine.events[j] = _kernel("list_active")(
            values, block.n, mine.ranks[j], mine.positions[j], self._counts
        )
        if mine.events[j] and self.store.wants_sent(block):
            weight = int(self.steps.loaded.step_weights[block.index][j])
            self.store.add_sent(block, self.rows, block.slot.fire_start + j, self._samples(values), weight)

    def _samples(self, flat: Array) -> Array:
        """Returns ``(G · n · 16,)`` as ``(S, n)``."""
        lanes = flat.reshape(self.groups, self.block.n, LANES).transpose(0, 2, 1)
        return lanes.reshape(-1, self.block.n)


def _kernel(name: str) -> StepFunction:
    # numba is imported by the first run, not by commands that never simulate.
    from nmcompiler.sim import lanes

    return jit(getattr(lanes, name))
