"""``--input-shape`` pins what an ONNX file leaves free."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

CHIP = "generic-digital"


@pytest.fixture
def free(model: Path, tmp_path: Path) -> Path:
    """The small network with the sizes of its input left free."""
    proto = onnx.load(model)
    height, width = proto.graph.input[0].type.tensor_type.shape.dim[2:]
    height.dim_param, width.dim_param = "height", "width"
    path = tmp_path / "free.onnx"
    onnx.save(proto, path)
    return path


def test_a_free_size_is_refused_with_the_option_that_helps(nmc: Any, free: Path) -> None:
    answer = nmc("check", free, "--target", CHIP)
    assert (answer.code, answer.out) == (2, "")
    name = onnx.load(free).graph.input[0].name
    assert f"--input-shape {name}=1x1xHEIGHTxWIDTH" in answer.err


def test_a_pinned_network_is_checked_compiled_and_run(nmc: Any, free: Path, calibration: Path) -> None:
    name = onnx.load(free).graph.input[0].name
    pinned = ("--input-shape", f"{name}=1x1x8x8")
    answer = nmc("check", free, "--target", CHIP, "--json", *pinned)
    assert json.loads(answer.out)["ok"], answer.err
    answer = nmc("compile", free, "--target", CHIP, "--calibration", calibration, *pinned, "-o", "free.nmc")
    assert answer.code == 0, answer.err
    np.save("x.npy", np.load(calibration)["x"])
    answer = nmc("run", "free.nmc", "--input", "x.npy", "--json")
    assert json.loads(answer.out)["mismatched_outputs"] == 0


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("image=1x1x8", "no input of the model"),
        ("=1x1x8x8", "not like x=1x3x48x192"),
        ("x", "not like x=1x3x48x192"),
        ("x=1x1x-8x8", "not like x=1x3x48x192"),
    ],
)
def test_a_wrong_shape_is_one_sentence(nmc: Any, free: Path, value: str, found: str) -> None:
    answer = nmc("check", free, "--target", CHIP, "--input-shape", value)
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert found in answer.err
