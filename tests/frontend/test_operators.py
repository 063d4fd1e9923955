from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from nmcompiler.errors import UnsupportedModel
from nmcompiler.evaluate.onnx_runtime import run_onnx
from nmcompiler.frontend import read_model_bytes
from nmcompiler.ir.kernels import Conv, Sparse

from .models import agreed, kinds, model, node, weights


def conv_model(shape: tuple[int, ...], weight: tuple[int, ...], **attributes: object) -> bytes:
    constants = {"w": weights(*weight), "b": weights(weight[0], seed=1)}
    return model([node("Conv", ["x", "w", "b"], "y", **attributes)], shape, constants)


@pytest.mark.parametrize(
    ("shape", "weight", "attributes"),
    [
        ((3, 6, 7), (4, 3, 3, 2), {}),
        ((3, 6, 7), (4, 3, 3, 2), {"strides": [2, 1], "pads": [2, 0, 1, 3], "dilations": [1, 2]}),
        ((4, 6, 6), (6, 2, 3, 3), {"group": 2, "pads": [1, 1, 1, 1]}),
        ((4, 6, 6), (4, 1, 3, 3), {"group": 4}),
        ((4, 6, 6), (8, 1, 3, 3), {"group": 4}),
        ((3, 6, 6), (2, 3, 3, 3), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
        ((3, 7, 6), (2, 3, 2, 4), {"auto_pad": "SAME_LOWER"}),
        ((3, 7, 6), (2, 3, 2, 4), {"auto_pad": "VALID"}),
        ((2, 12), (3, 2, 3), {"pads": [8, 0], "dilations": [4]}),
        ((2, 12), (3, 2, 3), {"auto_pad": "SAME_UPPER", "strides": [3]}),
        ((1, 260, 1), (3, 1, 3, 1), {}),
    ],
)
def test_conv_is_one_convolution_kernel(
    shape: tuple[int, ...], weight: tuple[int, ...], attributes: dict
) -> None:
    read = agreed(conv_model(shape, weight, **attributes))
    assert kinds(read, "y") == ["Conv"]
    assert read.outputs[0].node == "y"


def test_macs_of_a_grouped_conv_count_each_output_once() -> None:
    assert agreed(conv_model((4, 6, 6), (6, 2, 3, 3), group=2)).macs == 4 * 4 * 6 * 2 * 9


@pytest.mark.parametrize(
    ("alpha", "beta", "turned", "bias"),
    [
        (1.0, 1.0, 0, (5,)),
        (0.25, 3.0, 1, (1, 5)),
        (-0.5, 1.0, 0, None),
        (1.0, 2.0, 1, (1,)),
        (1.0, 1.0, 0, ()),
    ],
)
def test_gemm_scales_weight_and_bias(
    alpha: float, beta: float, turned: int, bias: tuple[int, ...] | None
) -> None:
    constants = {"w": weights(*((5, 7) if turned else (7, 5)))}
    if bias is not None:
        constants["b"] = weights(*bias, seed=3)
    gemm = node("Gemm", ["x", *constants], "y", alpha=alpha, beta=beta, transB=turned)
    assert kinds(agreed(model([gemm], (7,), constants)), "y") == ["Dense"]


@pytest.mark.parametrize("shape", [(6,), (5, 6), (3, 5, 6), (1, 6)])
def test_matmul_acts_on_the_last_axis(shape: tuple[int, ...]) -> None:
    agreed(model([node("MatMul", ["x", "w"], "y")], shape, {"w": weights(6, 4)}))


def test_matmul_with_a_vector_takes_the_last_axis_away() -> None:
    agreed(model([node("MatMul", ["x", "w"], "y")], (3, 6), {"w": weights(6)}))


def test_matmul_with_the_constant_on_the_left_acts_on_the_axis_before() -> None:
    agreed(model([node("MatMul", ["w", "x"], "y")], (5, 6), {"w": weights(4, 5)}))


@pytest.mark.parametrize("shape", [(3, 4, 5), (3, 7), (3,)])
def test_batch_normalization_uses_its_own_epsilon(shape: tuple[int, ...]) -> None:
    constants = {"g": weights(3), "b": weights(3, seed=1), "m": weights(3, seed=2), "v": [0.1, 0.5, 2.0]}
    read = agreed(model([node("BatchNormalization", ["x", *constants], "y", epsilon=0.5)], shape, constants))
    assert kinds(read, "y") == ["Conv"]
    assert read.graph.node("y").bias.shape == (1, 1, 3)


def test_relu_is_a_layer_that_copies_and_clips() -> None:
    read = agreed(model([node("Relu", ["x"], "y")], (3, 4, 4)))
    assert read.graph.node("y").activation.lower == 0
    assert read.graph.node("y").activation.upper == math.inf
    assert read.graph.node(read.outputs[0].node).op == "Output"


def test_clip_takes_its_bounds_from_operands() -> None:
    read = agreed(model([node("Clip", ["x", "lo", "hi"], "y")], (3, 4), {"lo": 0.0, "hi": 0.5}))
    assert read.graph.node("y").activation.upper == 0.5


def test_clip_takes_its_bounds_from_attributes_in_old_files() -> None:
    agreed(model([node("Clip", ["x"], "y", min=0.0, max=0.25)], (3, 4), opset=10))


def test_clip_without_bounds_makes_no_layer() -> None:
    huge = np.float32(np.finfo(np.float32).max)
    nodes = [node("Clip", ["x", "", "hi"], "a"), node("Relu", ["a"], "y")]
    read = agreed(model(nodes, (3, 4), {"hi": huge}))
    assert "a" not in read.graph


POOLS = [
    {"kernel_shape": [2, 2], "strides": [2, 2]},
    {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]},
    {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1},
    {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1, "pads": [1, 1, 1, 1]},
    {"kernel_shape": [2, 2], "strides": [2, 2], "auto_pad": "SAME_LOWER"},
    {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
    {"kernel_shape": [2, 2], "strides": [1, 1], "auto_pad": "VALID"},
]


@pytest.mark.parametrize(
    "attributes", [*POOLS, {"kernel_shape": [2, 2], "dilations": [2, 2], "pads": [1, 1, 1, 1]}]
)
def test_max_pool_leaves_the_padding_out(attributes: dict) -> None:
    read = agreed(model([node("MaxPool", ["x"], "y", **attributes)], (3, 8, 7)))
    assert read.graph.node("y").max_pool is not None
    assert kinds(read, "y") == ["Conv"]


@pytest.mark.parametrize(("attributes", "padded"), list(itertools.product(POOLS, [0, 1])))
def test_average_pool_divides_by_what_counts(attributes: dict, padded: int) -> None:
    agreed(model([node("AveragePool", ["x"], "y", count_include_pad=padded, **attributes)], (3, 8, 7)))


def test_average_pool_is_one_depthwise_kernel_where_all_windows_count_alike() -> None:
    pool = {"kernel_shape": [2, 2], "strides": [2, 2]}
    read = agreed(model([node("AveragePool", ["x"], "y", **pool)], (3, 8, 6)))
    assert kinds(read, "y") == ["Conv"]


def test_pools_work_on_signals() -> None:
    for op in ("MaxPool", "AveragePool"):
        read = agreed(model([node(op, ["x"], "y", kernel_shape=[3], strides=[2])], (3, 9)))
        assert kinds(read, "y") == ["Conv"]


@pytest.mark.parametrize("op", ["GlobalAveragePool", "GlobalMaxPool"])
@pytest.mark.parametrize("shape", [(3, 4, 5), (3, 7)])
def test_global_pools_take_the_whole_map(op: str, shape: tuple[int, ...]) -> None:
    assert kinds(agreed(model([node(op, ["x"], "y")], shape)), "y") == ["Conv"]


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((3, 4, 5), [2, 3]),
        ((3, 4, 5), [-1]),
        ((3, 4, 5), [2]),
        ((3, 4, 5), [1]),
        ((3, 7), [-1]),
        ((4, 5, 3), [1, 2]),
    ],
)
@pytest.mark.parametrize("keepdims", [0, 1])
def test_reduce_mean_takes_axes_as_attribute_or_operand(
    shape: tuple[int, ...], axes: list[int], keepdims: int
) -> None:
    first = agreed(model([node("ReduceMean", ["x"], "y", axes=axes, keepdims=keepdims)], shape))
    operand = node("ReduceMean", ["x", "axes"], "y", keepdims=keepdims)
    agreed(model([operand], shape, {"axes": np.array(axes)}, opset=18))
    assert kinds(first, "y") == ["Conv"]


