"""What the host computes after the read-out is what onnxruntime gives."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from nmcompiler.evaluate.float import run_float
from nmcompiler.evaluate.host import apply_host_ops
from nmcompiler.evaluate.onnx_runtime import run_onnx
from nmcompiler.frontend import read_model_bytes

from ..frontend.models import model, node, samples, weights


def closed(closing, opset):
    """A convolution of a 2×5×4 map, with operators that close it."""
    names = ["a", *(f"h{k}" for k in range(len(closing) - 1)), "y"]
    nodes = [node("Conv", ["x", "w"], "a")]
    nodes += [node(op, [names[k]], names[k + 1], **how) for k, (op, how) in enumerate(closing)]
    proto = onnx.load_model_from_string(model(nodes, (2, 5, 4), {"w": 4 * weights(3, 2, 2, 2)}, opset=opset))
    if closing[-1][0] == "ArgMax":
        proto.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.INT64
    return proto.SerializeToString()


@pytest.mark.parametrize(
    ("closing", "opset"),
    [
        ([("Softmax", {"axis": 1})], 17),
        ([("Softmax", {})], 17),
        ([("Softmax", {})], 11),
        ([("Softmax", {"axis": 2})], 11),
        ([("LogSoftmax", {"axis": -2})], 13),
        ([("LogSoftmax", {"axis": 1})], 11),
        ([("ArgMax", {"axis": 1})], 17),
        ([("ArgMax", {"axis": -1, "keepdims": 0})], 17),
        ([("Sigmoid", {})], 17),
        ([("Tanh", {})], 17),
        ([("Sigmoid", {}), ("ArgMax", {"axis": 1})], 13),
        ([("Softmax", {"axis": 1}), ("ArgMax", {"axis": 1, "keepdims": 0})], 17),
    ],
)
def test_the_host_does_what_onnxruntime_does(closing, opset):
    data = closed(closing, opset)
    read = read_model_bytes(data, "net.onnx")
    fed = samples(read, count=3)
    port = read.outputs[0]
    found = apply_host_ops(port.host_ops, run_float(read, fed).outputs["y"])
    wanted = run_onnx(data, fed)["y"]
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)


def test_far_apart_sums_neither_overflow_nor_vanish():
    y = np.array([[1e4, 0.0, -1e4]])
    read = read_model_bytes(
        model([node("Gemm", ["x", "w"], "a"), node("LogSoftmax", ["a"], "y")], (4,), {"w": weights(4, 3)}),
        "net.onnx",
    )
    np.testing.assert_array_equal(apply_host_ops(read.outputs[0].host_ops, y), [[0.0, -1e4, -2e4]])
