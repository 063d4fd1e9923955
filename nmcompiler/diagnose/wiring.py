"""Integer weights in the places where the layer graph wants them: other geometry, other channels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from nmcompiler.diagnose.alone import Alone
from nmcompiler.ir.kernels import Array, Conv, Dense, Kernel, Shape, Sparse

__all__ = ["rewired"]


def rewired(layer: Alone) -> Iterator[tuple[tuple[Kernel, ...], str]]:
    """Yields the integer kernels connected as the real ones are, and what was wrong, where they differ."""
    moved = tuple(_geometry(a, b) for a, b in zip(layer.integer, layer.real, strict=True))
    if any(m is not a for m, a in zip(moved, layer.integer, strict=True)):
        yield moved, "it reads its sources at the wrong places"
    exchanged, names = [], []
    for integer, real, values in zip(layer.integer, layer.real, layer.sources, strict=True):
        shape = values.shape[1:]
        order = _order(integer, real, (shape[0], shape[1], shape[2]))
        exchanged.append(integer if order is None else _taken(integer, order))
        if order is not None:
            names += [str(c) for c in np.flatnonzero(order != np.arange(len(order)))]
    if names:
        yield tuple(exchanged), f"its source channels {', '.join(names[:6])} are exchanged"


def _geometry(integer: Kernel, real: Kernel) -> Kernel:
    """Returns the integer weights in the real kernel's geometry; the integer kernel where nothing differs."""
    if integer.weight.shape != real.weight.shape:
        return integer
    if isinstance(integer, Conv) and isinstance(real, Conv):
        made = replace(real, weight=integer.weight)
        alike = all(
            getattr(made, name) == getattr(integer, name)
            for name in ("stride", "padding", "dilation", "groups", "source_channel", "target_channel")
        )
        return integer if alike else made
    if isinstance(integer, Sparse) and isinstance(real, Sparse):
        alike = np.array_equal(integer.rows, real.rows) and np.array_equal(integer.columns, real.columns)
        return integer if alike else replace(real, weight=integer.weight)
    return integer


def _by_source(kernel: Kernel, source: Shape) -> Array | None:
    """Returns weights ``(channels read, weights of each)``."""
    if isinstance(kernel, Dense):
        weight = np.asarray(kernel.weight, np.float64).reshape(len(kernel.weight), -1, source[2])
        return weight.reshape(-1, source[2]).T
    if isinstance(kernel, Conv) and kernel.groups == 1:
        return np.moveaxis(np.asarray(kernel.weight, np.float64), 2, 0).reshape(kernel.weight.shape[2], -1)
    return None


def _order(integer: Kernel, real: Kernel, source: Shape) -> Array | None:
    """Returns for each source channel the one whose integer weights are most like its real ones.

    None where that is each channel itself, or is no exchange.
    """
    a, b = _by_source(integer, source), _by_source(real, source)
    if a is None or b is None or a.shape != b.shape or len(a) < 2 or a.shape[1] < 2:
        return None
    size = np.linalg.norm(a, axis=1)[:, None] * np.linalg.norm(b, axis=1)[None]
    likeness = (a @ b.T) / np.maximum(size, 1e-12)  # (integer, real)
    order: Array = likeness.argmax(axis=0)
    own, best = np.diagonal(likeness), likeness.max(axis=0)
    order = np.where(best > own + 0.1, order, np.arange(len(order)))
    if np.array_equal(order, np.arange(len(order))) or len(np.unique(order)) != len(order):
        return None
    return order


def _taken(kernel: Kernel, order: Array) -> Kernel:
    """Returns the kernel whose source channel c has the weights that channel ``order[c]`` had."""
    if isinstance(kernel, Dense):
        weight = kernel.weight.reshape(len(kernel.weight), -1, len(order))[..., order]
        return Dense(weight.reshape(kernel.weight.shape))
    if isinstance(kernel, Conv):
        return replace(kernel, weight=kernel.weight[:, :, order])
    return kernel
