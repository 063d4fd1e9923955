"""The layer graph: a trained network in floating point, as the frontend reads it.

One kind of node serves every operator: ``y = max_pool(activation(function(Σ_edges kernel(x) + bias)))``. A
convolution is an edge, BatchNormalization an elementwise edge and a bias, a residual add two edges, a
concat two edges that write different channels. Passes fold such nodes into each other; what remains
becomes the populations of the integer network. Few layers have a function: no population computes one, so a
pass replaces it and says what that costs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from nmcompiler.ir.graph import Graph
from nmcompiler.ir.kernels import Array, Kernel, Shape

__all__ = [
    "HOST_CASTS",
    "Clip",
    "Function",
    "InputPort",
    "Layer",
    "LayerGraph",
    "Link",
    "LocalNorm",
    "MaxPool",
    "Model",
    "OutputPort",
]


@dataclass(frozen=True)
class Clip:
    """``min(max(x, lower), upper)``; the default is no activation at all, ``Clip(0.0)`` is ReLU."""

    lower: float = -math.inf
    upper: float = math.inf

    @property
    def is_identity(self) -> bool:
        """Whether nothing is clipped."""
        return self.lower == -math.inf and self.upper == math.inf


@dataclass(frozen=True)
class LocalNorm:
    """``y[c] = x[c] / (bias + alpha / size · Σ_i x[i]²)^beta`` at each position (ONNX: LRN).

    The sum is over the channels i from ``c − ⌊(size − 1) / 2⌋`` to ``c + ⌈(size − 1) / 2⌉`` that exist.

    Attributes:
        size: Number of channels that are summed.
        alpha: Weight of the sum, not negative.
        beta: Exponent.
        bias: Added to the sum, above 0.
    """

    size: int
    alpha: float
    beta: float
    bias: float


Function: TypeAlias = LocalNorm
"""What only floating point evaluates, exactly (``evaluate.functions``); further kinds join as a union."""


@dataclass(frozen=True)
class MaxPool:
    """Maximum over a window of each channel; positions outside the source do not take part.

    Attributes:
        size: ``(kh, kw)``.
        stride: ``(sy, sx)``.
        padding: ``(top, left)``.
        dilation: ``(dy, dx)``.
        joined: Whether one population holds its result, and is read in place of all terms of the pool's tree.
    """

    size: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    joined: bool = False


@dataclass(frozen=True)
class Link:
    """An edge of the layer graph.

    Attributes:
        kernel: The linear map, with floating-point weights.
        slot: Operand position of the ONNX node that made it.
    """

    kernel: Kernel
    slot: int = 0


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer: ``y = max_pool(activation(function(Σ_edges kernel(x) + bias)))``, or an input.

    Attributes:
        name: Unique; the ONNX node's name where it has one.
        op: ONNX operator that the layer stands for (``Conv``, ``Add``, …), ``Input`` for inputs.
        sum_shape: ``(height, width, channels)`` of the sum, before pooling.
        bias: float64, broadcastable to ``sum_shape``: ``(1, 1, 1)``, ``(1, 1, c)`` or the full shape.
        activation: Clips the sum.
        max_pool: Follows the activation (both are monotone, so their order does not matter).
        shape: ``(height, width, channels)`` of the result.
        origin: Names of the ONNX nodes that the layer covers.
        function: Works on the sum, before the activation; None in all but a few layers.
    """

    name: str
    op: str
    sum_shape: Shape
    bias: Array = field(default_factory=lambda: np.zeros((1, 1, 1)))
    activation: Clip = Clip()
    max_pool: MaxPool | None = None
    shape: Shape = (0, 0, 0)
    origin: tuple[str, ...] = ()
    function: Function | None = None

    def __post_init__(self) -> None:
        if self.max_pool is None and self.shape == (0, 0, 0):
            object.__setattr__(self, "shape", self.sum_shape)

    @property
    def is_input(self) -> bool:
        """Whether the layer is fed by the host."""
        return self.op == "Input"

    @property
    def size(self) -> int:
        """Number of values of one sample of the result."""
        h, w, c = self.shape
        return h * w * c


LayerGraph = Graph[Layer, Link]


@dataclass(frozen=True, eq=False)
class InputPort:
    """How an ONNX input becomes an input layer or population.

    Attributes:
        name: Name of the ONNX input.
        shape: Shape of one sample as ONNX wants it, without the batch dimension.
        node: Name of the input layer or population.
        order: ``(n,)`` int64: flat position i of the node takes flat element ``order[i]`` of the sample.
    """

    name: str
    shape: tuple[int, ...]
    node: str
    order: Array


_EIGHT_BITS = ("FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ")
HOST_CASTS = frozenset(
    [
        "CastBOOL",
        *(f"Cast{sign}INT{bits}" for sign in ("", "U") for bits in (2, 4, 8, 16, 32, 64)),
        "CastFLOAT4E2M1",
        *(f"Cast{mode}{kind}" for mode in ("", "Unsaturated") for kind in _EIGHT_BITS),
        *(f"Cast{mode}FLOAT8E8M0" for mode in ("", "Down", "Nearest")),
    ]
)
"""Casts that round, by the name of ONNX's element type; ``Unsaturated``: too large becomes infinite or NaN;
powers of two (E8M0) are rounded up where nothing else is said."""


@dataclass(frozen=True)
class HostOp:
    """An operator that closes a network, and is computed on the host after the read-out.

    Attributes:
        op: ``Softmax``, ``LogSoftmax``, ``ArgMax``, ``ArgMaxLast`` (of equals), ``Sigmoid``, ``Tanh``, or one
            of ``HOST_CASTS``, which rounds to what an element type holds.
        axes: Axes of ``(N, *shape)`` that it works along, from 1 on; several count as one. ArgMax has one,
            Sigmoid, Tanh and casts, which take each value on its own, have none.
        keeps_axis: Whether an axis of length 1 stays where ArgMax worked.
    """

    op: str
    axes: tuple[int, ...] = ()
    keeps_axis: bool = True


@dataclass(frozen=True, eq=False)
class OutputPort:
    """How an ONNX output is made from a layer or population.

    Attributes:
        name: Name of the ONNX output.
        shape: Shape of one sample as ONNX gives it, without the batch dimension, before ``host_ops``.
        node: Name of the layer or population that is read.
        order: ``(n,)`` int64: flat element j of the output takes flat position ``order[j]`` of the node.
        host_ops: What the host computes from that value to get the ONNX output, in order.
        off: ``(n,)`` int64: positions of the off halves, whose values are subtracted; None where a value has
            no halves.
    """

    name: str
    shape: tuple[int, ...]
    node: str
    order: Array
    host_ops: tuple[HostOp, ...] = ()
    off: Array | None = None

    def read(self, values: Array) -> Array:
        """Returns the output ``(N, n)`` from the flat values ``(N, size)`` of the node."""
        read: Array = values[:, self.order]
        return read if self.off is None else read - values[:, self.off]


@dataclass(frozen=True, eq=False)
class Model:
    """A layer graph with its ports.

    Attributes:
        name: Name for people: the file's stem.
        graph: The layers. Every output port reads a layer of its own, of op ``Output`` or a linear layer
            without activation and without other consumers.
        inputs: Ports of the graph's inputs, in the file's order.
        outputs: Ports of the graph's outputs, in the file's order.
        macs: Multiply-accumulates of one sample of the network as the file has it.
        warnings: Sentences for the user.
    """

    name: str
    graph: LayerGraph
    inputs: tuple[InputPort, ...]
    outputs: tuple[OutputPort, ...]
    macs: int = 0
    warnings: tuple[str, ...] = ()
