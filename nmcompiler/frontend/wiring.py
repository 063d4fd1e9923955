"""Finds the layers behind element ids, and the layouts in which a wire is made of whole channels."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from nmcompiler.frontend.values import ZERO, Refusal
from nmcompiler.ir.kernels import Array, Shape

__all__ = ["Channels", "Sources", "layouts", "natural", "spatial", "unspatial"]


@dataclass(frozen=True, eq=False)
class Channels:
    """The channels of a wire, each a whole channel of a layer of the same height and width.

    Attributes:
        layer: ``(c,)`` index of the layer, −1 for a channel of zeros.
        channel: ``(c,)`` channel of that layer.
    """

    layer: Array
    channel: Array

    def runs(self) -> list[slice]:
        """Returns the maximal stretches that are consecutive channels of one layer, zeros left out."""
        same = (np.diff(self.layer) == 0) & (np.diff(self.channel) == 1)
        cuts = [0, *(np.flatnonzero(~same) + 1).tolist(), len(self.layer)]
        pairs = itertools.pairwise(cuts)
        return [slice(a, b) for a, b in pairs if a < b and self.layer[a] >= 0]


class Sources:
    """The layers by element id: layer k owns the ids ``base[k] … base[k] + size − 1``, channels last."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.shapes: list[Shape] = []
        self._bases: list[int] = []
        self._next = 0

    def add(self, name: str, shape: Shape) -> Array:
        """Numbers the values of a new layer, as ``(h, w, c)`` int64 ids."""
        size = int(np.prod(shape, dtype=np.int64))
        self.names.append(name)
        self.shapes.append(shape)
        self._bases.append(self._next)
        ids = np.arange(self._next, self._next + size, dtype=np.int64).reshape(shape)
        self._next += size
        return ids

    def locate(self, ids: Array) -> tuple[Array, Array]:
        """Returns layer index (−1 for zeros) and flat position in the layer, both of the shape of ``ids``."""
        bases = np.asarray(self._bases, np.int64)
        layer = np.searchsorted(bases, ids, side="right") - 1
        return layer, np.where(ids == ZERO, 0, ids - bases[np.maximum(layer, 0)])

    def channels(self, ids: Array) -> Channels | None:
        """Returns the channels of ``(h, w, c)`` ids, or None where one is not a whole channel of a layer."""
        h, w, _ = ids.shape
        layer, channel = self.locate(ids[0, 0])
        known = layer >= 0
        shapes = np.asarray(self.shapes, np.int64).reshape(-1, 3)[np.maximum(layer, 0)]
        if not ((shapes == [h, w, 0])[:, :2].all(axis=1) | ~known).all():
            return None
        if (channel >= shapes[:, 2]).any():
            return None
        step = np.where(known, shapes[:, 2], 0)
        position = np.arange(h * w, dtype=np.int64).reshape(h, w, 1)
        if not np.array_equal(ids, ids[0, 0] + position * step):
            return None
        return Channels(layer, channel)

    def whole(self, ids: Array) -> int | None:
        """Returns the index of the layer of which ``ids`` holds every element exactly once, in any order."""
        first = int(ids.min()) if ids.size else ZERO
        if first < 0:
            return None
        index = int(np.searchsorted(np.asarray(self._bases), first, side="right")) - 1
        size = int(np.prod(self.shapes[index], dtype=np.int64))
        if self._bases[index] != first or ids.size != size or int(ids.max()) != first + size - 1:
            return None
        seen = np.zeros(size, np.bool_)
        seen[ids.ravel() - first] = True
        return index if seen.all() else None

    def positions(self, index: int, ids: Array) -> Array:
        """Returns the flat positions in layer ``index`` of ids that belong to it."""
        located: Array = ids - self._bases[index]
        return located


def spatial(array: Array) -> Array:
    """Returns an array of ONNX shape (1, C), (1, C, L) or (1, C, H, W) as ``(h, w, c)``."""
    if array.ndim in (3, 4) and len(array) != 1:
        raise Refusal(f"works on {len(array)} images at once (shape {list(array.shape)})")
    return natural(array) if array.ndim <= 4 else array.reshape(1, 1, -1)


def natural(array: Array) -> Array:
    """Returns an array of any ONNX shape as ``(h, w, c)``, images and depths as further channels."""
    if array.ndim == 3:
        return array.transpose(2, 0, 1).reshape(1, array.shape[2], -1)
    if array.ndim == 4:
        return array.transpose(2, 3, 0, 1).reshape(*array.shape[2:], -1)
    if array.ndim == 5:
        return array.transpose(3, 4, 0, 2, 1).reshape(*array.shape[3:], -1)
    return array.reshape(1, 1, -1)


def layouts(sources: Sources, wires: list[Array]) -> Iterator[Array]:
    """Yields ways to lay out a tensor as ``(h, w, c)``, each as flat positions in the ONNX tensor.

    First come those in which a wire keeps the order of the layer that it is a rearrangement of, then
    channels first, then channels last.
    """
    shape = wires[0].shape
    flat = np.arange(int(np.prod(shape, dtype=np.int64)), dtype=np.int64)
    for ids in wires:
        index = sources.whole(ids)
        if index is not None:
            back = np.empty_like(flat)
            back[sources.positions(index, ids.ravel())] = flat
            yield back.reshape(sources.shapes[index])
    positions = flat.reshape(shape)
    yield natural(positions)
    if len(shape) == 4 and shape[0] == 1:
        yield positions[0]
    elif len(shape) == 3:
        yield positions


def unspatial(array: Array, rank: int) -> Array:
    """Returns an ``(h, w, c)`` array in the ONNX shape of rank 2, 3 or 4; the inverse of ``spatial``."""
    if rank not in (3, 4):
        return array.reshape(1, -1)
    arranged: Array = array.transpose(2, 0, 1)[None] if rank == 4 else array[0].T[None]
    return arranged