def test_add_of_a_tensor_to_itself_keeps_two_edges() -> None:
    read = agreed(model([node("Add", ["x", "x"], "y")], (3, 4, 4)))
    assert kinds(read, "y") == ["Conv", "Conv"]
    assert [e.payload.slot for e in read.graph.in_edges("y")] == [0, 1]


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div"])
@pytest.mark.parametrize("along", [(), (1,), (4,), (3, 1, 1), (1, 3, 4, 4), (4, 1)])
def test_arithmetic_with_a_constant_broadcasts_as_onnx_says(op: str, along: tuple[int, ...]) -> None:
    agreed(model([node(op, ["x", "c"], "y")], (3, 4, 4), {"c": weights(*along) + 2}))


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul"])
def test_a_constant_may_be_the_first_operand(op: str) -> None:
    agreed(model([node(op, ["c", "x"], "y")], (3, 4, 4), {"c": weights(3, 1, 1)}))


def test_sum_adds_branches_and_constants() -> None:
    nodes = [node("Relu", ["x"], "r"), node("Sum", ["x", "c", "r", "x"], "y")]
    read = agreed(model(nodes, (3, 4, 4), {"c": weights(3, 1, 1)}))
    assert kinds(read, "y") == ["Conv", "Conv", "Conv"]


