"""Budgets: exact at their edge, and refused where they cannot be judged."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmcompiler.errors import UsageError
from nmcompiler.report.budget import Budget


def facts(a: float | None, b: float | None) -> dict[str, Any]:
    entry = {"a": a, "b": b, "same": a == b, "change": None, "relative": None}
    layer = dict.fromkeys(("neurons", "cores", "fan_in", "synapse_bits", "sqnr_db"), entry)
    return {
        "cores": {"used": entry},
        "target": {"a": "x", "b": "y", "same": False},
        "layers": [{"name": "conv.1=a", "only": None, **layer}],
    }


def ok(text: str, a: float, b: float, side: Any = "above") -> bool:
    return bool(Budget.read(text, side).check(facts(a, b))["ok"])


@pytest.mark.parametrize(
    ("text", "a", "most"),
    [("5%", 100, 105), ("29%", 100, 129), ("7 %", 100, 107), ("0.1%", 1000, 1001), ("0", 7, 7), ("3", 7, 10)],
)
def test_a_budget_is_kept_up_to_its_edge(text: str, a: int, most: int) -> None:
    assert ok(f"cores.used={text}", a, most)
    assert not ok(f"cores.used={text}", a, most + 1)
    assert ok(f"cores.used={text}", a, 0)


def test_a_floor_is_the_mirror() -> None:
    assert ok("cores.used=5%", 100, 95, "below")
    assert not ok("cores.used=5%", 100, 94, "below")
    assert ok("cores.used=0", 100, 900, "below")


@given(a=st.integers(0, 10**9), b=st.integers(0, 10**9), percent=st.integers(0, 300))
def test_percents_are_exact(a: int, b: int, percent: int) -> None:
    assert ok(f"cores.used={percent}%", a, b) == (100 * b <= (100 + percent) * a)


def test_names_of_layers_may_hold_dots_and_equal_signs() -> None:
    budget = Budget.read("layers.conv.1=a.cores=2.5", "above")
    assert (budget.key, budget.amount, budget.percent) == ("layers.conv.1=a.cores", Fraction(5, 2), False)
    assert budget.check(facts(1, 3)) == {
        "side": "above",
        "key": "layers.conv.1=a.cores",
        "allowed": "2.5",
        "a": 1,
        "b": 3,
        "ok": True,
    }


@pytest.mark.parametrize(
    "text", ["", "cores.used", "=5", "cores.used=", "cores.used=-1", "cores.used=5%%", "a=nan"]
)
def test_other_forms_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match=r"--fail-above is '.*allowed: KEY=N or KEY=N%, as in cores.used=2"):
        Budget.read(text, "above")


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("cores.usd", "no number 'cores.usd'; did you mean 'cores.used'"),
        ("target", "no number 'target'"),
        ("zzz", "the keys are those that nmc diff --json prints"),
    ],
)
def test_what_is_no_number_is_refused(key: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Budget.read(f"{key}=1", "above").check(facts(1, 1))


def test_a_number_that_is_not_known_never_passes() -> None:
    with pytest.raises(UsageError, match=r"'cores\.used' is not known in program B, so the budget"):
        Budget.read("cores.used=1", "below").check(facts(1, None))
    with pytest.raises(UsageError, match="not known in program A and in B"):
        Budget.read("cores.used=1", "above").check(facts(None, None))
