"""Writes an integer network as an ONNX model, so that onnxruntime can judge ``evaluate/integer.py``.

Everything is a 64-bit float that holds a whole number, since onnxruntime multiplies those exactly up to
2^53. It has no convolution in that type, so a kernel is a matrix: meant for small networks and tests.
Where every sum stays below 2^24, ``convolutions=True`` writes ``Conv`` nodes in 32-bit floats instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from nmcompiler.errors import UsageError
from nmcompiler.evaluate.linear import apply
from nmcompiler.ir.bounds import accumulator_bound
from nmcompiler.ir.kernels import Array, Conv, Kernel, Shape
from nmcompiler.ir.network import Network, Population

__all__ = ["to_onnx"]

_OPSET = 18
_IR_VERSION = 9
_EXACT_FLOAT32 = 1 << 24


@dataclass
class _Writer:
    """Nodes and constants of the model in the making."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def constant(self, value: Array) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, op: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        name = output or f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], **attributes))
        return name


def to_onnx(network: Network, *, convolutions: bool = False) -> onnx.ModelProto:
    """Returns the network as an ONNX model.

    Its inputs are the integers of the input ports, ``(N, h, w, c)`` int64. Its outputs are, for every
    population but the inputs, ``<name>``: values q, for read-outs without levels accumulators,
    ``(N, h, w, c)`` int64.

    Raises:
        UsageError: Where ``convolutions`` is asked for and a sum could reach 2^24.
    """
    writer = _Writer()
    dtype = np.float32 if convolutions else np.float64
    inputs, outputs, held = [], [], {}
    for port in network.inputs:
        shape = network.graph.node(port.node).shape
        inputs.append(helper.make_tensor_value_info(port.name, TensorProto.INT64, ["N", *shape]))
        held[port.node] = writer.node(
            "Cast", [port.name], to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        )
    for population in network.graph:
        if population.role == "input":
            continue
        if convolutions and accumulator_bound(network, population.name) >= _EXACT_FLOAT32:
            raise UsageError(f"sums of '{population.name}' can reach 2^24", hint="write matrices instead")
        total = writer.constant(np.broadcast_to(population.bias, (1, *population.shape)).astype(dtype))
        for edge in network.graph.in_edges(population.name):
            before = network.graph.node(edge.source).shape
            kernel = edge.payload.kernel
            if convolutions and isinstance(kernel, Conv):
                part = _convolution(writer, held[edge.source], kernel, before, population.shape)
            else:
                part = _matrix(writer, held[edge.source], kernel, before, population.shape, dtype)
            total = writer.node("Add", [total, part])
        held[population.name] = _fire(writer, population, total, dtype)
        writer.node("Cast", [held[population.name]], population.name, to=TensorProto.INT64)
        shape_info: list[str | int] = ["N", *population.shape]
        outputs.append(helper.make_tensor_value_info(population.name, TensorProto.INT64, shape_info))
    graph = helper.make_graph(writer.nodes, network.name, inputs, outputs, writer.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)])
    model.ir_version = _IR_VERSION
    return model


def _fire(writer: _Writer, population: Population, total: str, dtype: type[np.floating]) -> str:
    """Writes ``clip(floor((acc + θ//2) / θ), lowest, L)``; without levels it stays the accumulator."""
    if not population.sends:
        return total
    theta = population.theta[None]
    shifted = writer.node("Add", [total, writer.constant((theta // 2).astype(dtype))])
    quotient = writer.node("Div", [shifted, writer.constant(theta.astype(dtype))])
    limits = [writer.constant(np.array(x, dtype)) for x in (population.lowest, population.levels)]
    return writer.node("Clip", [writer.node("Floor", [quotient]), *limits])


def _matrix(
    writer: _Writer, source: str, kernel: Kernel, before: Shape, after: Shape, dtype: type[np.floating]
) -> str:
    """Writes a kernel as a matrix, found by applying it to every unit vector."""
    size = int(np.prod(before))
    units = np.eye(size).reshape(size, *before)
    weight = apply(kernel, units, after).reshape(size, -1).astype(dtype)
    flat = writer.node("Reshape", [source, writer.constant(np.array([-1, size], np.int64))])
    product = writer.node("MatMul", [flat, writer.constant(weight)])
    return writer.node("Reshape", [product, writer.constant(np.array([-1, *after], np.int64))])


def _convolution(writer: _Writer, source: str, kernel: Conv, before: Shape, after: Shape) -> str:
    """Writes a kernel as ``Conv``; crops and padding come first, since ``Conv`` has no negative pads."""
    image = writer.node("Transpose", [source], perm=[0, 3, 1, 2])
    channels = [kernel.source_channel, kernel.source_channel + kernel.source_channels]
    bounds = [writer.constant(np.array([c], np.int64)) for c in (*channels, 1)]  # first, last, axis
    image = writer.node("Slice", [image, *bounds])
    ends = []
    for axis in (0, 1):
        taps = (kernel.weight.shape[axis] - 1) * kernel.dilation[axis] + 1
        ends.append((after[axis] - 1) * kernel.stride[axis] + taps - kernel.padding[axis] - before[axis])
    pads = np.array([0, 0, *kernel.padding, 0, 0, *ends], np.int64)
    image = writer.node("Pad", [image, writer.constant(pads)])
    weight = kernel.weight.transpose(3, 2, 0, 1).astype(np.float32)
    image = writer.node(
        "Conv",
        [image, writer.constant(weight)],
        strides=list(kernel.stride),
        dilations=list(kernel.dilation),
        group=kernel.groups,
    )
    before_channels = kernel.target_channel
    behind_channels = after[2] - kernel.target_channel - kernel.target_channels
    widened = np.array([0, before_channels, 0, 0, 0, behind_channels, 0, 0], np.int64)
    image = writer.node("Pad", [image, writer.constant(widened)])
    return writer.node("Transpose", [image], perm=[0, 2, 3, 1])
