"""Convolutions, pools and resizing along any axes, as linear maps."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nmcompiler.errors import UnsupportedModel
from nmcompiler.frontend import read_model_bytes

from .models import agreed, model, node, weights

RELU = node("Relu", ["x"], "r")
SHAPE = (4, 4, 5, 6)


@st.composite
def windows(draw: st.DrawFn) -> dict[str, Any]:
    kernel = draw(st.lists(st.integers(1, 3), min_size=3, max_size=3))
    options: dict[str, Any] = {
        "kernel_shape": kernel,
        "strides": draw(st.lists(st.integers(1, 3), min_size=3, max_size=3)),
    }
    if draw(st.booleans()):
        return {**options, "auto_pad": draw(st.sampled_from(["SAME_UPPER", "SAME_LOWER", "VALID"]))}
    begins, ends = ([draw(st.integers(0, k - 1)) for k in kernel] for _ in range(2))
    return {**options, "pads": begins + ends}


@settings(max_examples=25, deadline=None)
@given(windows(), st.sampled_from([1, 2, 4]), st.integers(1, 2))
def test_a_convolution_over_three_axes(options: dict[str, Any], groups: int, dilation: int) -> None:
    reach = [(k - 1) * dilation + 1 for k in options["kernel_shape"]]
    assume(all(r <= n for r, n in zip(reach, SHAPE[1:], strict=True)))
    options = {**options, "dilations": [dilation] * 3} if "pads" in options else options
    w = weights(4, 4 // groups, *options["kernel_shape"])
    conv = node("Conv", ["r", "w", "b"], "y", group=groups, **options)
    read = agreed(model([RELU, conv], SHAPE, {"w": w, "b": weights(4, seed=1)}), count=2)
    assert read.macs > 0


@settings(max_examples=20, deadline=None)
@given(windows(), st.sampled_from(["AveragePool", "MaxPool"]), st.booleans(), st.booleans())
def test_a_pool_over_three_axes(options: dict[str, Any], op: str, ceil: bool, counted: bool) -> None:
    assume(not (ceil and op == "AveragePool"))  # runtimes do not agree on the windows that count
    small = any(k < s for k, s in zip(options["kernel_shape"], options["strides"], strict=True))
    assume(not ("SAME" in options.get("auto_pad", "") and small))
    options = {**options, "ceil_mode": int(ceil)} if "pads" in options else options
    if op == "AveragePool":
        options = {**options, "count_include_pad": int(counted)}
    agreed(model([RELU, node(op, ["r"], "y", **options)], SHAPE, opset=19), count=2)


@pytest.mark.parametrize("op", ["AveragePool", "MaxPool"])
def test_a_negative_padding_is_refused(op: str) -> None:
    pool = node(op, ["r"], "y", kernel_shape=[1, 1], strides=[3, 3], auto_pad="SAME_UPPER")
    with pytest.raises(UnsupportedModel, match="padding of -2"):
        read_model_bytes(model([RELU, pool], (2, 6, 6)), "net.onnx")


@pytest.mark.parametrize("groups", [1, 2])
def test_a_turned_convolution_over_three_axes(groups: int) -> None:
    turned = node("ConvTranspose", ["r", "w"], "y", group=groups, strides=[2, 1, 3], pads=[1, 0, 0, 0, 1, 1])
    agreed(model([RELU, turned], SHAPE, {"w": weights(4, 2, 2, 3, 2)}), count=2)


def test_pools_over_all_of_three_axes() -> None:
    for op in ("GlobalAveragePool", "GlobalMaxPool"):
        agreed(model([RELU, node(op, ["r"], "y")], SHAPE), count=2)


def test_windows_in_the_padding_alone_give_the_bias() -> None:
    conv = node("Conv", ["r", "w", "b"], "y", pads=[2, 0, 0, 2, 0, 0])
    constants = {"w": weights(3, 4, 1, 2, 2), "b": weights(3, seed=1)}
    agreed(model([RELU, conv], SHAPE, constants), count=2)


CROP = {"coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 1.5}


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("region", [[0, 0, 0.25, 0.1, 1, 1, 0.75, 0.8], [0, 0, -0.2, 0.3, 1, 1, 0.7, 1.3]])
def test_a_region_is_cropped_and_resized(mode: str, region: list[float]) -> None:
    resize = node("Resize", ["r", "roi", "", "s"], "y", mode=mode, **CROP)
    constants = {"roi": np.float32(region), "s": np.array([1, 2, 6, 3])}
    agreed(model([RELU, resize], (2, 5, 7), constants, batch=1), count=2)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 9),
    st.integers(1, 20),
    st.sampled_from(["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"]),
    st.sampled_from(["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]),
)
def test_the_nearest_value_is_that_of_onnxruntime_or_refused(
    length: int, out: int, coordinates: str, rounding: str
) -> None:
    options = {"coordinate_transformation_mode": coordinates, "nearest_mode": rounding}
    resize = node("Resize", ["r", "", "", "s"], "y", axes=[3], **options)
    data = model([RELU, resize], (1, 1, length), {"s": np.array([out])}, opset=18)
    with contextlib.suppress(UnsupportedModel):  # where rounding decides
        agreed(data, count=2)


@pytest.mark.parametrize("attributes", [{}, {"exclusive": 1}, {"reverse": 1}, {"exclusive": 1, "reverse": 1}])
def test_a_running_sum_is_a_triangle_of_ones(attributes: dict[str, int]) -> None:
    for axis in (1, -1):
        agreed(model([RELU, node("CumSum", ["r", "k"], "y", **attributes)], (3, 4), {"k": np.array(axis)}))


@pytest.mark.parametrize("op", ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1"])
@pytest.mark.parametrize("axes", [[1], [2, 3], [1, 2, 3], [-1]])
@pytest.mark.parametrize("keep", [0, 1])
def test_reductions_along_any_axes(op: str, axes: list[int], keep: int) -> None:
    agreed(model([node(op, ["x", "k"], "y", keepdims=keep)], (2, 3, 4), {"k": np.array(axes)}, opset=18))
    old = 11 if op == "ReduceSum" else 17
    agreed(model([node(op, ["x"], "y", keepdims=keep, axes=axes)], (2, 3, 4), opset=old))
