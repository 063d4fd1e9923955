"""From ONNX to crossbars, by the command line and the compiler."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nmcompiler import CompileOptions
from nmcompiler.compiler import compile_model, run_program
from nmcompiler.errors import DoesNotFit, TargetFileError, UsageError
from nmcompiler.frontend.data import Samples
from nmcompiler.registry import backend, targets

from ...cli.conftest import calibration, inputs, labelled, model, nmc  # noqa: F401
from .chips import DAY, chip

WHOLE = CompileOptions(fan_in="refuse")
DIGITS = Path(__file__).parents[3] / "examples" / "digits" / "mlp"
CROSSBARS = tuple(
    name
    for name, t in backend("mixed-signal").targets().items()
    if t.conductance_tiles is not None and "phase" in t.codings
)


def mismatched(facts):
    return [facts[f"mismatched_{what}"] for what in ("outputs", "activations", "membranes")]


@pytest.fixture(scope="module")
def digits():
    """The digits network on a hundred tiles of 16 × 16, and samples with labels."""
    data = np.load(DIGITS / "test.npz")
    calibrating = {"pixels": np.load(DIGITS / "calibration.npz")["x"]}
    target = chip(rows=16, columns=16, tiles_per_core=8)
    made = compile_model((DIGITS / "model.onnx").read_bytes(), target, "phase", calibrating)
    return made, Samples({"pixels": data["x"]}, data["y"])


def test_the_crossbars_are_listed_with_their_backend():
    found = targets()
    assert {name for name, (owner, _) in found.items() if owner == "mixed-signal"} > set(CROSSBARS)
    assert len(CROSSBARS) == 2
    assert all(
        target.codings == ("phase",) and not target.product
        for _, target in (found[name] for name in CROSSBARS)
    )


def test_digits_on_many_tiles_are_the_integer_network(digits):
    made, samples = digits
    cores = made.facts["cores"]["used"]
    assert cores >= 21
    facts = run_program(made.program, samples, threads=2).facts
    assert mismatched(facts) == [0, 0, 0]
    assert facts["compared"]["membranes"] == 599 * 330
    assert facts["saturations"] == 0
    assert facts["variation"] is None
    assert facts["ideal_devices"]
    assert facts["accuracy"]["chip"] == facts["accuracy"]["integer"]


def test_a_drawn_chip_deviates_and_says_what_it_is(digits):
    made, samples = digits
    first, again, other = (run_program(made.program, samples, chip_seed=seed).facts for seed in (3, 3, 4))
    assert first["variation"] == {
        "chip_seed": 3,
        "sources": ["programming", "drift", "read"],
        "adc_bits": 8,
        "read_after_s": DAY,
    }
    assert all(count > 0 for count in mismatched(first))
    assert mismatched(first) == mismatched(again)
    assert first["accuracy"] == again["accuracy"]
    assert mismatched(first) != mismatched(other)
    # Far above chance, and not claimed to be better than the network by more than luck.
    assert 0.8 < first["accuracy"]["chip"] < first["accuracy"]["integer"] + 0.02


@pytest.mark.parametrize("name", CROSSBARS)
def test_the_command_line_compiles_and_runs_a_convolution(nmc, model, calibration, labelled, name):  # noqa: F811
    made = nmc("compile", model, "--target", name, "--calibration", calibration, "-o", "net.nmc", "--json")
    assert made.code == 0, made.err
    ideal = nmc("run", "net.nmc", "--input", labelled, "--json")
    assert ideal.code == 0
    assert mismatched(json.loads(ideal.out)) == [0, 0, 0]
    drawn = nmc("run", "net.nmc", "--input", labelled, "--chip-seed", "3", "--json", "--ladder")
    assert drawn.code == 0, drawn.err
    facts = json.loads(drawn.out)
    assert facts["variation"]["chip_seed"] == 3
    assert mismatched(facts) != [0, 0, 0]
    assert all(layer["rms_chip"] is not None for layer in facts["ladder"]["layers"] if "rms_chip" in layer)


def test_the_text_of_a_run_says_whether_a_chip_was_drawn(nmc, model, calibration, labelled):  # noqa: F811
    nmc("compile", model, "--target", CROSSBARS[0], "--calibration", calibration, "-o", "net.nmc")
    assert "ideal devices and converters" in nmc("run", "net.nmc", "--input", labelled).out
    said = nmc("run", "net.nmc", "--input", labelled, "--chip-seed", "3").out
    assert "seed 3, 86400 s after programming" in said
    assert "deviates in" in said
    assert "mismatches" not in said
    assert "not compensated" in said.replace("\n", " ").replace("  ", " ")


def test_a_layer_with_more_inputs_than_a_core_has_rows_is_refused_with_numbers(digits):
    calibrating = {"pixels": digits[1].x["pixels"][:40]}
    small = chip(rows=16, columns=16, tiles_per_core=2)
    with pytest.raises(DoesNotFit) as refused:
        compile_model((DIGITS / "model.onnx").read_bytes(), small, "phase", calibrating, WHOLE)
    assert refused.value.limit == 32


def test_what_this_backend_cannot_run_is_refused_before_anything_is_mapped(digits):
    model_bytes, calibrating = (DIGITS / "model.onnx").read_bytes(), {"pixels": digits[1].x["pixels"][:8]}
    hour = chip(CROSSBARS[1], read_after_s=3600.0)
    with pytest.raises(UsageError, match="never published"):
        compile_model(model_bytes, hour, "phase", calibrating, CompileOptions())
    bare = replace(chip(), conductance_tiles=None)
    with pytest.raises(TargetFileError, match="neither table 'conductance_tiles' nor"):
        compile_model(model_bytes, bare, "phase", calibrating)
    wide = replace(chip(), codings=("phase", "ttfs"))
    with pytest.raises(TargetFileError, match="read digits"):
        compile_model(model_bytes, wide, "phase", calibrating)


def test_a_run_says_what_each_method_of_compensation_brought(digits, tmp_path):
    made, samples = digits
    calibrating = {"pixels": np.load(DIGITS / "calibration.npz")["x"].astype(float)}
    plain = run_program(made.program, samples, chip_seed=2).facts
    assert plain["compensation"] is None
    facts = run_program(made.program, samples, chip_seed=2, calibration=calibrating).facts
    said = facts["compensation"]
    assert said["calibration_samples"] == 128
    assert [s["method"] for s in said["steps"]] == [None, *said["methods"]]
    assert said["steps"][-1]["deviation"] < 0.3 * said["steps"][0]["deviation"]
    assert facts["variation"] == plain["variation"]
    none = run_program(made.program, samples, chip_seed=2, calibration=calibrating, compensate="none").facts
    assert [none[f"mismatched_{w}"] for w in none["compared"]] == mismatched(plain)


def test_the_command_line_compensates_and_refuses(nmc, model, calibration, labelled):  # noqa: F811
    nmc("compile", model, "--target", CROSSBARS[0], "--calibration", calibration, "-o", "net.nmc")
    run = ("run", "net.nmc", "--input", labelled)
    said = nmc(
        *run, "--chip-seed", "3", "--calibration", calibration, "--compensate", "tile-scale,column"
    ).out
    assert "+ tile-scale" in said
    assert "+ column" in said
    assert "not compensated" not in said
    for refused, found in (
        (("--calibration", calibration), "add --chip-seed"),
        (("--chip-seed", "3", "--compensate", "all"), "add --calibration"),
        (
            ("--chip-seed", "3", "--calibration", calibration, "--compensate", "colum"),
            "did you mean 'column'",
        ),
    ):
        answer = nmc(*run, *refused)
        assert answer.code == 2
        assert found in answer.err
