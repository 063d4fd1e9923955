"""What each output of a layer is a sum of: the inputs of its weights, at some positions of the samples.

Outputs that read the same inputs form a group. Those of a pruned kernel read inputs of their own: each is a
group, of as many unknowns as the one with most has; what others have less reads 0 with a weight of 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nmcompiler.evaluate.linear import windows_at
from nmcompiler.ir.kernels import Array, Conv, Dense, Kernel, Shape

__all__ = ["Positions", "columns", "from_groups", "most_rows", "to_groups"]

_MOST_VALUES = 1 << 25  # of the columns of a pruned kernel, 4 bytes each


@dataclass(frozen=True, eq=False)
class Positions:
    """Some positions of all samples' maps: sample, row and column, ``(rows,)`` each."""

    sample: Array
    y: Array
    x: Array

    @classmethod
    def spread(cls, samples: int, shape: Shape, most: int) -> Positions:
        """Returns all positions, or ``most`` of them, one from each of as many equal stretches."""
        count = samples * shape[0] * shape[1]
        flat = np.arange(min(count, most))
        if count > most:
            # A fixed step that divides the width of a map would only ever see the same columns.
            flat = ((flat + np.random.default_rng(0).random(most)) * (count / most)).astype(np.int64)
        return cls(*np.unravel_index(flat, (samples, *shape[:2])))

    def of(self, values: Array) -> Array:
        """Returns the rows ``(rows, c)`` of values ``(N, h, w, c)``."""
        rows: Array = values[self.sample, self.y, self.x]
        return rows


def columns(kernel: Kernel, source: Array, at: Positions) -> Array:
    """Returns what each output of a group is a sum of: ``(groups, rows, unknowns)`` float32.

    Args:
        kernel: A dense layer that writes one position, or a convolution.
        source: ``(N, h, w, c)`` values of its source.
        at: Which outputs.
    """
    shared = _shared_columns(kernel, source, at)
    if isinstance(kernel, Dense | Conv) and kernel.pruned:
        kept, real = _kept(kernel)
        outputs = len(kept) // len(shared)
        own = (shared[i // outputs][:, kept[i]] * real[i] for i in range(len(kept)))
        return np.stack(list(own)).astype(np.float32, copy=False)
    return shared


def from_groups(kernel: Kernel, weight: Array) -> Array:
    """Returns ``(groups, unknowns, outputs per group)`` in the layout of the kernel's weights."""
    if isinstance(kernel, Dense | Conv) and kernel.pruned:
        kept, real = _kept(kernel)
        shape = _shared_groups(kernel).shape
        flat = np.zeros((len(kept), shape[1]), weight.dtype)
        output, place = np.nonzero(real)
        flat[output, kept[output, place]] = weight[output, place, 0]
        weight = flat.reshape(shape[0], shape[2], shape[1]).transpose(0, 2, 1)
    if isinstance(kernel, Dense):
        transposed: Array = weight[0].T
        return transposed
    kh, kw, inputs, outputs = kernel.weight.shape
    taps = weight.reshape(-1, kh, kw, inputs, weight.shape[2]).transpose(1, 2, 3, 0, 4)
    arranged: Array = taps.reshape(kh, kw, inputs, outputs)
    return arranged


def to_groups(kernel: Kernel) -> Array:
    """Returns the kernel's weights as ``(groups, unknowns, outputs per group)``."""
    shared = _shared_groups(kernel)
    if isinstance(kernel, Dense | Conv) and kernel.pruned:
        kept, real = _kept(kernel)
        own = np.take_along_axis(_by_output(shared), kept, axis=1) * real
        alone: Array = own[:, :, None]
        return alone
    return shared


def most_rows(kernels: tuple[Kernel, ...], rows: int) -> int:
    """Returns at how many positions the columns of some kernels fit into memory, at most ``rows``."""
    for kernel in kernels:
        if isinstance(kernel, Dense | Conv) and kernel.pruned:
            rows = min(rows, max(1, _MOST_VALUES // _kept(kernel)[0].size))
    return rows


def _shared_columns(kernel: Kernel, source: Array, at: Positions) -> Array:
    if isinstance(kernel, Dense):
        return source.reshape(1, len(source), -1)[:, at.sample]
    if not isinstance(kernel, Conv):
        raise TypeError(f"no columns of a {type(kernel).__name__}")
    taken = windows_at(kernel, source, at.sample, at.y, at.x)
    rows, kh, kw, _ = taken.shape
    grouped = taken.reshape(rows, kh, kw, kernel.groups, -1).transpose(3, 0, 1, 2, 4)
    return np.ascontiguousarray(grouped.reshape(kernel.groups, rows, -1))


def _shared_groups(kernel: Kernel) -> Array:
    if isinstance(kernel, Dense):
        transposed: Array = kernel.weight.T[None]
        return transposed
    if not isinstance(kernel, Conv):
        raise TypeError(f"no columns of a {type(kernel).__name__}")
    kh, kw, inputs, outputs = kernel.weight.shape
    taps = kernel.weight.reshape(kh, kw, inputs, kernel.groups, -1).transpose(3, 0, 1, 2, 4)
    grouped: Array = taps.reshape(kernel.groups, kh * kw * inputs, outputs // kernel.groups)
    return grouped


def _by_output(shared: Array) -> Array:
    """Returns ``(groups · outputs, unknowns)`` from ``(groups, unknowns, outputs)``."""
    flat: Array = shared.transpose(0, 2, 1).reshape(-1, shared.shape[1])
    return flat


def _kept(kernel: Dense | Conv) -> tuple[Array, Array]:
    """Returns which unknowns each output reads, ``(outputs, most)`` int64, and which of them are real."""
    synapse = _by_output(_shared_groups(kernel)) != 0
    most = max(1, int(synapse.sum(axis=1).max(initial=0)))
    kept = np.argsort(~synapse, axis=1, kind="stable")[:, :most]
    return kept, np.take_along_axis(synapse, kept, axis=1)
