"""The text of a comparison: what changed in tables, the rest in a line."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from rich.console import Console

from nmcompiler.report.diff import compared
from nmcompiler.report.diff_text import broken_sentence, diff_text

Facts = dict[str, Any]
SAME = {"same": True, "same_ports": True, "reason": None, "differing": []}


def facts(a: Facts, b: Facts, *, program: bool = False, **network: Any) -> Facts:
    return {
        "files": {"a": "old.nmc", "b": "new.nmc"},
        **compared({**a, "time": a.get("time")}, {**b, "time": b.get("time")}),
        "program": {"same": program},
        "network": {**SAME, **network},
        "budget": [],
    }


def printed(made: Facts, *, every: bool = False) -> str:
    console = Console(width=80, no_color=True, markup=False, highlight=False)
    with console.capture() as captured:
        console.print(diff_text(made, every=every), crop=False)
    lines = captured.get().splitlines()
    assert all(len(line.rstrip()) <= 80 for line in lines)
    return "\n".join(line.rstrip() for line in lines)


def words(text: str) -> str:
    return " ".join(text.split())


def test_equal_programs_have_no_table(program_facts: Facts) -> None:
    text = printed(facts(program_facts, program_facts, program=True))
    assert "A  old.nmc: lenet on generic-digital, code phase" in text
    assert "and so is every number of the placed program" in words(text)
    assert "the same: model, target, code, levels" in text
    assert "the same: 2 of 2 layers" in text
    assert "change" not in text
    assert "settle" not in text  # what neither knows is not worth a word


def test_what_changed_stands_side_by_side(program_facts: Facts) -> None:
    other = deepcopy(program_facts)
    other["target"] = "loihi2"
    other["cores"]["used"] = 1
    other["placement"]["cost"] = 241.0
    other["output_levels"] = 4
    other["limits"][0]["used"] = 768
    other["layers"][0]["synapse_bits"] = 16384
    other["layers"][1]["name"] = "fc"
    other["warnings"] = ["a loss"]
    other["time"] = {"step_ns": 1500.0, "latency_us": None, "bottleneck": "link", "is_lower_bound": True}
    text = printed(facts(program_facts, other))
    rows = [words(line) for line in text.splitlines()]
    assert "target generic-digital loihi2" in rows
    assert "cores used 2 1 −1 −50.0 %" in rows
    assert "multicast cost 120 241 +120 +100.0 %" in rows
    assert "output levels – 4" in rows
    assert "time of a step (≥) – 1.50 µs" in rows
    assert "bottleneck – link" in rows
    assert "neurons 50.0 % 75.0 % +25.0 points +50.0 %" in rows
    assert "conv[1] synapse mem. 1.0 KiB 2.0 KiB +1.0 KiB +100.0 %" in rows
    assert "only in A: dense (10 neurons, 1 core)" in rows
    assert "only in B: fc (10 neurons, 1 core)" in rows
    assert "warning only of B: a loss" in rows
    assert "cores used" not in words(text).split("the same:", 1)[1].split("Fullest")[0]


def test_many_changes_of_layers_are_cut_to_the_largest(program_facts: Facts) -> None:
    layer = program_facts["layers"][0]
    a = {**program_facts, "layers": [{**layer, "name": f"l{k}"} for k in range(30)]}
    b = {**program_facts, "layers": [{**layer, "name": f"l{k}", "fan_in": 26 + k} for k in range(30)]}
    text = printed(facts(a, b))
    assert "14 smaller changes: --all" in text
    assert "l29 " in text
    assert "l13 " not in text
    assert "l0 " in printed(facts(a, b), every=True)


DIFFERING = {
    "population": 1,
    "name": {"a": "conv", "b": "conv"},
    "weights": 1200,
    "thresholds": 0,
    "biases": 3,
    "levels": True,
}


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ({}, "the same integer network: every weight, threshold and bias is equal; code, chip or placement"),
        ({"same_ports": False}, "equal, but inputs or outputs are scaled or ordered otherwise"),
        ({"same": None, "reason": "no golden network"}, "not known to be the same: no golden network"),
        ({"same": False, "reason": "3 populations against 4"}, "not the same integer network: 3 populations"),
        (
            {"same": False, "reason": "numbers differ", "differing": [DIFFERING]},
            "1,200 weights of synapses, 3 biases, levels or signs differ in 1 population, the first 'conv'",
        ),
    ],
)
def test_the_verdict_on_the_network(program_facts: Facts, network: Facts, said: str) -> None:
    assert said in words(printed(facts(program_facts, program_facts, **network)))


def test_budgets_are_said_kept_or_broken(program_facts: Facts) -> None:
    entry = {"side": "above", "key": "cores.used", "allowed": "5 %", "a": 32, "b": 1040, "ok": False}
    made = {**facts(program_facts, program_facts), "budget": [entry, {**entry, "b": 33, "ok": True}]}
    text = printed(made)
    assert "BROKEN: cores.used 32 → 1,040, 5 % more allowed" in text
    assert "kept: cores.used 32 → 33, 5 % more allowed" in text
    assert broken_sentence(entry) == "cores.used rose from 32 to 1,040, by more than the 5 % allowed"
    assert broken_sentence({**entry, "side": "below", "b": 1.5}).startswith("cores.used fell from 32 to 1.5,")
