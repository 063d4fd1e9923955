"""Executes the layer graph in floating point."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from nmcompiler.evaluate.functions import evaluate
from nmcompiler.evaluate.linear import apply
from nmcompiler.ir.kernels import Array
from nmcompiler.ir.layers import Layer, LayerGraph, MaxPool, Model

__all__ = [
    "FloatResult",
    "activate",
    "arrange_inputs",
    "max_pool",
    "preactivation",
    "read_outputs",
    "run_float",
]


@dataclass(frozen=True, eq=False)
class FloatResult:
    """What a run computed.

    Attributes:
        outputs: ``(N, *shape)`` for each output port by name, before operators that stay on the host.
        layers: ``(N, h, w, c)`` results of all layers by name, inputs included; empty unless recorded.
    """

    outputs: Mapping[str, Array]
    layers: Mapping[str, Array]


def run_float(model: Model, samples: Mapping[str, Array], *, record: bool = False) -> FloatResult:
    """Runs a model in float32 where all samples are of at most 32 bits, else in float64.

    Args:
        model: The layer graph with its ports.
        samples: ``(N, *shape)`` for each input port by name.
        record: Whether to keep the results of all layers.
    """
    results = dict(arrange_inputs(model, samples))
    left = {layer.name: len(model.graph.out_edges(layer.name)) for layer in model.graph}
    kept = {port.node for port in model.outputs}
    for layer in model.graph:
        if layer.is_input:
            continue
        results[layer.name] = activate(layer, preactivation(model.graph, layer.name, results))
        for edge in model.graph.in_edges(layer.name):
            left[edge.source] -= 1
            if not record and left[edge.source] == 0 and edge.source not in kept:
                results.pop(edge.source, None)
    return FloatResult(read_outputs(model, results), results if record else {})


def arrange_inputs(model: Model, samples: Mapping[str, Array]) -> dict[str, Array]:
    """Returns samples as the input layers hold them, ``(N, h, w, c)`` by layer name."""
    arrays = {port.name: np.asarray(samples[port.name]) for port in model.inputs}
    small = all(a.dtype.kind == "f" and a.dtype.itemsize <= 4 for a in arrays.values())
    dtype = np.float32 if small else np.float64
    return {
        port.node: arrays[port.name]
        .reshape(len(arrays[port.name]), -1)[:, port.order]
        .astype(dtype, copy=False)
        .reshape(-1, *model.graph.node(port.node).shape)
        for port in model.inputs
    }


def read_outputs(model: Model, results: Mapping[str, Array]) -> dict[str, Array]:
    """Returns the results of the read layers in the shapes of the ONNX outputs, ``(N, *shape)``."""
    return {
        port.name: results[port.node]
        .reshape(len(results[port.node]), -1)[:, port.order]
        .reshape(-1, *port.shape)
        for port in model.outputs
    }


def preactivation(graph: LayerGraph, name: str, results: Mapping[str, Array]) -> Array:
    """Returns ``Σ kernel(x) + bias`` of a layer, ``(N, *sum_shape)``.

    Args:
        graph: The layers.
        name: A layer that is no input.
        results: ``(N, h, w, c)`` of all its sources by name.
    """
    layer = graph.node(name)
    edges = graph.in_edges(name)
    if not edges:  # a layer of constants: it takes the number of samples from any other
        any_result = next(iter(results.values()))
        start = np.zeros((len(any_result), *layer.sum_shape), any_result.dtype)
        constant: Array = start + layer.bias.astype(start.dtype)
        return constant
    total: Array | None = None
    for edge in edges:
        part = apply(edge.payload.kernel, results[edge.source], layer.sum_shape)
        total = part if total is None else total + part
    if total is None:
        raise AssertionError("a layer without edges was handled above")
    summed: Array = total + layer.bias.astype(total.dtype)
    return summed


def activate(layer: Layer, z: Array) -> Array:
    """Returns ``max_pool(activation(function(z)))`` for ``z`` of shape ``(N, *sum_shape)``."""
    clip = layer.activation
    y: Array = z if layer.function is None else evaluate(layer.function, z)
    y = y if clip.is_identity else np.clip(y, clip.lower, clip.upper)
    if layer.max_pool is not None:
        y = max_pool(layer.max_pool, y, layer.shape[:2])
    return y


def max_pool(pool: MaxPool, x: Array, out: tuple[int, int]) -> Array:
    """Returns maxima over windows of ``x`` ``(N, h, w, c)``; positions outside take no part.

    Args:
        pool: Geometry.
        x: Any real or integer dtype.
        out: Height and width of the result.
    """
    lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    result = np.full((len(x), *out, x.shape[3]), lowest, x.dtype)
    for ky in range(pool.size[0]):
        for kx in range(pool.size[1]):
            rows = _overlap(ky * pool.dilation[0] - pool.padding[0], pool.stride[0], out[0], x.shape[1])
            columns = _overlap(kx * pool.dilation[1] - pool.padding[1], pool.stride[1], out[1], x.shape[2])
            target = result[:, rows[0], columns[0]]
            np.maximum(target, x[:, rows[1], columns[1]], out=target)
    return result


def _overlap(first: int, stride: int, out: int, length: int) -> tuple[slice, slice]:
    """Returns the outputs whose tap at ``first + stride · o`` lies inside, and what they read."""
    low = max(0, -(first // stride))
    high = max(low, min(out, (length - 1 - first) // stride + 1))
    start = first + stride * low
    return slice(low, high), slice(start, start + stride * (high - low), stride)
