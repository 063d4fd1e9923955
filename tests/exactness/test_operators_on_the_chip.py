"""Every operator that moves, resizes or bends values gives the same integers on the chip."""

from __future__ import annotations

import numpy as np
import pytest

from nmcompiler.compiler import CompileOptions, compile_model, run_program
from nmcompiler.evaluate.onnx_runtime import run_onnx
from nmcompiler.frontend.data import Samples
from nmcompiler.program.container import load, save
from nmcompiler.testing import tiny_target

from ..frontend.models import model, node, weights

SHAPE = (4, 6, 6)
BLOCKS = {"blocksize": 2}
OPERATORS = {
    "leaky": (node("LeakyRelu", ["a"], "b", alpha=0.2), {}),
    "prelu": (node("PRelu", ["a", "k"], "b"), {"k": weights(4, 1, 1)}),
    "abs": (node("Abs", ["a"], "b"), {}),
    "clip": (node("Clip", ["a", "k", "l"], "b"), {"k": -0.5, "l": 0.75}),
    "constant clip": (node("Clip", ["a", "k", "k"], "b"), {"k": 0.5}),
    "max": (node("Max", ["a", "x"], "b"), {}),
    "min": (node("Min", ["a", "k"], "b"), {"k": weights(4, 1, 1)}),
    "hard sigmoid": (node("HardSigmoid", ["a"], "b", alpha=0.5), {}),
    "up": (node("ConvTranspose", ["a", "k"], "b", strides=[2, 2]), {"k": weights(4, 3, 2, 2)}),
    "back": (node("ConvTranspose", ["a", "k"], "b", group=2), {"k": weights(4, 2, 3, 3)}),
    "linear": (
        node("Resize", ["a", "", "k"], "b", mode="linear"),
        {"k": np.array([1, 1, 1.5, 2], np.float32)},
    ),
    "nearest": (node("Resize", ["a", "", "k"], "b"), {"k": np.array([1, 1, 2, 2], np.float32)}),
    "slice": (
        node("Slice", ["a", "k", "l", "m", "n"], "b"),
        dict(zip("klmn", np.array([[5], [-9], [3], [-2]]), strict=True)),
    ),
    "gather": (node("Gather", ["a", "k"], "b", axis=1), {"k": np.array([2, 0, 2])}),
    "to depth": (node("SpaceToDepth", ["a"], "b", **BLOCKS), {}),
    "to space": (node("DepthToSpace", ["a"], "b", mode="CRD", **BLOCKS), {}),
    "grey border": (node("Pad", ["a", "k", "l"], "b"), {"k": np.array([0, 0, 1, 1, 0, 0, 0, 2]), "l": 0.8}),
    "tile": (node("Tile", ["a", "k"], "b"), {"k": np.array([1, 1, 1, 2])}),
}
CHANNELS = {"up": 3, "gather": 3, "to depth": 16, "to space": 1}


@pytest.mark.parametrize("name", list(OPERATORS))
def test_an_operator_between_convolutions_is_exact_on_the_chip(name: str, tmp_path) -> None:
    operator, constants = OPERATORS[name]
    nodes = [
        node("Conv", ["x", "v", "c"], "a", pads=[1] * 4),
        operator,
        node("Conv", ["b", "w"], "d"),
        node("Relu", ["d"], "e"),
        node("GlobalAveragePool", ["e"], "f"),
        node("Flatten", ["f"], "g"),
        node("Gemm", ["g", "u"], "h"),
        node("Sigmoid", ["h"], "y"),
    ]
    constants = {
        **constants,
        "v": weights(4, 4, 3, 3) / 2,
        "c": weights(4, seed=1) / 2,
        "w": weights(5, CHANNELS.get(name, 4), 2, 2, seed=2),
        "u": weights(5, 3, seed=3),
    }
    data = model(nodes, SHAPE, constants)
    x = np.random.default_rng(0).uniform(0, 1, (40, *SHAPE)).astype(np.float32)
    made = compile_model(data, tiny_target(neurons=64), "phase", {"x": x}, CompileOptions(levels=255))
    save(made.program, tmp_path / "net.nmc")
    result = run_program(load(tmp_path / "net.nmc"), Samples({"x": x[:8]}, None))
    assert [result.facts[f"mismatched_{k}"] for k in ("outputs", "activations", "membranes")] == [0, 0, 0]
    wanted = run_onnx(data, {"x": x[:8]})["y"]
    assert np.sqrt(np.mean(np.square(result.outputs["y"] - wanted))) < 0.05 * wanted.std()
