"""Grows the layer graph: handlers ask it for layers, it makes them with their edges."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import networkx as nx
import numpy as np

from nmcompiler.frontend import edges
from nmcompiler.frontend.edges import Edges, Window
from nmcompiler.frontend.layouts import Layouts, arranged, compact, inverted, shape_of, spread
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.values import LARGEST_SIZE, ZERO, Layout, MixesSamples, Refusal, Wire
from nmcompiler.frontend.wiring import Sources, natural
from nmcompiler.ir.graph import Graph
from nmcompiler.ir.kernels import Array, Shape, Sparse
from nmcompiler.ir.layers import Clip, Function, InputPort, Layer, LayerGraph, Link, LocalNorm, MaxPool

__all__ = ["Builder", "Term", "check_size", "common_shape"]

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
        self._layouts = Layouts(self.sources, pinned)

    def input(self, name: str, shape: tuple[int, ...]) -> tuple[Wire, InputPort]:
        """Adds an input layer for samples of ``shape`` (without the batch)."""
        whole = (1, *shape) if self.batched else shape
        order = natural(np.arange(math.prod(shape), dtype=np.int64).reshape(whole))
        node = self.unique(name)
        layout = self._layouts.of(node, Layout(shape_of(order), order.ravel()))
        self.graph.add(Layer(node, "Input", layout.shape))
        ids = self.sources.add(node, layout.shape).ravel()
        self._layouts.free(node)
        wire = Wire(inverted(ids, layout.order).reshape(whole))
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
        order = self._layouts.best(wires)
        constants = [t.factor for t in terms] + ([] if shift is None else [shift])
        self._layouts.settle(wires, order, [spread(c, shape) for c in constants])
        parts = []
        for term, ids in zip(terms, wires, strict=True):
            factor = compact(arranged(spread(term.factor, shape), order))
            parts.append((term.slot, edges.scale(self.sources, arranged(ids, order), factor)))
        bias = None if shift is None else arranged(spread(shift, shape), order)
        root = self._layouts.root(wires, order)
        made = self.add(node, parts, shape_of(order), bias=bias, activation=activation)
        if root is not None:
            self._layouts.free(self.sources.names[-1], root)
        return Wire(inverted(made.ravel(), order.ravel()).reshape(shape))

    def constant(self, node: Node, value: Array) -> Wire:
        """Adds a layer that reads nothing and gives a constant of the ONNX shape of one sample."""
        order = natural(np.arange(value.size, dtype=np.int64).reshape(value.shape))
        made = self.add(node, [], shape_of(order), bias=value.astype(np.float64).ravel()[order])
        return Wire(inverted(made.ravel(), order.ravel()).reshape(value.shape))

    def dense(self, node: Node, wire: Array, weight: Array, bias: Array | None) -> Wire:
        """Adds a layer ``weight · x + bias`` for ids ``(n,)``, weight ``(m, n)`` and bias ``(m,)``."""
        outputs = len(weight)
        name = self.unique(node.name)
        layout = self._layouts.of(name, Layout((1, 1, outputs), np.arange(outputs, dtype=np.int64)))
        if not np.array_equal(layout.order, np.arange(outputs)):
            weight = weight[layout.order]
        made = edges.dense(self.sources, wire, weight)
        shift = None if bias is None else bias[layout.order].reshape(layout.shape)
        self.macs += weight.size
        ids = self.add(node, [(0, made)], layout.shape, bias=shift)
        self._layouts.free(name)
        return Wire(inverted(ids.ravel(), layout.order).reshape(1, outputs))

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
        if self._layouts.reads_swapped(ids):
            swapped = self.convolution(
                node, ids.swapaxes(0, 1), weight.swapaxes(0, 1), groups, window.swapped, bias
            )
            return swapped.swapaxes(0, 1)
        order = np.arange(ids.shape[2])
        if groups == ids.shape[2]:
            order, ids, weight, bias = _sorted_channels(ids, weight, bias)
        outputs = weight.shape[3]
        made = edges.convolution(self.sources, ids, weight, groups, window)
        shift = None if bias is None else bias.reshape(1, 1, -1)
        result = self.add(node, [(0, made)], (*window.out, outputs), bias=shift)
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
            self.sources, wire.ids, weights, inverted(np.arange(order.size), order.ravel())
        )
        ids = self.add(node, [(0, made)], shape_of(order))
        return Wire(inverted(ids.ravel(), order.ravel()).reshape(shape))

    def max_pool(self, node: Node, ids: Array, window: Window) -> Array:
        """Adds a layer of maxima over windows of ``(h, w, c)`` ids and returns its ids, ``(h, w, c)``."""
        if self._layouts.reads_swapped(ids):
            return self.max_pool(node, ids.swapaxes(0, 1), window.swapped).swapaxes(0, 1)
        order = np.argsort(ids[0, 0], kind="stable")
        ids = ids[..., order]
        made = edges.scale(self.sources, ids, np.ones((1, 1, 1)))
        pool = MaxPool(window.size, window.stride, window.padding, window.dilation)
        shape = (*window.out, ids.shape[2])
        result = self.add(node, [(0, made)], shape_of(ids), max_pool=pool, shape=shape)
        return result[..., np.argsort(order, kind="stable")]

    def local_norm(self, node: Node, ids: Array, norm: LocalNorm) -> Array:
        """Adds a layer that normalises ``(h, w, c)`` ids along their channels, and returns its ids."""
        if self._layouts.reads_swapped(ids):
            return self.local_norm(node, ids.swapaxes(0, 1), norm).swapaxes(0, 1)
        made = edges.scale(self.sources, ids, np.ones((1, 1, 1)))
        return self.add(node, [(0, made)], shape_of(ids), function=norm)

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
        self.graph.add(Layer(name, "Refused", shape_of(order)))
        ids = self.sources.add(name, shape_of(order)).ravel()
        return Wire(inverted(ids, order.ravel()).reshape(shape))

    def pruned(self, ends: Sequence[str]) -> LayerGraph:
        """Returns the graph without the layers that reach none of ``ends``; inputs stay."""
        kept = set(ends).union(*(nx.ancestors(self.graph.nx, end) for end in ends))
        for layer in list(self.graph):
            if layer.name not in kept and not layer.is_input:
                self.graph.remove(layer.name)
        return self.graph


def common_shape(*shapes: tuple[int, ...], batched: bool = True) -> tuple[int, ...]:
    """Returns the broadcast shape of one sample, or refuses where there is none or the batch is lost."""
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError as error:
        raise Refusal(f"operands of shapes {[list(s) for s in shapes]} do not broadcast") from error
    if batched and (shape[:1] != (1,) or len({len(s) for s in shapes}) > 1):
        raise MixesSamples(f"operands of shapes {[list(s) for s in shapes]} would mix samples")
    return shape


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
