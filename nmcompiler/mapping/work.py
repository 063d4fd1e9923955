"""What the cores of a partition have to do in a sample, before they are placed.

Events are those that calibration lets expect. Every crossing of an axon and a neuron that a kernel has counts
as an operation, those of weight 0 as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nmcompiler.ir.cores import Box, Traffic
from nmcompiler.ir.kernels import Array, Shape
from nmcompiler.ir.schedule import Schedule
from nmcompiler.mapping.partition import Partition
from nmcompiler.mapping.reach import ListReach, ProductReach, Reach
from nmcompiler.target.model import Target
from nmcompiler.target.step_time import core_times_ns, whole_chip_times_ns

__all__ = [
    "CoreWork",
    "Stretches",
    "arriving",
    "arriving_at",
    "core_ns",
    "core_work",
    "duration",
    "is_timed",
    "stretches",
    "windows",
]


@dataclass(frozen=True, eq=False)
class Stretches:
    """The parts of a sample between moments at which a population begins or ends to fire.

    Attributes:
        steps: ``(S,)`` int64: how long each is.
        window: ``(S,)`` int64: the window in which it lies.
        share: ``(S,)`` float64 for each population: the part of its spikes that it sends in each.
    """

    steps: Array
    window: Array
    share: Mapping[str, Array]


@dataclass(frozen=True, eq=False)
class CoreWork:
    """Work of C cores in S stretches of a sample.

    Attributes:
        synops: ``(S, C)`` float64: operations on each core that events cause which are sent in the stretch.
        spikes: ``(S, C)`` float64: events that each core sends.
        neurons: ``(C,)`` int64.
    """

    synops: Array
    spikes: Array
    neurons: Array


def windows(schedule: Schedule) -> dict[str, int]:
    """Returns the window in which each population fires: one for all where the code has none."""
    return {name: slot.window if schedule.windows > 1 else 0 for name, slot in schedule.slots.items()}


def stretches(schedule: Schedule) -> Stretches:
    """Returns the stretches of a sample; spikes of a population are spread evenly over its steps."""
    slots = schedule.slots.values()
    ends = {*schedule.window_starts, schedule.total_steps}
    ends |= {t for slot in slots for t in (slot.fire_start, slot.fire_end) if t < schedule.total_steps}
    moments = np.array(sorted(ends), np.int64)
    starts, steps = moments[:-1], np.diff(moments)
    window = np.searchsorted(schedule.window_starts, starts, side="right") - 1
    share = {
        name: np.where((slot.fire_start <= starts) & (starts < slot.fire_end), steps / slot.steps, 0.0)
        for name, slot in schedule.slots.items()
    }
    return Stretches(steps, window, share)


def core_work(parted: Partition, order: Sequence[int], traffic: Traffic | None) -> CoreWork:
    """Returns the work of a partition; core k is ``order[k]`` of it. Without traffic a neuron fires once."""
    time = stretches(parted.needs.spiking.schedule)
    shape = len(time.steps), len(order)
    synops, spikes, neurons = np.zeros(shape), np.zeros(shape), np.zeros(len(order), np.int64)
    for name, placed in _by_population(parted, order).items():
        needs = parted.needs.populations[name]
        sent = _sent(traffic, name, needs.shape)
        for k, box in placed:
            spikes[:, k] += time.share[name] * _inside(sent, box).sum()
            neurons[k] += box.size
        for wire in needs.wires:
            arrives = _Arriving(wire.reach, _sent(traffic, wire.key[0], wire.source_shape))
            for k, box in placed:
                synops[:, k] += time.share[wire.key[0]] * arrives.at(box)
    return CoreWork(synops, spikes, neurons)


def _by_population(parted: Partition, order: Sequence[int]) -> Mapping[str, list[tuple[int, Box]]]:
    """Returns the boxes of each population, each with its core."""
    found: dict[str, list[tuple[int, Box]]] = {}
    for k, core in enumerate(order):
        for piece in parted.cores[core].pieces:
            found.setdefault(piece.needs.name, []).append((k, piece.box))
    return found


class _Arriving:
    """What ``arriving`` says of many boxes of a projection, whose channels often are the same."""

    def __init__(self, reach: Reach, spikes: Array) -> None:
        self._reach, self._spikes = reach, spikes
        self._sums: dict[tuple[int, int], Array] = {}

    def at(self, box: Box) -> float:
        """Returns the operations of a box."""
        if not isinstance(self._reach, ProductReach):
            return arriving(self._reach, box, self._spikes)
        channels = box.c0, box.c1
        if channels not in self._sums:
            each = arriving_at(self._reach, *channels, self._spikes)
            sums = np.zeros((each.shape[0] + 1, each.shape[1] + 1))
            sums[1:, 1:] = each
            np.cumsum(sums, axis=0, out=sums)
            self._sums[channels] = np.cumsum(sums, axis=1, out=sums)
        corner = self._sums[channels].item
        lower = corner(box.y1, box.x0) + corner(box.y0, box.x1) - corner(box.y0, box.x0)
        return float(corner(box.y1, box.x1) - lower)


def core_ns(parted: Partition, work: CoreWork) -> Array:
    """Returns the nanoseconds of the busiest core, or of the chip as a whole, in each window, ``(W,)``."""
    target, schedule = parted.target, parted.needs.spiking.schedule
    time = stretches(schedule)
    times = core_times_ns(
        target, work.synops / time.steps[:, None], work.neurons, work.spikes / time.steps[:, None]
    )
    found = [ns.max(axis=1) for _, ns in times.values() if ns is not None]
    whole = max(whole_chip_times_ns(target).values(), default=0.0)
    longest = np.max([np.full(len(time.steps), whole), *found], axis=0) * time.steps
    each: Array = np.bincount(time.window, longest, schedule.windows)
    return each


def is_timed(target: Target) -> bool:
    """Returns whether it is known how long a core takes for a synaptic operation."""
    return any(key.startswith("time_per_synop") for key in target.figures)


def duration(parted: Partition, work: CoreWork) -> float:
    """Returns how long cores make a sample last: in ns, or in operations where their time is unknown."""
    if is_timed(parted.target):
        return float(core_ns(parted, work).sum())
    return float(work.synops.max(axis=1, initial=0.0).sum())


def arriving(reach: Reach, box: Box, spikes: Array) -> float:
    """Returns Σ over the synapses of a box of the spikes of their source, ``spikes`` having its shape."""
    if isinstance(reach, ProductReach):
        rows = reach.rows[box.y0 : box.y1].sum(axis=0)
        columns = reach.columns[box.x0 : box.x1].sum(axis=0)
        first, last = reach.first[box.c0 : box.c1], reach.last[box.c0 : box.c1]
        read, ends = first < last, spikes.shape[2] + 1
        change = np.bincount(first[read], minlength=ends) - np.bincount(last[read], minlength=ends)
        channels = np.cumsum(change)[:-1]
        y, x, z = (_span(times) for times in (rows, columns, channels))
        return float(rows[y] @ (spikes[y, x, z] @ channels[z]) @ columns[x])
    assert isinstance(reach, ListReach)
    flat, (_, w, c) = spikes.reshape(-1), reach.target
    lines = [(y * w + x) * c for y in range(box.y0, box.y1) for x in range(box.x0, box.x1)]
    return float(
        sum(flat[reach.columns[reach.start[a + box.c0] : reach.start[a + box.c1]]].sum() for a in lines)
    )


def arriving_at(reach: ProductReach, first: int, end: int, spikes: Array) -> Array:
    """Returns what ``arriving`` does for some channels of every pixel, ``(h, w)`` float64."""
    starts, ends = reach.first[first:end], reach.last[first:end]
    read, most = starts < ends, spikes.shape[2] + 1
    change = np.bincount(starts[read], minlength=most) - np.bincount(ends[read], minlength=most)
    found: Array = reach.rows.astype(np.float64) @ (spikes @ np.cumsum(change)[:-1]) @ reach.columns.T
    return found


def _span(times: Array) -> slice:
    """Returns the range that holds all that is not 0."""
    some = np.flatnonzero(times)
    return slice(int(some[0]), int(some[-1]) + 1) if len(some) else slice(0, 0)


def _sent(traffic: Traffic | None, name: str, shape: Shape) -> Array:
    return np.broadcast_to(1.0 if traffic is None else traffic.spikes[name], shape)


def _inside(values: Array, box: Box) -> Array:
    return values[box.y0 : box.y1, box.x0 : box.x1, box.c0 : box.c1]
