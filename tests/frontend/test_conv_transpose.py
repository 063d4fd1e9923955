from __future__ import annotations

import pytest

from nmcompiler.errors import UnsupportedModel
from nmcompiler.frontend import read_model_bytes

from .models import agreed, kinds, model, node, weights


def transposed(shape: tuple[int, ...], weight: tuple[int, ...], **attributes: object) -> bytes:
    outputs = weight[1] * int(str(attributes.get("group", 1)))
    constants = {"w": weights(*weight), "b": weights(outputs, seed=1)}
    return model([node("ConvTranspose", ["x", "w", "b"], "y", **attributes)], shape, constants)


@pytest.mark.parametrize(
    ("shape", "weight", "attributes", "kind"),
    [
        ((3, 4, 5), (3, 2, 3, 2), {}, "Conv"),
        ((3, 4, 5), (3, 2, 3, 3), {"pads": [1, 0, 2, 1], "dilations": [1, 2]}, "Conv"),
        ((3, 4, 5), (3, 2, 1, 1), {}, "Conv"),
        ((4, 4, 5), (4, 3, 3, 3), {"group": 2}, "Conv"),
        ((4, 4, 5), (4, 1, 2, 2), {"group": 4}, "Conv"),
        ((3, 4, 5), (3, 2, 3, 3), {"strides": [2, 2]}, "Sparse"),
        (
            (3, 4, 5),
            (3, 2, 3, 3),
            {"strides": [2, 3], "pads": [1, 0, 2, 1], "output_padding": [1, 0]},
            "Sparse",
        ),
        ((4, 3, 3), (4, 2, 2, 2), {"strides": [2, 2], "group": 2}, "Sparse"),
        ((2, 3, 4), (2, 3, 2, 2), {"strides": [3, 3], "dilations": [2, 1]}, "Sparse"),
        ((2, 3, 4), (2, 3, 3, 3), {"strides": [2, 2], "auto_pad": "SAME_UPPER"}, "Sparse"),
        ((2, 3, 4), (2, 3, 3, 3), {"strides": [2, 2], "auto_pad": "SAME_LOWER"}, "Sparse"),
        ((2, 3, 4), (2, 3, 3, 3), {"strides": [2, 2], "auto_pad": "VALID"}, "Sparse"),
        ((2, 3, 4), (2, 3, 3, 3), {"strides": [2, 2], "output_shape": [6, 8]}, "Sparse"),
        ((2, 3, 3), (2, 3, 3, 3), {"strides": [3, 2], "output_shape": [10, 8]}, "Sparse"),
        ((2, 6), (2, 3, 4), {"strides": [2], "pads": [1, 1]}, "Sparse"),
        ((2, 6), (2, 3, 3), {"pads": [2, 0]}, "Conv"),
    ],
)
def test_conv_transpose_is_a_convolution_of_values_kept_apart(
    shape: tuple[int, ...], weight: tuple[int, ...], attributes: dict, kind: str
) -> None:
    read = agreed(transposed(shape, weight, **attributes))
    assert set(kinds(read, "y")) == {kind}
    assert len(read.graph) == 2


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"group": 2}, "does not fit"),
        ({"kernel_shape": [5, 5]}, "contradicts"),
        ({"output_padding": [4, 4]}, "output_padding"),
        ({"pads": [3, 3, 3, 3]}, "leaves no output"),
        ({"output_shape": [40]}, "output_shape"),
        ({"output_shape": [4000, 4000]}, "at most"),
        ({"auto_pad": "SOMEHOW"}, "auto_pad"),
    ],
)
def test_impossible_geometry_is_refused(attributes: dict, reason: str) -> None:
    constants = {"w": weights(3, 2, 3, 3)}
    data = model([node("ConvTranspose", ["x", "w"], "y", **attributes)], (3, 4, 4), constants)
    with pytest.raises(UnsupportedModel, match=reason):
        read_model_bytes(data, "net.onnx")
