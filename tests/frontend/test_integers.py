"""Inputs of whole numbers, truth values and narrow floats: computed as real numbers, or refused."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto

from nmcompiler.errors import UnsupportedModel
from nmcompiler.frontend import read_model_bytes

from .models import agreed, model, node, samples, weights, whole_numbers

INT32, FLOAT, HALF, BOOL = TensorProto.INT32, TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BOOL
ARITHMETIC = {
    "add": [node("Add", ["x", "k"], "y")],
    "subtract": [node("Sub", ["k", "x"], "y")],
    "multiply": [node("Mul", ["x", "k"], "y")],
    "matrix": [node("MatMul", ["x", "w"], "y")],
    "larger": [node("Max", ["x", "k"], "y")],
    "clip": [node("Clip", ["x", "l", "h"], "y")],
    "relu": [node("Sub", ["x", "k"], "a"), node("Relu", ["a"], "y")],
    "sum": [node("ReduceSum", ["x", "a1"], "y")],
    "pad": [node("Pad", ["x", "p", "h"], "a"), node("Neg", ["a"], "y")],
    "gather": [node("Gather", ["x", "i"], "a", axis=1), node("Abs", ["a"], "y")],
    "concat": [node("Concat", ["x", "x"], "a", axis=1), node("Neg", ["a"], "y")],
}
CONSTANTS = {
    "k": np.int32([2, -3, 1]), "w": np.int32([[1, -2], [3, 0], [-1, 4]]), "l": np.int32(1), "h": np.int32(4),
    "a1": np.array([1]), "p": np.array([0, 1, 0, 0]), "i": np.array([2, 0]),
}  # fmt: skip


@pytest.mark.parametrize("name", list(ARITHMETIC))
def test_whole_numbers_are_computed_as_real_numbers(name: str) -> None:
    data = model(ARITHMETIC[name], (3,), CONSTANTS, dtype=INT32, answers=[INT32])
    agreed(data, draw=whole_numbers)


def test_a_warning_names_the_arithmetic_that_onnx_lets_wrap_around() -> None:
    data = model(ARITHMETIC["add"], (3,), CONSTANTS, dtype=INT32, answers=[INT32])
    assert read_model_bytes(data, "net.onnx").warnings == (
        "integers are computed without limits, where ONNX lets them wrap around: Add 'y'",
    )
    data = model([node("Add", ["x", "k"], "y")], (3,), {"k": weights(3)})
    assert read_model_bytes(data, "net.onnx").warnings == ()


ROUNDS = {
    "quotients": node("Div", ["x", "k"], "a"),
    "the mean": node("ReduceMean", ["x"], "a", axes=[1]),
    "between integers": node("Resize", ["x", "", "s"], "a", mode="linear"),
}


@pytest.mark.parametrize("reason", list(ROUNDS))
def test_what_rounds_integers_is_refused(reason: str) -> None:
    constants = {"k": np.int32([2, 3, 1]), "s": np.float32([1, 2])}
    data = model([ROUNDS[reason], node("Neg", ["a"], "y")], (3,), constants, dtype=INT32, answers=[INT32])
    with pytest.raises(UnsupportedModel, match=reason):
        read_model_bytes(data, "net.onnx")


def test_integers_beside_floating_point_numbers_are_refused() -> None:
    data = model([node("Mul", ["x", "k"], "y")], (3,), {"k": np.array([1, 2, 3])})
    with pytest.raises(UnsupportedModel, match="integers beside floating-point"):
        read_model_bytes(data, "net.onnx")


@pytest.mark.parametrize("kind", [TensorProto.DOUBLE, HALF])
def test_floats_of_other_widths_are_real_numbers(kind: int) -> None:
    nodes = [node("Cast", ["x"], "a", to=FLOAT), node("Gemm", ["a", "w"], "y")]
    agreed(model(nodes, (3,), {"w": weights(3, 2)}, dtype=kind), draw=whole_numbers)


def test_truth_values_are_zeros_and_ones() -> None:
    nodes = [node("Cast", ["x"], "a", to=FLOAT), node("Gemm", ["a", "w"], "y")]
    data = model(nodes, (3,), {"w": weights(3, 2)}, dtype=BOOL)
    agreed(data, draw=lambda read, count: {"x": whole_numbers(read, count)["x"] % 2})


@pytest.mark.parametrize("kind", ["INT8", "UINT8", "INT64", "BOOL"])
def test_a_cast_that_rounds_and_ends_the_network_is_done_on_the_host(kind: str) -> None:
    to = TensorProto.DataType.Value(kind)
    nodes = [node("Gemm", ["x", "w"], "a"), node("Cast", ["a"], "y", to=to)]
    data = model(nodes, (3,), {"w": np.abs(weights(3, 4)) * 9}, answers=[to])
    read = agreed(data, draw=lambda read, count: {"x": np.abs(samples(read, count)["x"])})
    assert [op.op for op in read.outputs[0].host_ops] == [f"Cast{kind}"]


def test_a_class_may_be_cast_to_another_type() -> None:
    nodes = [
        node("Gemm", ["x", "w"], "a"),
        node("ArgMax", ["a"], "c", axis=1),
        node("Cast", ["c"], "y", to=INT32),
    ]
    read = agreed(model(nodes, (3,), {"w": weights(3, 4)}, answers=[INT32]))
    assert [op.op for op in read.outputs[0].host_ops] == ["ArgMax", "CastINT32"]


def test_a_cast_like_another_tensor_takes_its_type() -> None:
    nodes = [
        node("CastLike", ["k", "x"], "c"),
        node("Mul", ["x", "c"], "a"),
        node("CastLike", ["a", "i"], "y"),
    ]
    data = model(nodes, (3,), {"k": np.array([1, 2, 3]), "i": np.int32(0)}, answers=[INT32])
    assert [op.op for op in agreed(data).outputs[0].host_ops] == ["CastINT32"]


def test_a_cast_that_rounds_is_refused_where_something_follows() -> None:
    nodes = [node("Cast", ["x"], "a", to=INT32), node("Neg", ["a"], "y")]
    with pytest.raises(UnsupportedModel, match="rounds to INT32"):
        read_model_bytes(model(nodes, (3,), answers=[INT32]), "net.onnx")
