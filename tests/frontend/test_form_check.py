"""The table of operators says which form of an operator it has, and the file alone decides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from nmcompiler.frontend.form_check import unmet_forms
from nmcompiler.frontend.registry import operators

from .models import model, node, weights

INT32, FLOAT = TensorProto.INT32, TensorProto.FLOAT
RELU = node("Relu", ["a"], "y")


def unmet(*nodes, shape=(3, 4), **options) -> tuple[str, ...]:
    return unmet_forms(model(list(nodes), shape, {"w": weights(4, 4)}, **options), "net.onnx")


def test_products_have_one_constant_factor() -> None:
    assert unmet(node("MatMul", ["x", "w"], "y")) == unmet(node("MatMul", ["w", "x"], "y")) == ()
    assert unmet(node("Mul", ["x", "x"], "y")) == ("Mul 'y': of its first two operands one is constant",)
    assert unmet(node("Gemm", ["x", "w", "x"], "y"), shape=(4,)) == ()


def test_weights_and_shapes_are_constant() -> None:
    assert len(unmet(node("PRelu", ["w", "x"], "y"))) == 1
    shape = node("Shape", ["x"], "s")
    assert unmet(shape, node("Reshape", ["x", "s"], "y")) == ()


def test_sigmoid_ends_the_network() -> None:
    assert unmet(node("Relu", ["x"], "a"), node("Sigmoid", ["a"], "y")) == ()
    assert unmet(node("Sigmoid", ["x"], "a"), RELU) == (
        "Sigmoid 'a': nothing follows but operators that the host computes",
    )


def test_training_is_another_form() -> None:
    constants = {"r": np.float32(0.5), "t": np.array(True)}
    drop = node("Dropout", ["x", "r", "t"], "a")
    assert len(unmet_forms(model([drop, RELU], (3,), constants), "net.onnx")) == 1
    constants["t"] = np.array(False)
    assert unmet_forms(model([drop, RELU], (3,), constants), "net.onnx") == ()


def test_quotients_of_integers_are_another_form() -> None:
    nodes = [node("Div", ["x", "k"], "a"), RELU]
    integers = model(nodes, (3,), {"k": np.int32(2)}, dtype=INT32, answers=[INT32])
    assert len(unmet_forms(integers, "net.onnx")) == 1
    assert unmet_forms(model(nodes, (3,), {"k": np.float32(2)}), "net.onnx") == ()


@pytest.mark.parametrize(("kind", "count"), [(INT32, 1), (FLOAT, 0)])
def test_casts_keep_the_values_or_end_the_network(kind: int, count: int) -> None:
    assert len(unmet(node("Cast", ["x"], "a", to=kind), RELU)) == count
    assert unmet(node("Relu", ["x"], "a"), node("Cast", ["a"], "y", to=kind), answers=[kind]) == ()


def test_what_is_no_operator_of_the_table_is_said_as_it_is() -> None:
    assert unmet(node("Erf", ["x"], "y")) == ("Erf 'y': operator Erf is not supported",)


def test_positions_of_maxima_are_not_given() -> None:
    pool = node("MaxPool", ["x"], "y", kernel_shape=[2])
    pool.output.append("z")
    assert unmet(pool, outputs=("y", "z"), answers=[FLOAT, TensorProto.INT64]) == (
        "MaxPool 'y': its values alone are used, not their positions",
    )


def test_tensors_have_elements() -> None:
    assert "dimension 1 of input 'x' is 0" in unmet(RELU, node("Relu", ["x"], "a"), shape=(0,))[0]


def table() -> str:
    """The table of operators as the documentation has it."""
    rows = ["| operator | from opset | form |", "|---|---|---|"]
    for (domain, name), versions in sorted(operators().items()):
        title = f"{domain}.{name}" if domain else name
        forms = versions[max(versions)].forms
        rows.append(f"| {title} | {min(versions)} | {'; '.join(f.sentence for f in forms)} |")
    return "\n".join(rows) + "\n"


def test_the_documentation_lists_all_operators_with_their_forms() -> None:
    page = Path(__file__).parents[2] / "docs" / "onnx-operators.md"
    assert table() in page.read_text(encoding="utf-8")
