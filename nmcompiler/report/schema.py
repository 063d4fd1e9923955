"""The JSON Schemas of what ``--json`` prints; they ship with the package."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from nmcompiler.errors import UsageError, nearest

__all__ = ["SCHEMAS", "load_schema"]

SCHEMAS: tuple[str, ...] = (
    "backends",
    "check",
    "compare",
    "compile",
    "debug",
    "demo",
    "diff",
    "inspect",
    "run",
    "targets",
    "yield",
)
"""Names of the commands whose objects have a schema."""


def load_schema(name: str) -> dict[str, Any]:
    """Returns the JSON Schema (draft 2020-12) of the object that ``nmc <name> --json`` prints.

    Raises:
        UsageError: There is no such schema.
    """
    if name not in SCHEMAS:
        raise UsageError(f"there is no schema '{name}'", hint=nearest(name, SCHEMAS))
    text = (
        resources.files("nmcompiler.report").joinpath("schemas", f"{name}.json").read_text(encoding="utf-8")
    )
    schema: dict[str, Any] = json.loads(text)
    return schema
