"""Published figures of a chip by key, and what is known of those that nobody published."""

from __future__ import annotations

from fractions import Fraction

from nmcompiler.target import Figure, Target

__all__ = ["exact", "figure", "within"]


def figure(target: Target, *keys: str) -> tuple[str, Figure] | None:
    """Returns the first of some figures that is published, with its key."""
    return next(((key, target.figures[key]) for key in keys if key in target.figures), None)


def within(target: Target, *keys: str) -> str | None:
    """Returns the key of the figure that already contains one of these, None where none does."""
    return next((key for key, f in target.figures.items() if not set(keys).isdisjoint(f.includes)), None)


def exact(value: float) -> Fraction:
    """Returns the decimal number that stands in the file, not the binary one that is next to it."""
    return Fraction(repr(float(value)))
