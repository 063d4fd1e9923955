"""Finds the line of an entry in a TOML file, for errors: the parser of Python gives values without places."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["fault_at", "line_of"]

_HEADER = re.compile(r"^\s*(\[\[?)\s*([\w.\-\s\"']+?)\s*\]\]?\s*(?:#.*)?$")
_ENTRY = re.compile(r"^\s*([\w.\-\s\"']+?)\s*=")
_KEY = re.compile(r"([\w.\-\"']+)\s*=")
_INDEX = re.compile(r"\[\d+\]$")
_PLACE = re.compile(r"\s*\(at line (\d+), column (\d+)\)")


def line_of(lines: Sequence[str], key: str) -> int | None:
    """Returns the line, from 1 on, that holds an entry or, where it is missing, the table it belongs to.

    Args:
        lines: The file.
        key: The full key, ``figures.energy_per_hop_pj.source`` or ``core_types[0].limits.neurons``.
    """
    places = _places(lines)
    parts = _parts(key)
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        first = places.get(name, places.get(_INDEX.sub("", name)))  # lists of plain values have no places
        if first is None:
            continue
        if length == len(parts):
            return first
        last = min((n for n in places.values() if n > first), default=len(lines) + 1)
        return _inside(lines, first, last, parts[length:]) or first
    return None


def fault_at(lines: Sequence[str], message: str) -> tuple[int | None, str]:
    """Returns the line and a clause for what the TOML parser says of a file that it cannot read.

    Args:
        lines: The file.
        message: The parser's message.
    """
    place = _PLACE.search(message)
    plain = _PLACE.sub("", message)
    if place is None or not lines:
        return None, f"not valid TOML ({message})"
    number = min(int(place[1]), len(lines))
    line = lines[number - 1]
    if message.startswith(("Cannot overwrite", "Cannot declare", "Duplicate")):
        header = _HEADER.match(line)
        entries = _KEY.findall(line[: int(place[2])])
        name = header[2] if header else entries[-1] if entries else line
        return number, f"'{_bare(name)}' is given twice"
    quotes = "; texts stand in double quotes" if message.startswith("Invalid value") else ""
    return number, f"not valid TOML ({plain}) in '{line.strip()[:80]}'{quotes}"


def _places(lines: Sequence[str]) -> dict[str, int]:
    """Returns the line of every table and entry that starts a line; entries of arrays count from 0."""
    places: dict[str, int] = {}
    table, arrays = "", dict[str, int]()
    for number, line in enumerate(lines, 1):
        header = _HEADER.match(line)
        entry = _ENTRY.match(line)
        if header is not None:
            table = _bare(header[2])
            if header[1] == "[[":
                arrays[table] = arrays.get(table, -1) + 1
                table = f"{table}[{arrays[table]}]"
            places.setdefault(table, number)
        elif entry is not None:
            places.setdefault(f"{table}.{_bare(entry[1])}" if table else _bare(entry[1]), number)
    return places


def _bare(key: str) -> str:
    """Returns a dotted key without quotes and spaces."""
    return ".".join(part.strip().strip("\"'") for part in key.split("."))


def _parts(key: str) -> list[str]:
    return key.split(".") if key else []


def _inside(lines: Sequence[str], first: int, last: int, parts: Sequence[str]) -> int | None:
    """Returns the line between two that names the last of some keys, in an inline table or a list."""
    word = re.compile(rf"(?<![\w.]){re.escape(_INDEX.sub('', parts[-1]))}\s*=")
    return next((n for n in range(first, last) if word.search(lines[n - 1])), None)
