"""Split: wiring."""

from __future__ import annotations

import numpy as np

from nmcompiler.frontend.builder import Builder
from nmcompiler.frontend.forms import FIRST_SIGNAL
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.values import Refusal, Value, Wire, axis_of, integers


@operator("Split", FIRST_SIGNAL, since=2)
def split_by_attribute(node: Node, builder: Builder) -> tuple[Value, ...]:
    """Until opset 12 the lengths are an attribute."""
    return _split(node, node.integers("split"))


@operator("Split", FIRST_SIGNAL, since=13)
def split_by_operand(node: Node, builder: Builder) -> tuple[Value, ...]:
    """From opset 13 on they are an operand; from 18 on ``num_outputs`` may stand for them."""
    return _split(node, integers(node.constant(1)) if node.has(1) else None)


def _split(node: Node, lengths: tuple[int, ...] | None) -> tuple[Value, ...]:
    ids = node.wire(0).ids
    axis = axis_of(node.integer("axis", 0), ids.ndim)
    node.spare_batch(axis, "takes samples apart (axis 0)")
    total = ids.shape[axis]
    lengths = lengths or _even(total, node.integer("num_outputs", node.outputs))
    if min(lengths) < 0 or sum(lengths) != total:
        raise Refusal(f"its parts {list(lengths)} do not make up the {total} of axis {axis}")
    return tuple(Wire(part) for part in np.split(ids, np.cumsum(lengths)[:-1], axis=axis))


def _even(total: int, parts: int) -> tuple[int, ...]:
    """Returns equal lengths, the last one shorter where they do not divide."""
    if not 1 <= parts <= total:
        raise Refusal(f"cannot make {parts} parts of {total}")
    length = -(-total // parts)
    return (*(length,) * (parts - 1), total - length * (parts - 1))
