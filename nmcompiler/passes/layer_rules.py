"""Which layers of a network a chip does not compute, where it is built for layers: see ``target.LayerRules``.

Numbers of neurons that a chip has for one purpose only are looked at here as well. The layers are looked at
as they are mapped: simplified, and before they are quantised.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from nmcompiler.errors import RefusedNode
from nmcompiler.ir.graph import Edge
from nmcompiler.ir.kernels import Conv, Dense, Shape, Sparse
from nmcompiler.ir.layers import Layer, Link, Model
from nmcompiler.ir.network import Role
from nmcompiler.passes.kernel_algebra import is_pick
from nmcompiler.passes.network_limits import beyond_limits
from nmcompiler.target.layer_rules import ConvolutionRules, LayerRules
from nmcompiler.target.model import Target

__all__ = ["refused_layers"]

_Fault = tuple[str, str, str]
"""What a layer needs, what the chip computes instead, and what to try."""


def refused_layers(
    model: Model, target: Target, *, levels: int, input_levels: int
) -> tuple[RefusedNode, ...]:
    """Returns every layer that breaks a rule of the chip, once for each rule, or makes its neurons too many.

    Args:
        model: The simplified layer graph.
        target: The chip.
        levels: Largest value of hidden layers.
        input_levels: Largest value of inputs.
    """
    found = []
    for name, text in beyond_limits(target.network_limits, _sizes(model)):
        found.append(RefusedNode(name, model.graph.node(name).op, text))
    rules = target.layer_rules
    if rules is None:
        return tuple(found)
    for layer in model.graph:
        edges = model.graph.in_edges(layer.name)
        if _reads_out(layer, edges):
            continue
        sources = {edge.source: model.graph.node(edge.source) for edge in edges}
        values = {name: input_levels if s.is_input else levels for name, s in sources.items()}
        for need, limit, hint in _faults(layer, edges, sources, values, rules):
            found.append(RefusedNode(layer.name, layer.op, f"{need}; {target.name} computes {limit}", hint))
    return tuple(found)


def _sizes(model: Model) -> Iterator[tuple[str, Role, int]]:
    """Yields name, role and number of neurons of every layer, max pools left out: they may take more."""
    readouts = {port.node for port in model.outputs}
    for layer in model.graph:
        role: Role = "input" if layer.is_input else "readout" if layer.name in readouts else "hidden"
        yield layer.name, role, math.prod(layer.sum_shape)


def _reads_out(layer: Layer, edges: Sequence[Edge[Link]]) -> bool:
    """Whether a layer only stands for reading another one: no chip computes it."""
    if layer.op != "Output" or len(edges) != 1:
        return False
    return is_pick(edges[0].payload.kernel)


def _faults(
    layer: Layer,
    edges: Sequence[Edge[Link]],
    sources: dict[str, Layer],
    values: dict[str, int],
    rules: LayerRules,
) -> Iterator[_Fault]:
    if layer.max_pool is not None:
        yield from _pool(layer, rules)
    if len(edges) > 1 and not rules.joins:
        yield f"adds or joins {len(edges)} parts", "layers of one source", ""
        return
    for edge in edges:
        source, value, kernel = sources[edge.source], values[edge.source], edge.payload.kernel
        if len(edges) > 1 and is_pick(kernel):
            continue  # the branch that is added as it is
        if isinstance(kernel, Sparse):
            yield "connects its neurons one by one", "convolutions and dense layers", ""
        elif isinstance(kernel, Dense) or source.shape[:2] == layer.sum_shape[:2] == (1, 1):
            yield from _dense(source, value, rules)
        elif kernel.source_channels != source.shape[2] or kernel.target_channels != layer.sum_shape[2]:
            yield "reads or writes some channels of a layer", "convolutions of whole layers", ""
        else:
            place = rules.first if source.is_input else rules.inner
            yield from _convolution(kernel, source, layer.sum_shape, value, place, rules)


def _dense(source: Layer, value: int, rules: LayerRules) -> Iterator[_Fault]:
    if value > rules.dense.levels:
        most = rules.dense.levels
        yield f"reads values up to {value}", f"dense layers of values up to {most}", _fewer(source, most)
    if source.max_pool is not None and not rules.dense.after_pool:
        yield f"is dense and reads the max pool of '{source.name}'", "convolutions after a max pool", ""


def _convolution(
    kernel: Conv, source: Layer, shape: Shape, value: int, place: ConvolutionRules, rules: LayerRules
) -> Iterator[_Fault]:
    height, width = kernel.weight.shape[:2]
    where = "convolutions of an input" if source.is_input else "convolutions of a layer"
    if height != width or height not in place.kernels:
        yield f"has a kernel of {height} × {width}", f"{where} with {_squares(place.kernels)}", ""
    if kernel.dilation != (1, 1):
        down, right = kernel.dilation
        yield f"has a dilation of {down} × {right}", "convolutions without dilation", ""
    if kernel.groups > 1 and not rules.groups:
        yield f"has {kernel.groups} groups of channels", "convolutions without groups", ""
    rows, columns = kernel.stride
    if rows != columns or rows not in place.strides:
        yield f"has a stride of {rows} × {columns}", f"{where} with strides of {_listed(place.strides)}", ""
    elif rows > 1 and place.strided_kernels and height not in place.strided_kernels:
        yield f"has a stride of {rows} at a kernel of {height} × {width}", _strided(place), ""
    if all(not _padded(kernel, source.shape, shape, way) for way in place.padding):
        sizes = f"{source.shape[0]} × {source.shape[1]} becomes {shape[0]} × {shape[1]}"
        need = f"has padding {kernel.padding[0]} × {kernel.padding[1]} ({sizes})"
        at_end = shape[0] == -(-source.shape[0] // rows) and "same" in place.padding
        hint = "'same' pads an odd row or column at the end" if at_end else ""
        yield need, f"{where} with padding {_listed(place.padding)}", hint
    if place.channels and source.shape[2] not in place.channels:
        yield f"reads {source.shape[2]} channels", f"{where} of {_listed(place.channels)} channels", ""
    if value > place.levels:
        most = place.levels
        yield f"reads values up to {value}", f"{where} of values up to {most}", _fewer(source, most)


def _padded(kernel: Conv, source: Shape, target: Shape, way: str) -> bool:
    """Whether a convolution pads as ``same`` or ``valid`` says, along both axes."""
    for axis in (0, 1):
        size = (kernel.weight.shape[axis] - 1) * kernel.dilation[axis] + 1
        stride = kernel.stride[axis]
        before, positions = kernel.padding[axis], target[axis]
        if way == "valid":
            if before or positions != (source[axis] - size) // stride + 1:
                return False
        else:
            wanted = -(-source[axis] // stride)
            missing = max((wanted - 1) * stride + size - source[axis], 0)
            if positions != wanted or before != missing // 2:
                return False
    return True


def _pool(layer: Layer, rules: LayerRules) -> Iterator[_Fault]:
    pool = layer.max_pool
    if pool is None:
        return
    (height, width), (down, right) = pool.size, pool.stride
    plain = height == width and down == right <= height and pool.dilation == (1, 1)
    if not plain or height not in rules.max_pools:
        steps = f"a stride of {down} × {right}"
        need = f"ends in a max pool of {height} × {width} with {steps}"
        yield need, f"max pools of {_squares(rules.max_pools)} with strides up to their size", ""


def _fewer(source: Layer, levels: int) -> str:
    return f"try {'--input-levels' if source.is_input else '--levels'} {levels}"


def _strided(place: ConvolutionRules) -> str:
    return f"strides above 1 with {_squares(place.strided_kernels)}"


def _squares(sides: Iterable[int]) -> str:
    return _listed(f"{side} × {side}" for side in sides)


def _listed(values: Iterable[object]) -> str:
    words = [str(value) for value in values]
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words) or "none"
