"""Small networks with random weights, and programs of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from nmcompiler.codings import coding
from nmcompiler.compiler import compile_model
from nmcompiler.frontend.data import Samples
from nmcompiler.ir.kernels import Array
from nmcompiler.ir.network import Network
from nmcompiler.plan import CompileOptions
from nmcompiler.program.assemble import assemble, boundless_cores
from nmcompiler.program.layout import Program

CHIP = "generic-digital"


class _Writer:
    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: Array) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(value.astype(np.float32), name))
        return name

    def parameters(self, *shape: int) -> list[str]:
        weight = self.rng.normal(0, 1.3 / np.sqrt(np.prod(shape[1:])), shape)
        return [self.constant(weight), self.constant(self.rng.normal(0.1, 0.3, shape[0]))]

    def add(self, op: str, name: str, inputs: list[str], **attributes: object) -> str:
        self.nodes.append(helper.make_node(op, inputs, [name], name, **attributes))
        return name

    def conv(self, name: str, x: str, ci: int, co: int) -> str:
        return self.add("Conv", name, [x, *self.parameters(co, ci, 3, 3)], pads=[1] * 4)

    def dense(self, name: str, x: str, n: int, m: int) -> str:
        return self.add("Gemm", name, [x, *self.parameters(m, n)], transB=1)

    def relu(self, x: str) -> str:
        return self.add("Relu", f"{x}.relu", [x])

    def model(self, shape: tuple[int, ...], last: str, classes: int) -> bytes:
        self.add("Identity", "scores", [last])
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *shape])],
            [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", classes])],
            self.constants,
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        return bytes(made.SerializeToString())


def residual(seed: int) -> tuple[bytes, tuple[int, ...]]:
    """Convolutions with a skip, a max pool and a dense head."""
    w = _Writer(seed)
    x = w.relu(w.conv("conv0", "x", 1, 8))
    y = w.conv("conv2", w.relu(w.conv("conv1", x, 8, 8)), 8, 8)
    x = w.relu(w.add("Add", "add", [x, y]))
    x = w.add("MaxPool", "pool", [x], kernel_shape=[2, 2], strides=[2, 2])
    x = w.add("Flatten", "flat", [w.relu(w.conv("conv3", x, 8, 12))])
    x = w.relu(w.dense("dense", x, 12 * 16, 20))
    return w.model((1, 8, 8), w.dense("out", x, 20, 6), 6), (1, 8, 8)


def perceptron(seed: int) -> tuple[bytes, tuple[int, ...]]:
    """Four dense layers."""
    w = _Writer(seed)
    x = w.relu(w.dense("fc0", "x", 30, 24))
    x = w.relu(w.dense("fc1", x, 24, 24))
    x = w.relu(w.dense("fc2", x, 24, 16))
    return w.model((30,), w.dense("fc3", x, 16, 5), 5), (30,)


NETWORKS = {"residual": residual, "perceptron": perceptron}


@dataclass(frozen=True, eq=False)
class Subject:
    """A compiled network with samples to judge it on."""

    source: bytes
    program: Program
    calibration: dict[str, Array]
    samples: Samples

    @property
    def network(self) -> Network:
        assert self.program.golden is not None
        return self.program.golden.network

    def with_network(self, network: Network) -> Program:
        """Returns a program, proved by construction, of another network that claims to be the model."""
        golden, target = self.program.golden, self.program.target
        assert golden is not None
        spiking = coding(golden.coding).convert(network, target, input_encoding=golden.input_encoding)
        made = assemble(spiking, boundless_cores(spiking), target)
        return replace(made, source=self.program.source, report=self.program.report)


@cache
def subject(name: str, seed: int, code: str = "phase", timesteps: int | None = None) -> Subject:
    source, shape = NETWORKS[name](seed)
    rng = np.random.default_rng(seed + 100)
    calibration = {"x": rng.uniform(0, 1, (256, *shape)).astype(np.float32)}
    made = compile_model(source, CHIP, code, calibration, CompileOptions(timesteps=timesteps))
    x = {"x": rng.uniform(0, 1, (24, *shape)).astype(np.float32)}
    return Subject(source, made.program, calibration, Samples(x, rng.integers(0, 5, 24)))
