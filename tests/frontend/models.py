"""Makes small ONNX files in code, and compares the layer graph with onnxruntime on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from nmcompiler.evaluate.float import run_float
from nmcompiler.evaluate.host import apply_host_ops
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
    batch: int | str | None = "N",
    extra_inputs: Mapping[str, Sequence[int]] | None = None,
    dtype: int = FLOAT,
    answers: Sequence[int] = (),
) -> bytes:
    """A file with input ``x`` of ``shape`` without the batch (None: there is none).

    Constants may be lists of floats.
    """
    front = [] if batch is None else [batch]
    inputs = [helper.make_tensor_value_info("x", dtype, [*front, *shape])]
    for name, other in (extra_inputs or {}).items():
        inputs.append(helper.make_tensor_value_info(name, dtype, [*front, *other]))
    tensors = []
    for name, value in (constants or {}).items():
        array = np.asarray(value)
        array = array.astype(np.float32) if array.dtype == np.float64 else array
        tensors.append(numpy_helper.from_array(array, name))
    kinds = answers or [FLOAT] * len(outputs)
    results = [helper.make_tensor_value_info(o, k, None) for o, k in zip(outputs, kinds, strict=True)]
    graph = helper.make_graph(list(nodes), "g", inputs, results, tensors)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    data: bytes = made.SerializeToString()
    return data


def weights(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.5, shape).astype(np.float32)


def samples(read: Model, count: int = 4, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {p.name: rng.uniform(-1, 1, (count, *p.shape)).astype(np.float32) for p in read.inputs}


def whole_numbers(read: Model, count: int = 4, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {p.name: rng.integers(0, 6, (count, *p.shape)) for p in read.inputs}


def agreed(data: bytes, *, count: int = 4, draw: Callable[..., dict[str, np.ndarray]] = samples) -> Model:
    """Reads a file, asserts that the layer graph answers as onnxruntime does, and returns it."""
    read = read_model_bytes(data, "net.onnx")
    fed = draw(read, count)
    expected = run_onnx(data, fed)
    found = run_float(read, {k: v.astype(np.float64) for k, v in fed.items()}).outputs
    assert list(found) == list(expected)
    for port in read.outputs:
        answer, value = apply_host_ops(port.host_ops, found[port.name]), expected[port.name]
        assert answer.shape == value.shape
        np.testing.assert_allclose(answer, value, rtol=1e-4, atol=1e-4 * max(1.0, float(np.abs(value).max())))
    return read


def kinds(read: Model, layer: str) -> list[str]:
    """Names of the kernel classes on the edges into a layer."""
    return [type(edge.payload.kernel).__name__ for edge in read.graph.in_edges(layer)]
