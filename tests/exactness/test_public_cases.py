"""Small files made from public bug reports against converters, where their folder lies beside the checkout.

Each must reach its tolerance at 255 levels and 8-bit weights with the chip equal to the integer network, or
be refused in one sentence that names the node.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import nmcompiler
from nmcompiler import CompileOptions, NmcError
from nmcompiler.frontend.data import read_samples

FOLDER = Path(__file__).parents[3] / "shared" / "cases"
CASES = json.loads((FOLDER / "cases.json").read_text())["cases"] if FOLDER.exists() else []
LEAST_EQUAL_ANSWERS = 0.9


def answer(case):
    """The compilation and the run of a case, or the error that refuses it."""
    data = FOLDER / case["data"]
    try:
        made = nmcompiler.compile(
            FOLDER / case["file"], "generic-digital", "phase", data, CompileOptions(levels=255)
        )
    except NmcError as error:
        return None, error
    return nmcompiler.run(made.program, read_samples(data, made.program.inputs, labels=False)), None


def is_close(case, outputs):
    with np.load(FOLDER / case["data"], allow_pickle=False) as data:
        wanted = [data[k] for k in sorted(data.files) if k == "y_float" or k.startswith("y_float__")]
    for y, found in zip(wanted, outputs.values(), strict=True):
        if case["metric"] == "argmax":
            equal = found.reshape(len(y), -1).argmax(1) == y.reshape(len(y), -1).argmax(1)
            if equal.mean() < LEAST_EQUAL_ANSWERS:
                return False
        elif np.sqrt(np.mean((found.reshape(y.shape) - y) ** 2)) > case["tolerance"] * max(y.std(), 1e-12):
            return False
    return True


@pytest.mark.skipif(not CASES, reason="the folder of public cases is not there")
@pytest.mark.parametrize("case", CASES, ids=lambda c: c["name"])
def test_a_public_case_is_answered_rightly_or_refused_by_name(case):
    outcome, error = answer(case)
    may = set(case["accept"]) | ({"refuse"} if case["due"] == "heterogeneous" else set())
    if error is not None:
        assert "refuse" in may, str(error)
        assert error.exit_code == 2
        assert "\n" not in str(error)
        assert case["must_name"] is None or case["must_name"] in str(error)
        return
    assert "compile" in may
    wrong = [outcome.facts[f"mismatched_{what}"] for what in ("outputs", "activations", "membranes")]
    assert wrong == [0, 0, 0]
    assert is_close(case, outcome.outputs)
