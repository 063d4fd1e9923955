"""Counts of neurons that compare after every event, for calibration: real weights, whole spikes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nmcompiler.evaluate.linear import apply, windows_at
from nmcompiler.ir.kernels import Array, Conv, Dense, Kernel, Shape
from nmcompiler.passes.refit import Positions
from nmcompiler.target.model import Dynamics

__all__ = ["Events", "event_rows", "events_at"]

_MOST_VALUES = 1 << 27  # of the spikes that one layer's positions are sent, a byte each
_LEAST_ROWS = 16
_NO_FLOOR = -np.inf


@dataclass(frozen=True, eq=False)
class Events:
    """What some positions of a layer are sent, in the order in which they take it.

    Attributes:
        spikes: ``(rows, T, E)`` int8: how many spikes each of E sources sends in a step; negative ones come
            from an off half.
        weights: ``(E, c)`` float32: what a spike adds.
        merged: ``(rows, T, c)`` float32: what comes through lists of synapses, as one event after the others.
    """

    spikes: Array
    weights: Array
    merged: Array

    @property
    def steps(self) -> int:
        """T."""
        return int(self.spikes.shape[1])

    @property
    def total(self) -> Array:
        """``(rows, c)`` float32: all that is added in a sample."""
        added: Array = self.spikes.sum(axis=1, dtype=np.float32) @ self.weights + self.merged.sum(axis=1)
        return added

    def counts(
        self, theta: Array, start: Array, current: Array, wait: int, sign: int, dynamics: Dynamics
    ) -> Array:
        """Returns ``(rows, c)`` int32 how many spikes neurons have sent after T steps.

        Args:
            theta: ``(c,)`` thresholds.
            start: ``(rows, c)`` starts of the membranes.
            current: ``(rows, c)`` bias currents of a step in which they may fire.
            wait: Steps of integrating before the T steps of firing.
            sign: −1 for neurons with all weights turned round.
            dynamics: Reset and floor; a floor is taken for zero, since what it is in real values depends on
                the thresholds.
        """
        # The simulator is imported by the first calibration of `rate`, not by every command.
        from nmcompiler.sim.jit import jit

        count = np.zeros(start.shape, np.int32)
        floor = _NO_FLOOR if dynamics.floor is None else 0.0
        weights = np.float32(sign) * self.weights
        merged = np.float32(sign) * self.merged
        numbers = (
            np.ascontiguousarray(np.broadcast_to(x, count.shape), np.float32) for x in (theta, start, current)
        )
        jit(_walk)(
            self.spikes, weights, merged, *numbers, wait, dynamics.reset == "zero", np.float32(floor), count
        )
        return count


def event_rows(kernels: Sequence[Kernel], sources: Sequence[Shape], shape: Shape, steps: int) -> int:
    """Returns the positions of a layer whose events can be listed together."""
    events = sum(_events(kernel, source) for kernel, source in zip(kernels, sources, strict=True))
    return max(_LEAST_ROWS, _MOST_VALUES // (steps * (events + 4 * shape[2])))


def events_at(
    edges: Sequence[tuple[Kernel, Array]], at: Positions, shape: Shape, ties: int | None = None
) -> Events:
    """Returns what some positions of a layer are sent.

    Args:
        edges: Kernels with real weights and the trains ``(T, N, h, w, c)`` of what they read.
        at: The positions.
        shape: ``(height, width, channels)`` of the layer's sums.
        ties: A seed, where sources come in no order that anybody controls: they are shuffled.
    """
    steps, rows = len(edges[0][1]), len(at.sample)
    spikes = [np.zeros((rows, steps, 0), np.int8)]
    weights = [np.zeros((0, shape[2]), np.float32)]
    merged = np.zeros((rows, steps, shape[2]), np.float32)
    for kernel, train in edges:
        if isinstance(kernel, Dense) and shape[:2] == (1, 1):
            spikes.append(np.stack([step.reshape(len(step), -1)[at.sample] for step in train], axis=1))
            weights.append(kernel.weight.reshape(shape[2], -1).T)
        elif isinstance(kernel, Conv):
            taken = [windows_at(kernel, step, at.sample, at.y, at.x).reshape(rows, -1) for step in train]
            spikes.append(np.stack(taken, axis=1))
            weights.append(_spread(kernel, shape[2]))
        else:
            for t, step in enumerate(train):
                merged[:, t] += at.of(apply(kernel, step.astype(np.float32), shape))
    most = np.iinfo(np.int8).max
    held = [np.clip(part, -most, most).astype(np.int8) for part in spikes]
    sent, added = np.concatenate(held, axis=2), np.concatenate(weights).astype(np.float32)
    if ties is not None:
        order = np.random.default_rng(ties).permutation(len(added))
        sent, added = np.ascontiguousarray(sent[:, :, order]), added[order]
    return Events(sent, added, merged)


def _events(kernel: Kernel, source: Shape) -> int:
    if isinstance(kernel, Dense):
        return int(np.prod(source))
    return int(np.prod(kernel.weight.shape[:2])) * kernel.source_channels if isinstance(kernel, Conv) else 0


def _spread(kernel: Conv, channels: int) -> Array:
    """Returns the weights of every tap and channel, ``(kh · kw · channels read, channels)``."""
    kh, kw, inputs, outputs = kernel.weight.shape
    full = np.zeros((kh, kw, kernel.groups, inputs, kernel.groups, outputs // kernel.groups), np.float32)
    weight = kernel.weight.reshape(kh, kw, inputs, kernel.groups, -1)
    for g in range(kernel.groups):
        full[:, :, g, :, g] = weight[:, :, :, g]
    spread = np.zeros((kh * kw * inputs * kernel.groups, channels), np.float32)
    written = slice(kernel.target_channel, kernel.target_channel + outputs)
    spread[:, written] = full.reshape(len(spread), outputs)
    return spread


def _walk(
    spikes: Array,
    weights: Array,
    merged: Array,
    theta: Array,
    start: Array,
    current: Array,
    wait: int,
    to_zero: bool,
    floor: np.float32,
    count: Array,
) -> None:
    """The bias, then one event after another, each with a comparison of its own."""
    rows, steps, sources = spikes.shape
    channels = weights.shape[1]
    v = np.empty(channels, np.float32)
    for r in range(rows):
        v[:] = start[r]
        for t in range(steps + wait):
            active = t >= wait
            if active:
                for i in range(channels):
                    x = max(v[i] + current[r, i], floor)
                    if x >= theta[r, i]:
                        x = np.float32(0) if to_zero else x - theta[r, i]
                        count[r, i] += 1
                    v[i] = x
            if t >= steps:
                continue
            for e in range(sources + 1):
                sent = 1 if e == sources else int(spikes[r, t, e])
                for _ in range(abs(sent)):
                    for i in range(channels):
                        w = merged[r, t, i] if e == sources else weights[e, i]
                        if w == 0:  # no synapse: nothing comes, and nothing is lifted to the floor
                            continue
                        x = max(v[i] - w if sent < 0 else v[i] + w, floor)
                        if active and x >= theta[r, i]:
                            x = np.float32(0) if to_zero else x - theta[r, i]
                            count[r, i] += 1
                        v[i] = x