def test_branches_broadcast() -> None:
    nodes = [node("GlobalAveragePool", ["x"], "g"), node("Sub", ["x", "g"], "y")]
    agreed(model(nodes, (3, 4, 4)))


def test_concat_is_wiring_in_the_order_of_its_operands() -> None:
    nodes = [
        node("Relu", ["x"], "early"),
        node("Conv", ["early", "w"], "late"),
        node("Concat", ["late", "early"], "both", axis=1),
        node("Conv", ["both", "v"], "y"),
    ]
    read = agreed(model(nodes, (3, 4, 4), {"w": weights(2, 3, 1, 1), "v": weights(4, 5, 3, 3)}))
    assert "both" not in read.graph
    assert [e.source for e in read.graph.in_edges("y")] == ["early", "late"]
    assert kinds(read, "y") == ["Conv", "Conv"]


def test_concat_takes_zeros_as_padding() -> None:
    nodes = [node("Concat", ["x", "zero"], "wide", axis=1), node("Conv", ["wide", "w"], "y")]
    agreed(model(nodes, (3, 4, 4), {"zero": np.zeros((1, 2, 4, 4)), "w": weights(4, 5, 3, 3)}), count=1)


def test_concat_adds_constants_as_a_bias() -> None:
    nodes = [node("Concat", ["x", "where"], "wide", axis=1), node("Conv", ["wide", "w"], "y", pads=[1] * 4)]
    constants = {"where": weights(1, 2, 4, 4), "w": weights(4, 5, 3, 3)}
    read = agreed(model(nodes, (3, 4, 4), constants), count=1)
    assert kinds(read, "y") == ["Conv"]


