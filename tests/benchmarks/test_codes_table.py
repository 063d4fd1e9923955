from __future__ import annotations

from typing import Any

from tests.benchmarks.codes_table import EXACT, HEADER, LEVELS, cells, complaints, document, planned


def row(coding: str, chip: float = 0.9, **changes: Any) -> dict[str, Any]:
    made = {
        "network": "LeNet-like",
        "images": 10_000,
        "target": "generic-digital",
        "coding": coding,
        "size": "L=15",
        "ok": True,
        "refused": None,
        "exact": True,
        "input_encoding": "spikes",
        "accuracy": {"float": 0.91, "integer": chip, "chip": chip},
        "spikes_per_neuron": 0.5,
        "synops_per_sample": 1.5e6,
        "latency_steps": 1234,
        "latency_us": None,
        "cores": {"used": 32, "lower_bound": 28},
    }
    return {**made, **changes}


def test_every_exact_code_is_planned_at_every_level_and_with_few_bits() -> None:
    sizes = {(c.coding, c.options.levels, c.options.weight_bits) for c in planned()}
    assert {(name, level, None) for name in EXACT for level in LEVELS} <= sizes
    assert {(name, 15, 4) for name in EXACT} <= sizes
    assert len(planned()) == len({c.title for c in planned()})


def test_a_row_has_a_cell_for_every_column() -> None:
    found = dict(zip(HEADER, cells(row("phase")), strict=True))
    assert found["points lost"] == "1.00"
    assert found["latency"] == "–"
    assert found["equals the integer network"] == "yes"
    assert len(cells(row("phase", ok=False, refused={"short": "too large", "reason": ""}))) == len(HEADER)


def test_exact_codes_that_disagree_are_complained_of() -> None:
    assert list(complaints([row("phase"), row("graded"), row("rate", 0.1, exact=None)])) == []
    assert list(complaints([row("phase"), row("graded", 0.8, size="L=7")])) == []
    assert "answer differently" in next(complaints([row("phase"), row("graded", 0.8)]))
    assert "differs" in next(complaints([row("phase", exact=False)]))
    assert "too large" in next(complaints([row("phase", ok=False, refused={"reason": "too large"})]))


def test_the_page_is_a_table() -> None:
    lines = document([row("phase"), row("rate", exact=None)]).splitlines()
    assert [line.count("|") for line in lines[-4:]] == [len(HEADER) + 1] * 4
