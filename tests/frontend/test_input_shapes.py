"""Pinning the free dimensions of a model's inputs."""

from __future__ import annotations

import pytest

from nmcompiler.errors import InputFileError, UsageError
from nmcompiler.frontend import read_model_bytes
from nmcompiler.frontend.input_shapes import with_input_shapes

from .models import agreed, model, node, weights


@pytest.fixture
def free() -> bytes:
    nodes = [node("Conv", ["x", "w"], "a"), node("GlobalAveragePool", ["a"], "y")]
    return model(nodes, (3, "height", "width"), {"w": weights(2, 3, 3, 3)})


def test_a_pinned_model_reads_as_one_of_that_size(free: bytes) -> None:
    read = agreed(with_input_shapes(free, {"x": (1, 3, 6, 9)}))
    assert read.inputs[0].shape == (3, 6, 9)


def test_without_shapes_the_bytes_stay_as_they_are(free: bytes) -> None:
    assert with_input_shapes(free, {}) is free


def test_the_refusal_of_a_free_dimension_says_what_to_pass(free: bytes) -> None:
    with pytest.raises(InputFileError, match=r"pin them with --input-shape x=1x3xHEIGHTxWIDTH"):
        read_model_bytes(free, "net.onnx")


def test_a_batch_of_one_stays_free_and_another_is_pinned() -> None:
    data = model([node("Relu", ["x"], "y")], ("n",))
    assert agreed(with_input_shapes(data, {"x": (1, 5)}), count=7).inputs[0].shape == (5,)
    agreed(with_input_shapes(data, {"x": (4, 5)}), count=7)


@pytest.mark.parametrize(
    ("shapes", "found"),
    [
        ({"y": (1, 3, 6, 6)}, "no input"),
        ({"x": (1, 3, 6)}, "has 3 dimensions"),
        ({"x": (1, 4, 6, 6)}, "3 in dimension 1"),
        ({"x": (1, 3, 0, 6)}, "below 1"),
        ({"w": (2, 3, 3, 3)}, "no input"),
    ],
)
def test_what_the_model_does_not_allow_is_refused(free: bytes, shapes: dict, found: str) -> None:
    with pytest.raises(UsageError, match=found):
        with_input_shapes(free, shapes)
