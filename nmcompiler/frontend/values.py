"""What an ONNX tensor is while a file is read: wires, constants, or values that stay on the host."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from nmcompiler.ir.kernels import Array, Shape
from nmcompiler.ir.layers import HostOp

__all__ = [
    "LARGEST_SIZE",
    "ZERO",
    "Counted",
    "Hosted",
    "Layout",
    "MixesSamples",
    "Refusal",
    "Relayout",
    "Unknown",
    "Value",
    "Wire",
    "axis_of",
    "integers",
]

ZERO = -1
"""Element id of a constant zero."""

LARGEST_SIZE = 1 << 24
"""Elements of one tensor of one sample beyond which a file is refused: no simulated chip comes near."""


class Refusal(Exception):
    """A node that cannot be compiled; the walk over the graph collects them.

    Args:
        reason: What is wrong, as a clause that follows ``Conv 'name': ``.
        hint: What to try next.
    """

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


class MixesSamples(Refusal):
    """A node that works across axis 0, which is the batch: the file may mean it as an axis like any other."""


@dataclass(frozen=True, eq=False)
class Layout:
    """The layout of a layer whose order is free: an input or a dense layer.

    Attributes:
        shape: ``(height, width, channels)``.
        order: ``(n,)`` flat element of the ONNX tensor at each flat position.
    """

    shape: Shape
    order: Array


class Relayout(Exception):
    """Asks for the graph to be built again with another layout of one layer.

    Args:
        layer: Name of a layer whose layout is free.
        layout: What its first consumer wants.
    """

    def __init__(self, layer: str, layout: Layout) -> None:
        super().__init__(layer)
        self.layer = layer
        self.layout = layout


@dataclass(frozen=True, eq=False)
class Wire:
    """A tensor that depends on the input, as the layer elements that it is made of.

    Reshape, Transpose, Concat and the like are plain numpy operations on ``ids`` and make no layer.

    Attributes:
        ids: int64 of the ONNX shape of one sample; axis 0 is the batch and has length 1, but where a model
            is read without a batch. An element is the number of a layer's result value, or ``ZERO``.
    """

    ids: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """ONNX shape of one sample, the batch axis of length 1 included where there is one."""
        return self.ids.shape

    def reshaped(self, shape: tuple[int, ...]) -> Wire:
        """Returns the same elements in another shape, or refuses where the sizes differ."""
        if math.prod(shape) != self.ids.size:
            raise Refusal(f"cannot give the shape {list(shape)} to a tensor of shape {list(self.shape)}")
        return Wire(self.ids.reshape(shape))


@dataclass(frozen=True, eq=False)
class Hosted:
    """A value that the host computes from ``wire`` after the read-out.

    Attributes:
        wire: The value before the host's operators.
        ops: Operators, in order.
    """

    wire: Wire
    ops: tuple[HostOp, ...]


@dataclass(frozen=True, eq=False)
class Counted:
    """A constant that depends on how many samples there are, since it comes from a Shape.

    Attributes:
        one: Its value for one sample.
        two: Its value for two samples.
    """

    one: Array
    two: Array

    def for_a_sample(self) -> Array:
        """Returns the value that holds for each sample alone, or refuses where there is none.

        There is one where only the first entry of a shape is the number of samples, and where the number of
        samples is the length of axis 0 along which nothing changes.
        """
        one, two = self.one, self.two
        if one.shape == two.shape and one.ndim == 1 and one.dtype.kind in "iu":
            fits = tuple(one[:1]) == (1,) and tuple(two[:1]) == (2,) and np.array_equal(one[1:], two[1:])
        else:
            fits = one.shape[:1] == (1,) and two.shape == (2, *one.shape[1:]) and _all_equal(one, two)
        if not fits:
            raise MixesSamples("computes with the number of samples", "export the model for a batch of 1")
        return one


def _all_equal(one: Array, two: Array) -> bool:
    """Whether all entries are equal, those that are NaN too: whoever reads them says that they are."""
    return bool(((two == one) | ((two != two) & (one != one))).all())


@dataclass(frozen=True)
class Unknown:
    """The result of a refused node whose shape is not known: what follows it cannot be judged."""


Value: TypeAlias = Wire | Array | Counted | Hosted | Unknown


def axis_of(axis: int, rank: int) -> int:
    """Returns a non-negative axis, or refuses one that does not exist."""
    if not -rank <= axis < rank:
        raise Refusal(f"axis {axis} does not exist in a tensor of rank {rank}")
    return axis % rank


def integers(values: Array) -> tuple[int, ...]:
    """Returns the entries of a constant as Python integers."""
    return tuple(int(v) for v in np.asarray(values).ravel())
