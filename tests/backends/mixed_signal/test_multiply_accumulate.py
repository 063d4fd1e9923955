"""BrainScaleS-2 as a matrix multiplier, from ONNX to chips that are drawn and trimmed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nmcompiler import CompileOptions
from nmcompiler.compiler import compile_model, run_program
from nmcompiler.frontend.data import Samples
from nmcompiler.registry import backend

from ...cli.conftest import nmc  # noqa: F401

DIGITS = Path(__file__).parents[3] / "examples" / "digits" / "mlp"
MULTIPLYING = "brainscales2-mac"


def mismatched(facts):
    return [facts[f"mismatched_{what}"] for what in ("outputs", "activations", "membranes")]


@pytest.fixture(scope="module")
def multiplied():
    """The digits network in the multiply-accumulate mode, samples with labels, and unlabelled ones."""
    data = np.load(DIGITS / "test.npz")
    calibrating = {"pixels": np.load(DIGITS / "calibration.npz")["x"].astype(float)}
    target = backend("mixed-signal").targets()[MULTIPLYING]
    options = CompileOptions(levels=31)
    made = compile_model((DIGITS / "model.onnx").read_bytes(), target, "graded", calibrating, options)
    return made, Samples({"pixels": data["x"]}, data["y"]), calibrating


def test_digits_in_the_multiply_accumulate_mode_are_the_integer_network(multiplied):
    made, samples, _ = multiplied
    assert (made.facts["input_levels"], made.facts["levels"]) == (31, 31)
    assert (made.facts["chips"], made.facts["cores"]["used"]) == (2, 2)
    facts = run_program(made.program, samples).facts
    assert mismatched(facts) == [0, 0, 0]
    assert facts["latency_steps"] == 5  # one step a layer: all of a value at once
    assert facts["ideal_devices"]


def test_a_compensated_chip_of_synapses_loses_less(multiplied):
    """Means over 6 chips; over 100: 1.1 points without, none with compensation."""
    made, samples, calibrating = multiplied
    seeds = range(6)
    plain = [run_program(made.program, samples, chip_seed=seed).facts for seed in seeds]
    assert plain[3]["variation"] == {
        "chip_seed": 3,
        "sources": ["weight", "gain"],
        "adc_bits": 8,
        "read_after_s": None,
    }
    trimmed = [
        run_program(made.program, samples, chip_seed=seed, calibration=calibrating).facts for seed in seeds
    ]
    assert [s["method"] for s in trimmed[0]["compensation"]["steps"]] == [
        None,
        "adc-range",
        "tile-scale",
        "column",
        "output",
        "refit",
    ]
    without, with_ = (np.mean([f["accuracy"]["chip"] for f in found]) for found in (plain, trimmed))
    ideal = plain[0]["accuracy"]["integer"]
    assert ideal - without > 0.003
    assert ideal - with_ < 0.005


def test_the_command_line_runs_the_multiply_accumulate_mode(nmc, multiplied, tmp_path):  # noqa: F811
    for data in ("model.onnx", "calibration.npz", "test.npz"):
        (tmp_path / data).write_bytes((DIGITS / data).read_bytes())
    here = {name: str(tmp_path / name) for name in ("model.onnx", "calibration.npz", "test.npz", "net.nmc")}
    made = nmc(
        "compile", here["model.onnx"], "--target", MULTIPLYING, "--calibration", here["calibration.npz"],
        "-o", here["net.nmc"],
    )  # fmt: skip
    assert made.code == 0, made.err
    assert "input levels 31 (graded)" in made.out
    assert "ideal devices and converters" in nmc("run", here["net.nmc"], "--input", here["test.npz"]).out
    said = nmc("run", here["net.nmc"], "--input", here["test.npz"], "--chip-seed", "3", "--limit", "50").out
    assert "seed 3; variation: weight, gain; ADCs of 8 bits; not compensated" in said
    refused = nmc(
        "compile", here["model.onnx"], "--target", MULTIPLYING, "--calibration", here["calibration.npz"],
        "--levels", "63", "-o", here["net.nmc"],
    )  # fmt: skip
    assert refused.code != 0
    assert "an event carries 5 bits" in refused.err
    study = nmc(
        "yield", here["net.nmc"], "--input", here["test.npz"], "--chips", "2", "--limit", "40", "--json",
        "--calibration", here["calibration.npz"], "--sensitivity",
    )  # fmt: skip
    assert study.code == 0, study.err
    sources = json.loads(study.out)["sensitivity"]["sources"]
    assert [s["source"] for s in sources] == ["weight", "gain"]
