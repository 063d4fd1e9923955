"""Grows the layer graph: handlers ask it for layers, it chooses layouts and makes the edges."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import networkx as nx
import numpy as np

from nmcompiler.frontend import edges
from nmcompiler.frontend.edges import Edges, Window
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.values import LARGEST_SIZE, ZERO, Layout, MixesSamples, Refusal, Relayout, Wire
from nmcompiler.frontend.wiring import Sources, layouts, natural
from nmcompiler.ir.graph import Graph
from nmcompiler.ir.kernels import Array, Shape, Sparse
from nmcompiler.ir.layers import Clip, Function, InputPort, Layer, LayerGraph, Link, LocalNorm, MaxPool

__all__ = ["Builder", "Term", "check_size", "common_shape", "compact"]

_LINEAR = Clip()
_MOST_LISTED = 1 << 25  # synapses of a whole file that are kept one by one: memory and time stay bounded


@dataclass(frozen=True, eq=False)
class Term:
    """One operand of a sum.

    Attributes:
        wire: What is added.
        slot: Operand position in the ONNX node.
        factor: Multiplies it; broadcastable to the shape of the sum.
    """

    wire: Wire
    slot: int = 0
    factor: Array = field(default_factory=lambda: np.ones(1))


class Builder:
    """A layer graph in the making.

    Args:
        pinned: Layouts of inputs and dense layers by name; the natural one where a name is missing.
        batched: Whether axis 0 of all tensors is the batch.
    """

    def __init__(self, pinned: Mapping[str, Layout], *, batched: bool = True) -> None:
        self.graph: LayerGraph = Graph()
        self.sources = Sources()
        self.macs = 0
        self._listed = 0
        self.batched = batched
        self._pinned = pinned
        self._natural: dict[str, Layout] = {}
        self._free: dict[str, str] = {}  # layer -> the layer of free layout whose order it keeps

    def input(self, name: str, shape: tuple[int, ...]) -> tuple[Wire, InputPort]:
        """Adds an input layer for samples of ``shape`` (without the batch)."""
        whole = (1, *shape) if self.batched else shape
        order = natural(np.arange(math.prod(shape), dtype=np.int64).reshape(whole))
        node = self.unique(name)
        layout = self._layout(node, Layout(_shape(order), order.ravel()))
        self.graph.add(Layer(node, "Input", layout.shape))
        ids = self.sources.add(node, layout.shape).ravel()
        self._free[node] = node
        wire = Wire(_inverted(ids, layout.order).reshape(whole))
        return wire, InputPort(name, shape, node, layout.order)

    def unique(self, name: str) -> str:
        """Returns ``name``, with a number behind it where a layer has it already."""
        candidate, k = name, 2
        while candidate in self.graph:
            candidate, k = f"{name}_{k}", k + 1
        return candidate

    def add(
        self,
        node: Node,
        parts: Sequence[tuple[int, Edges]],
        sum_shape: Shape,
        *,
        bias: Array | None = None,
        activation: Clip = _LINEAR,
        max_pool: MaxPool | None = None,
        shape: Shape | None = None,
        function: Function | None = None,
    ) -> Array:
        """Adds the layer of a node and returns the ids of its result, ``(h, w, c)``.

        Args:
            node: What the layer stands for.
            parts: Operand slots with their edges.
            sum_shape: Shape before pooling.
            bias: Broadcastable to ``sum_shape``; rank 3.
            activation: Follows the sum.
            max_pool: Follows the activation.
            shape: Shape of the result where it differs from ``sum_shape``.
            function: Works on the sum, before the activation.
        """
        check_size(sum_shape)
        name = self.unique(node.name)
        self.graph.add(
            Layer(
                name,
                node.op,
                sum_shape,
                compact(np.zeros((1, 1, 1)) if bias is None else bias),
                activation,
                max_pool,
                shape or sum_shape,
                (node.name,),
                function,
            )
        )
        self._listed += sum(k.rows.size for _, made in parts for _, k in made if isinstance(k, Sparse))
        if self._listed > _MOST_LISTED:
            raise Refusal(f"brings the synapses listed one by one to {self._listed}, over {_MOST_LISTED}")
        for slot, made in parts:
            for source, kernel in made:
                self.graph.connect(source, name, Link(kernel, slot))
        return self.sources.add(name, shape or sum_shape)

    def sum(
        self,
        node: Node,
        terms: Sequence[Term],
        *,
        shift: Array | None = None,
        activation: Clip = _LINEAR,
        shape: tuple[int, ...] | None = None,
    ) -> Wire:
        """Adds a layer ``activation(Σ factor · wire + shift)``, element by element.

        Args:
            node: What the layer stands for.
            terms: The operands; their shapes broadcast.
            shift: Broadcastable to the shape of the sum.
            activation: Follows the sum.
            shape: ONNX shape of the result; the operands' common shape where it is None.
        """
        if shape is None:
            shape = common_shape(*(t.wire.shape for t in terms), batched=self.batched)
        check_size(shape)
        wires = [np.broadcast_to(t.wire.ids, shape) for t in terms]
        order = self._best_layout(wires)
        constants = [t.factor for t in terms] + ([] if shift is None else [shift])
        self._settle_layout(wires, order, [_spread(c, shape) for c in constants])
        parts = []
        for term, ids in zip(terms, wires, strict=True):
            factor = compact(_arranged(_spread(term.factor, shape), order))
            parts.append((term.slot, edges.scale(self.sources, _arranged(ids, order), factor)))
        bias = None if shift is None else _arranged(_spread(shift, shape), order)
        root = self._root(wires, order)
        made = self.add(node, parts, _shape(order), bias=bias, activation=activation)
        if root is not None:
            self._free[self.sources.names[-1]] = root
        return Wire(_inverted(made.ravel(), order.ravel()).reshape(shape))

    def constant(self, node: Node, value: Array) -> Wire:
        """Adds a layer that reads nothing and gives a constant of the ONNX shape of one sample."""
        order = natural(np.arange(value.size, dtype=np.int64).reshape(value.shape))
        made = self.add(node, [], _shape(order), bias=value.astype(np.float64).ravel()[order])
        return Wire(_inverted(made.ravel(), order.ravel()).reshape(value.shape))

    def dense(self, node: Node, wire: Array, weight: Array, bias: Array | None) -> Wire:
        """Adds a layer ``weight · x + bias`` for ids ``(n,)``, weight ``(m, n)`` and bias ``(m,)``."""
        outputs = len(weight)
        name = self.unique(node.name)
        layout = self._layout(name, Layout((1, 1, outputs), np.arange(outputs, dtype=np.int64)))
        if not np.array_equal(layout.order, np.arange(outputs)):
            weight = weight[layout.order]
        made = edges.dense(self.sources, wire, weight)
        arranged = None if bias is None else bias[layout.order].reshape(layout.shape)
        self.macs += weight.size
        ids = self.add(node, [(0, made)], layout.shape, bias=arranged)
        self._free[name] = name
        return Wire(_inverted(ids.ravel(), layout.order).reshape(1, outputs))

    def convolution(
        self, node: Node, ids: Array, weight: Array, groups: int, window: Window, bias: Array | None = None
    ) -> Array:
        """Adds a grouped convolution of ``(h, w, c)`` ids and returns its ids, ``(h, w, c)``.

        Args:
            node: What the layer stands for.
            ids: What is read.
            weight: ``(kh, kw, channels per group, outputs)``.
            groups: Number of groups.
            window: Geometry.
            bias: ``(outputs,)`` or None.
        """
        ids, window = _without_border(ids, window)
        if self._reads_swapped(ids):
            swapped = self.convolution(
                node, ids.swapaxes(0, 1), weight.swapaxes(0, 1), groups, window.swapped, bias
            )
            return swapped.swapaxes(0, 1)
        order = np.arange(ids.shape[2])
        if groups == ids.shape[2]:
            order, ids, weight, bias = _sorted_channels(ids, weight, bias)
        outputs = weight.shape[3]
        made = edges.convolution(self.sources, ids, weight, groups, window)
        arranged = None if bias is None else bias.reshape(1, 1, -1)
        result = self.add(node, [(0, made)], (*window.out, outputs), bias=arranged)
        if groups != len(order):
            return result
        back = np.argsort(order, kind="stable")
        grouped = result.reshape(*window.out, groups, outputs // groups)[:, :, back]
        return grouped.reshape(*window.out, outputs)

    def weighted_windows(self, node: Node, ids: Array, window: Window, weight: Array) -> Array:
        """Adds sums over windows of ``(h, w, c)`` ids, each times its ``weight`` ``(h, w)``."""
        made = edges.windows(self.sources, ids, window, weight)
        return self.add(node, [(0, made)], (*window.out, ids.shape[2]))

    def resampled(self, node: Node, wire: Wire, weights: Mapping[int, Array]) -> Wire:
        """Adds a layer that multiplies each given axis of a wire by its weights ``(out, length)``."""
        shape = tuple(len(weights[a]) if a in weights else n for a, n in enumerate(wire.shape))
        check_size(shape)
        order = natural(np.arange(math.prod(shape), dtype=np.int64).reshape(shape))
        made = edges.separable(
            self.sources, wire.ids, weights, _inverted(np.arange(order.size), order.ravel())
        )
        ids = self.add(node, [(0, made)], _shape(order))
        return Wire(_inverted(ids.ravel(), order.ravel()).reshape(shape))

    def max_pool(self, node: Node, ids: Array, window: Window) -> Array:
        """Adds a layer of maxima over windows of ``(h, w, c)`` ids and returns its ids, ``(h, w, c)``."""
        if self._reads_swapped(ids):
            return self.max_pool(node, ids.swapaxes(0, 1), window.swapped).swapaxes(0, 1)
        order = np.argsort(ids[0, 0], kind="stable")
        ids = ids[..., order]
        made = edges.scale(self.sources, ids, np.ones((1, 1, 1)))
        pool = MaxPool(window.size, window.stride, window.padding, window.dilation)
        shape = (*window.out, ids.shape[2])
        result = self.add(node, [(0, made)], _shape(ids), max_pool=pool, shape=shape)
        return result[..., np.argsort(order, kind="stable")]

    def local_norm(self, node: Node, ids: Array, norm: LocalNorm) -> Array:
        """Adds a layer that normalises ``(h, w, c)`` ids along their channels, and returns its ids."""
        if self._reads_swapped(ids):
            return self.local_norm(node, ids.swapaxes(0, 1), norm).swapaxes(0, 1)
        made = edges.scale(self.sources, ids, np.ones((1, 1, 1)))
        return self.add(node, [(0, made)], _shape(ids), function=norm)

    def never_negative(self, ids: Array) -> bool:
        """Whether all elements come from layers that end in a ReLU, or from zeros."""
        layer, _ = self.sources.locate(ids)
        names = [self.sources.names[int(k)] for k in np.unique(layer) if k >= 0]
        return all(self.graph.node(name).activation.lower >= 0 for name in names)

    def reserve(self, shape: tuple[int, ...]) -> Wire:
        """Returns a wire of a shape from nowhere: it stands for the result of a refused node."""
        check_size(shape)
        order = natural(np.arange(math.prod(shape), dtype=np.int64).reshape(shape))
        name = self.unique("refused")
        self.graph.add(Layer(name, "Refused", _shape(order)))
        ids = self.sources.add(name, _shape(order)).ravel()
        return Wire(_inverted(ids, order.ravel()).reshape(shape))

    def pruned(self, ends: Sequence[str]) -> LayerGraph:
        """Returns the graph without the layers that reach none of ``ends``; inputs stay."""
        kept = set(ends).union(*(nx.ancestors(self.graph.nx, end) for end in ends))
        for layer in list(self.graph):
            if layer.name not in kept and not layer.is_input:
                self.graph.remove(layer.name)
        return self.graph

    def _layout(self, name: str, natural: Layout) -> Layout:
        self._natural[name] = natural
        return self._pinned.get(name, natural)

    def _reads_swapped(self, ids: Array) -> bool:
        """Whether ids are whole channels only with rows and columns exchanged; may ask for a relayout."""
        if self.sources.channels(ids) is not None:
            return False
        if self.sources.channels(ids.swapaxes(0, 1)) is not None:
            return True
        self._relayout(ids)
        return False

    def _settle_layout(self, wires: list[Array], order: Array, constants: list[Array]) -> None:
        """Asks for a relayout where more constants are one number a channel with the ONNX channels last."""
        wanted = natural(np.arange(wires[0].size).reshape(wires[0].shape))

        def along_channels(layout: Array) -> int:
            return sum(compact(_arranged(c, layout)).shape[:2] == (1, 1) for c in constants)

        if along_channels(wanted) > along_channels(order):
            self._relayout(_arranged(wires[0], wanted))

    def _relayout(self, ids: Array) -> None:
        """Asks for ``(h, w, c)`` ids as the layout of the layer that they rearrange, where that is free."""
        index = self.sources.whole(ids)
        root = None if index is None else self._free.get(self.sources.names[index])
        if index is not None and root is not None and root not in self._pinned:
            order = self._natural[root].order[self.sources.positions(index, ids.ravel())]
            raise Relayout(root, Layout(_shape(ids), order))

    def _best_layout(self, wires: list[Array]) -> Array:
        """Returns the first layout in which most of the wires are made of whole channels."""
        best, most = None, -1
        for order in layouts(self.sources, wires):
            plain = sum(self.sources.channels(_arranged(ids, order)) is not None for ids in wires)
            if plain > most:
                best, most = order, plain
            if plain == len(wires):
                break
        if best is None:
            raise Refusal("has no operand")
        return best

    def _root(self, wires: list[Array], order: Array) -> str | None:
        """Returns the layer of free layout whose flat order a sum in ``order`` keeps."""
        for ids in wires:
            index = self.sources.whole(ids)
            if index is None:
                continue
            kept = self.sources.positions(index, _arranged(ids, order).ravel())
            if np.array_equal(kept, np.arange(kept.size)):
                return self._free.get(self.sources.names[index])
        return None


def common_shape(*shapes: tuple[int, ...], batched: bool = True) -> tuple[int, ...]:
    """Returns the broadcast shape of one sample, or refuses where there is none or the batch is lost."""
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError as error:
        raise Refusal(f"operands of shapes {[list(s) for s in shapes]} do not broadcast") from error
    if batched and (shape[:1] != (1,) or len({len(s) for s in shapes}) > 1):
        raise MixesSamples(f"operands of shapes {[list(s) for s in shapes]} would mix samples")
    return shape


def compact(array: Array) -> Array:
    """Returns an ``(h, w, c)`` array as ``(1, 1, 1)`` or ``(1, 1, c)`` where that says the same."""
    if (array == array[:1, :1, :1]).all():
        return array[:1, :1, :1]
    return array[:1, :1] if (array == array[:1, :1]).all() else array


def _shape(array: Array) -> Shape:
    h, w, c = array.shape
    return h, w, c


def _spread(constant: Array, shape: tuple[int, ...]) -> Array:
    """Returns a constant broadcast to a shape; one number fits a shape without axes, too."""
    return np.broadcast_to(constant.reshape(()) if constant.size == 1 else constant, shape)


def _arranged(array: Array, order: Array) -> Array:
    arranged: Array = array.ravel()[order]
    return arranged


def _inverted(ids: Array, order: Array) -> Array:
    """Returns ids in ONNX order, from ids in layer order and the ONNX element of each layer position."""
    result = np.empty_like(ids)
    result[order] = ids
    return result


def _sorted_channels(
    ids: Array, weight: Array, bias: Array | None
) -> tuple[Array, Array, Array, Array | None]:
    """Brings a depthwise operator's channels into the order of the layers that it reads."""
    channels = ids.shape[2]
    order = np.argsort(ids[0, 0], kind="stable")
    multiple = weight.shape[3] // channels
    outputs = (order[:, None] * multiple + np.arange(multiple)).ravel()
    return order, ids[..., order], weight[..., outputs], None if bias is None else bias[outputs]


def _without_border(ids: Array, window: Window) -> tuple[Array, Window]:
    """Turns rows and columns of zeros around ``(h, w, c)`` ids into padding of the window."""
    begins = []
    for axis in (0, 1):
        filled = np.flatnonzero((ids != ZERO).any(axis=(1 - axis, 2)))
        if not filled.size:
            return ids, window
        first, last = int(filled[0]), int(filled[-1])
        begins.append(window.padding[axis] + first)
        ids = ids[first : last + 1] if axis == 0 else ids[:, first : last + 1]
    return ids, replace(window, padding=(begins[0], begins[1]))


def check_size(shape: Sequence[int]) -> None:
    """Refuses a tensor of one sample that is larger than any chip could hold, before it is made."""
    if 0 in shape:
        raise Refusal(f"makes a tensor of shape {list(shape)}, which has no elements")
    if math.prod(shape) > LARGEST_SIZE:
        raise Refusal(f"makes a tensor of shape {list(shape)}: at most {LARGEST_SIZE} elements are allowed")
