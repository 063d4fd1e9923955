"""A layer graph with fewer channels in one layer: what a user would train to make it fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nmcompiler.ir.kernels import Array, Conv, Dense, Kernel, Shape
from nmcompiler.ir.layers import InputPort, Layer, LayerGraph, Model
from nmcompiler.passes.kernel_algebra import is_depthwise

__all__ = ["narrowed"]


def narrowed(model: Model, name: str, channels: int) -> Model | None:
    """Returns the model with only the first channels of a layer, or None where that is not possible.

    Layers that are tied to it channel by channel, by a depthwise convolution, become as narrow. The input
    can be narrowed where it is a vector; outputs, and layers read or written in slices, cannot.

    Args:
        model: The layer graph.
        name: The layer.
        channels: How many of its channels stay, at least 1.
    """
    group = _tied(model, name)
    ports = {port.node for port in model.outputs}
    full = model.graph.node(name).shape[2]
    if group & ports or not 1 <= channels < full:
        return None
    layers = {layer.name: layer for layer in model.graph}
    if any(
        layers[n].shape[2] != full or (layers[n].is_input and layers[n].shape[:2] != (1, 1)) for n in group
    ):
        return None
    graph: LayerGraph = LayerGraph()
    for layer in model.graph:
        graph.add(_with_channels(layer, channels) if layer.name in group else layer)
    for target in model.graph.names():
        for edge in model.graph.in_edges(target):
            kernel = _cut(
                edge.payload.kernel,
                layers[edge.source].shape,
                layers[target].sum_shape,
                channels if edge.source in group else None,
                channels if target in group else None,
            )
            if kernel is None:
                return None
            graph.connect(edge.source, target, replace(edge.payload, kernel=kernel))
    inputs = tuple(_with_inputs(port, channels) if port.node in group else port for port in model.inputs)
    return replace(model, graph=graph, inputs=inputs)


def _tied(model: Model, name: str) -> set[str]:
    """Returns the layers that have as many channels as a layer by construction, itself included."""
    group, left = {name}, [name]
    while left:
        one = left.pop()
        edges = [(e.source, e) for e in model.graph.in_edges(one)]
        edges += [(e.target, e) for e in model.graph.out_edges(one)]
        for other, edge in edges:
            if is_depthwise(edge.payload.kernel) and other not in group:
                group.add(other)
                left.append(other)
    return group


def _with_channels(layer: Layer, channels: int) -> Layer:
    bias: Array = layer.bias if layer.bias.shape[-1] == 1 else layer.bias[..., :channels]
    return replace(
        layer,
        sum_shape=(*layer.sum_shape[:2], channels),
        shape=(*layer.shape[:2], channels),
        bias=bias,
    )


def _with_inputs(port: InputPort, count: int) -> InputPort:
    return replace(port, shape=(count,), order=np.arange(count))


def _cut(
    kernel: Kernel, source: Shape, target: Shape, read: int | None, written: int | None
) -> Kernel | None:
    """Returns the kernel on the first channels of source and target; None keeps all of them."""
    if read is None and written is None:
        return kernel
    if isinstance(kernel, Dense):
        weight = kernel.weight.reshape(target[0] * target[1], target[2], source[0] * source[1], source[2])
        weight = weight[:, :written, :, :read]
        return Dense(weight.reshape(weight.shape[0] * weight.shape[1], -1))
    if not isinstance(kernel, Conv):
        return None
    whole = kernel.source_channels == source[2] and kernel.target_channels == target[2]
    if is_depthwise(kernel) and whole and read == written and read is not None:
        return replace(kernel, weight=kernel.weight[..., :read], groups=read)
    if kernel.groups == 1 and whole:
        return replace(kernel, weight=kernel.weight[:, :, :read, :written])
    return None
