"""Models without a batch: where operators work across axis 0, each sample is one whole input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto

from nmcompiler.errors import InputFileError, UnsupportedModel
from nmcompiler.evaluate.onnx_runtime import run_onnx
from nmcompiler.frontend import read_model_bytes

from .models import agreed, model, node, weights

RELU = node("Relu", ["a"], "y")
CASES = {
    "transpose": ([node("Transpose", ["x"], "a"), RELU], (3, 4), {}),
    "transposed matrix": ([node("Gemm", ["x", "w"], "a", transA=1), RELU], (3, 4), {"w": weights(3, 5)}),
    "constant on the left": ([node("Gemm", ["w", "x", "c"], "y", transB=1, alpha=0.5)], (4, 3),
                             {"w": weights(5, 3), "c": weights(5, 4, seed=2)}),
    "a signal is added": ([node("Gemm", ["w", "x", "x"], "y", beta=2.0)], (4, 4), {"w": weights(4, 4)}),
    "bias for each entry": ([node("Gemm", ["x", "w", "c"], "y")], (3, 4),
                            {"w": weights(4, 2), "c": weights(3, 2, seed=1)}),
    "vector": ([node("MatMul", ["x", "w"], "a"), RELU], (4,), {"w": weights(4, 3)}),
    "product of vectors": ([node("MatMul", ["x", "w"], "a"), RELU], (4,), {"w": weights(4)}),
    "matrix times vector": ([node("MatMul", ["w", "x"], "y")], (4,), {"w": weights(2, 3, 4)}),
    "matrices": ([node("MatMul", ["x", "w"], "a"), RELU], (2, 3, 4), {"w": weights(2, 4, 5)}),
    "broadcast matrices": ([node("MatMul", ["w", "x"], "a"), RELU], (3, 4), {"w": weights(2, 5, 3)}),
    "mean of all": ([node("ReduceMean", ["x"], "a", keepdims=0), RELU], (2, 3, 4), {}),
    "sum over axis 0": ([node("ReduceSum", ["x", "k"], "a"), RELU], (5, 3), {"k": np.array([0])}),
    "maximum": ([node("ReduceMax", ["x"], "a", axes=[0], keepdims=0), RELU], (5, 3), {}),
    "minimum": ([node("ReduceMin", ["x"], "y", axes=[0, 2])], (2, 3, 4), {}),
    "concat": ([node("Concat", ["x", "x", "c"], "a", axis=0), RELU], (2, 3), {"c": weights(1, 3)}),
    "gather": ([node("Gather", ["x", "k"], "a"), RELU], (4, 3), {"k": np.array([[0, -1], [2, 2]])}),
    "elements": ([node("GatherElements", ["x", "k"], "a", axis=0), RELU], (4, 3),
                 {"k": np.array([[0, -1], [2, 2]])}),
    "slice": ([node("Slice", ["x", "k", "l", "m", "n"], "a"), RELU], (6, 2),
              dict(zip("klmn", np.array([[-1], [-7], [0], [-2]]), strict=True))),
    "pad": ([node("Pad", ["x", "k", "v"], "a"), RELU], (3, 2), {"k": np.array([1, 0, 0, 2]), "v": 0.5}),
    "tile": ([node("Tile", ["x", "k"], "a"), RELU], (2, 3), {"k": np.array([2, 2])}),
    "expand": ([node("Expand", ["x", "k"], "a"), RELU], (3, 1), {"k": np.array([2, 1, 4])}),
    "squeeze": ([node("Squeeze", ["x"], "a"), RELU], (1, 3, 1), {}),
    "unsqueeze": ([node("Unsqueeze", ["x", "k"], "a"), RELU], (3,), {"k": np.array([0, 2])}),
    "flatten": ([node("Flatten", ["x"], "a", axis=0), RELU], (2, 3), {}),
    "reshape": ([node("Reshape", ["x", "k"], "a"), RELU], (2, 6), {"k": np.array([4, -1])}),
    "slopes": ([node("PRelu", ["x", "k"], "y")], (3, 4), {"k": weights(3, 4)}),
    "differs by entry": ([node("Add", ["x", "k"], "a"), RELU], (3, 4), {"k": weights(3, 4)}),
    "more axes": ([node("Mul", ["x", "k"], "y")], (3,), {"k": weights(2, 2, 3)}),
    "triangle": ([node("Trilu", ["x", "k"], "a", upper=0), RELU], (4, 4), {"k": np.array(-1)}),
    "running sum": ([node("CumSum", ["x", "k"], "a", reverse=1), RELU], (4, 3), {"k": np.array(0)}),
    "soft maximum": ([node("Relu", ["x"], "a"), node("Softmax", ["a"], "y", axis=0)], (4, 3), {}),
    "image without a batch": (
        [node("Unsqueeze", ["x", "k"], "i"), node("Conv", ["i", "w"], "a", pads=[1] * 4), RELU], (3, 5, 4),
        {"k": np.array([0]), "w": weights(4, 3, 3, 3)}),
    "images": (
        [node("Conv", ["x", "w", "b"], "a"), node("Relu", ["a"], "r"), node("ReduceSum", ["r", "k"], "y")],
        (2, 3, 5, 4), {"w": weights(4, 3, 3, 3), "b": weights(4), "k": np.array([0])}),
    "pooled images": (
        [node("MaxPool", ["x"], "p", kernel_shape=[2]), node("AveragePool", ["p"], "q", kernel_shape=[2]),
         node("Transpose", ["q"], "a"), RELU], (2, 3, 6), {}),
    "blocks": (
        [node("DepthToSpace", ["x"], "p", blocksize=2), node("Transpose", ["p"], "a"), RELU],
        (2, 4, 3, 2), {}),
    "a shape": (
        [node("Shape", ["x"], "s"), node("Gather", ["s", "k"], "t", axis=0), node("Reshape", ["x", "t"], "a"),
         RELU], (2, 3, 4), {"k": np.array([2, 1, 0])}),
}  # fmt: skip


@pytest.mark.parametrize("name", list(CASES))
def test_a_model_whose_first_axis_is_no_batch_takes_whole_inputs(name: str) -> None:
    nodes, shape, constants = CASES[name]
    read = agreed(model(nodes, shape, constants, batch=None))
    assert read.inputs[0].shape == shape
    assert "read without a batch" in read.warnings[0]


@pytest.mark.parametrize("op", ["ArgMax", "ArgMin"])
def test_places_are_found_along_axis_0(op: str) -> None:
    nodes = [node("Relu", ["x"], "a"), node(op, ["a"], "y", axis=0, keepdims=0)]
    agreed(model(nodes, (4, 3), batch=None, answers=[TensorProto.INT64]))


def test_a_number_is_an_input_of_one_value() -> None:
    nodes = [node("Mul", ["x", "k"], "a"), node("Add", ["a", "l"], "y")]
    read = agreed(model(nodes, (), {"k": weights(2, 3), "l": 0.5}, batch=None))
    assert (read.inputs[0].shape, read.outputs[0].shape) == ((), (2, 3))


def test_the_warning_names_what_works_across_axis_0_and_the_shape_of_a_sample() -> None:
    read = read_model_bytes(
        model([node("Transpose", ["x"], "a", "turn"), RELU], (3, 4), batch=None), "net.onnx"
    )
    assert read.warnings == (
        "read without a batch, since Transpose 'turn' works across axis 0: each sample is one whole input, "
        "of the shape [3, 4] for 'x'",
    )


def test_a_batch_that_is_free_stays_a_batch() -> None:
    with pytest.raises(UnsupportedModel, match="moves the batch out of axis 0"):
        read_model_bytes(model([node("Transpose", ["x"], "a"), RELU], (3, 4)), "net.onnx")


def test_a_batch_that_is_baked_in_stays_a_batch_where_nothing_mixes_it() -> None:
    read = agreed(model([node("Gemm", ["x", "w"], "a"), RELU], (3,), {"w": weights(3, 2)}, batch=4))
    assert (read.inputs[0].shape, read.warnings) == ((3,), ())


def test_what_stands_against_a_model_is_what_is_left_without_a_batch() -> None:
    nodes = [node("Transpose", ["x"], "a"), node("Erf", ["a"], "y")]
    with pytest.raises(UnsupportedModel) as caught:
        read_model_bytes(model(nodes, (3, 4), batch=None), "net.onnx")
    assert [n.name for n in caught.value.nodes] == ["y"]


def test_constants_are_answers_where_there_is_no_batch() -> None:
    nodes = [node("Shape", ["x"], "s"), node("Relu", ["x"], "y")]
    kinds = [TensorProto.FLOAT, TensorProto.INT64]
    read = agreed(model(nodes, (3, 4), outputs=("y", "s"), batch=None, answers=kinds))
    assert not read.graph.in_edges(read.outputs[1].node)
    with pytest.raises(InputFileError, match="'s' does not depend on any input"):
        read_model_bytes(model(nodes, (3, 4), outputs=("y", "s")), "net.onnx")


def test_the_mask_of_dropout_says_that_nothing_is_dropped() -> None:
    drop = node("Dropout", ["x"], "a")
    drop.output.append("m")
    cast = node("Cast", ["m"], "z", to=TensorProto.FLOAT)
    agreed(model([drop, RELU, cast], (3, 4), outputs=("y", "z")), count=3)


def wiring(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[str, dict[str, object], tuple[int, ...]]:
    """An operator that mixes axis 0, its attributes, and the shape that comes out."""
    op = draw(st.sampled_from(["Transpose", "Flatten", "Split"]))
    if op == "Transpose":
        order = draw(st.permutations(range(len(shape))))
        return op, {"perm": order}, tuple(shape[k] for k in order)
    if op == "Flatten":
        axis = draw(st.integers(0, len(shape)))
        return op, {"axis": axis}, (int(np.prod(shape[:axis])), int(np.prod(shape[axis:])))
    return op, {"axis": draw(st.integers(0, len(shape) - 1)), "num_outputs": 1}, shape


@st.composite
def chains(draw: st.DrawFn) -> bytes:
    shape = first = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)))
    nodes, constants, name = [], {}, "x"
    for k in range(draw(st.integers(1, 4))):
        op, attributes, shape = wiring(draw, shape)
        nodes.append(node(op, [name], f"w{k}", **attributes))
        constants[f"c{k}"] = weights(*shape, seed=k)
        nodes.append(node("Add", [f"w{k}", f"c{k}"], f"a{k}"))
        name = f"r{k}"
        nodes.append(node("Relu", [f"a{k}"], name))
    return model(nodes, first, constants, outputs=(name,), batch=None, opset=18)


@settings(max_examples=30, deadline=None)
@given(chains())
def test_chains_of_wiring_across_axis_0_answer_as_onnxruntime_does(data: bytes) -> None:
    agreed(data, count=2)


def test_onnxruntime_gets_whole_inputs_one_at_a_time() -> None:
    data = model([node("Transpose", ["x"], "y")], (3, 4), batch=None)
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    assert np.array_equal(run_onnx(data, {"x": x})["y"], x.transpose(0, 2, 1))
