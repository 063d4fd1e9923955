"""Slice: wiring."""

from __future__ import annotations

import numpy as np

from nmcompiler.frontend.builder import Builder
from nmcompiler.frontend.forms import FIRST_SIGNAL
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.values import MixesSamples, Refusal, Wire, axis_of, integers

_TO_THE_END = 2**31 - 1  # writers spell 'to the end' as the largest number of some type


@operator("Slice", FIRST_SIGNAL)
def slice_by_attributes(node: Node, builder: Builder) -> Wire:
    """Until opset 9 the bounds are attributes, and every step is 1."""
    return _slice(
        node, node.integers("starts") or (), node.integers("ends") or (), node.integers("axes"), None
    )


@operator("Slice", FIRST_SIGNAL, since=10)
def slice_by_operands(node: Node, builder: Builder) -> Wire:
    """From opset 10 on they are operands."""
    axes, steps = (integers(node.constant(k)) if node.has(k) else None for k in (3, 4))
    return _slice(node, integers(node.constant(1)), integers(node.constant(2)), axes, steps)


def _slice(
    node: Node,
    starts: tuple[int, ...],
    ends: tuple[int, ...],
    axes: tuple[int, ...] | None,
    steps: tuple[int, ...] | None,
) -> Wire:
    ids = node.wire(0).ids
    chosen = tuple(range(len(starts))) if axes is None else axes
    strides = (1,) * len(starts) if steps is None else steps
    if not len(starts) == len(ends) == len(chosen) == len(strides):
        raise Refusal(
            f"has {len(starts)} starts, {len(ends)} ends, {len(chosen)} axes and {len(strides)} steps"
        )
    for start, end, stated, step in zip(starts, ends, chosen, strides, strict=True):
        axis = axis_of(stated, ids.ndim)
        if step == 0:
            raise Refusal("has a step of 0")
        if node.batched and axis == 0:
            _check_whole_batch(start, end, step, node.batch)
            continue
        ids = np.take(ids, np.array(_positions(start, end, step, ids.shape[axis]), np.int64), axis=axis)
    return Wire(ids)


def _check_whole_batch(start: int, end: int, step: int, batch: int | None) -> None:
    whole = end >= (_TO_THE_END if batch is None else batch)
    if start != 0 or step != 1 or not whole:
        raise MixesSamples("takes samples out of the batch (axis 0)")


def _positions(start: int, end: int, step: int, length: int) -> range:
    """Returns what ONNX means by a slice: bounds count from the end where negative, and are clamped."""
    start, end = (v + length if v < 0 else v for v in (start, end))
    if step > 0:
        return range(min(max(start, 0), length), min(max(end, 0), length), step)
    return range(min(max(start, 0), length - 1), min(max(end, -1), length - 1), step)
