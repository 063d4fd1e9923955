"""Where the command line writes: results to stdout, progress and complaints to stderr, files in one piece."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nmcompiler.errors import UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from nmcompiler.ir.progress import Progress

__all__ = ["check_output", "complain", "json_text", "progress", "say", "say_json", "warn", "whole_file"]


def say(*parts: RenderableType) -> None:
    """Prints parts of a report on stdout; colours only on a terminal, 80 columns elsewhere."""
    from rich.console import Console

    console = Console(file=sys.stdout, markup=False, highlight=False, emoji=False)
    if console.is_terminal:
        console.print(*parts, sep="\n", crop=False)
        return
    with console.capture() as captured:
        console.print(*parts, sep="\n", crop=False)
    for (
        line
    ) in captured.get().splitlines():  # tables fill their lines with spaces, which nobody wants in a file
        click.echo(line.rstrip())


def say_json(facts: Mapping[str, Any]) -> None:
    """Prints one JSON object on stdout; a number that is not finite becomes null."""
    click.echo(json_text(facts))


def json_text(facts: Mapping[str, Any]) -> str:
    """Returns an object as ``--json`` prints it."""
    return json.dumps(_plain(facts), indent=2, allow_nan=False)


def warn(sentence: str) -> None:
    """Prints a warning as one line on stderr."""
    _line("warning", "yellow", sentence)


def complain(sentence: str) -> None:
    """Prints an error as one line on stderr."""
    _line("error", "red", sentence)


def _line(kind: str, colour: str, sentence: str) -> None:
    text = " ".join(sentence.split())  # what other libraries say may have several lines
    click.echo(click.style(f"{kind}: ", fg=colour, bold=True) + text, err=True)


@contextmanager
def progress(*, left: bool = False) -> Iterator[Progress]:
    """Gives a ``Progress`` that draws a bar on stderr where it is a terminal, and else says nothing.

    Args:
        left: Whether the time that is left stands beside the time that went by.
    """
    from nmcompiler.ir.progress import silent

    if not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        *([TextColumn("left"), TimeRemainingColumn()] if left else []),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task("", total=None)

        def show(work: str, done: int, total: int) -> None:
            known = total if total > 1 else None  # a bar of one piece only pulses
            bars.update(bar, description=work, completed=done, total=known)

        yield show


def check_output(path: Path | None, inputs: Sequence[Path] = (), *, option: str) -> None:
    """Raises ``UsageError`` where a file could not be written, or would overwrite one that is read."""
    if path is None:
        return
    try:
        _check_output(path, inputs, option)
    except OSError as error:  # a name that the system cannot take, such as one that is too long
        raise UsageError(
            f"{option} '{path}' cannot be written ({error.strerror})", hint="choose another name"
        ) from None


def _check_output(path: Path, inputs: Sequence[Path], option: str) -> None:
    if path.is_dir():
        raise UsageError(f"{option} '{path}' is a folder", allowed="the name of a file")
    folder = path.parent
    if not folder.is_dir():
        raise UsageError(
            f"{option} '{path}' lies in a folder that does not exist", hint=f"make '{folder}' first"
        )
    if path.exists() and not path.is_file():  # it would be replaced by a file, for everybody
        raise UsageError(f"{option} '{path}' is a device or a pipe", allowed="the name of a file")
    if not os.access(folder, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise UsageError(f"{option} '{path}' may not be written", hint="choose another folder")
    for other in inputs:
        if other.exists() and path.exists() and path.samefile(other):
            raise UsageError(
                f"{option} '{path}' would overwrite a file that is read", hint="choose another name"
            )


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Gives a name to write to; the file takes its real name when the body ends well, and else vanishes."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _plain(value: Any) -> Any:
    """Returns a value as JSON can hold it."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if hasattr(value, "tolist"):  # numpy's scalars and arrays
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
