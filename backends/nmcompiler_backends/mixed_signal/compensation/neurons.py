"""What a program says of the neurons of a block, for those who trim them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nmcompiler.program.layout import Program
from nmcompiler.sim.result import Int64Array

__all__ = ["Levels", "levels_of", "parameters"]


@dataclass(frozen=True)
class Levels:
    """Lowest and highest value; both 0 for a membrane read-out."""

    lowest: int
    highest: int


def levels_of(program: Program, block: int) -> Levels:
    """Returns the values that neurons of a block can send."""
    highest = int(program.column("levels")[block])
    return Levels(-highest if program.column("signed")[block] == 1 else 0, highest)


def parameters(program: Program, block: int) -> tuple[Int64Array, Int64Array]:
    """Returns θ and the start of the membrane at firing of a block's neurons, both ``(n,)`` int64."""
    first, count, n = (int(program.column(c)[block]) for c in ("param0", "param_n", "n"))
    at = first + np.arange(n) % count
    start = np.asarray(program.arrays["v0"], np.int64)[at] - int(program.fires_when == "gt")
    return np.asarray(program.arrays["theta"], np.int64)[at], start
