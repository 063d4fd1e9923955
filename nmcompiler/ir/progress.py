"""How long work tells how far it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

__all__ = ["Progress", "silent"]

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with the name of the work, how much is done, and how much there is."""


def silent(work: str, done: int, total: int) -> None:
    """Says nothing."""
