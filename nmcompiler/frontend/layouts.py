"""Chooses how layers are laid out as ``(h, w, c)``, and brings arrays into a layout and out of it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nmcompiler.frontend.values import Layout, Refusal, Relayout
from nmcompiler.frontend.wiring import Sources, layouts, natural
from nmcompiler.ir.kernels import Array, Shape

__all__ = ["Layouts", "arranged", "compact", "inverted", "shape_of", "spread"]


class Layouts:
    """The layouts of a layer graph in the making.

    A layout of inputs and dense layers is free: where a rearrangement of one would make its readers' wires
    whole channels, ``Relayout`` is raised, and the graph is grown again with that layout pinned.

    Args:
        sources: The layers so far.
        pinned: Layouts of inputs and dense layers by name; the natural one where a name is missing.
    """

    def __init__(self, sources: Sources, pinned: Mapping[str, Layout]) -> None:
        self._sources = sources
        self._pinned = pinned
        self._natural: dict[str, Layout] = {}
        self._kept: dict[str, str] = {}  # layer -> the layer of free layout whose order it keeps

    def of(self, name: str, natural: Layout) -> Layout:
        """Returns the layout of a layer whose natural one is given."""
        self._natural[name] = natural
        return self._pinned.get(name, natural)

    def free(self, name: str, root: str | None = None) -> None:
        """Notes that the layout of a layer is free, or that it keeps the order of ``root``, which is."""
        self._kept[name] = name if root is None else root

    def reads_swapped(self, ids: Array) -> bool:
        """Whether ids are whole channels only with rows and columns exchanged; may ask for a relayout."""
        if self._sources.channels(ids) is not None:
            return False
        if self._sources.channels(ids.swapaxes(0, 1)) is not None:
            return True
        self._relayout(ids)
        return False

    def settle(self, wires: list[Array], order: Array, constants: list[Array]) -> None:
        """Asks for a relayout where more constants are one number a channel with the ONNX channels last."""
        wanted = natural(np.arange(wires[0].size).reshape(wires[0].shape))

        def along_channels(layout: Array) -> int:
            return sum(compact(arranged(c, layout)).shape[:2] == (1, 1) for c in constants)

        if along_channels(wanted) > along_channels(order):
            self._relayout(arranged(wires[0], wanted))

    def best(self, wires: list[Array]) -> Array:
        """Returns the first layout in which most of the wires are made of whole channels."""
        best, most = None, -1
        for order in layouts(self._sources, wires):
            plain = sum(self._sources.channels(arranged(ids, order)) is not None for ids in wires)
            if plain > most:
                best, most = order, plain
            if plain == len(wires):
                break
        if best is None:
            raise Refusal("has no operand")
        return best

    def root(self, wires: list[Array], order: Array) -> str | None:
        """Returns the layer of free layout whose flat order a sum in ``order`` keeps."""
        for ids in wires:
            index = self._sources.whole(ids)
            if index is None:
                continue
            kept = self._sources.positions(index, arranged(ids, order).ravel())
            if np.array_equal(kept, np.arange(kept.size)):
                return self._kept.get(self._sources.names[index])
        return None

    def _relayout(self, ids: Array) -> None:
        """Asks for ``(h, w, c)`` ids as the layout of the layer that they rearrange, where that is free."""
        index = self._sources.whole(ids)
        root = None if index is None else self._kept.get(self._sources.names[index])
        if index is not None and root is not None and root not in self._pinned:
            order = self._natural[root].order[self._sources.positions(index, ids.ravel())]
            raise Relayout(root, Layout(shape_of(ids), order))


def compact(array: Array) -> Array:
    """Returns an ``(h, w, c)`` array as ``(1, 1, 1)`` or ``(1, 1, c)`` where that says the same."""
    if (array == array[:1, :1, :1]).all():
        return array[:1, :1, :1]
    return array[:1, :1] if (array == array[:1, :1]).all() else array


def shape_of(array: Array) -> Shape:
    """Returns the shape of an ``(h, w, c)`` array."""
    h, w, c = array.shape
    return h, w, c


def spread(constant: Array, shape: tuple[int, ...]) -> Array:
    """Returns a constant broadcast to a shape; one number fits a shape without axes, too."""
    return np.broadcast_to(constant.reshape(()) if constant.size == 1 else constant, shape)


def arranged(array: Array, order: Array) -> Array:
    """Returns an array of any ONNX shape in a layout: ``order`` ``(h, w, c)`` holds flat ONNX positions."""
    laid_out: Array = array.ravel()[order]
    return laid_out


def inverted(ids: Array, order: Array) -> Array:
    """Returns ids in ONNX order, from ids in layer order and the ONNX element of each layer position."""
    result = np.empty_like(ids)
    result[order] = ids
    return result
