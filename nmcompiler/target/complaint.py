"""What is wrong with an entry of a chip description."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Complaint"]


@dataclass(frozen=True)
class Complaint:
    """An entry that cannot be meant: its key, a clause that says what it is, what is allowed, what to try."""

    key: str
    found: str
    allowed: str = ""
    hint: str = ""
