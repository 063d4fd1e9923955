from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmcompiler.comparison.pareto import criteria, mark_best

COSTS = ("cores", "latency_steps", "synops_per_sample")


def row(accuracy: float | None = 0.9, cores: int = 1, **changes: Any) -> dict[str, Any]:
    made = {
        "ok": True,
        "exact": True,
        "pareto": False,
        "accuracy": {"chip": accuracy},
        "agreement": {"chip_float": 0.5},
        "cores": {"used": cores},
        "latency_us": None,
        "latency_steps": 10,
        "energy": {"total_uj": None, "unpriced": ["step_us"]},
        "synops_per_sample": 100.0,
    }
    return {**made, **changes}


def keys(rows: list[dict[str, Any]]) -> list[str]:
    return [criterion.key for criterion in criteria(rows)]


def slowly(rows: list[dict[str, Any]]) -> list[bool]:
    """The definition, pair by pair, written out anew."""

    def costs(r: dict[str, Any]) -> list[float]:
        return [-r["accuracy"]["chip"], r["cores"]["used"], r["latency_steps"], r["synops_per_sample"]]

    best = []
    for mine in rows:
        beaten = False
        for other in rows:
            pairs = list(zip(costs(other), costs(mine), strict=True))
            if other["ok"] and all(a <= b for a, b in pairs) and any(a < b for a, b in pairs):
                beaten = True
        best.append(mine["ok"] and not beaten)
    return best


small = st.integers(0, 3)
rows_of_any_size = st.lists(
    st.builds(
        lambda a, c, t, s, ok: row(a / 3, c, latency_steps=t, synops_per_sample=float(s), ok=ok),
        *(small, small, small, small, st.booleans()),
    ),
    max_size=12,
)


@given(rows_of_any_size)
def test_the_marks_are_those_of_the_definition(rows: list[dict[str, Any]]) -> None:
    marked, _ = mark_best(rows)
    assert [r["pareto"] for r in marked] == slowly(rows)
    assert [{**r, "pareto": False} for r in marked] == rows


@given(rows_of_any_size, st.randoms())
def test_the_order_of_rows_changes_no_mark(rows: list[dict[str, Any]], random: Any) -> None:
    order = list(range(len(rows)))
    random.shuffle(order)
    marks = [r["pareto"] for r in mark_best(rows)[0]]
    assert [r["pareto"] for r in mark_best([rows[k] for k in order])[0]] == [marks[k] for k in order]


def test_equal_rows_are_both_best() -> None:
    marked, _ = mark_best([row(), row(), row(cores=2)])
    assert [r["pareto"] for r in marked] == [True, True, False]


def test_a_row_that_is_not_its_network_is_never_best_and_beats_nobody() -> None:
    marked, _ = mark_best([row(0.99, exact=False), row(0.5), row(0.4, exact=None)])
    assert [r["pareto"] for r in marked] == [False, True, False]


def test_accuracy_gives_way_to_agreement_where_there_are_no_labels() -> None:
    assert keys([row(), row()])[0] == "accuracy.chip"
    assert keys([row(None), row(None)])[0] == "agreement.chip_float"


def test_without_an_answer_to_judge_no_row_is_marked() -> None:
    silent = row(None, agreement={"chip_float": None})
    marked, chosen = mark_best([silent, silent])
    assert chosen == ()
    assert not any(r["pareto"] for r in marked)
    assert mark_best([]) == ([], ())


@pytest.mark.parametrize(("first", "second"), list(product((None, 3.0), repeat=2)))
def test_time_counts_only_where_every_chip_has_one(first: float | None, second: float | None) -> None:
    used = keys([row(latency_us=first), row(latency_us=second)])
    assert used[2] == ("latency_steps" if None in (first, second) else "latency_us")


def test_energy_counts_only_where_the_same_terms_are_priced() -> None:
    full = row(energy={"total_uj": 2.0, "unpriced": []})
    bound = row(energy={"total_uj": 1.0, "unpriced": ["step_us"]})
    assert keys([full, full])[3] == "energy.total_uj"
    assert keys([bound, bound])[3] == "energy.total_uj"
    assert keys([full, bound])[3] == "synops_per_sample"
    assert keys([row(), row()])[3] == "synops_per_sample"


def test_latency_counts_in_time_only_where_the_same_terms_are_known() -> None:
    whole = row(latency_us=2.0, time={"unpriced": []})
    bound = row(latency_us=1.0, time={"unpriced": ["time_per_hop_ns"]})
    assert keys([whole, whole])[2] == "latency_us"
    assert keys([bound, bound])[2] == "latency_us"
    assert keys([whole, bound])[2] == "latency_steps"
