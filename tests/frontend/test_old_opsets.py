"""Forms of operators that onnxruntime no longer runs: opset 6 and before."""

from __future__ import annotations

import numpy as np
import pytest

from nmcompiler.errors import UnsupportedModel
from nmcompiler.evaluate.float import run_float
from nmcompiler.frontend import read_model_bytes

from .models import model, node, weights

X = weights(2, 3, 4, 4, seed=9)
C = weights(3) + 3


def answer(nodes: list, constants: dict, x: np.ndarray = X, opset: int = 6) -> np.ndarray:
    read = read_model_bytes(model(nodes, x.shape[1:], constants, opset=opset), "old.onnx")
    return run_float(read, {"x": x.astype(np.float64)}).outputs["y"]


@pytest.mark.parametrize(
    ("op", "rule"), [("Add", np.add), ("Sub", np.subtract), ("Mul", np.multiply), ("Div", np.divide)]
)
@pytest.mark.parametrize(
    ("attributes", "shape", "seen"),
    [
        ({"broadcast": 1, "axis": 1}, (3,), (3, 1, 1)),
        ({"broadcast": 1, "axis": 2}, (4, 4), (4, 4)),
        ({"broadcast": 1}, (4,), (4,)),
        ({"broadcast": 1}, (), ()),
        ({"broadcast": 1, "axis": 0}, (1, 3), (1, 3, 1, 1)),
    ],
)
def test_arithmetic_until_opset_6_says_where_the_second_operand_stands(
    op: str, rule: np.ufunc, attributes: dict, shape: tuple[int, ...], seen: tuple[int, ...]
) -> None:
    constant = weights(*shape) + 3
    found = answer([node(op, ["x", "c"], "y", **attributes)], {"c": constant})
    np.testing.assert_allclose(found, rule(X, constant.reshape(seen)), rtol=1e-5)


def test_branches_of_one_shape_need_no_broadcast() -> None:
    found = answer([node("Relu", ["x"], "r"), node("Add", ["x", "r"], "y")], {})
    np.testing.assert_allclose(found, X + np.maximum(X, 0), rtol=1e-6)


def test_an_axis_that_does_not_fit_is_refused() -> None:
    with pytest.raises(UnsupportedModel, match=r"Add 'y': axis 3 does not fit"):
        answer([node("Add", ["x", "c"], "y", broadcast=1, axis=3)], {"c": weights(4, 4)})


def test_gemm_broadcasts_its_bias() -> None:
    x, constants = weights(2, 5), {"w": weights(5, 3), "b": C}
    found = answer([node("Gemm", ["x", "w", "b"], "y", broadcast=1, alpha=0.5)], constants, x)
    np.testing.assert_allclose(found, 0.5 * x @ constants["w"] + C, rtol=1e-5)


@pytest.mark.parametrize("attributes", [{"is_test": 1}, {}])
def test_batch_normalization_and_dropout_of_a_trained_model(attributes: dict) -> None:
    constants = {"g": C, "b": C, "m": C, "v": C}
    nodes = [node("BatchNormalization", ["x", *constants], "n", **attributes)]
    nodes.append(node("Dropout", ["n"], "y", **attributes))
    scale = (C / np.sqrt(C + 1e-5)).reshape(3, 1, 1)
    np.testing.assert_allclose(
        answer(nodes, constants), (X - C[:, None, None]) * scale + C[:, None, None], 1e-4
    )


def test_batch_normalization_with_the_outputs_of_training_is_refused() -> None:
    constants = {"g": C, "b": C, "m": C, "v": C}
    made = node("BatchNormalization", ["x", *constants], "y")
    made.output.extend(["mean", "variance"])
    with pytest.raises(UnsupportedModel, match="outputs of training"):
        answer([made], constants)


def test_clip_reshape_and_prelu_of_old_files() -> None:
    nodes = [
        node("PRelu", ["x", "slope"], "a"),
        node("Clip", ["a"], "b", min=-0.25, max=0.5),
        node("Reshape", ["b"], "y", shape=[0, -1]),
    ]
    bent = np.where(X > 0, X, X * C[:, None, None])
    found = answer(nodes, {"slope": C}, opset=4)
    np.testing.assert_allclose(found, np.clip(bent, -0.25, 0.5).reshape(2, -1), rtol=1e-5)


def test_split_and_unsqueeze_of_opset_6() -> None:
    split = node("Split", ["x"], "p", axis=1, split=[1, 2])
    split.output.append("q")
    nodes = [split, node("Squeeze", ["p"], "s", axes=[1]), node("Unsqueeze", ["s"], "u", axes=[1])]
    nodes.append(node("Concat", ["q", "u"], "z", axis=1))
    nodes.append(node("Relu", ["z"], "y"))
    np.testing.assert_allclose(answer(nodes, {}), np.maximum(X[:, [1, 2, 0]], 0), rtol=1e-6)
