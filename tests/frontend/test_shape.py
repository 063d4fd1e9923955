"""Shapes that a file computes while it runs, as exporters write them."""

from __future__ import annotations

import numpy as np
import pytest

from nmcompiler.errors import UnsupportedModel
from nmcompiler.frontend import read_model_bytes

from .models import agreed, model, node, weights


def test_a_view_that_reads_the_batch_from_the_shape_is_wiring() -> None:
    nodes = [
        node("Shape", ["x"], "s"),
        node("Gather", ["s", "zero"], "b", axis=0),
        node("Unsqueeze", ["b", "axis"], "u"),
        node("Concat", ["u", "rest"], "target", axis=0),
        node("Reshape", ["x", "target"], "f"),
        node("Gemm", ["f", "w"], "y"),
    ]
    constants = {"zero": np.array(0), "axis": np.array([0]), "rest": np.array([-1]), "w": weights(12, 2)}
    agreed(model(nodes, (3, 4), constants))
    agreed(model(nodes, (3, 4), constants, batch=16))


def test_sizes_that_a_resize_takes_from_another_tensor() -> None:
    nodes = [
        node("MaxPool", ["x"], "p", kernel_shape=[2, 2], strides=[2, 2]),
        node("Shape", ["x"], "s"),
        node("Slice", ["s", "two", "four"], "sizes"),
        node("Shape", ["p"], "q", end=2),
        node("Concat", ["q", "sizes"], "all", axis=0),
        node("Resize", ["p", "", "", "all"], "r", nearest_mode="floor"),
        node("Add", ["r", "x"], "y"),
    ]
    nodes[-2].attribute.append(node("A", [], "", coordinate_transformation_mode="asymmetric").attribute[0])
    agreed(model(nodes, (3, 4, 6), {"two": np.array([2]), "four": np.array([4])}))


def test_zeros_of_the_shape_of_a_tensor_are_a_constant() -> None:
    nodes = [node("Shape", ["x"], "s"), node("ConstantOfShape", ["s"], "z"), node("Add", ["x", "z"], "y")]
    agreed(model(nodes, (3, 4)))


@pytest.mark.parametrize("start", [1, -2])
def test_dimensions_behind_the_batch_are_numbers(start: int) -> None:
    nodes = [
        node("Shape", ["x"], "s", start=start),
        node("ReduceProd", ["s"], "n", keepdims=0),
        node("Cast", ["n"], "c", to=1),
        node("Div", ["x", "c"], "y"),
    ]
    agreed(model(nodes, (3, 4)))


def test_the_number_of_samples_is_no_weight() -> None:
    nodes = [
        node("Shape", ["x"], "s"),
        node("ReduceProd", ["s"], "n", keepdims=0),
        node("Cast", ["n"], "c", to=1),
        node("Div", ["x", "c"], "y"),
    ]
    with pytest.raises(UnsupportedModel, match=r"Div 'y': computes with the number of samples"):
        read_model_bytes(model(nodes, (3, 4)), "net.onnx")


def test_a_shape_that_joins_samples_is_refused() -> None:
    nodes = [
        node("Shape", ["x"], "s"),
        node("ReduceProd", ["s"], "n", keepdims=1),
        node("Concat", ["one", "n"], "target", axis=0),
        node("Reshape", ["x", "target"], "f"),
        node("Relu", ["f"], "y"),
    ]
    with pytest.raises(UnsupportedModel, match=r"Reshape 'f': computes with the number of samples"):
        read_model_bytes(model(nodes, (3, 4), {"one": np.array([1])}), "net.onnx")
