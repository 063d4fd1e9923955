"""The map of cores for a terminal: what lies on each core, and how full it is."""

from __future__ import annotations

import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeAlias

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from nmcompiler.report.format import counted, number

__all__ = ["CoreMap", "fits_by_default"]

Facts: TypeAlias = Mapping[str, Any]

_ROWS, _COLUMNS = 20, 40  # of all chips and passes together, and of the widest: more is only drawn on request
_LETTERS = string.ascii_uppercase + string.ascii_lowercase
_FURTHER = "#"  # stands for every layer after those with a letter
_SHADES = "░▒▓█"  # a quarter each of the fullest resource


@dataclass(frozen=True)
class _Sheet:
    """The cores of one chip in one pass, by place, and the rows and columns of it that hold any."""

    title: str
    cores: Mapping[tuple[int, int], Facts]
    rows: Sequence[int]
    columns: Sequence[int]


@dataclass(frozen=True)
class CoreMap:
    """Draws the map: shades on a terminal that has them, else digits, as wide as the console.

    Attributes:
        facts: The object of ``compile --json`` or ``inspect --json``.
    """

    facts: Facts

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yields the map, line by line."""
        shades = options.is_terminal and not options.ascii_only
        for line in self.lines(options.max_width, shades=shades):
            yield Text(line, no_wrap=True, overflow="crop")

    def lines(self, width: int, *, shades: bool) -> Iterator[str]:
        """Yields the lines of the map, then what its signs mean.

        Args:
            width: Columns of the terminal.
            shades: Whether fill levels are drawn as shades, else as digits.
        """
        letters = _letters([layer["name"] for layer in self.facts["layers"]])
        mesh = self.facts["core_map"]
        for sheet in _sheets(mesh["cores"]):
            if sheet.title:
                yield sheet.title
            yield from _drawn(sheet, letters, width, shades)
            yield from _left_out(sheet, mesh)
        yield from _legend(mesh["cores"], letters, width)
        yield (
            "shade: quarters of its fullest resource that a core uses"
            if shades
            else "digit: tenths of its fullest resource that a core uses"
        )


def fits_by_default(facts: Facts) -> bool:
    """Whether the map is small enough to be drawn where nobody asked for it."""
    sheets = _sheets(facts["core_map"]["cores"])
    rows = sum(len(sheet.rows) for sheet in sheets)
    return rows <= _ROWS and max((len(sheet.columns) for sheet in sheets), default=0) <= _COLUMNS


def _sheets(cores: Sequence[Facts]) -> list[_Sheet]:
    """Returns the cores chip by chip, pass after pass over the chips."""

    def key(core: Facts) -> tuple[int, int]:
        return core["pass"], core["chip"]

    groups = [(place, list(group)) for place, group in groupby(sorted(cores, key=key), key)]
    passes, chips = ({place[k] for place, _ in groups} for k in (0, 1))
    return [
        _Sheet(
            title=", ".join(
                f"{noun} {index}"
                for noun, index, all_of in (("pass", turn, passes), ("chip", chip, chips))
                if len(all_of) > 1
            ),
            cores={(core["row"], core["column"]): core for core in group},
            rows=sorted({core["row"] for core in group}),
            columns=sorted({core["column"] for core in group}),
        )
        for (turn, chip), group in groups
    ]


def _letters(layers: Iterable[str]) -> dict[str, str]:
    return {name: _LETTERS[k] if k < len(_LETTERS) else _FURTHER for k, name in enumerate(layers)}


def _drawn(sheet: _Sheet, letters: Mapping[str, str], width: int, shades: bool) -> Iterator[str]:
    """Yields the places of one chip; where its columns are too many for a line, band after band."""
    margin = max(map(len, map(str, sheet.rows))) + 2
    cell = 3 if margin + 3 * len(sheet.columns) <= width else 2
    band = max((width - margin) // cell, 1)
    for first in range(0, len(sheet.columns), band):
        columns = sheet.columns[first : first + band]
        yield " " * margin + _ruler(columns, cell)
        for row in sheet.rows:
            cells = (_cell(sheet.cores.get((row, column)), letters, shades) for column in columns)
            yield f"{row:>{margin - 2}}  " + "".join(sign.ljust(cell) for sign in cells).rstrip()


def _ruler(columns: Sequence[int], cell: int) -> str:
    """Returns the numbers of columns, those left out that would touch the one before."""
    line = ""
    for k, column in enumerate(columns):
        if not line or len(line) < k * cell:
            line = line.ljust(k * cell) + str(column)
    return line


def _cell(core: Facts | None, letters: Mapping[str, str], shades: bool) -> str:
    """Returns the layer of a core and its fill."""
    if core is None:
        return "."
    letter = letters.get(core["layers"][0], _FURTHER) if core["layers"] else _FURTHER
    fill = core["fill"]
    if fill is None:
        return letter
    steps = _SHADES if shades else string.digits
    return letter + steps[min(int(fill * len(steps)), len(steps) - 1)]


def _left_out(sheet: _Sheet, mesh: Facts) -> Iterator[str]:
    rows, columns = mesh["rows"] - len(sheet.rows), mesh["columns"] - len(sheet.columns)
    parts = [counted(n, noun) for n, noun in ((rows, "row"), (columns, "column")) if n > 0]
    if parts:
        yield f"left out: {' and '.join(parts)} of the mesh where no core is in use"


def _legend(cores: Sequence[Facts], letters: Mapping[str, str], width: int) -> Iterator[str]:
    """Yields which letter stands for which layer, and the layers that no letter on the map stands for."""
    drawn = {core["layers"][0] for core in cores if core["layers"]}
    named = [f"{letter} {name}" for name, letter in letters.items() if name in drawn and letter != _FURTHER]
    further = sum(letter == _FURTHER for letter in letters.values())
    if further:
        named.append(f"{_FURTHER} one of {number(further)} further layers")
    yield from _packed(named, width)
    hidden = [name for name in letters if name not in drawn]
    if hidden:
        yield from _packed(["beside larger pieces only:", *hidden], width)


def _packed(items: Iterable[str], width: int) -> Iterator[str]:
    """Yields items line by line, two spaces apart; one that is too long for a line is cut."""
    line = ""
    for item in items:
        cut = item if len(item) <= width else item[: width - 1] + "…"
        if line and len(line) + 2 + len(cut) > width:
            yield line
            line = ""
        line += ("  " if line else "") + cut
    if line:
        yield line
