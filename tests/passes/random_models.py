"""Random layer graphs for tests: every operator is a layer of its own, as the frontend leaves them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from nmcompiler.ir.kernels import Array, Conv, Dense, Kernel, Shape, elementwise, identity
from nmcompiler.ir.layers import Clip, InputPort, Layer, LayerGraph, Link, MaxPool, Model, OutputPort

RELU = Clip(0.0, math.inf)


@dataclass
class ModelBuilder:
    """Adds layers one by one; every method returns the new layer's name."""

    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    graph: LayerGraph = field(default_factory=LayerGraph)
    inputs: list[InputPort] = field(default_factory=list)

    def shape(self, name: str) -> Shape:
        return self.graph.node(name).shape

    def add(self, op: str, sums: Shape, edges: list[tuple[str, Kernel]], **fields: object) -> str:
        name = f"{op.lower()}{len(self.graph)}"
        self.graph.add(Layer(name, op, sums, origin=(name,), **fields))  # type: ignore[arg-type]
        for slot, (source, kernel) in enumerate(edges):
            self.graph.connect(source, name, Link(kernel, slot))
        return name

    def input(self, shape: Shape) -> str:
        name = self.add("Input", shape, [])
        self.inputs.append(InputPort(name, shape, name, np.arange(int(np.prod(shape)))))
        return name

    def conv(self, x: str, channels: int, k: int = 3, stride: int = 1, pad: int = 1, groups: int = 1) -> str:
        h, w, c = self.shape(x)
        out = ((h + 2 * pad - k) // stride + 1, (w + 2 * pad - k) // stride + 1, channels)
        weight = self.rng.normal(0, 1 / (k * math.sqrt(c / groups)), (k, k, c // groups, channels))
        kernel = Conv(weight, (stride, stride), (pad, pad), groups=groups)
        return self.add("Conv", out, [(x, kernel)], bias=self.rng.normal(0, 0.2, (1, 1, channels)))

    def norm(self, x: str) -> str:
        c = self.shape(x)[2]
        kernel = elementwise(self.rng.uniform(0.5, 1.5, c))
        bias = self.rng.normal(0, 0.3, (1, 1, c))
        return self.add("BatchNormalization", self.shape(x), [(x, kernel)], bias=bias)

    def copy(self, x: str, op: str = "Identity", **fields: object) -> str:
        return self.add(op, self.shape(x), [(x, identity(self.shape(x)[2]))], **fields)

    def relu(self, x: str) -> str:
        return self.copy(x, "Relu", activation=RELU)

    def max_pool(self, x: str, size: int = 2, stride: int = 2, pad: int = 0) -> str:
        h, w, c = self.shape(x)
        out = (h + 2 * pad - size) // stride + 1, (w + 2 * pad - size) // stride + 1, c
        pool = MaxPool((size, size), (stride, stride), (pad, pad))
        return self.copy(x, "MaxPool", max_pool=pool, shape=out)

    def average(self, x: str) -> str:
        h, w, c = self.shape(x)
        kernel = Conv(np.full((h, w, 1, c), 1 / (h * w)), groups=c)
        return self.add("GlobalAveragePool", (1, 1, c), [(x, kernel)])

    def join(self, *sources: str) -> str:
        shape = self.shape(sources[0])
        return self.add("Add", shape, [(s, identity(shape[2])) for s in sources])

    def concat(self, *sources: str) -> str:
        edges: list[tuple[str, Kernel]] = []
        at = 0
        for s in sources:
            edges.append((s, identity(self.shape(s)[2], target_channel=at)))
            at += self.shape(s)[2]
        return self.add("Concat", (*self.shape(sources[0])[:2], at), edges)

    def dense(self, x: str, n: int) -> str:
        size = int(np.prod(self.shape(x)))
        kernel = Dense(self.rng.normal(0, 1 / math.sqrt(size), (n, size)))
        return self.add("Gemm", (1, 1, n), [(x, kernel)], bias=self.rng.normal(0, 0.2, (1, 1, n)))

    def model(self, *outputs: str) -> Model:
        ports = []
        for x in outputs:
            node = self.copy(x, "Output")
            size = int(np.prod(self.shape(node)))
            ports.append(OutputPort(x, (size,), node, np.arange(size)))
        return Model("random", self.graph, tuple(self.inputs), tuple(ports))

    def samples(self, count: int, low: float = 0.0, high: float = 1.0) -> dict[str, Array]:
        return {p.name: self.rng.uniform(low, high, (count, *p.shape)) for p in self.inputs}


def random_model(seed: int) -> tuple[Model, dict[str, Array]]:
    """Returns a small random model and 24 calibration samples for it."""
    b = ModelBuilder(np.random.default_rng(seed))
    rng = b.rng
    side = int(rng.integers(5, 9))
    x = b.input((side, side, int(rng.integers(1, 4))))
    samples = b.samples(24, *((0.0, 1.0), (-1.0, 1.0), (2.0, 3.0))[int(rng.integers(3))])
    if rng.random() < 0.4:
        x = b.norm(x)
    for _ in range(int(rng.integers(1, 5))):
        x = _block(b, x)
    if rng.random() < 0.3:
        x = b.average(x)
    elif rng.random() < 0.3:
        x = b.relu(b.dense(b.copy(x, "Flatten"), 8))
    return b.model(b.dense(x, 3)), samples


def _block(b: ModelBuilder, x: str) -> str:
    h, _, c = b.shape(x)
    kind = int(b.rng.integers(0, 9))
    if kind == 0:
        return b.relu(b.norm(b.conv(x, 4)))
    if kind == 1:
        return b.relu(b.join(b.norm(b.conv(b.relu(b.conv(x, c)), c)), x))
    if kind == 2:
        return b.relu(b.join(b.conv(x, 3, stride=2), b.conv(x, 3, k=1, stride=2, pad=0)))
    if kind == 3 and h >= 4:
        return b.relu(b.max_pool(b.conv(x, 3), 2 if b.rng.random() < 0.5 else 3, 2, int(b.rng.integers(2))))
    if kind == 4 and h >= 4:
        return b.max_pool(b.relu(b.conv(x, 3)))
    if kind == 5:
        return b.concat(b.relu(b.conv(x, 2)), b.conv(x, 1, k=1, pad=0), x)
    if kind == 6:
        return b.copy(b.conv(b.conv(x, c, groups=c), 4, k=1, pad=0), "Clip", activation=Clip(0.0, 1.0))
    if kind == 7:
        return b.norm(b.relu(b.join(x, x)))
    return b.relu(b.conv(b.norm(x), 3, stride=int(b.rng.integers(1, 3))))
