"""Reads chip descriptions (TOML files and the JSON-like documents inside programs).

The keys of a file are the fields of the dataclasses in ``model.py``; the reader works from their type
annotations, so that a new field needs no code here; ``check`` holds what annotations cannot say. A wrong
entry is reported with its key, its line where it can be found, what is allowed, and the nearest valid key.
"""

from __future__ import annotations

import tomllib
import types
from collections.abc import Collection, Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from nmcompiler.errors import TargetFileError, did_you_mean, nearest
from nmcompiler.target.check import complaints
from nmcompiler.target.lines import fault_at, line_of
from nmcompiler.target.model import Target

__all__ = ["read_target", "target_from_document", "target_from_toml"]

_MAX_BYTES = 100_000
_LONGEST_LINE = 4_000  # a dotted key takes time that grows with the square of its length


def read_target(path: Path, codings: Collection[str] | None = None) -> Target:
    """Reads a chip description from a TOML file.

    Args:
        path: The file.
        codings: The codes that there are, to check those of the chip against.

    Raises:
        TargetFileError: The file cannot be read, or an entry is missing, unknown or out of range.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TargetFileError(
            f"target file '{path}' cannot be read ({error.strerror or error})",
            hint="nmc targets lists the built-in chips",
        ) from None
    if len(data) > _MAX_BYTES:
        raise TargetFileError(f"target file '{path}' has {len(data)} bytes", allowed=f"at most {_MAX_BYTES}")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise TargetFileError(f"target file '{path}' is not UTF-8 text (byte {error.start})") from None
    return target_from_toml(text, str(path), codings)


def target_from_toml(text: str, where: str, codings: Collection[str] | None = None) -> Target:
    """Reads a chip description from the text of a TOML file; ``where`` names it in errors."""
    if len(text) > _MAX_BYTES or any(len(line) > _LONGEST_LINE for line in text.splitlines()):
        raise TargetFileError(
            f"{where}: no chip description is so long",
            allowed=f"at most {_MAX_BYTES} characters in all and {_LONGEST_LINE} a line",
        )
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line, fault = fault_at(text.splitlines(), str(error))
        place = where if line is None else f"{where}, line {line}"
        raise TargetFileError(f"{place}: {fault}") from None
    except RecursionError:
        raise TargetFileError(f"{where}: nested too deeply") from None
    return target_from_document(document, where, text, codings)


def target_from_document(
    document: Mapping[str, Any], where: str, text: str = "", codings: Collection[str] | None = None
) -> Target:
    """Builds a chip from a document of plain values; ``text`` is only searched for line numbers."""
    reader = _Reader(where, text)
    target: Target = reader.build(Target, document, "")
    for complaint in complaints(target, codings):
        raise reader.wrong(complaint.key, complaint.found, complaint.allowed, complaint.hint)
    return target


class _Reader:
    """Builds dataclasses from plain values by their annotations."""

    def __init__(self, where: str, text: str) -> None:
        self._where = where
        self._lines = text.splitlines()

    def build(self, kind: type, value: Any, key: str) -> Any:
        if not isinstance(value, Mapping):
            raise self.wrong(key, f"is {_name(value)}", "a table")
        hints = get_type_hints(kind)
        known = {f.name: f for f in fields(kind)}
        for name in value:
            if name not in known:
                raise self.wrong(_join(key, str(name)), "is not a known key", "", _meant(str(name), known))
        arguments = {}
        for name, entry in known.items():
            if name in value:
                arguments[name] = self.convert(hints[name], value[name], _join(key, name))
            elif type(None) in get_args(hints[name]):  # TOML has no way to say None
                arguments[name] = None
            elif entry.default is MISSING and entry.default_factory is MISSING:
                hint = next((_misplaced(name, k) for k, v in value.items() if _holds(v, name)), "")
                raise self.wrong(_join(key, name), "is missing", _describe(hints[name]), hint)
        return kind(**arguments)

    def convert(self, kind: Any, value: Any, key: str) -> Any:
        origin, arguments = get_origin(kind), get_args(kind)
        if is_dataclass(kind) and isinstance(kind, type):
            return self.build(kind, value, key)
        if origin in (Union, types.UnionType):
            inner = [a for a in arguments if a is not type(None)]
            return None if value is None else self.convert(inner[0], value, key)
        if origin is tuple:
            if not isinstance(value, list | tuple):
                raise self.wrong(key, f"is {_name(value)}", _describe(kind, key))
            return tuple(self.convert(arguments[0], v, f"{key}[{i}]") for i, v in enumerate(value))
        if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
            if not isinstance(value, Mapping):
                raise self.wrong(key, f"is {_name(value)}", "a table")
            return {str(k): self.convert(arguments[1], v, _join(key, str(k))) for k, v in value.items()}
        if origin is Literal:
            if value not in arguments or isinstance(value, bool):
                allowed = ", ".join(map(str, arguments))
                hint = did_you_mean(value, arguments) if isinstance(value, str) else ""
                raise self.wrong(key, f"is {_name(value)}", allowed, hint)
            return value
        return self._scalar(kind, value, key)

    def _scalar(self, kind: Any, value: Any, key: str) -> Any:
        good = {
            bool: isinstance(value, bool),
            int: isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**62,
            float: isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e30,
            str: isinstance(value, str),
        }
        if not good.get(kind, False):
            raise self.wrong(key, f"is {_name(value)}", _describe(kind))
        return float(value) if kind is float else value

    def wrong(self, key: str, found: str, allowed: str, hint: str = "") -> TargetFileError:
        """Returns the error for an entry."""
        line = line_of(self._lines, key)
        place = f"{self._where}, line {line}" if line else self._where
        subject = f"'{key}'" if key else "the description"
        return TargetFileError(f"{place}: {subject} {found}", allowed=allowed, hint=hint)


def _meant(name: str, known: Collection[str]) -> str:
    """Returns what a key may have been meant for: the same of another table, else the nearest of its own."""
    home = next(_homes(Target, name, ""), None)
    if home is None:
        return nearest(name, known)
    if not home:
        return f"'{name}' is an entry of the chip itself: it must stand above the first table"
    return f"'{name}' is an entry of the table '{home}'"


def _holds(value: Any, name: str) -> bool:
    return isinstance(value, Mapping) and name in value


def _misplaced(name: str, table: str) -> str:
    return f"'{name}' stands below the head of '{table}', and so in that table: move it above"


def _homes(kind: type, name: str, key: str) -> Iterator[str]:
    """Yields the tables that have a key of a name, the outer ones first."""
    hints = get_type_hints(kind)
    if name in hints:
        yield key
    for inner, hint in hints.items():
        for part in (hint, *get_args(hint)):
            if is_dataclass(part) and isinstance(part, type):
                yield from _homes(part, name, _join(key, inner))


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _name(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return f"{value!r}"
    return "a table" if isinstance(value, Mapping) else f"a {type(value).__name__}"


def _describe(kind: Any, key: str = "") -> str:
    words = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
    if kind in words:
        return words[kind]
    if get_origin(kind) is Literal:
        return ", ".join(map(str, get_args(kind)))
    if get_origin(kind) is tuple:
        tables = key and is_dataclass(get_args(kind)[0])
        return f"a list of tables, each headed [[{key}]]" if tables else "a list"
    return "a table"
