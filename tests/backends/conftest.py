"""A small network with samples for the commands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper


@pytest.fixture(scope="session")
def inputs(tmp_path_factory) -> Path:
    """A folder with ``net.onnx`` (a convolution and a dense layer) and ``data.npz``."""
    folder = tmp_path_factory.mktemp("inputs")
    draw = np.random.default_rng(0).normal
    weights = {"k": draw(0, 0.4, (4, 1, 3, 3)), "b": draw(0, 0.1, 4), "m": draw(0, 0.2, (144, 5))}
    nodes = [
        helper.make_node("Conv", ["x", "k", "b"], ["a"], "conv"),
        helper.make_node("Relu", ["a"], ["t"], "relu"),
        helper.make_node("Flatten", ["t"], ["f"], "flatten"),
        helper.make_node("MatMul", ["f", "m"], ["y"], "dense"),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 5])],
        [numpy_helper.from_array(w.astype(np.float32), name) for name, w in weights.items()],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8),
        folder / "net.onnx",
    )
    x = np.random.default_rng(1).uniform(-1, 1, (24, 1, 8, 8)).astype(np.float32)
    np.savez(folder / "data.npz", x=x, y=np.arange(24) % 5)
    return folder
