"""Tile and Expand: wiring."""

from __future__ import annotations

import math

import numpy as np

from nmcompiler.frontend.builder import Builder, check_size
from nmcompiler.frontend.forms import FIRST_SIGNAL
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.values import Refusal, Wire, integers


@operator("Tile", FIRST_SIGNAL, since=6)
def tile(node: Node, builder: Builder) -> Wire:
    """Repeats each axis a constant number of times."""
    ids, repeats = node.wire(0).ids, integers(node.constant(1))
    if len(repeats) != ids.ndim or min(repeats, default=1) < 0:
        raise Refusal(f"repeats {list(repeats)} do not fit a tensor of shape {list(ids.shape)}")
    if repeats and repeats[0] != 1:
        node.spare_batch(0, "repeats samples (axis 0)")
    check_size((ids.size, math.prod(repeats) or 1))
    return Wire(np.tile(ids, repeats))


@operator("Expand", FIRST_SIGNAL, since=8)
def expand(node: Node, builder: Builder) -> Wire:
    """Broadcasts to a constant shape, whose first entry may be the batch size baked into the file."""
    ids, asked = node.wire(0).ids, integers(node.constant(1))
    wanted = list(asked)
    if node.batched and len(wanted) == ids.ndim and wanted[0] == node.batch:
        wanted[0] = 1
    try:
        shape = np.broadcast_shapes(ids.shape, tuple(wanted))
    except ValueError as error:
        raise Refusal(f"cannot broadcast {list(ids.shape)} to {list(asked)}") from error
    if len(shape) != ids.ndim or shape[:1] != (1,):
        node.spare_batch(0, f"repeats samples: the shape is {list(asked)} for one of {list(ids.shape)}")
    check_size([n or 1 for n in shape])
    return Wire(np.broadcast_to(ids, shape).copy())