@pytest.mark.parametrize("axis", [1, -3])
def test_flatten_permutes_the_weights_of_the_dense_layer(axis: int) -> None:
    nodes = [
        node("Conv", ["x", "v"], "a"),
        node("Flatten", ["a"], "f", axis=axis),
        node("Gemm", ["f", "w"], "y"),
    ]
    constants = {"v": weights(3, 2, 2, 2), "w": weights(3 * 3 * 4, 5)}
    read = agreed(model(nodes, (2, 4, 5), constants))
    assert kinds(read, "y") == ["Dense"]


@pytest.mark.parametrize("target", [[0, -1], [-1, 36], [1, -1], [0, 36]])
def test_reshape_keeps_the_batch(target: list[int]) -> None:
    nodes = [node("Reshape", ["x", "shape"], "f"), node("Gemm", ["f", "w"], "y")]
    agreed(model(nodes, (3, 3, 4), {"shape": np.array(target), "w": weights(36, 2)}), count=1)


def test_a_batch_baked_into_the_file_is_no_dimension_of_the_network() -> None:
    nodes = [node("Reshape", ["x", "shape"], "f"), node("Gemm", ["f", "w"], "y")]
    data = model(nodes, (3, 4), {"shape": np.array([16, 12]), "w": weights(12, 2)}, batch=16)
    read = agreed(data, count=19)
    assert read.outputs[0].shape == (2,)


def test_a_channel_shuffle_is_wiring() -> None:
    nodes = [
        node("Conv", ["x", "w"], "a", group=2),
        node("Reshape", ["a", "six"], "b"),
        node("Transpose", ["b"], "c", perm=[0, 2, 1, 3, 4]),
        node("Reshape", ["c", "four"], "d"),
        node("Conv", ["d", "v"], "y", group=6),
    ]
    constants = {
        "w": weights(6, 2, 1, 1),
        "v": weights(6, 1, 3, 3),
        "six": np.array([0, 2, 3, 4, 5]),
        "four": np.array([0, 6, 4, 5]),
    }
    read = agreed(model(nodes, (4, 4, 5), constants))
    assert kinds(read, "y") == ["Conv"]


def test_groups_that_straddle_a_concat_are_gathered() -> None:
    nodes = [
        node("Relu", ["x"], "a"),
        node("Conv", ["x", "w"], "b"),
        node("Concat", ["a", "b"], "c", axis=1),
        node("Conv", ["c", "v"], "y", group=2),
    ]
    read = agreed(model(nodes, (3, 4, 4), {"w": weights(1, 3, 1, 1), "v": weights(4, 2, 3, 3)}))
    assert set(kinds(read, "y")) == {"Conv"}


def test_zeros_of_a_pad_become_padding_of_the_convolution() -> None:
    nodes = [node("Pad", ["x", "pads"], "p"), node("Conv", ["p", "w"], "y", pads=[1, 1, 1, 1])]
    constants = {"pads": np.array([0, 0, 1, 2, 0, 0, 0, 1]), "w": weights(2, 3, 3, 3)}
    read = agreed(model(nodes, (3, 5, 4), constants))
    assert kinds(read, "y") == ["Conv"]


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect"])
def test_padded_values_count_in_a_max_pool(mode: str) -> None:
    nodes = [node("Pad", ["x", "pads"], "p", mode=mode), node("MaxPool", ["p"], "y", kernel_shape=[2, 2])]
    agreed(model(nodes, (3, 5, 4), {"pads": np.array([0, 0, 1, 2, 0, 0, 0, 1])}))


def test_a_border_of_a_constant_is_a_bias() -> None:
    nodes = [node("Pad", ["x", "pads", "grey"], "p"), node("Conv", ["p", "w"], "y")]
    constants = {"pads": np.array([0, 0, 1, 2, 0, 0, 0, 1]), "grey": 0.8, "w": weights(2, 3, 3, 3)}
    read = agreed(model(nodes, (3, 5, 4), constants))
    assert not any(isinstance(e.payload.kernel, Sparse) for e in read.graph.edges())
    agreed(model([node("Pad", ["x"], "y", pads=[0, 1, 0, 2], value=-1.5)], (4,), opset=10))


