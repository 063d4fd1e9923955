"""Spike codes, one file each; a new code is one new file and one line here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from nmcompiler.codings.base import Coding, StepFunction
from nmcompiler.codings.graded import Graded
from nmcompiler.codings.phase import Phase
from nmcompiler.codings.rate import Rate
from nmcompiler.codings.rate_sync import RateSync
from nmcompiler.codings.ttfs import Ttfs
from nmcompiler.errors import UsageError, nearest

__all__ = ["CODINGS", "Coding", "StepFunction", "coding"]

CODINGS: Mapping[str, Coding] = MappingProxyType(
    {c.name: c for c in (Phase(), RateSync(), Ttfs(), Graded(), Rate())}
)


def coding(name: str) -> Coding:
    """Returns the code of a name, or raises ``UsageError`` with the nearest names."""
    try:
        return CODINGS[name]
    except KeyError:
        raise UsageError(f"there is no coding '{name}'", hint=nearest(name, CODINGS)) from None
