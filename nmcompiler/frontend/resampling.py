"""Where the values of a resized axis come from, as ONNX's Resize defines it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from nmcompiler.frontend.values import Refusal
from nmcompiler.ir.kernels import Array

__all__ = ["CROPS", "Axis", "Kernel", "cubic", "interpolated", "linear", "nearest"]

CROPS = "tf_crop_and_resize"
"""Coordinates of which a region is resized."""

_HALF = Fraction(1, 2)
_NEAR = Fraction(1, 10**5)  # runtimes compute places in float32


@dataclass(frozen=True)
class Axis:
    """An axis before and after.

    Attributes:
        length: Values before.
        out: Values after.
        scale: Factor between coordinates; ``out / length`` up to rounding.
        coordinates: ONNX's ``coordinate_transformation_mode``.
        region: Start and end of what is resized, as shares of the axis; None for all of it.
    """

    length: int
    out: int
    scale: Fraction
    coordinates: str
    region: tuple[Fraction, Fraction] | None = None

    @property
    def is_kept(self) -> bool:
        """Whether every value stays where it is."""
        return self.scale == 1 and (self.region is None or self.region == (Fraction(0), Fraction(1)))

    @property
    def outside(self) -> Array:
        """Which values after lie outside of those before, or a refusal where rounding decides."""
        last = self.length - 1
        edges = [x for x in self.places for end in (0, last) if 0 < abs(x - end) <= _NEAR]
        if edges:
            raise Refusal("resizes a region of which rounding decides whether it has an end inside the axis")
        return np.array([not 0 <= x <= last for x in self.places])

    @property
    def places(self) -> list[Fraction]:
        """Where each value after lies among those before, or a refusal where runtimes do not agree on it."""
        if self.coordinates not in _COORDINATES:
            raise Refusal(f"coordinates '{self.coordinates}' are not supported")
        wanted = self.scale * self.length
        if self.coordinates == "align_corners" and abs(wanted - self.out) > _NEAR * self.out:
            raise Refusal(
                f"aligns the corners of {self.length} values with those of {float(wanted):g}",
                "state the sizes that come out",
            )
        place = _COORDINATES[self.coordinates]
        return [place(self, x) for x in range(self.out)]

    @property
    def is_exact(self) -> bool:
        """Whether runtimes, which compute places in float32, find those that lie exactly on a value."""
        if self.coordinates == "align_corners":  # one division of whole numbers
            return True
        up, down = self.scale, 1 / self.scale
        whole = up.denominator == 1 and self.coordinates == "asymmetric"
        return whole or any(f.denominator == 1 and f.numerator.bit_count() == 1 for f in (up, down))


def _cropped(axis: Axis, x: int) -> Fraction:
    start, stop = axis.region or (Fraction(0), Fraction(1))
    last = axis.length - 1
    if axis.out == 1:
        return (start + stop) / 2 * last
    return start * last + x * (stop - start) * last / (axis.out - 1)


def _half_pixel(axis: Axis, x: int) -> Fraction:
    return (x + _HALF) / axis.scale - _HALF


def _symmetric(axis: Axis, x: int) -> Fraction:
    share = axis.out / (axis.scale * axis.length)
    return Fraction(axis.length, 2) * (1 - share) + _half_pixel(axis, x)


_COORDINATES: Mapping[str, Callable[[Axis, int], Fraction]] = {
    "half_pixel": _half_pixel,
    "half_pixel_symmetric": _symmetric,
    "pytorch_half_pixel": lambda axis, x: _half_pixel(axis, x) if axis.out > 1 else Fraction(0),
    "tf_half_pixel_for_nn": lambda axis, x: (x + _HALF) / axis.scale,
    "asymmetric": lambda axis, x: x / axis.scale,
    "align_corners": lambda axis, x: Fraction(x * (axis.length - 1), max(axis.out - 1, 1)),
    CROPS: _cropped,
}

_ROUNDING: Mapping[str, Callable[[Fraction], int]] = {
    "round_prefer_floor": lambda x: math.ceil(x - _HALF),
    "round_prefer_ceil": lambda x: math.floor(x + _HALF),
    "floor": math.floor,
    "ceil": math.ceil,
}


def nearest(axis: Axis, rounding: str) -> list[int]:
    """Returns the position before for each position after.

    Refuses where a rounding error decides: there, runtimes differ from ONNX's definition in some per cent.
    """
    if rounding not in _ROUNDING:
        raise Refusal(f"nearest_mode '{rounding}' does not exist")
    rule = _ROUNDING[rounding]

    def position(place: Fraction) -> int:
        return min(max(rule(place), 0), axis.length - 1)

    places = axis.places
    if not axis.is_exact and _doubtful(axis, places, position):
        raise Refusal(
            f"makes {axis.out} of {axis.length}, and for some values rounding decides which they repeat",
            "use a power of two, or coordinates 'asymmetric' with a whole factor",
        )
    return [position(p) for p in places]


def _doubtful(axis: Axis, places: list[Fraction], position: Callable[[Fraction], int]) -> bool:
    """Whether some runtime may find other positions: one that computes in float32, or in float64."""
    found = [position(p) for p in places]
    if axis.coordinates not in _ROUNDED or axis.out == 1:
        return any(position(p - _NEAR) != position(p + _NEAR) for p in places)
    place = _ROUNDED[axis.coordinates]
    for kind in (np.float32, np.float64):
        scale = kind(axis.out) / kind(axis.length) if _is_ratio(axis) else kind(axis.scale)
        if found != [position(Fraction(float(place(kind, x, scale)))) for x in range(axis.out)]:
            return True
    return False


def _is_ratio(axis: Axis) -> bool:
    """Whether a factor comes from sizes, and not from a stored number."""
    return axis.scale == Fraction(axis.out, axis.length)


_ROUNDED: Mapping[str, Callable[[Any, int, Any], Any]] = {
    "half_pixel": lambda kind, x, scale: (kind(x) + kind(0.5)) / scale - kind(0.5),
    "asymmetric": lambda kind, x, scale: kind(x) / scale,
    "pytorch_half_pixel": lambda kind, x, scale: (kind(x) + kind(0.5)) / scale - kind(0.5),
    "tf_half_pixel_for_nn": lambda kind, x, scale: (kind(x) + kind(0.5)) / scale,
}
"""Places as runtimes compute them, in the number type ``kind``."""


def interpolated(axis: Axis, kernel: Kernel, *, antialias: bool = False, outside: bool = True) -> Array:
    """Returns the weights ``(out, length)`` with which values between others are computed.

    Args:
        axis: What is resized.
        kernel: ``linear`` or ``cubic``.
        antialias: Whether the kernel is widened where there are fewer values than before.
        outside: Whether positions outside count, as the nearest one inside; else the others weigh more.
    """
    narrow = float(min(axis.scale, Fraction(1))) if antialias else 1.0
    reach = math.ceil(kernel.reach / narrow)
    weights = np.zeros((axis.out, axis.length))
    for x, place in enumerate(axis.places):
        first, share = math.floor(place), float(place - math.floor(place))
        taps = np.arange(1 - reach, reach + 1)
        values = kernel.weight(np.abs(taps - share) * narrow)
        inside = (first + taps >= 0) & (first + taps < axis.length)
        values = values if outside else values * inside
        np.add.at(weights[x], np.clip(first + taps, 0, axis.length - 1), values / values.sum())
    return weights


@dataclass(frozen=True)
class Kernel:
    """An interpolation kernel.

    Attributes:
        reach: Distance from which on it is zero.
        weight: Weight at each distance.
    """

    reach: int
    weight: Callable[[Array], Array]


def linear() -> Kernel:
    """Returns the kernel of linear interpolation."""
    return Kernel(1, lambda distance: np.maximum(1 - distance, 0))


def cubic(a: float) -> Kernel:
    """Returns the kernel of cubic interpolation (Keys 1981) with parameter ``a``."""

    def weight(d: Array) -> Array:
        near = ((a + 2) * d - (a + 3)) * d**2 + 1
        far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
        return np.where(d <= 1, near, np.where(d < 2, far, 0.0))

    return Kernel(2, weight)