def test_negative_pads_crop() -> None:
    agreed(
        model([node("Pad", ["x"], "p", pads=[0, 0, -1, 0, 1, 2]), node("Relu", ["p"], "y")], (3, 6), opset=10)
    )


def test_squeeze_and_unsqueeze_are_wiring() -> None:
    nodes = [
        node("Unsqueeze", ["x", "one"], "u"),
        node("Conv", ["u", "w"], "c"),
        node("GlobalAveragePool", ["c"], "g"),
        node("Squeeze", ["g", "two"], "s"),
        node("Gemm", ["s", "v"], "y"),
    ]
    constants = {"one": np.array([1]), "two": np.array([-1]), "w": weights(3, 1, 4), "v": weights(3, 2)}
    agreed(model(nodes, (12,), constants))


def test_identity_dropout_and_cast_make_no_layer() -> None:
    nodes = [
        node("Cast", ["x"], "a", to=1),
        node("Identity", ["a"], "b"),
        node("Dropout", ["b"], "c"),
        node("Gemm", ["c", "w"], "y"),
    ]
    assert len(agreed(model(nodes, (4,), {"w": weights(4, 2)})).graph) == 2


def test_constants_are_folded_before_they_are_weights() -> None:
    nodes = [
        node("Mul", ["direction", "length"], "m"),
        node("Transpose", ["m"], "t"),
        node("Identity", ["t"], "w"),
        node("MatMul", ["x", "w"], "y"),
    ]
    agreed(model(nodes, (4,), {"direction": weights(4, 4), "length": weights(4, 1)}))


def test_a_wire_that_is_no_whole_channel_becomes_synapses() -> None:
    nodes = [
        node("Relu", ["x"], "a"),
        node("Conv", ["a", "v"], "b"),
        node("Reshape", ["b", "shape"], "c"),
        node("Conv", ["c", "w"], "y"),
    ]
    constants = {"v": weights(2, 2, 1, 1), "shape": np.array([0, 2, -1]), "w": weights(3, 2, 3)}
    read = agreed(model(nodes, (2, 4, 5), constants))
    assert kinds(read, "y") == ["Sparse"]


def test_channels_last_files_come_out_as_convolutions() -> None:
    back, forth = [0, 3, 1, 2], [0, 2, 3, 1]
    nodes = [
        node("Sub", ["x", "mean"], "n"),
        node("Transpose", ["n"], "a", perm=back),
        node("Conv", ["a", "w"], "b"),
        node("Transpose", ["b"], "c", perm=forth),
        node("Add", ["c", "bias"], "d"),
        node("Relu", ["d"], "e"),
        node("Transpose", ["e"], "f", perm=back),
        node("MaxPool", ["f"], "g", kernel_shape=[2, 2], strides=[2, 2]),
        node("Transpose", ["g"], "h", perm=forth),
        node("Reshape", ["h", "flat"], "i"),
        node("MatMul", ["i", "v"], "y"),
    ]
    constants = {
        "mean": weights(3),
        "w": weights(4, 3, 3, 3),
        "bias": weights(4, seed=1),
        "flat": np.array([-1, 16]),
        "v": weights(16, 5),
    }
    read = agreed(model(nodes, (6, 6, 3), constants))
    assert not any(isinstance(e.payload.kernel, Sparse) for e in read.graph.edges())
    assert read.graph.node("x").shape == (6, 6, 3)
    assert read.graph.node("d").bias.shape == (1, 1, 4)


def test_parameters_along_channels_decide_the_layout_of_an_input() -> None:
    constants = {"g": weights(3), "b": weights(3, seed=1), "m": weights(3, seed=2), "v": [0.1, 0.5, 2.0]}
    nodes = [
        node("Transpose", ["x"], "a", perm=[0, 3, 1, 2]),
        node("BatchNormalization", ["a", *constants], "y"),
    ]
    read = agreed(model(nodes, (4, 4, 3), constants))
    assert kinds(read, "y") == ["Conv"]


