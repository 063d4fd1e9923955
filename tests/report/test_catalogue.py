from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import jsonschema
from rich.console import Console, RenderableType

from nmcompiler.report.catalogue import backends_text, check_text, target_text, targets_facts, targets_text
from nmcompiler.report.schema import load_schema
from nmcompiler.target import Figure, Target, target_from_document
from nmcompiler.testing.targets import tiny_target


def words(part: RenderableType) -> str:
    console = Console(file=io.StringIO(), width=100, markup=False, highlight=False)
    console.print(part)
    assert isinstance(console.file, io.StringIO)
    return " ".join(console.file.getvalue().split())


def priced() -> Target:
    synop = Figure(23.6, "Table 2", "simulated", "marginal")
    step = Figure(1.5, "Section 3", "measured", "average")
    return replace(tiny_target(), figures={"energy_per_synop_pj": synop}, step_us=step, notes=("a note",))


def test_facts_of_targets_match_their_schema_and_hold_the_whole_description() -> None:
    facts = targets_facts({"tiny": ("digital", priced())})
    jsonschema.validate(facts, load_schema("targets"))
    assert target_from_document(facts["targets"][0]["description"], "here") == priced()


def test_a_figure_comes_with_its_unit_source_evidence_and_kind() -> None:
    facts = targets_facts({"tiny": ("digital", priced())})
    said = words(target_text(facts["targets"][0]))
    assert "energy per synop 23.6 pJ simulated marginal Table 2" in said
    assert "step 1.5 µs measured average Section 3" in said
    assert "• a note" in said


def test_a_chip_whose_neurons_take_several_compartments_says_so() -> None:
    chip = tiny_target(neurons=25, compartments_per_neuron=2)
    facts = targets_facts({"tiny": ("digital", chip)})
    said = words(target_text(facts["targets"][0]))
    assert "a neuron takes 2 compartments of a core" in said
    assert "compartments 25" in said
    assert facts["targets"][0]["neurons"] == 256 * 12
    assert "compartments" not in words(
        target_text(targets_facts({"tiny": ("digital", tiny_target())})["targets"][0])
    )


def test_a_chip_without_figures_says_so() -> None:
    said = words(target_text(targets_facts({"tiny": ("digital", tiny_target())})["targets"][0]))
    assert "Published figures none" in said
    assert "neurons 24" in said


def test_the_list_of_targets_names_cores_and_codes() -> None:
    said = words(targets_text(targets_facts({"tiny": ("digital", tiny_target())})))
    assert "tiny A tiny chip for tests 256 6,144 ≤ 1 phase, rate-sync, ttfs, graded, rate" in said


def test_a_faulty_backend_is_shown_with_the_reason() -> None:
    facts = {
        "schema": "nmcompiler.backends/1",
        "backends": [
            {
                "name": "acme",
                "ok": False,
                "entry_point": "acme:Backend",
                "package": "acme-nm",
                "version": "2.0",
                "targets": [],
                "fault": "backend 'acme' cannot be imported",
            }
        ],
    }
    jsonschema.validate(facts, load_schema("backends"))
    said = words(backends_text(facts))
    assert "acme (acme-nm 2.0)" in said
    assert "cannot be used backend 'acme' cannot be imported" in said


def test_check_names_every_node_and_every_chip() -> None:
    facts: dict[str, Any] = {
        "schema": "nmcompiler.check/1",
        "model": "net",
        "ok": False,
        "nodes": [
            {"name": "a", "op": "LSTM", "reason": "has no handler", "hint": "unroll it"},
            {"name": "b", "op": "Sin", "reason": "has no handler", "hint": ""},
        ],
        "targets": [
            {
                "name": "tiny",
                "title": "Tiny",
                "ok": False,
                "obstacles": ["too big"],
                "cores": None,
                "coding": None,
            }
        ],
    }
    jsonschema.validate(facts, load_schema("check"))
    said = words(check_text(facts))
    assert "2 nodes cannot be compiled" in said
    assert "LSTM a has no handler (unroll it)" in said
    assert "Sin b has no handler" in said
    assert "tiny no – – too big" in said
    assert "Against tiny • too big" in said
