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
    "batch_option",
    "calibration_option",
    "coding_option",
    "compile_options",
    "data_option",
    "input_shape_option",
    "json_option",
    "limit_option",
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


def data_option(command: _Command) -> _Command:
    """Adds ``--input``, the samples to run."""
    return click.option(
        "--input",
        "data",
        required=True,
        type=FILE,
        metavar="DATA",
        help="Samples: .npz with x and, if known, y.",
    )(command)


def calibration_option(command: _Command) -> _Command:
    """Adds ``--calibration``, without which nothing is compiled."""
    return click.option(
        "--calibration",
        required=True,
        type=FILE,
        metavar="DATA",
        help="Samples that set the scales: .npz with x, or .npy; labels are never read.",
    )(command)


def limit_option(command: _Command) -> _Command:
    """Adds ``--limit``."""
    return click.option("--limit", type=COUNT, metavar="N", help="Only the first N samples.")(command)


def batch_option(command: _Command) -> _Command:
    """Adds ``--batch``."""
    return click.option(
        "--batch",
        type=COUNT,
        default=250,
        show_default=True,
        metavar="N",
        help="Samples simulated at a time.",
    )(command)


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


def _number_or_auto(context: click.Context, parameter: click.Parameter, value: str) -> int | None:
    """Reads ``N`` or ``auto``, which is None."""
    if value == "auto":
        return None
    if not value.isdecimal() or int(value) < 1:
        raise click.BadParameter(f"'{value}' is neither 'auto' nor a whole number of 1 or more")
    return int(value)


_COMPILE = (
    click.option(
        "--levels",
        type=LEVELS,
        metavar="L",
        help="Values that a neuron can have beside 0, in all codes but rate.  [15]",
    ),
    click.option(
        "--weight-bits",
        type=COUNT,
        metavar="B",
        help="Bits of a weight, the sign included.  [the chip's]",
    ),
    click.option(
        "--timesteps",
        type=COUNT,
        metavar="T",
        help="Steps in which a neuron counts its spikes, in rate.  [16]",
    ),
    click.option(
        "--settle",
        type=Whole(0),
        metavar="K",
        help="Steps that a layer integrates before it may fire, in rate.  [0; T/4 where spikes have no sign]",
    ),
    click.option(
        "--input-levels",
        type=LEVELS,
        metavar="N",
        help="Values that an input can have beside 0.  [255; T where rate takes spikes]",
    ),
    click.option(
        "--input-encoding",
        type=click.Choice(["spikes", "current", "graded", "host"]),
        help="How samples enter the chip.  [the first that code and chip know]",
    ),
    click.option(
        "--output-levels",
        type=LEVELS,
        metavar="N",
        help="Read outputs from spikes, as values from -N to N.  "
        "[from membranes; 255, T in rate, where the chip reads none]",
    ),
    input_shape_option,
    click.option(
        "--chips",
        default="auto",
        show_default=True,
        callback=_number_or_auto,
        metavar="N|auto",
        help="Chips at most.",
    ),
    click.option(
        "--passes",
        default="1",
        show_default=True,
        callback=_number_or_auto,
        metavar="N|auto",
        help="Passes at most over chips that do not hold the network at once; the host keeps its spikes.",
    ),
    click.option(
        "--seed", type=SEED, default=0, show_default=True, metavar="S", help="Seed of the placement."
    ),
    click.option(
        "--placement-effort",
        type=click.Choice(["low", "normal", "high"]),
        help="How long a better partition and placement are looked for.  [normal]",
    ),
    click.option(
        "--fan-in",
        type=click.Choice(["auto", "exact", "split", "prune", "refuse"]),
        help="Layers with more inputs than a neuron has synapses: partial sums, exact in phase and graded or "
        "rounded (split), or only the inputs that matter most (prune).  [auto: split where neurons allow]",
    ),
    click.option("--backend", metavar="NAME", help="The backend, where several know the target."),
)


def compile_options(command: _Command) -> _Command:
    """Adds the options of a compilation from ``--levels`` to ``--backend``: fields of ``CompileOptions``."""
    for option in reversed(_COMPILE):  # the one applied last stands first in the help
        command = option(command)
    return command
