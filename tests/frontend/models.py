"""Makes small ONNX files in code, and compares the layer graph with onnxruntime on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from nmcompiler.evaluate.float import run_float
from nmcompiler.evaluate.onnx_runtime import run_onnx
from nmcompiler.frontend import read_model_bytes
from nmcompiler.ir.layers import Model

FLOAT = TensorProto.FLOAT


def node(
    op: str, inputs: Sequence[str], output: str, name: str | None = None, **attributes: Any
) -> onnx.NodeProto:
    return helper.make_node(op, list(inputs), [output], name=output if name is None else name, **attributes)


def model(
    nodes: Sequence[onnx.NodeProto],
    shape: Sequence[int | str],
    constants: Mapping[str, Any] | None = None,
    *,
    outputs: Sequence[str] = ("y",),
    opset: int = 17,
    batch: int | str = "N",
    extra_inputs: Mapping[str, Sequence[int]] | None = None,
    dtype: int = FLOAT,
) -> bytes:
    """A file with input ``x`` of ``shape`` without the batch; constants may be lists of floats."""
    inputs = [helper.make_tensor_value_info("x", dtype, [batch, *shape])]
    for name, other in (extra_inputs or {}).items():
        inputs.append(helper.make_tensor_value_info(name, FLOAT, [batch, *other]))
    tensors = []
    for name, value in (constants or {}).items():
        array = np.asarray(value)
        array = array.astype(np.float32) if array.dtype == np.float64 else array
        tensors.append(numpy_helper.from_array(array, name))
    graph = helper.make_graph(
        list(nodes), "g", inputs, [helper.make_tensor_value_info(o, FLOAT, None) for o in outputs], tensors
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    data: bytes = made.SerializeToString()
    return data


def weights(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.5, shape).astype(np.float32)


def samples(read: Model, count: int = 4, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {p.name: rng.uniform(-1, 1, (count, *p.shape)).astype(np.float32) for p in read.inputs}


def agreed(data: bytes, *, count: int = 4) -> Model:
    """Reads a file, asserts that the layer graph answers as onnxruntime does, and returns it."""
    read = read_model_bytes(data, "net.onnx")
    fed = samples(read, count)
    expected = run_onnx(data, fed)
    found = run_float(read, {k: v.astype(np.float64) for k, v in fed.items()}).outputs
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name].shape == value.shape
        np.testing.assert_allclose(
            found[name], value, rtol=1e-4, atol=1e-4 * max(1.0, float(np.abs(value).max()))
        )
    return read


def kinds(read: Model, layer: str) -> list[str]:
    """Names of the kernel classes on the edges into a layer."""
    return [type(edge.payload.kernel).__name__ for edge in read.graph.in_edges(layer)]
