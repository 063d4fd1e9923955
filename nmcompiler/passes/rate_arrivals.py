"""What arrives at some positions of a layer in the ``rate`` code, event by event, for calibration."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nmcompiler.evaluate.linear import apply, windows_at
from nmcompiler.ir.kernels import Array, Conv, Dense, Kernel, Shape
from nmcompiler.passes.refit import Positions

__all__ = ["event_rows", "event_sums"]

_MOST_VALUES = 1 << 25  # of the additions of one layer, 4 bytes each
_LEAST_ROWS = 16


def event_rows(kernels: Sequence[Kernel], sources: Sequence[Shape], shape: Shape, steps: int) -> int:
    """Returns the positions of a layer whose events can be listed together."""
    events = sum(_events(kernel, source) for kernel, source in zip(kernels, sources, strict=True))
    return max(_LEAST_ROWS, _MOST_VALUES // (steps * events * shape[2]))


def event_sums(edges: Sequence[tuple[Kernel, Array]], at: Positions, shape: Shape) -> Array:
    """Returns what each event adds, ``(T, E, rows, c)`` float32, in the order of the sources.

    Several spikes of one neuron in a step are added at once here, and so is all that comes in a step through
    a list of synapses (pooling): what is looked for are thresholds, not the last spike.

    Args:
        edges: Kernels with real weights and the trains ``(T, N, h, w, c)`` of what they read.
        at: The positions.
        shape: ``(height, width, channels)`` of the layer's sums.
    """
    parts = [np.stack([_added(kernel, step, at, shape) for step in train]) for kernel, train in edges]
    return np.concatenate(parts, axis=1)


def _events(kernel: Kernel, source: Shape) -> int:
    if isinstance(kernel, Dense):
        return int(np.prod(source))
    return int(np.prod(kernel.weight.shape[:2])) * kernel.source_channels if isinstance(kernel, Conv) else 1


def _added(kernel: Kernel, spikes: Array, at: Positions, shape: Shape) -> Array:
    """Returns ``(E, rows, c)`` float32: what the spikes ``(N, h, w, c)`` of one step add."""
    if isinstance(kernel, Dense):
        sent = spikes.reshape(len(spikes), -1)[at.sample].astype(np.float32)
        weight = kernel.weight.reshape(*shape, -1)[at.y, at.x].astype(np.float32)
        added: Array = sent.T[:, :, None] * weight.transpose(2, 0, 1)
        return added
    if not isinstance(kernel, Conv):
        return at.of(apply(kernel, spikes.astype(np.float32), shape))[None].astype(np.float32)
    taken = windows_at(kernel, spikes, at.sample, at.y, at.x).astype(np.float32)
    added = np.zeros((taken[0].size, len(taken), shape[2]), np.float32)
    written = slice(kernel.target_channel, kernel.target_channel + kernel.target_channels)
    added[:, :, written] = taken.reshape(len(taken), -1).T[:, :, None] * _spread(kernel)[:, None]
    return added


def _spread(kernel: Conv) -> Array:
    """Returns the weights of every tap and channel, ``(kh · kw · channels read, channels written)``."""
    kh, kw, inputs, outputs = kernel.weight.shape
    full = np.zeros((kh, kw, kernel.groups, inputs, kernel.groups, outputs // kernel.groups), np.float32)
    weight = kernel.weight.reshape(kh, kw, inputs, kernel.groups, -1)
    for g in range(kernel.groups):
        full[:, :, g, :, g] = weight[:, :, :, g]
    return full.reshape(kh * kw * inputs * kernel.groups, outputs)