def test_a_dense_layer_takes_the_layout_of_the_map_that_it_becomes() -> None:
    nodes = [
        node("Gemm", ["x", "v", "b"], "a"),
        node("Relu", ["a"], "r"),
        node("Reshape", ["r", "shape"], "m"),
        node("Conv", ["m", "w"], "y"),
    ]
    constants = {
        "v": weights(5, 3 * 4 * 4),
        "b": weights(48, seed=1),
        "shape": np.array([0, 3, 4, 4]),
        "w": weights(2, 3, 3, 3),
    }
    read = agreed(model(nodes, (5,), constants))
    assert read.graph.node("a").shape == (4, 4, 3)
    assert kinds(read, "y") == ["Conv"]


def test_a_slice_of_channels_is_read_by_one_kernel() -> None:
    nodes = [
        node("Concat", ["x", "x"], "c", axis=1),
        node("Conv", ["c", "w"], "y", group=2),
    ]
    read = agreed(model(nodes, (3, 4, 4), {"w": weights(4, 3, 3, 3)}))
    kernels = [e.payload.kernel for e in read.graph.in_edges("y")]
    assert [(k.source_channel, k.target_channel) for k in kernels if isinstance(k, Conv)] == [(0, 0), (0, 2)]


REFUSED = [
    ("Conv", ["x", "w"], {"kernel_shape": [5, 5]}, "kernel_shape"),
    ("Conv", ["x", "w"], {"group": 2}, "does not fit"),
    ("Conv", ["x", "w"], {"pads": [-1, 0, 0, 0]}, "pads"),
    ("Conv", ["x", "w"], {"dilations": [9, 9]}, "no output"),
    ("Mul", ["x", "x"], {}, "product of two tensors"),
    ("MatMul", ["x", "x"], {}, "product of two tensors"),
    ("Div", ["c", "x"], {}, "divides by a tensor"),
    ("Transpose", ["x"], {}, "moves the batch"),
    ("Flatten", ["x"], {"axis": 2}, "samples and features"),
    ("Flatten", ["x"], {"axis": 9}, "does not exist"),
    ("Reshape", ["x", "bad"], {}, "cannot give the shape"),
    ("Concat", ["x", "x"], {"axis": 0}, "joins samples"),
    ("ReduceMean", ["x"], {"axes": [0]}, "takes samples together"),
    ("Cast", ["x"], {"to": 7}, "rounds to INT64"),
    ("Pad", ["x", "bad"], {}, "do not fit"),
    ("Add", ["x", "bad"], {}, "computes with integers"),
    ("Erf", ["x"], {}, "operator Erf is not supported"),
    ("BatchNormalization", ["x", "p", "p", "p", "negative"], {}, "no square root"),
    ("BatchNormalization", ["x", "p", "p", "p", "p"], {"training_mode": 1}, "training_mode"),
]


@pytest.mark.parametrize(("op", "inputs", "attributes", "reason"), REFUSED)
def test_what_cannot_be_compiled_is_refused_with_its_reason(
    op: str, inputs: list[str], attributes: dict, reason: str
) -> None:
    constants = {
        "w": weights(4, 3, 3, 3),
        "c": 0.5,
        "bad": np.array([0, 5]),
        "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
        "p": [1.0, 1.0, 1.0],
        "negative": [1.0, -2.0, 1.0],
    }
    data = model([node(op, inputs, "odd", **attributes), node("Relu", ["odd"], "y")], (3, 4, 4), constants)
    with pytest.raises(UnsupportedModel, match=reason) as caught:
        read_model_bytes(data, "net.onnx")
    assert [n.name for n in caught.value.nodes] == ["odd"]


def test_the_judge_fills_up_a_batch_that_is_baked_in() -> None:
    data = model([node("Relu", ["x"], "y")], (3,), batch=4)
    x = weights(6, 3)
    np.testing.assert_array_equal(run_onnx(data, {"x": x})["y"], np.maximum(x, 0))
