from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from nmcompiler.report.comparison import comparison_text, row_line

Facts = dict[str, Any]


def row(target: str, coding: str, **changes: Any) -> Facts:
    made = {
        "target": target,
        "coding": coding,
        "levels": 255,
        "timesteps": None,
        "weight_bits": 8,
        "size": "L=255 B=4",
        "ok": True,
        "refused": None,
        "exact": True,
        "pareto": False,
        "accuracy": {"float": 0.9, "integer": 0.8975, "chip": 0.8975},
        "agreement": {"integer_float": 0.99, "chip_integer": 1.0, "chip_float": 0.875},
        "cores": {"used": 2047, "lower_bound": 1999, "available": 2048},
        "latency_steps": 2300,
        "latency_us": 12_345.6,
        "spikes_per_neuron": 12.345,
        "synops_per_sample": 123_456_789.0,
        "energy": {"total_uj": 987.654, "is_lower_bound": True, "unpriced": ["step_us"]},
        "mismatched_outputs": 0,
        "mismatched_activations": 0,
        "mismatched_membranes": 0,
    }
    return {**made, **changes}


def refused(reason: str) -> Facts:
    short = {"kind": "DoesNotFit", "reason": f"{reason}; try fewer", "short": reason}
    return row("loihi1", "phase", ok=False, refused=short, accuracy=None, energy=None, exact=None)


@pytest.fixture
def facts() -> Facts:
    return {
        "schema": "nmcompiler.compare/1",
        "model": "lenet",
        "samples": 1000,
        "float_accuracy": 0.9,
        "complete": True,
        "planned": 3,
        "rows": [
            row("generic-digital", "rate-sync", pareto=True),
            row("generic-digital", "rate", exact=None, size="T=16", latency_us=None),
            refused("layer 'x' needs 4,000 neurons where loihi1 has 1,024, " * 3),
        ],
        "pareto": [
            {"key": "accuracy.chip", "name": "accuracy", "better": "higher"},
            {"key": "cores.used", "name": "cores", "better": "lower"},
            {"key": "synops_per_sample", "name": "synops", "better": "lower"},
        ],
        "warnings": [],
    }


def text(facts: Facts, width: int = 80) -> str:
    console = Console(width=width, no_color=True)
    with console.capture() as captured:
        console.print(comparison_text(facts), crop=False)
    return captured.get()


def line(facts: Facts, start: str) -> str:
    return next(each for each in text(facts).splitlines() if each.startswith(start))


def test_the_widest_rows_fit_80_columns(facts: Facts) -> None:
    assert all(len(each.rstrip()) <= 80 for each in text(facts).splitlines())
    assert line(facts, "* rate-sync").split()[1:] == [
        *("rate-sync", "L=255", "B=4", "89.75", "2047/1999", "2,300"),
        *("12.3", "ms", "12.35", "123M", "≥988", "µJ", "exact"),
    ]


def test_a_row_that_cannot_run_has_its_reason_in_place_of_numbers(facts: Facts) -> None:
    assert "layer 'x' needs 4,000 neurons" in line(facts, "  phase")
    assert "…" in line(facts, "  phase")  # cut in the table, whole in the JSON
    assert "try fewer" not in text(facts, 500)


def test_the_legend_names_the_criteria(facts: Facts) -> None:
    said = " ".join(text(facts).split())
    assert "no other row is as good in all of accuracy (higher), cores and synops (lower)" in said
    facts["pareto"] = []
    assert "no row is marked" in text(facts)


def test_columns_about_which_nothing_is_known_are_left_out(facts: Facts) -> None:
    for each in facts["rows"][:2]:
        each["latency_us"] = None
        each["energy"] = {"total_uj": None, "is_lower_bound": True, "unpriced": []}
    assert "time" not in text(facts).splitlines()[2]
    assert "energy" not in text(facts).splitlines()[2]
    assert "≥" not in text(facts)


def test_a_row_that_is_not_its_network_is_named_with_its_counts(facts: Facts) -> None:
    facts["rows"][0].update(exact=False, mismatched_outputs=1234, mismatched_membranes=5)
    said = " ".join(text(facts).split())
    assert "WRONG: generic-digital rate-sync L=255 B=4 differs from its network in 1,234 outputs" in said
    assert line(facts, "* rate-sync").rstrip().endswith("WRONG")


def test_agreement_stands_where_there_are_no_labels(facts: Facts) -> None:
    for each in facts["rows"][:2]:
        each["accuracy"] = {"float": None, "integer": None, "chip": None}
    assert "same %" in text(facts)
    assert "87.50" in line(facts, "* rate-sync")


def test_an_interrupted_comparison_says_how_far_it_came(facts: Facts) -> None:
    facts.update(complete=False, planned=12)
    assert "interrupted: 3 of 12 rows" in text(facts)


def test_nothing_to_show_is_no_error(facts: Facts) -> None:
    facts.update(rows=[], complete=False)
    assert "interrupted: 0 of 3 rows" in text(facts)


@pytest.mark.parametrize(
    ("synops", "shown"),
    [(0.0, "0"), (999.4, "999"), (1_234.0, "1.23k"), (999_999.0, "1000k"), (2e9, "2.00G")],
)
def test_large_numbers_have_three_digits(facts: Facts, synops: float, shown: str) -> None:
    facts["rows"][0]["synops_per_sample"] = synops
    assert f" {shown} " in line(facts, "* rate-sync")


def test_a_log_has_one_line_for_a_row(facts: Facts) -> None:
    assert row_line(facts["rows"][0]).startswith("generic-digital rate-sync L=255 B=4: 89.75 %")
    assert row_line(facts["rows"][2]).startswith("loihi1 phase L=255 B=4: layer 'x' needs")
