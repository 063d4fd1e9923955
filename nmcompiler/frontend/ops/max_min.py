"""Max and Min of branches and constants."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from nmcompiler.frontend.builder import Builder
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.pieces import clipped, maximum, minimum
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.values import Refusal, Wire
from nmcompiler.ir.kernels import Array


@operator("Max", since=6)
def max_of_operands(node: Node, builder: Builder) -> Wire:
    """A constant number is the lower bound of a Clip."""
    return _of_all(node, builder, maximum, np.maximum, "lower")


@operator("Min", since=6)
def min_of_operands(node: Node, builder: Builder) -> Wire:
    """A constant number is the upper bound of a Clip."""
    return _of_all(node, builder, minimum, np.minimum, "upper")


def _of_all(
    node: Node,
    builder: Builder,
    rule: Callable[[Node, Builder, Wire, Wire | Array], Wire],
    of_constants: Callable[[Array, Array], Array],
    bound: str,
) -> Wire:
    slots = range(len(node.operands))
    wires = [node.wire(slot) for slot in slots if not node.is_constant(slot)]
    constants = [node.weights(slot).astype(np.float64) for slot in slots if node.is_constant(slot)]
    wire = functools.reduce(lambda a, b: rule(node, builder, a, b), wires)
    if not constants:
        return wire
    try:
        constant = functools.reduce(of_constants, constants)
    except ValueError as error:
        raise Refusal("its constants do not broadcast") from error
    if constant.size != 1 or constant.ndim > len(wire.shape):
        return rule(node, builder, wire, constant)
    value = float(constant.ravel()[0])
    lower, upper = (value, np.inf) if bound == "lower" else (-np.inf, value)
    return clipped(node, builder, wire, lower, upper)
