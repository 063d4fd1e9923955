"""Reads and writes chip descriptions (TOML files and the JSON-like documents inside programs).

The keys of a file are the fields of the dataclasses in ``model.py``; the reader works from their type
annotations, so that a new field needs no code here. A wrong entry is reported with its key, its line where
it can be found, what is allowed, and the nearest valid key.
"""

from __future__ import annotations

import json
import re
import tomllib
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from nmcompiler.errors import TargetFileError, did_you_mean, nearest
from nmcompiler.target.model import Target

__all__ = ["read_target", "target_from_document", "target_from_toml", "target_to_document", "target_to_toml"]

_MAX_BYTES = 100_000
_LONGEST_LINE = 4_000  # a dotted key takes time that grows with the square of its length


def read_target(path: Path) -> Target:
    """Reads a chip description from a TOML file.

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
    return target_from_toml(text, str(path))


def target_from_toml(text: str, where: str) -> Target:
    """Reads a chip description from the text of a TOML file; ``where`` names it in errors."""
    if len(text) > _MAX_BYTES or any(len(line) > _LONGEST_LINE for line in text.splitlines()):
        raise TargetFileError(
            f"{where}: no chip description is so long",
            allowed=f"at most {_MAX_BYTES} characters in all and {_LONGEST_LINE} a line",
        )
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TargetFileError(f"{where}: not valid TOML ({error})") from None
    except RecursionError:
        raise TargetFileError(f"{where}: nested too deeply") from None
    return target_from_document(document, where, text)


def target_from_document(document: Mapping[str, Any], where: str, text: str = "") -> Target:
    """Builds a chip from a document of plain values; ``text`` is only searched for line numbers."""
    target: Target = _Reader(where, text).build(Target, document, "")
    _check(target, where)
    return target


def target_to_document(target: Target) -> dict[str, Any]:
    """Returns the chip as plain values (JSON and TOML can hold them); absent entries are left out."""
    document: dict[str, Any] = _plain(target)
    return document


def target_to_toml(target: Target) -> str:
    """Returns the chip as a TOML file that ``read_target`` reads back as an equal value."""
    document = target_to_document(target)
    simple = {k: v for k, v in document.items() if not _is_table(v)}
    lines = [f"{key} = {_toml(value)}" for key, value in simple.items()]
    for key, value in document.items():
        if isinstance(value, dict):
            lines += _toml_table(key, value)
        elif _is_table(value):
            for entry in value:
                lines += ["", f"[[{key}]]"]
                lines += [f"{k} = {_toml(v)}" for k, v in entry.items()]
    return "\n".join(lines) + "\n"


def _check(target: Target, where: str) -> None:
    """Raises where entries contradict each other."""
    cells = target.mesh.rows * target.mesh.columns
    rules = (
        (bool(target.codings), "codings is empty"),
        (bool(target.input_encodings), "input_encodings is empty"),
        (bool(target.core_types), "core_types is empty"),
        (bool(target.readout), "readout is empty (allowed: membrane, spikes; left out: membrane)"),
        (cells >= target.cores_per_chip, f"mesh has {cells} places for {target.cores_per_chip} cores"),
        (2 <= target.weight_bits <= 16, f"weight_bits is {target.weight_bits} (allowed: 2 to 16)"),
        (8 <= target.membrane_bits <= 48, f"membrane_bits is {target.membrane_bits} (allowed: 8 to 48)"),
        (1 <= target.threshold.bits <= 40, f"threshold.bits is {target.threshold.bits} (allowed: 1 to 40)"),
        (
            target.graded_payload_bits is None or 1 <= target.graded_payload_bits <= 32,
            f"graded_payload_bits is {target.graded_payload_bits} (allowed: 1 to 32, or left out)",
        ),
        (target.max_chips >= 1, f"max_chips is {target.max_chips} (allowed: 1 or more)"),
        (min(target.mesh.rows, target.mesh.columns) >= 1, "mesh has no rows or no columns"),
        (
            all(t.count >= 1 for t in target.core_types) and target.cores_per_chip <= 1_000_000,
            "core_types counts must be at least 1 and at most 1,000,000 together",
        ),
        (
            all(
                v is None or v >= 1
                for t in target.core_types
                for v in (getattr(t.limits, f.name) for f in fields(t.limits))
            ),
            "a limit is below 1 (leave it out where the chip sets none)",
        ),
    )
    for right, sentence in rules:
        if not right:
            raise TargetFileError(f"{where}: {sentence}")


class _Reader:
    """Builds dataclasses from plain values by their annotations."""

    def __init__(self, where: str, text: str) -> None:
        self._where = where
        self._lines = text.splitlines()

    def build(self, kind: type, value: Any, key: str) -> Any:
        if not isinstance(value, Mapping):
            raise self._wrong(key, f"is {_name(value)}", "a table")
        hints = get_type_hints(kind)
        known = {f.name: f for f in fields(kind)}
        for name in value:
            if name not in known:
                raise self._wrong(_join(key, str(name)), "is not a known key", "", nearest(str(name), known))
        arguments = {}
        for name, entry in known.items():
            if name in value:
                arguments[name] = self.convert(hints[name], value[name], _join(key, name))
            elif entry.default is MISSING and entry.default_factory is MISSING:
                raise self._wrong(_join(key, name), "is missing", _describe(hints[name]))
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
                raise self._wrong(key, f"is {_name(value)}", "a list")
            return tuple(self.convert(arguments[0], v, f"{key}[{i}]") for i, v in enumerate(value))
        if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
            if not isinstance(value, Mapping):
                raise self._wrong(key, f"is {_name(value)}", "a table")
            return {str(k): self.convert(arguments[1], v, _join(key, str(k))) for k, v in value.items()}
        if origin is Literal:
            if value not in arguments or isinstance(value, bool):
                allowed = ", ".join(map(str, arguments))
                hint = did_you_mean(value, arguments) if isinstance(value, str) else ""
                raise self._wrong(key, f"is {value!r}", allowed, hint)
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
            raise self._wrong(key, f"is {value!r}", _describe(kind))
        return float(value) if kind is float else value

    def _wrong(self, key: str, found: str, allowed: str, hint: str = "") -> TargetFileError:
        last = re.sub(r"\[\d+\]$", "", key).rsplit(".", 1)[-1]
        pattern = re.compile(rf"^\s*\[*[\w.]*{re.escape(last)}\b")
        line = next((i for i, text in enumerate(self._lines, 1) if pattern.match(text)), None)
        place = f"{self._where}, line {line}" if line else self._where
        subject = f"'{key}'" if key else "the description"
        return TargetFileError(f"{place}: {subject} {found}", allowed=allowed, hint=hint)


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _name(value: Any) -> str:
    return f"{value!r}" if isinstance(value, str | int | float | bool) else f"a {type(value).__name__}"


def _describe(kind: Any) -> str:
    words = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
    if kind in words:
        return words[kind]
    if get_origin(kind) is Literal:
        return ", ".join(map(str, get_args(kind)))
    if get_origin(kind) is tuple:
        return "a list"
    return "a table"


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        entries = ((f.name, getattr(value, f.name)) for f in fields(value))
        return {k: _plain(v) for k, v in entries if v is not None and v != ()}
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    return value


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and bool(value) and isinstance(value[0], dict))


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def _toml_table(key: str, table: Mapping[str, Any]) -> list[str]:
    lines = ["", f"[{key}]"] if not all(isinstance(v, dict) for v in table.values()) else []
    lines += [f"{k} = {_toml(v)}" for k, v in table.items() if not isinstance(v, dict)]
    for name, inner in table.items():
        if isinstance(inner, dict):
            lines += _toml_table(f"{key}.{name}", inner)
    return lines
