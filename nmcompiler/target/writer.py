"""Writes chip descriptions: as plain values, and as TOML files that ``reader`` reads back as equal values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from nmcompiler.target.model import Target

__all__ = ["target_to_document", "target_to_toml"]

_LINE = 110


def target_to_document(target: Target) -> dict[str, Any]:
    """Returns the chip as plain values (JSON and TOML can hold them); absent entries are left out."""
    document: dict[str, Any] = _plain(target)
    return document


def target_to_toml(target: Target) -> str:
    """Returns the chip as a TOML file that ``read_target`` reads back as an equal value."""
    document = target_to_document(target)
    simple = {k: v for k, v in document.items() if not _is_table(v)}
    lines = [line for key, value in simple.items() for line in _entry(key, value)]
    for key, value in document.items():
        if isinstance(value, dict):
            lines += _table(key, value)
        elif _is_table(value):
            for entry in value:
                lines += ["", f"[[{key}]]"]
                lines += [line for k, v in entry.items() for line in _entry(k, v)]
    return "\n".join(lines) + "\n"


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


def _entry(key: str, value: Any) -> list[str]:
    """Returns the lines of one entry; a long list has one element a line."""
    line = f"{_key(key)} = {_toml(value)}"
    if len(line) <= _LINE or not isinstance(value, list):
        return [line]
    return [f"{_key(key)} = [", *(f"    {_toml(v)}," for v in value), "]"]


def _key(key: str) -> str:
    bare = key.isascii() and key.replace("_", "").replace("-", "").isalnum()
    return key if bare else _text(key)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(k)} = {_toml(v)}" for k, v in value.items()) + " }" if value else "{}"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    return _text(value) if isinstance(value, str) else json.dumps(value)


def _text(value: str) -> str:
    """Returns a TOML string; JSON's escapes are TOML's, but for one control character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _table(key: str, table: Mapping[str, Any]) -> list[str]:
    lines = ["", f"[{key}]"] if not table or not all(isinstance(v, dict) for v in table.values()) else []
    for name, value in table.items():
        lines += [] if isinstance(value, dict) else _entry(name, value)
    for name, inner in table.items():
        if isinstance(inner, dict):
            lines += _table(f"{key}.{_key(name)}", inner)
    return lines
