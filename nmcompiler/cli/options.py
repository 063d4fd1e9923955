"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    _Integer = click.ParamType[int]
else:
    _Integer = click.ParamType  # older releases of click cannot subscript it

__all__ = [
    "COUNT",
    "FILE",
    "LEVELS",
    "OUTPUT",
    "SEED",
    "Whole",
    "coding_option",
    "input_shape_option",
    "json_option",
    "threads_option",
]

FILE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
"""A file that is read."""
OUTPUT = click.Path(path_type=Path)
"""A file that is written; ``check_output`` looks at it before any work."""


class Whole(_Integer):
    """A whole number from ``least`` to ``most``."""

    name = "whole number"

    def __init__(self, least: int, most: int | None = None) -> None:
        self._least, self._most = least, most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Returns the number, or fails with what is allowed."""
        text = str(value).strip()
        digits = text.removeprefix("-")
        most = f"{self._least} or more" if self._most is None else f"{self._least} to {self._most}"
        if not (digits.isascii() and digits.isdecimal() and len(digits) < 20):
            self.fail(f"'{text}' is not a whole number; allowed: {most}", param, ctx)
        number = int(text)
        if number < self._least or (self._most is not None and number > self._most):
            self.fail(f"{number} is out of range; allowed: {most}", param, ctx)
        return number


COUNT = Whole(1)
LEVELS = Whole(1, 2**16 - 1)
SEED = Whole(0, 2**63 - 1)

_Command = TypeVar("_Command", bound=Callable[..., Any])


def json_option(command: _Command) -> _Command:
    """Adds ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")(command)


def coding_option(command: _Command) -> _Command:
    """Adds ``--coding``."""
    return click.option(
        "--coding",
        metavar="CODE",
        help="Spike code: phase, rate-sync, ttfs, graded or rate.  [the target's first]",
    )(command)


def input_shape_option(command: _Command) -> _Command:
    """Adds ``--input-shape``, a mapping from input names to all their dimensions."""
    return click.option(
        "--input-shape",
        "input_shapes",
        multiple=True,
        callback=_shapes,
        metavar="NAME=NxCxHxW",
        help="Pin the free dimensions of an input, as in x=1x3x48x192; may be given once for each input.",
    )(command)


def _shapes(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for value in values:
        name, _, sizes = value.rpartition("=")  # names of inputs may hold '=' themselves
        parts = sizes.lower().split("x")
        if not name or not all(p.isascii() and p.isdecimal() and 0 < len(p) < 10 for p in parts):
            raise click.BadParameter(f"'{value}' is not like x=1x3x48x192, the batch first")
        if name in shapes:
            raise click.BadParameter(f"'{name}' is given twice")
        shapes[name] = tuple(int(p) for p in parts)
    return shapes


def threads_option(command: _Command) -> _Command:
    """Adds ``--threads``."""
    return click.option("--threads", type=COUNT, metavar="N", help="Threads.  [the cores available]")(command)
