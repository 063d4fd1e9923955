"""What each output of a layer is a sum of: the inputs of its weights, at some positions of the samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nmcompiler.evaluate.linear import windows_at
from nmcompiler.ir.kernels import Array, Conv, Dense, Kernel, Shape

__all__ = ["Positions", "columns", "from_groups", "to_groups"]


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
    if isinstance(kernel, Dense):
        return source.reshape(1, len(source), -1)[:, at.sample]
    if not isinstance(kernel, Conv):
        raise TypeError(f"no columns of a {type(kernel).__name__}")
    taken = windows_at(kernel, source, at.sample, at.y, at.x)
    rows, kh, kw, _ = taken.shape
    grouped = taken.reshape(rows, kh, kw, kernel.groups, -1).transpose(3, 0, 1, 2, 4)
    return np.ascontiguousarray(grouped.reshape(kernel.groups, rows, -1))


def from_groups(kernel: Kernel, weight: Array) -> Array:
    """Returns ``(groups, unknowns, outputs per group)`` in the layout of the kernel's weights."""
    if isinstance(kernel, Dense):
        transposed: Array = weight[0].T
        return transposed
    kh, kw, inputs, outputs = kernel.weight.shape
    taps = weight.reshape(-1, kh, kw, inputs, weight.shape[2]).transpose(1, 2, 3, 0, 4)
    arranged: Array = taps.reshape(kh, kw, inputs, outputs)
    return arranged


def to_groups(kernel: Kernel) -> Array:
    """Returns the kernel's weights as ``(groups, unknowns, outputs per group)``."""
    if isinstance(kernel, Dense):
        transposed: Array = kernel.weight.T[None]
        return transposed
    if not isinstance(kernel, Conv):
        raise TypeError(f"no columns of a {type(kernel).__name__}")
    kh, kw, inputs, outputs = kernel.weight.shape
    taps = kernel.weight.reshape(kh, kw, inputs, kernel.groups, -1).transpose(3, 0, 1, 2, 4)
    grouped: Array = taps.reshape(kernel.groups, kh * kw * inputs, outputs // kernel.groups)
    return grouped
