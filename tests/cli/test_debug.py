"""``nmc debug`` and the loss ladder of ``nmc run`` and ``nmc inspect``, end to end."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from nmcompiler.program.container import load, save
from nmcompiler.report.schema import load_schema
from nmcompiler.testing.program_faults import program_fault

CHIP = "generic-digital"


@pytest.fixture
def program(nmc: Any, model: Path, calibration: Path) -> Path:
    answer = nmc("compile", model, "--target", CHIP, "--calibration", calibration, "-o", "net.nmc")
    assert answer.code == 0
    return Path("net.nmc")


def test_a_model_is_debugged_and_options_are_tried(
    nmc: Any, model: Path, calibration: Path, labelled: Path
) -> None:
    options = ("--target", CHIP, "--calibration", calibration, "--input", labelled, "--levels", 3)
    answer = nmc("debug", model, *options, "--json")
    assert answer.code == 0
    facts = json.loads(answer.out)
    jsonschema.validate(facts, load_schema("debug"))
    assert (facts["verdict"]["layer"], facts["verdict"]["cause"]) == ("conv", "levels")
    tried = {row["try"]: row for row in facts["advice"]}
    assert tried["--levels 7"]["helps"]
    assert tried["--levels 15"]["after"]["sqnr_db"] > tried["--levels 7"]["after"]["sqnr_db"]
    text = nmc("debug", model, *options)
    assert text.code == 0
    assert "3 levels are too few for its values" in text.out
    assert "--levels 7" in text.out


def test_steps_of_the_rate_code_are_tried(nmc: Any, model: Path, labelled: Path) -> None:
    many = np.random.default_rng(2).uniform(0, 1, (256, 1, 8, 8)).astype(np.float32)
    np.save("many.npy", many)
    options = ("--target", CHIP, "--calibration", "many.npy", "--input", labelled, "--coding", "rate")
    facts = json.loads(nmc("debug", model, *options, "--timesteps", 2, "--json").out)
    assert facts["verdict"]["cause"] in ("timesteps", "code")
    tried = {row["try"]: row for row in facts["advice"]}
    assert tried["--timesteps 8"]["helps"]
    assert tried["--timesteps 8"]["after"]["sqnr_db"] > 20  # outputs in the unit of the float network
    assert "--coding phase" in tried


def test_a_damaged_program_is_told_from_a_sound_one(
    nmc: Any, program: Path, calibration: Path, labelled: Path
) -> None:
    sound = nmc("debug", program, "--input", labelled, "--json")
    assert sound.code == 0
    assert json.loads(sound.out)["advice"] == []
    made = program_fault("fires early", load(program), "conv")
    assert made is not None
    save(made[0], "bad.nmc")
    answer = nmc("debug", "bad.nmc", "--input", labelled, "--calibration", calibration, "--json")
    assert answer.code == 1
    facts = json.loads(answer.out)
    jsonschema.validate(facts, load_schema("debug"))
    verdict = facts["verdict"]
    assert (verdict["kind"], verdict["layer"], verdict["cause"]) == ("program", "conv", "timing")
    assert [row["try"] for row in facts["advice"]] == ["the same options, compiled anew"]
    assert facts["advice"][0]["helps"]


def test_options_of_a_model_are_refused_for_a_program(nmc: Any, program: Path, labelled: Path) -> None:
    answer = nmc("debug", program, "--input", labelled, "--levels", 7)
    assert answer.code == 2
    assert "--levels does not apply to a program" in answer.err


def test_a_model_needs_a_target_and_calibration(nmc: Any, model: Path, labelled: Path) -> None:
    answer = nmc("debug", model, "--input", labelled)
    assert answer.code == 2
    assert "a model needs --target" in answer.err


def test_a_program_without_its_network_cannot_be_debugged(nmc: Any, program: Path, labelled: Path) -> None:
    save(replace(load(program), golden=None, source=None), "bare.nmc")
    answer = nmc("debug", "bare.nmc", "--input", labelled)
    assert answer.code == 2
    assert "compile it without --no-source" in answer.err
    run = json.loads(nmc("run", "bare.nmc", "--input", labelled, "--ladder", "--json").out)
    assert run["ladder"]["layers"] == []
    assert "carries no ONNX file" in run["ladder"]["skipped"]


def test_run_shows_stages_always_and_layers_on_request(nmc: Any, program: Path, labelled: Path) -> None:
    plain = json.loads(nmc("run", program, "--input", labelled, "--json").out)
    jsonschema.validate(plain, load_schema("run"))
    assert [s["stage"] for s in plain["ladder"]["stages"]] == ["float", "integer", "chip"]
    assert plain["ladder"]["layers"] == []
    facts = json.loads(nmc("run", program, "--input", labelled, "--ladder", "--json").out)
    jsonschema.validate(facts, load_schema("run"))
    rows = {row["name"]: row for row in facts["ladder"]["layers"]}
    assert set(rows) == {"x", "conv", "dense"}
    assert 15 < rows["conv"]["sqnr_db"] < 60
    assert facts["ladder"]["samples"] == 20
    assert "the worst first" in nmc("run", program, "--input", labelled, "--ladder").out


def test_inspect_shows_the_ladder_of_the_calibration(nmc: Any, program: Path) -> None:
    facts = json.loads(nmc("inspect", program, "--json").out)
    jsonschema.validate(facts, load_schema("inspect"))
    assert [row["name"] for row in facts["ladder"]["layers"]] == ["conv", "dense"]
    assert "the worst first" in nmc("inspect", program, "--ladder").out
    assert "the worst first" not in nmc("inspect", program).out
