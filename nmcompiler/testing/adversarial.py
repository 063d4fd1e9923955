"""Networks in which a small fault changes an answer (SEMANTICS §4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from nmcompiler.errors import UsageError, nearest
from nmcompiler.ir.kernels import Array, Conv, Dense, elementwise
from nmcompiler.ir.network import Network
from nmcompiler.testing.networks import Builder

__all__ = ["ADVERSARIAL", "adversarial_network"]


def adversarial_network(kind: str, *, membrane_bits: int = 24, above: int = 0) -> Network:
    """Returns the adversarial network of a kind, one of ``ADVERSARIAL``.

    Args:
        kind: What it is made to catch.
        membrane_bits: Width of the registers, for ``membrane-limit``.
        above: 1 for chips that fire on v > θ, whose membranes start one higher; for ``membrane-limit``.

    Raises:
        UsageError: There is no such kind.
    """
    if kind not in ADVERSARIAL:
        raise UsageError(f"there is no adversarial network '{kind}'", hint=nearest(kind, ADVERSARIAL))
    builder = Builder(np.random.default_rng(0), unit_theta=0.0)
    if kind == "membrane-limit":
        _membrane_limit(builder, membrane_bits, above)
    else:
        ADVERSARIAL[kind](builder)
    return builder.network(kind)


def _column(values: Array) -> Array:
    return np.asarray(values, np.int64).reshape(1, 1, -1)


def _ties(builder: Builder) -> None:
    """With weight θ and bias −⌊θ/2⌋ every accumulator is k·θ − ⌊θ/2⌋; with one less it is one below."""
    theta = np.array([2, 3, 4, 5, 16, 17, 100, 101])
    channels = len(theta)
    for below in (0, 1):
        for signed in (False, True):
            source = builder.input((2, 3, channels), 15, True)
            ties = builder.hidden(
                (2, 3, channels),
                [(source, elementwise(theta))],
                "Conv",
                levels=10,
                signed=signed,
                theta=_column(theta),
                bias=_column(-(theta // 2) - below),
            )
            builder.readout((1, 1, 6 * channels), [(ties, Dense(np.eye(6 * channels, dtype=np.int64)))])


def _full_scale(builder: Builder) -> None:
    """All weights at the limit of 8 bits, inputs of 255 levels, thresholds that use all levels."""
    source = builder.input((5, 5, 2), 255, False)
    weight = np.full((3, 3, 2, 4), 127)
    weight[..., 1] = -127
    weight[..., 2::2, :, 3] = -127
    hidden = builder.hidden(
        (5, 5, 4),
        [(source, Conv(weight, padding=(1, 1)))],
        "Conv",
        levels=255,
        signed=True,
        theta=_column(np.full(4, 18 * 127)),
        bias=_column(np.zeros(4)),
    )
    builder.readout((1, 1, 3), [(hidden, Dense(builder.rng.choice([-127, 127], (3, 100))))])


def _off_halves(builder: Builder) -> None:
    """A signed value as two unsigned ones; the off half starts at −b + θ − 1 − ⌊θ/2⌋ (SEMANTICS §1)."""
    theta = np.array([1, 2, 7, 8, 40, 41])
    bias = np.array([0, 1, -3, 4, 13, -13])
    source = builder.input((2, 2, 3), 15, True)
    weight = builder.rng.integers(-4, 5, (1, 1, 3, 6))
    halves = []
    for sign, start in ((1, bias), (-1, -bias + theta - 1 - 2 * (theta // 2))):
        kernel = Conv(sign * weight)
        halves.append(
            builder.hidden(
                (2, 2, 6),
                [(source, kernel)],
                "Conv",
                levels=7,
                signed=False,
                theta=_column(theta),
                bias=_column(start),
            )
        )
    dense = builder.rng.integers(-9, 10, (5, 24))
    builder.readout((1, 1, 5), [(halves[0], Dense(dense)), (halves[1], Dense(-dense))])


def _levels(levels: int) -> Callable[[Builder], None]:
    def grow(builder: Builder) -> None:
        source = builder.input((4, 4, 2), levels, False)
        for signed in (False, True, False):
            weight = builder.rng.integers(-20, 21, (3, 3, builder.shape(source)[2], 4))
            source = builder.hidden(
                (4, 4, 4), [(source, Conv(weight, padding=(1, 1)))], "Conv", levels=levels, signed=signed
            )
        builder.readout((1, 1, 4), [(source, Dense(builder.rng.integers(-20, 21, (4, 64))))])

    return grow


def _theta_one(builder: Builder) -> None:
    source = builder.input((3, 3, 2), 15, True)
    one = np.ones((1, 1, 1), np.int64)
    for levels, signed in ((15, True), (7, False), (10, True)):
        weight = builder.rng.integers(-1, 2, (1, 1, 2, 2))
        weight[0, 0] += np.eye(2, dtype=np.int64)
        source = builder.hidden(
            (3, 3, 2), [(source, Conv(weight))], "Conv", levels=levels, signed=signed, theta=one
        )
    builder.readout((1, 1, 4), [(source, Dense(builder.rng.integers(-3, 4, (4, 18))))])


def _mixed_levels(builder: Builder) -> None:
    """Two sources of different L, firing in the same window, meet in one population."""
    source = builder.input((3, 4, 2), 255, False)
    halves = [
        (name, Conv(builder.rng.integers(-7, 8, (1, 1, 3, 4))))
        for levels, signed in ((3, False), (31, True))
        for name in [
            builder.hidden(
                (3, 4, 3),
                [(source, Conv(builder.rng.integers(-9, 10, (3, 3, 2, 3)), padding=(1, 1)))],
                "Conv",
                levels=levels,
                signed=signed,
            )
        ]
    ]
    joined = builder.hidden((3, 4, 4), halves, "Add", levels=10)
    builder.readout((1, 1, 3), [(joined, Dense(builder.rng.integers(-9, 10, (3, 48))))])


def _long_skip(builder: Builder) -> None:
    """A skip over four windows: its spikes arrive long before those that they are added to."""
    source = builder.input((4, 3, 2), 255, False)
    first = last = builder.hidden(
        (4, 3, 3), [(source, Conv(builder.rng.integers(-9, 10, (1, 1, 2, 3))))], "Conv", levels=15
    )
    for levels in (7, 15, 3, 10):
        weight = builder.rng.integers(-9, 10, (3, 3, 3, 3))
        last = builder.hidden((4, 3, 3), [(last, Conv(weight, padding=(1, 1)))], "Conv", levels=levels)
    copy = elementwise(np.ones(3, np.int64))
    joined = builder.hidden(
        (4, 3, 3), [(last, copy), (first, copy)], "Add", levels=15, bias=_column(np.zeros(3))
    )
    builder.readout((1, 1, 3), [(joined, Dense(builder.rng.integers(-9, 10, (3, 36))))])


def _membrane_limit(builder: Builder, membrane_bits: int = 24, above: int = 0) -> None:
    """Full-scale inputs take one neuron's membrane to the largest, another's to the smallest register."""
    largest = 2 ** (membrane_bits - 1) - 1
    weight, theta = 127, max(3, largest // 300)
    source = builder.input((1, 1, 2), min(255, largest // (4 * weight)), False)
    reach = weight * builder.graph.node(source).levels * 2
    bias = np.array([largest - reach, reach - largest - 1]) - theta // 2 - above
    kernel = Dense(np.array([[weight, weight], [-weight, -weight]]))
    limit = builder.hidden(
        (1, 1, 2),
        [(source, kernel)],
        "Gemm",
        levels=255,
        signed=True,
        theta=_column(np.full(2, theta)),
        bias=_column(bias),
    )
    builder.readout((1, 1, 2), [(limit, Dense(np.eye(2, dtype=np.int64)))])


ADVERSARIAL: Mapping[str, Callable[[Builder], None]] = MappingProxyType(
    {
        "ties": _ties,
        "full-scale": _full_scale,
        "off-halves": _off_halves,
        "ten-levels": _levels(10),
        "one-level": _levels(1),
        "theta-one": _theta_one,
        "mixed-levels": _mixed_levels,
        "long-skip": _long_skip,
        "membrane-limit": _membrane_limit,
    }
)
