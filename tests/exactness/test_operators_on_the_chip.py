"""Every operator that moves, resizes or bends values gives the same integers on the chip."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto

from nmcompiler.compiler import compile_model, run_program
from nmcompiler.evaluate.onnx_runtime import run_onnx
from nmcompiler.frontend.data import Samples
from nmcompiler.plan import CompileOptions
from nmcompiler.program.container import load, save
from nmcompiler.program.layout import Program
from nmcompiler.testing import tiny_target

from ..frontend.models import model, node, weights

SHAPE = (4, 6, 6)
BLOCKS = {"blocksize": 2}
CROP = {"coordinate_transformation_mode": "tf_crop_and_resize", "axes": [2, 3]}
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
    "border of copies": (
        node("Pad", ["a", "k"], "b", mode="reflect"),
        {"k": np.array([0, 0, 1, 1, 0, 0, 2, 1])},
    ),
    "cubic": (
        node("Resize", ["a", "", "", "k"], "b", mode="cubic", antialias=1, axes=[2, 3]),
        {"k": np.array([5, 4])},
    ),
    "crop": (
        node("Resize", ["a", "r", "", "k"], "b", mode="linear", extrapolation_value=0.6, **CROP),
        {"k": np.array([4, 5]), "r": np.array([0.1, -0.3, 0.7, 1.1], np.float32)},
    ),
    "matrices": (node("MatMul", ["a", "k"], "b"), {"k": weights(4, 6, 5)}),
    "running sum": (node("CumSum", ["a", "k"], "b", exclusive=1), {"k": np.array(2)}),
    "triangle": (node("Trilu", ["a", "k"], "b"), {"k": np.array(1)}),
    "sum": (node("ReduceSum", ["a", "k"], "b"), {"k": np.array([1])}),
    "sum of absolutes": (node("ReduceL1", ["a", "k"], "b"), {"k": np.array([1])}),
    "largest": (node("ReduceMax", ["a", "k"], "b"), {"k": np.array([1])}),
    "smallest": (node("ReduceMin", ["a", "k"], "b"), {"k": np.array([1])}),
    "tile": (node("Tile", ["a", "k"], "b"), {"k": np.array([1, 1, 1, 2])}),
}
REDUCED = dict.fromkeys(["sum", "sum of absolutes", "largest", "smallest"], 1)
CHANNELS = {**REDUCED, "up": 3, "gather": 3, "to depth": 16, "to space": 1}


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
    data = model(nodes, SHAPE, constants, opset=18)
    x = np.random.default_rng(0).uniform(0, 1, (40, *SHAPE)).astype(np.float32)
    made = compile_model(data, tiny_target(neurons=64), "phase", {"x": x}, CompileOptions(levels=255))
    save(made.program, tmp_path / "net.nmc")
    exact_and_close(load(tmp_path / "net.nmc"), data, x[:8])


def exact_and_close(program: Program, data: bytes, x: np.ndarray) -> None:
    """Asserts that the chip gives the golden integers, and about what onnxruntime gives."""
    result = run_program(program, Samples({"x": x}, None))
    assert [result.facts[f"mismatched_{k}"] for k in ("outputs", "activations", "membranes")] == [0, 0, 0]
    wanted = run_onnx(data, {"x": x})
    assert list(result.outputs) == list(wanted)
    for name, value in wanted.items():
        assert result.outputs[name].shape == value.shape
        assert np.sqrt(np.mean(np.square(result.outputs[name] - value))) <= 0.05 * value.std()


TURN = node("Transpose", ["x"], "t")
WHOLE = {
    "transpose": ([TURN, node("MatMul", ["t", "w"], "y")], (3, 4), {"w": weights(3, 5)}),
    "images": (
        [node("Conv", ["x", "w"], "a"), node("Relu", ["a"], "r"), node("ReduceSum", ["r", "k"], "y")],
        (2, 3, 5, 4),
        {"w": weights(4, 3, 3, 3), "k": np.array([0])},
    ),
    "constant answer": (
        [TURN, node("Relu", ["t"], "y"), node("Constant", [], "z", value_floats=[0.5, -2.0])],
        (3, 4),
        {},
    ),
    "matrices": ([node("MatMul", ["x", "w"], "y")], (2, 3, 4), {"w": weights(2, 4, 5)}),
    "elements": (
        [node("GatherElements", ["x", "k"], "g"), node("MatMul", ["g", "w"], "y")],
        (4, 3),
        {"k": np.array([[2, 0], [-1, -1]]), "w": weights(2, 3)},
    ),
}


@pytest.mark.parametrize("name", list(WHOLE))
def test_a_model_without_a_batch_is_exact_on_the_chip(name: str) -> None:
    nodes, shape, constants = WHOLE[name]
    outputs = ("y", "z") if name == "constant answer" else ("y",)
    data = model(nodes, shape, constants, batch=None, outputs=outputs, opset=13)
    x = np.random.default_rng(0).uniform(0, 1, (40, *shape)).astype(np.float32)
    made = compile_model(data, tiny_target(neurons=64), "phase", {"x": x}, CompileOptions(levels=255))
    assert "read without a batch" in made.facts["warnings"][0]
    exact_and_close(made.program, data, x[:8])


VOLUMES = {
    "convolution": [node("Conv", ["x", "w"], "y", strides=[1, 2, 1], pads=[1, 0, 1, 0, 0, 1])],
    "turned": [node("ConvTranspose", ["x", "w"], "y", strides=[2, 1, 1])],
    "mean": [node("AveragePool", ["x"], "y", kernel_shape=[2, 2, 3], pads=[1, 0, 1, 0, 0, 1])],
    "largest": [node("MaxPool", ["x"], "y", kernel_shape=[2, 2, 3], strides=[2, 1, 1])],
}


@pytest.mark.parametrize("name", list(VOLUMES))
def test_three_spatial_axes_are_exact_on_the_chip(name: str) -> None:
    shape = (2, 3, 4, 5)
    data = model(VOLUMES[name], shape, {"w": weights(2, 2, 2, 2, 3)})
    x = np.random.default_rng(0).uniform(0, 1, (40, *shape)).astype(np.float32)
    made = compile_model(data, tiny_target(neurons=64), "phase", {"x": x}, CompileOptions(levels=255))
    exact_and_close(made.program, data, x[:8])


def test_whole_numbers_go_through_the_chip_and_a_cast_ends_on_the_host(tmp_path) -> None:
    kind = TensorProto.INT32
    nodes = [
        node("Mul", ["x", "k"], "a"),
        node("Max", ["a", "l"], "b"),
        node("Cast", ["b"], "c", to=TensorProto.FLOAT),
        node("Gemm", ["c", "w"], "g"),
        node("Cast", ["g"], "y", to=kind),
    ]
    constants = {"k": np.int32([3, -2, 1]), "l": np.int32(-4), "w": weights(3, 4) * 50}
    data = model(nodes, (3,), constants, dtype=kind, answers=[kind])
    x = np.random.default_rng(0).integers(0, 9, (40, 3))
    made = compile_model(data, tiny_target(neurons=64), "phase", {"x": x}, CompileOptions(levels=255))
    assert "integers are computed without limits" in made.facts["warnings"][0]
    save(made.program, tmp_path / "net.nmc")
    result = run_program(load(tmp_path / "net.nmc"), Samples({"x": x}, None))
    assert np.array_equal(result.outputs["y"], np.trunc(result.outputs["y"]))
    exact_and_close(load(tmp_path / "net.nmc"), data, x)
