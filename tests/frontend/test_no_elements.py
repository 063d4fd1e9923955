"""Tensors without elements: they are known, whatever they depend on."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto

from nmcompiler.errors import InputFileError
from nmcompiler.evaluate.onnx_runtime import run_onnx
from nmcompiler.frontend import read_model_bytes
from nmcompiler.frontend.no_elements import known
from nmcompiler.frontend.reader import known_outputs
from nmcompiler.frontend.values import Counted, Wire
from nmcompiler.testing.onnx_backend import FrontendBackend

from .models import agreed, kinds, model, node, weights

BATCHES = pytest.mark.parametrize("batch", ["N", 1, 3])
NOTHING = node("Slice", ["x", "s5", "s9", "s1"], "e")  # nothing of axis 1
BOUNDS = {"s0": np.array([0]), "s1": np.array([1]), "s5": np.array([5]), "s9": np.array([9])}


def joined(*nodes: onnx.NodeProto, **constants: np.ndarray) -> tuple[list[onnx.NodeProto], dict]:
    """A network that joins ``e`` to its input along axis 1, where it adds nothing."""
    ends = [node("Concat", ["x", "e"], "k", axis=1), node("Neg", ["k"], "y")]
    return [*nodes, *ends], {**BOUNDS, **constants}


JOINED = {
    "slice": joined(NOTHING),
    "slice backwards": joined(node("Slice", ["x", "s0", "s1", "s1", "back"], "e"), back=np.array([-1])),
    "gather": joined(node("Gather", ["x", "i"], "e", axis=1), i=np.zeros(0, np.int64)),
    "tile": joined(node("Tile", ["x", "r"], "e"), r=np.array([1, 0, 1, 1])),
    "pad": joined(node("Pad", ["x", "p"], "e"), p=np.array([0, -1, 0, 0, 0, -2, 0, 0])),
    "broadcast to nothing": joined(
        node("Slice", ["x", "s5", "s9", "s1"], "n"),
        node("Slice", ["x", "s0", "s1", "s1"], "one"),
        node("Add", ["one", "n"], "e"),
    ),
    "expanded to nothing": joined(
        node("Slice", ["x", "s0", "s1", "s1"], "one"),
        node("Expand", ["one", "r"], "e"),
        r=np.array([1, 0, 1, 1]),
    ),
    "through operators": joined(
        node("Slice", ["x", "s5", "s9", "s1"], "n"),
        node("Relu", ["n"], "a"),
        node("Mul", ["a", "a"], "b"),
        node("Transpose", ["b"], "c", perm=[1, 0, 2, 3]),
        node("Transpose", ["c"], "e", perm=[1, 0, 2, 3]),
    ),
}


@BATCHES
@pytest.mark.parametrize("case", JOINED)
def test_nothing_joins_as_nothing(case: str, batch: int | str) -> None:
    nodes, constants = JOINED[case]
    read = agreed(model(nodes, (3, 4, 5), constants, batch=batch))
    assert [layer.name for layer in read.graph] == ["x", "y"]
    assert not read.warnings


@BATCHES
def test_convolutions_beside_nothing_stay_convolutions(batch: int | str) -> None:
    nodes = [
        node("Conv", ["x", "v"], "c"),
        node("Slice", ["c", "s5", "s9", "s1"], "e"),
        node("Relu", ["e"], "r"),
        node("Concat", ["r", "c", "e"], "k", axis=1),
        node("Conv", ["k", "w"], "y"),
    ]
    constants = {**BOUNDS, "v": weights(4, 3, 3, 3), "w": weights(2, 4, 3, 3)}
    read = agreed(model(nodes, (3, 7, 7), constants, batch=batch))
    assert kinds(read, "y") == ["Conv"]


REDUCED = {
    "sum": [node("ReduceSum", ["e", "s1"], "r")],
    "sum of all": [node("ReduceSum", ["e"], "r", keepdims=0)],
    "absolute values": [node("ReduceL1", ["e"], "r", axes=[1])],
    "numbers of entries": [
        node("Shape", ["e"], "s", start=1),
        node("Cast", ["s"], "f", to=TensorProto.FLOAT),
        node("ReduceSum", ["f"], "r", keepdims=0),
    ],
    "product with nothing inside": [
        node("Transpose", ["e"], "t", perm=[0, 2, 3, 1]),
        node("MatMul", ["t", "w"], "m"),
        node("Transpose", ["m"], "r", perm=[0, 3, 1, 2]),
    ],
}


@BATCHES
@pytest.mark.parametrize("case", REDUCED)
def test_reductions_of_nothing_are_constants(case: str, batch: int | str) -> None:
    nodes = [NOTHING, *REDUCED[case], node("Add", ["x", "r"], "y")]
    read = agreed(model(nodes, (3, 4, 5), {**BOUNDS, "w": np.zeros((0, 3), np.float32)}, batch=batch))
    assert [layer.name for layer in read.graph] == ["x", "y"]


def test_a_convolution_of_no_channels_is_its_bias() -> None:
    nodes = [
        NOTHING,
        node("Conv", ["e", "v", "b"], "c"),
        node("Conv", ["x", "w"], "d"),
        node("Add", ["c", "d"], "y"),
    ]
    constants = {"v": np.zeros((2, 0, 3, 3), np.float32), "b": weights(2), "w": weights(2, 3, 3, 3)}
    agreed(model(nodes, (3, 5, 5), {**BOUNDS, **constants}))


@given(st.lists(st.integers(0, 2), min_size=1, max_size=4).filter(lambda ends: 0 in ends), st.data())
@settings(deadline=None, max_examples=30)
def test_sums_over_any_axes_of_nothing_have_the_shape_that_onnxruntime_finds(
    ends: list[int], data: st.DataObject
) -> None:
    rank = len(ends)
    axes = data.draw(st.lists(st.integers(1, rank), min_size=1, unique=True))
    nodes = [
        node("Slice", ["x", "starts", "ends", "all"], "e"),
        node("ReduceSum", ["e", "axes"], "r"),
        node("Exp", ["r"], "ones"),
        node("ReduceSum", ["ones", "all"], "count"),
        node("Add", ["x", "count"], "y"),
    ]
    every = np.arange(1, rank + 1)
    constants = {"starts": np.zeros_like(every), "ends": np.array(ends), "all": every, "axes": np.array(axes)}
    agreed(model(nodes, (2,) * rank, constants))


def test_wires_without_elements_are_constants_of_the_type_at_hand() -> None:
    wire = Wire(np.zeros((1, 0, 2), np.int64))
    value = known(wire, TensorProto.INT8, batched=False)
    assert isinstance(value, np.ndarray)
    assert (value.shape, value.dtype) == ((1, 0, 2), np.int8)
    counted = known(wire, 0, batched=True)
    assert isinstance(counted, Counted)
    assert (counted.one.shape, counted.two.shape, counted.one.dtype) == ((1, 0, 2), (2, 0, 2), np.float32)
    full = Wire(np.zeros((1, 2), np.int64))
    assert known(full, 0, batched=True) is full


@pytest.mark.parametrize("op", ["ReduceMax", "ReduceMean"])
def test_what_is_not_finite_is_no_weight_and_no_output(op: str) -> None:
    reduced = node(op, ["e"], "r", axes=[1])
    read = "'r', read by Add 'y', has 20 of 20 values that are not finite"
    with pytest.raises(InputFileError, match=read):
        read_model_bytes(
            model([NOTHING, reduced, node("Add", ["x", "r"], "y")], (3, 4, 5), BOUNDS), "net.onnx"
        )
    both = model([NOTHING, reduced, node("Neg", ["x"], "y")], (3, 4, 5), BOUNDS, outputs=["y", "r"], batch=1)
    with pytest.raises(InputFileError, match="'r' does not depend on any input"):
        read_model_bytes(both, "net.onnx")


def test_known_outputs_are_those_of_onnxruntime() -> None:
    nodes = [NOTHING, node("ReduceMax", ["e"], "m", axes=[1]), node("Neg", ["x"], "y")]
    data = model(nodes, (3, 4, 5), BOUNDS, outputs=["e", "m", "y"], batch=1)
    expected = run_onnx(data, {"x": weights(1, 3, 4, 5)})
    found = known_outputs(data, "net.onnx")
    assert set(found) == {"e", "m"}
    for name, value in found.items():
        assert value.dtype == expected[name].dtype
        np.testing.assert_array_equal(value, expected[name])
    assert known_outputs(model(nodes, (3, 4, 5), BOUNDS, outputs=["e", "m", "y"]), "net.onnx") == {}


def test_the_backend_answers_with_nothing_and_with_infinities() -> None:
    loaded = onnx.load_model_from_string(
        model(
            [NOTHING, node("ReduceMax", ["e"], "m", axes=[1]), node("Neg", ["x"], "y")],
            (3, 4, 5),
            BOUNDS,
            outputs=["e", "y", "m"],
            batch=1,
        )
    )
    x = weights(1, 3, 4, 5)
    nothing, turned, most = FrontendBackend.prepare(loaded).run([x])
    assert nothing.shape == (1, 0, 4, 5)
    np.testing.assert_allclose(turned, -x)
    np.testing.assert_array_equal(most, np.full((1, 1, 4, 5), -np.inf))
