"""Budgets for a build server: how far a number may move away from that of the program before."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, TypeAlias

from nmcompiler.errors import UsageError, did_you_mean
from nmcompiler.report.diff import leaves

__all__ = ["Budget", "Side"]

Side: TypeAlias = Literal["above", "below"]

_AMOUNT = re.compile(r"(\d{1,15}(?:\.\d{1,15})?) ?(%?)", re.ASCII)


@dataclass(frozen=True)
class Budget:
    """The most by which a number may rise, or fall.

    Attributes:
        side: ``above`` or ``below``: on which side of A it must not go further.
        key: Which number, as in ``cores.used`` or ``layers.conv1.cores``.
        amount: By how much; exact, so that 5 % of 100 allows 105.
        percent: Whether ``amount`` is in percent of the number in A, else in its unit.
    """

    side: Side
    key: str
    amount: Fraction
    percent: bool

    @classmethod
    def read(cls, text: str, side: Side) -> Budget:
        """Returns the budget that ``KEY=N`` or ``KEY=N%`` stands for.

        Raises:
            UsageError: The text has another form.
        """
        key, _, amount = text.rpartition("=")  # names of layers may hold '=' themselves
        found = _AMOUNT.fullmatch(amount.strip())
        if not key or found is None:
            raise UsageError(
                f"--fail-{side} is '{text}'", allowed="KEY=N or KEY=N%, as in cores.used=2 or cores.used=5%"
            )
        return cls(side, key.strip(), Fraction(found[1]), bool(found[2]))

    @property
    def allowed(self) -> str:
        """The change that is allowed, for people."""
        return f"{float(self.amount):.15g}{' %' if self.percent else ''}"

    def check(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Returns ``side``, ``key``, ``allowed``, ``a``, ``b`` and ``ok``: whether B is within the budget.

        Args:
            facts: The object of ``diff --json``.

        Raises:
            UsageError: There is no such number, or a program does not know it.
        """
        entries = {key: entry for key, entry in leaves(facts) if "change" in entry}
        if self.key not in entries:
            raise UsageError(
                f"--fail-{self.side}: there is no number '{self.key}'",
                hint=did_you_mean(self.key, entries) or "the keys are those that nmc diff --json prints",
            )
        a, b = entries[self.key]["a"], entries[self.key]["b"]
        unknown = [side for side, value in (("A", a), ("B", b)) if value is None]
        if unknown:
            raise UsageError(
                f"--fail-{self.side}: '{self.key}' is not known in program {' and in '.join(unknown)}, "
                "so the budget cannot be judged",
                hint="choose a number that both programs have",
            )
        room = abs(Fraction(a)) * self.amount / 100 if self.percent else self.amount
        moved = Fraction(b) - Fraction(a)
        ok = (moved if self.side == "above" else -moved) <= room
        return {"side": self.side, "key": self.key, "allowed": self.allowed, "a": a, "b": b, "ok": ok}
