from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from nmcompiler.evaluate.float import run_float
from nmcompiler.evaluate.onnx_runtime import run_onnx
from nmcompiler.frontend import read_model_bytes
from nmcompiler.ir.kernels import Sparse
from nmcompiler.testing.random_onnx import random_onnx, random_samples


@pytest.mark.parametrize("seed", range(200))
def test_a_random_network_answers_as_onnxruntime_does(seed: int) -> None:
    model = random_onnx(seed)
    data, fed = model.SerializeToString(), random_samples(model, 3, seed)
    read = read_model_bytes(data, "random.onnx")
    expected = run_onnx(data, fed)["y"]
    found = run_float(read, {"x": fed["x"].astype(np.float64)}).outputs["y"]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * float(np.abs(expected).max()) + 1e-6)


def test_networks_that_keep_whole_channels_need_no_lists_of_synapses() -> None:
    scattering = {"Split", "Slice", "Resize", "ConvTranspose", "DepthToSpace", "SpaceToDepth"}
    plain = [
        m for m in map(random_onnx, range(100)) if scattering.isdisjoint(n.op_type for n in m.graph.node)
    ]
    assert len(plain) > 20
    for model in plain:
        read = read_model_bytes(model.SerializeToString(), "random.onnx")
        # Only factors that differ from place to place need a list of synapses in these networks.
        listed = {
            read.graph.node(e.target).op for e in read.graph.edges() if isinstance(e.payload.kernel, Sparse)
        }
        assert listed <= {"AveragePool", "Mul", "Div"}


def test_random_networks_hold_every_operator_that_they_promise() -> None:
    ops = Counter(n.op_type for seed in range(200) for n in random_onnx(seed).graph.node)
    wanted = {"Conv", "BatchNormalization", "Relu", "Clip", "Add", "Sub", "Mul", "Div", "Concat", "MaxPool"}
    wanted |= {"Split", "Slice", "Gather", "DepthToSpace", "SpaceToDepth", "Resize", "ConvTranspose"}
    wanted |= {"LeakyRelu", "PRelu"}
    assert wanted | {"AveragePool", "GlobalAveragePool", "Transpose", "Flatten", "Gemm", "MatMul"} <= set(ops)


def test_equal_seeds_give_equal_networks() -> None:
    assert random_onnx(7).SerializeToString() == random_onnx(7).SerializeToString()
    assert random_onnx(7).SerializeToString() != random_onnx(8).SerializeToString()
