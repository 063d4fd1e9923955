"""Operators that only move values: no layer stands for them, and what reads them reads their source."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from nmcompiler.errors import InputFileError, UnsupportedModel
from nmcompiler.frontend import read_model_bytes
from nmcompiler.ir.layers import Model

from .models import agreed, kinds, model, node, weights


def moved(
    op: str, shape: tuple[int, ...], *constants: object, opset: int = 17, count: int = 4, **attributes: object
) -> Model:
    """Reads and checks a net of one operator on ReLUs, followed by a layer; it must not be a layer itself."""
    names = [f"c{k}" if value is not None else "" for k, value in enumerate(constants)]
    values = {n: v for n, v in zip(names, constants, strict=True) if n}
    nodes = [
        node("Relu", ["x"], "r"),
        node(op, ["r", *names], "m", **attributes),
        node("Neg", ["m"], "y"),
    ]
    read = agreed(model(nodes, shape, values, opset=opset), count=count)
    assert "m" not in read.graph
    return read


def many(nodes: list, shape: tuple[int, ...], outputs: list[str], constants: dict, opset: int = 17) -> Model:
    return agreed(model(nodes, shape, constants, outputs=outputs, opset=opset))


@pytest.mark.parametrize("opset", [11, 13, 18])
@pytest.mark.parametrize(("axis", "lengths"), [(1, [4, 2]), (-1, [1, 3, 1]), (2, [2, 2])])
def test_split_takes_lengths_as_attribute_or_operand(opset: int, axis: int, lengths: list[int]) -> None:
    outputs = [f"y{k}" for k in range(len(lengths))]
    split = node("Split", ["x"], "", name="s", axis=axis)
    constants = {}
    if opset < 13:
        split = node("Split", ["x"], "", name="s", axis=axis, split=lengths)
    else:
        split.input.append("lengths")
        constants = {"lengths": np.array(lengths)}
    del split.output[:]
    split.output.extend(f"p{k}" for k in range(len(lengths)))
    nodes = [split, *(node("Relu", [f"p{k}"], f"y{k}") for k in range(len(lengths)))]
    many(nodes, (6, 4, 5), outputs, constants, opset)


@pytest.mark.parametrize(("opset", "parts", "total"), [(11, 3, 6), (17, 2, 6), (18, 3, 7)])
def test_split_into_equal_parts(opset: int, parts: int, total: int) -> None:
    more = {"num_outputs": parts} if opset >= 18 else {}
    split = node("Split", ["x"], "p0", name="s", axis=1, **more)
    split.output.extend(f"p{k}" for k in range(1, parts))
    outputs = [f"y{k}" for k in range(parts)]
    nodes = [split, *(node("Relu", [f"p{k}"], f"y{k}") for k in range(parts))]
    many(nodes, (total, 3), outputs, {}, opset)


def test_an_empty_part_of_a_split_joins_as_nothing_and_is_no_output() -> None:
    split = node("Split", ["x", "lengths"], "a", axis=1)
    split.output.append("b")
    constants = {"lengths": np.array([6, 0])}
    nodes = [split, node("Neg", ["a"], "c"), node("Concat", ["c", "b"], "y", axis=1)]
    agreed(model(nodes, (6, 4), constants))
    with pytest.raises(InputFileError, match=r"output 'y' has no elements"):
        read_model_bytes(
            model(
                [split, node("Neg", ["a"], "c"), node("Neg", ["b"], "y")],
                (6, 4),
                constants,
                outputs=["c", "y"],
            ),
            "net.onnx",
        )
    with pytest.raises(InputFileError, match=r"output 'b' has no elements"):
        read_model_bytes(
            model([split, node("Neg", ["a"], "y")], (6, 4), constants, outputs=["y", "b"]), "net.onnx"
        )


def test_convolutions_on_a_split_read_a_slice_of_channels() -> None:
    split = node("Split", ["r", "lengths"], "a", axis=1)
    split.output.append("b")
    nodes = [node("Relu", ["x"], "r"), split, node("Conv", ["a", "v"], "y0"), node("Conv", ["b", "w"], "y1")]
    constants = {"lengths": np.array([4, 2]), "v": weights(3, 4, 3, 3), "w": weights(2, 2, 3, 3)}
    read = many(nodes, (6, 5, 5), ["y0", "y1"], constants)
    (edge,) = read.graph.in_edges("y1")
    assert (edge.source, edge.payload.kernel.source_channel) == ("r", 4)


SLICES = [
    ([1], [3], [1], None),
    ([-2], [2**63 - 1], [3], None),
    ([1, 0], [-1, 99], [2, 3], [2, 3]),
    ([-1], [-(2**31)], [2], [-1]),
    ([3, 5], [0, -9], [2, -1], [-2, -3]),
    ([0, 0, 1, 2], [2**63 - 1, 4, 5, 4], None, None),
]


@pytest.mark.parametrize(("starts", "ends", "axes", "steps"), SLICES)
def test_slice_means_what_onnx_says(
    starts: list[int], ends: list[int], axes: list[int] | None, steps: list[int] | None
) -> None:
    constants = [None if c is None else np.array(c) for c in (starts, ends, axes, steps)]
    while constants[-1] is None:
        constants.pop()
    moved("Slice", (4, 6, 5), *constants)


def test_slice_by_attributes() -> None:
    moved("Slice", (4, 6, 5), opset=9, starts=[1, -3], ends=[3, 10000], axes=[1, 2])


@pytest.mark.parametrize("axis", [1, 2, -1])
@pytest.mark.parametrize("indices", [[2, 0, -1, 0], [[0, 1], [-2, 0]], 1, [0]])
def test_gather_takes_constant_indices_of_any_shape(axis: int, indices: object) -> None:
    moved("Gather", (3, 4, 5), np.array(indices), axis=axis)


def test_gathered_channels_stay_a_convolution() -> None:
    nodes = [
        node("Relu", ["x"], "r"),
        node("Gather", ["r", "order"], "g", axis=1),
        node("Conv", ["g", "w"], "y"),
    ]
    read = agreed(model(nodes, (3, 5, 5), {"order": np.array([2, 0, 0, 1]), "w": weights(2, 4, 3, 3)}))
    assert kinds(read, "y") == ["Conv"]


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
@pytest.mark.parametrize("block", [1, 2])
def test_depth_to_space_and_back(mode: str, block: int) -> None:
    moved("DepthToSpace", (12, 2, 3), blocksize=block, mode=mode)
    moved("SpaceToDepth", (3, 4, 6), blocksize=block)


COORDINATES = ["half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners", "tf_half_pixel_for_nn"]
ROUNDINGS = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]


@pytest.mark.parametrize(("coordinates", "rounding"), list(itertools.product(COORDINATES, ROUNDINGS)))
@pytest.mark.parametrize("scales", [[1, 1, 2, 4], [1, 1, 0.5, 2]])
def test_resize_to_the_nearest_pixel(coordinates: str, rounding: str, scales: list[float]) -> None:
    opset = 11 if coordinates == "tf_half_pixel_for_nn" else 17
    options = {"coordinate_transformation_mode": coordinates, "nearest_mode": rounding}
    roi = np.zeros(0, np.float32) if opset == 11 else None  # it may be left out from opset 13 on
    moved("Resize", (2, 4, 3), roi, np.array(scales, np.float32), opset=opset, **options)


def test_resize_to_stated_sizes() -> None:
    options = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    moved("Resize", (2, 4, 3), None, None, np.array([1, 2, 8, 9]), count=1, **options)
    moved("Resize", (2, 4, 3), None, None, np.array([8, 9]), opset=18, axes=[2, 3], **options)


def test_old_forms_of_resize_take_factors() -> None:
    factors = np.array([1, 1, 2, 2], np.float32)
    moved("Resize", (2, 4, 3), factors, opset=10)
    moved("Upsample", (2, 4, 3), factors, opset=9)
    moved("Upsample", (2, 4, 3), opset=7, scales=[1.0, 1.0, 2.0, 3.0])


def test_tile_and_expand_repeat_within_a_sample() -> None:
    moved("Tile", (2, 3, 1), np.array([1, 2, 1, 3]))
    moved("Expand", (2, 1, 3), np.array([1, 2, 4, 3]))
    moved("Expand", (2, 1, 3), np.array([4, 1]))


@pytest.mark.parametrize("sizes", [[7, 7], [3, 1]])
@pytest.mark.parametrize("coordinates", ["half_pixel", "asymmetric", "align_corners"])
def test_resize_to_the_nearest_pixel_by_any_factor(sizes: list[int], coordinates: str) -> None:
    options = {"coordinate_transformation_mode": coordinates, "nearest_mode": "round_prefer_ceil"}
    moved("Resize", (2, 5, 3), None, None, np.array(sizes), opset=18, axes=[2, 3], **options)


def test_a_signal_is_resized_along_its_one_axis() -> None:
    nodes = [node("Resize", ["x", "", "s"], "y", mode="linear")]
    agreed(model(nodes, (3, 6), {"s": np.array([1, 1, 1.5], np.float32)}))


@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("sizes", [[3, 2], [4, 7]])
def test_antialias_widens_the_kernel_where_there_are_fewer_pixels(mode: str, sizes: list[int]) -> None:
    nodes = [node("Resize", ["x", "", "", "s"], "y", mode=mode, antialias=1, axes=[2, 3])]
    agreed(model(nodes, (2, 7, 5), {"s": np.array(sizes)}, opset=18))


@pytest.mark.parametrize("policy", ["not_larger", "not_smaller"])
def test_resize_that_keeps_the_aspect_ratio(policy: str) -> None:
    options = {"keep_aspect_ratio_policy": policy, "nearest_mode": "floor", **FROM_THE_CORNER}
    moved("Resize", (2, 2, 3), None, None, np.array([4, 9]), opset=18, axes=[2, 3], **options)


FROM_THE_CORNER = {"coordinate_transformation_mode": "asymmetric"}
INTERPOLATED = [
    {"mode": "linear"},
    {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
    {"mode": "linear", "coordinate_transformation_mode": "asymmetric"},
    {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"},
    {"mode": "cubic"},
    {"mode": "cubic", "cubic_coeff_a": -0.5, "exclude_outside": 1},
]


@pytest.mark.parametrize("options", INTERPOLATED)
@pytest.mark.parametrize("scales", [[1, 1, 2, 2], [1, 1, 0.6, 0.75], [1, 1, 1, 2.5]])
def test_values_between_pixels_are_one_layer_of_weights(options: dict, scales: list[float]) -> None:
    nodes = [node("Relu", ["x"], "r"), node("Resize", ["r", "", "s"], "y", **options)]
    agreed(model(nodes, (2, 5, 4), {"s": np.array(scales, np.float32)}))


ROUND = {"coordinate_transformation_mode": "half_pixel_symmetric"}
CORNERS = {"coordinate_transformation_mode": "align_corners"}
REFUSED = [
    ("Slice", [np.array([0]), np.array([1]), np.array([0])], {}, 17, "out of the batch"),
    ("Slice", [np.array([0]), np.array([3]), np.array([1]), np.array([0])], {}, 17, "step of 0"),
    ("Pad", [np.array([0, -5, 0, 0, 0, 2, 0, 0])], {}, 17, "leave nothing"),
    ("Pad", [np.array([0, 2, 0, 0, 0, -5, 0, 0])], {}, 17, "leave nothing"),
    ("Pad", [np.array([0, 0, 0, 0, 0, -5, 0, 0])], {}, 17, "leave nothing"),
    ("Slice", [np.array([0, 1]), np.array([3])], {}, 17, "2 starts, 1 ends"),
    ("Gather", [np.array([0])], {"axis": 0}, 17, "out of the batch"),
    ("Gather", [np.array([4])], {"axis": 1}, 17, "do not lie in axis 1"),
    ("DepthToSpace", [], {"blocksize": 3}, 17, "do not divide into blocks of 3"),
    ("DepthToSpace", [], {"blocksize": 2, "mode": "XYZ"}, 17, "mode 'XYZ'"),
    ("SpaceToDepth", [], {"blocksize": 5}, 17, "do not divide into blocks of 5"),
    ("Resize", [None, np.array([1, 1, 1.5, 1], np.float32)], {"nearest_mode": "up"}, 17, "nearest_mode 'up'"),
    ("Resize", [None, np.array([1, 1, 0.5, 1], np.float32)], {"mode": "lanczos"}, 17, "mode 'lanczos'"),
    ("Resize", [None, None, np.array([1, 4, 6, 4])], ROUND, 17, "rounding decides"),
    ("Resize", [None, np.array([1, 2], np.float32)], {}, 17, "do not fit 4 axes"),
    ("Resize", [None, np.array([1, 1, 1, 1e5], np.float32)], {}, 17, "1 to 65536 are supported"),
    ("Resize", [None, np.array([2, 1, 1, 1], np.float32)], {}, 17, "resizes the batch"),
    ("Resize", [], {}, 17, "neither factors nor sizes"),
    ("Resize", [None, np.array([1, 1, 1.4, 1], np.float32)], CORNERS, 17, "aligns the corners of 4"),
    ("Split", [], {"axis": 0}, 13, "takes samples apart"),
    ("Split", [np.array([1, 2])], {"axis": 1}, 13, r"\[1, 2\] do not make up the 4"),
    ("Tile", [np.array([2, 1, 1, 1])], {}, 17, "repeats samples"),
    ("Expand", [np.array([2, 1, 1, 1])], {}, 17, "repeats samples"),
    ("Expand", [np.array([1, 3, 1, 1])], {}, 17, "cannot broadcast"),
]


@pytest.mark.parametrize(("op", "constants", "attributes", "opset", "reason"), REFUSED)
def test_what_is_no_wiring_of_one_sample_is_refused(
    op: str, constants: list, attributes: dict, opset: int, reason: str
) -> None:
    names = [f"c{k}" if value is not None else "" for k, value in enumerate(constants)]
    values = {n: v for n, v in zip(names, constants, strict=True) if n}
    nodes = [node(op, ["x", *names], "odd", **attributes), node("Relu", ["odd"], "y")]
    with pytest.raises(UnsupportedModel, match=reason) as caught:
        read_model_bytes(model(nodes, (4, 4, 4), values, opset=opset), "net.onnx")
    assert [n.name for n in caught.value.nodes] == ["odd"]
