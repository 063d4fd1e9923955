"""Small random ONNX networks over the operators that the frontend knows, for property tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from nmcompiler.ir.kernels import Array

__all__ = ["random_onnx", "random_samples"]

_LONGEST = 10
_MOST_CHANNELS = 8


def random_onnx(seed: int) -> onnx.ModelProto:
    """Returns a valid network of 3 to 8 layers on one input ``x`` with one output ``y``.

    Joins of unequal depth, signed values, pools, concats, groups, depthwise kernels, strides, pads,
    dilations, BatchNormalization, ReLU6, leaky activations, transposed convolutions, splits, slices, gathers,
    resizes, blocks as channels, channels-last inputs, 1-D signals and dense heads all occur. At
    most 10 × 10 positions and 8 channels, so that a brute-force judge can follow.

    Args:
        seed: Equal seeds give equal networks.
    """
    return _Network(np.random.default_rng(seed)).model(f"random_{seed}")


def random_samples(model: onnx.ModelProto, count: int, seed: int) -> dict[str, Array]:
    """Returns ``count`` samples for the input of a network of ``random_onnx``, float32.

    Values are uniform on 0 … 1 for even seeds and on −1 … 1 for odd ones.
    """
    rng = np.random.default_rng(seed)
    value = model.graph.input[0]
    shape = [d.dim_value for d in value.type.tensor_type.shape.dim][1:]
    return {value.name: rng.uniform(-(seed % 2), 1, (count, *shape)).astype(np.float32)}


class _Network:
    """Grows a network step by step; ``(name, shape)`` are tensors, shapes without the batch."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.nodes: list[onnx.NodeProto] = []
        self.initialisers: list[onnx.TensorProto] = []
        self.shapes: dict[str, tuple[int, ...]] = {}

    def model(self, name: str) -> onnx.ModelProto:
        current, declared = self._input()
        for _ in range(int(self.rng.integers(3, 7))):
            current = self._step(current)
        last = self._head(current)
        self.nodes.append(helper.make_node("Identity", [last], ["y"]))
        graph = helper.make_graph(
            self.nodes,
            name,
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *declared])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", *self.shapes[last]])],
            self.initialisers,
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(made)
        return made

    def node(self, op: str, inputs: Sequence[str], shape: Sequence[int], **attributes: Any) -> str:
        """Adds a node and returns its output."""
        name = f"{op.lower()}_{len(self.nodes)}"
        output = f"{name}_out"
        self.nodes.append(helper.make_node(op, list(inputs), [output], name=name, **attributes))
        self.shapes[output] = tuple(shape)
        return output

    def constant(self, value: Array) -> str:
        """Adds an initialiser and returns its name."""
        name = f"c{len(self.initialisers)}"
        self.initialisers.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def weights(self, *shape: int) -> str:
        """Adds normal weights whose sums keep the size of what they read."""
        spread = 1.2 / np.sqrt(max(1, int(np.prod(shape[1:]))))
        return self.constant(self.rng.normal(0, spread, shape).astype(np.float32))

    def small(self, *shape: int) -> str:
        """Adds biases."""
        return self.constant(self.rng.normal(0, 0.2, shape).astype(np.float32))

    def chance(self, probability: float) -> bool:
        """Draws a yes or no."""
        return bool(self.rng.random() < probability)

    def pick(self, *choices: int) -> int:
        """Draws one of some integers."""
        return int(self.rng.choice(choices))

    def _input(self) -> tuple[str, tuple[int, ...]]:
        channels = self.pick(1, 2, 3)
        lengths = self.rng.integers(5, _LONGEST + 1, size=self.pick(1, 2, 2, 2))
        spatial = [int(n) for n in lengths]
        self.shapes["x"] = (channels, *spatial)
        if not self.chance(0.25):
            return "x", (channels, *spatial)
        rank = len(spatial)
        order = [0, rank + 1, *range(1, rank + 1)]
        return self.node("Transpose", ["x"], (channels, *spatial), perm=order), (*spatial, channels)

    def _step(self, x: str) -> str:
        steps: list[tuple[float, Callable[[str], str]]] = [
            (5, self._plain_conv),
            (2, self._depthwise),
            (2, self._residual),
            (1.5, self._concat),
            (1.5, self._pool),
            (1, self._affine),
            (0.7, self._there_and_back),
            (0.8, self._taken_apart),
            (0.8, self._picked),
            (0.8, self._enlarged),
            (0.6, self._into_channels),
        ]
        weights = np.array([w for w, _ in steps])
        return steps[int(self.rng.choice(len(steps), p=weights / weights.sum()))][1](x)

    def _activated(self, x: str) -> str:
        """Adds BatchNormalization and an activation, each by chance; without one the values stay signed."""
        shape = self.shapes[x]
        if self.chance(0.3):
            channels = shape[0]
            variance = self.constant(self.rng.uniform(0.3, 2, channels).astype(np.float32))
            gamma = self.constant(self.rng.uniform(-1.5, 1.5, channels).astype(np.float32))
            x = self.node(
                "BatchNormalization", [x, gamma, self.small(channels), self.small(channels), variance], shape
            )
        kind = self.rng.random()
        if kind < 0.55:
            return self.node("Relu", [x], shape)
        if kind < 0.75:
            bounds = [
                self.constant(np.array(0, np.float32)),
                self.constant(np.array(self.pick(1, 6), np.float32)),
            ]
            return self.node("Clip", [x, *bounds], shape)
        if kind < 0.83:
            return self._leaky(x)
        return x

    def _leaky(self, x: str) -> str:
        """Adds an activation that lets negative values through, scaled or up to a bound."""
        shape = self.shapes[x]
        kind = self.pick(0, 1, 2)
        if kind == 0:
            return self.node("LeakyRelu", [x], shape, alpha=float(self.rng.uniform(0.05, 0.5)))
        if kind == 1:
            slope = self.rng.uniform(-0.5, 0.5, (shape[0], *(1 for _ in shape[1:])))
            return self.node("PRelu", [x, self.constant(slope.astype(np.float32))], shape)
        bounds = [self.constant(np.array(bound, np.float32)) for bound in (-1, self.pick(1, 3))]
        return self.node("Clip", [x, *bounds], shape)

    def _conv(self, x: str, groups: int = 0, outputs: int = 0, same: bool = False) -> str:
        channels, *spatial = self.shapes[x]
        divisors = [g for g in range(1, channels + 1) if channels % g == 0]
        groups = groups or self.pick(1, 1, 1, *divisors)
        outputs = outputs or groups * int(self.rng.integers(1, _MOST_CHANNELS // groups + 1))
        size, strides, dilations, pads, out = [], [], [], [], []
        for length in spatial:
            k = self.pick(1, 3, 3) if same else self.pick(*range(1, min(4, length) + 1))
            d = self.pick(1, 1, 2) if (k - 1) * 2 < length and not same else 1
            s = 1 if same else self.pick(1, 1, 2)
            extent = (k - 1) * d
            before, after = (extent // 2,) * 2 if same else self.rng.integers(0, k, size=2).tolist()
            size.append(k)
            strides.append(s)
            dilations.append(d)
            pads.append((before, after))
            out.append((length + before + after - extent - 1) // s + 1)
        inputs = [x, self.weights(outputs, channels // groups, *size)]
        if self.chance(0.7):
            inputs.append(self.small(outputs))
        return self.node(
            "Conv",
            inputs,
            (outputs, *out),
            kernel_shape=size,
            strides=strides,
            dilations=dilations,
            pads=[a for a, _ in pads] + [b for _, b in pads],
            group=groups,
        )

    def _plain_conv(self, x: str) -> str:
        return self._activated(self._conv(x))

    def _depthwise(self, x: str) -> str:
        channels = self.shapes[x][0]
        return self._activated(self._conv(x, groups=channels, outputs=channels))

    def _residual(self, x: str) -> str:
        """Joins a short and a longer path, or a tensor with itself."""
        channels = self.shapes[x][0]
        long = x
        for _ in range(self.pick(0, 1, 2, 3)):
            long = self._activated(self._conv(long, groups=1, outputs=channels, same=True))
        operands = [long, x] if self.chance(0.5) else [x, long]
        return self._activated(self.node("Sub" if self.chance(0.2) else "Add", operands, self.shapes[x]))

    def _concat(self, x: str) -> str:
        channels, *spatial = self.shapes[x]
        parts = [x] if channels <= 4 and self.chance(0.5) else []
        for _ in range(self.pick(1, 2)):
            parts.append(self._activated(self._conv(x, groups=1, outputs=self.pick(1, 2), same=True)))
        parts = [parts[k] for k in self.rng.permutation(len(parts))]
        total = sum(self.shapes[p][0] for p in parts)
        return self.node("Concat", parts, (total, *spatial), axis=1)

    def _pool(self, x: str) -> str:
        channels, *spatial = self.shapes[x]
        size = [min(self.pick(2, 2, 3), length) for length in spatial]
        strides = [self.pick(1, 2) for _ in spatial]
        pads = [self.pick(0, 0, k // 2) for k in size * 2]
        rank = len(spatial)
        out = [(n + pads[k] + pads[k + rank] - size[k]) // strides[k] + 1 for k, n in enumerate(spatial)]
        maximum = self.chance(0.5)
        options: dict[str, Any] = {} if maximum else {"count_include_pad": self.pick(0, 1)}
        return self.node(
            "MaxPool" if maximum else "AveragePool",
            [x],
            (channels, *out),
            kernel_shape=size,
            strides=strides,
            pads=pads,
            **options,
        )

    def _affine(self, x: str) -> str:
        """Arithmetic with a constant: one number, one for each channel, or one for each element."""
        channels, *spatial = self.shapes[x]
        along = [(1,), (channels, *(1 for _ in spatial)), (channels, *spatial)][self.pick(0, 1, 1, 2)]
        value = self.constant(self.rng.uniform(0.5, 1.5, along).astype(np.float32))
        op = ("Add", "Sub", "Mul", "Div")[self.pick(0, 1, 2, 3)]
        operands = [value, x] if op != "Div" and self.chance(0.3) else [x, value]
        return self.node(op, operands, self.shapes[x])

    def _there_and_back(self, x: str) -> str:
        """Rectifies with channels last, as converters from channels-last frameworks write it."""
        channels, *spatial = self.shapes[x]
        rank = len(spatial)
        last = self.node("Transpose", [x], (*spatial, channels), perm=[0, *range(2, rank + 2), 1])
        rectified = self.node("Relu", [last], self.shapes[last])
        return self.node(
            "Transpose", [rectified], (channels, *spatial), perm=[0, rank + 1, *range(1, rank + 1)]
        )

    def _taken_apart(self, x: str) -> str:
        """Splits the channels, works on one part, and joins the parts in another order."""
        channels, *spatial = self.shapes[x]
        if channels < 2:
            return self._plain_conv(x)
        cut = int(self.rng.integers(1, channels))
        lengths = self.constant(np.array([cut, channels - cut]))
        first = self.node("Split", [x, lengths], (cut, *spatial), axis=1)
        second = f"{first}_rest"
        self.nodes[-1].output.append(second)
        self.shapes[second] = (channels - cut, *spatial)
        worked = self._activated(self._conv(first, groups=1, outputs=cut, same=True))
        return self.node("Concat", [second, worked], (channels, *spatial), axis=1)

    def _picked(self, x: str) -> str:
        """Takes channels by index, or every nth value along a random axis."""
        shape = list(self.shapes[x])
        if self.chance(0.5):
            chosen = self.rng.integers(-shape[0], shape[0], int(self.rng.integers(1, _MOST_CHANNELS)))
            return self.node("Gather", [x, self.constant(chosen)], (len(chosen), *shape[1:]), axis=1)
        axis = int(self.rng.integers(len(shape)))
        start, step = int(self.rng.integers(0, (shape[axis] + 1) // 2)), self.pick(1, 2, -1)
        bounds = (start, shape[axis]) if step > 0 else (shape[axis] - 1 - start, -(2**31))
        shape[axis] = -(-(shape[axis] - start) // abs(step))
        operands = [self.constant(np.array([v])) for v in (*bounds, axis + 1, step)]
        return self.node("Slice", [x, *operands], shape)

    def _enlarged(self, x: str) -> str:
        """Repeats pixels, or convolves backwards with stride 1 or 2; large maps stay as they are."""
        channels, *spatial = self.shapes[x]
        if max(spatial) > _LONGEST // 2:
            size = [self.pick(1, 2) for _ in spatial]
            return self._backwards(x, size, [1 for _ in spatial])
        if self.chance(0.5):
            return self._backwards(x, [self.pick(2, 3) for _ in spatial], [2 for _ in spatial])
        factors = [self.pick(1, 2) for _ in spatial]
        scales = self.constant(np.array([1, 1, *factors], np.float32))
        out = [n * f for n, f in zip(spatial, factors, strict=True)]
        options = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return self.node("Resize", [x, "", scales], (channels, *out), mode="nearest", **options)

    def _backwards(self, x: str, size: Sequence[int], strides: Sequence[int]) -> str:
        channels, *spatial = self.shapes[x]
        outputs = self.pick(1, 2, 3)
        out = [(n - 1) * s + k for n, s, k in zip(spatial, strides, size, strict=True)]
        weight = self.weights(channels, outputs, *size)
        made = self.node(
            "ConvTranspose",
            [x, weight, self.small(outputs)],
            (outputs, *out),
            kernel_shape=size,
            strides=strides,
        )
        return self._activated(made)

    def _into_channels(self, x: str) -> str:
        """Turns blocks of pixels into channels, or channels into blocks of pixels."""
        channels, *spatial = self.shapes[x]
        if len(spatial) == 2 and max(spatial) <= _LONGEST // 2:
            x = self._conv(x, groups=1, outputs=4, same=True)
            out = (1, *(2 * n for n in spatial))
            return self.node("DepthToSpace", [x], out, blocksize=2, mode=("DCR", "CRD")[self.pick(0, 1)])
        if len(spatial) == 2 and 4 * channels <= _MOST_CHANNELS and not any(n % 2 for n in spatial):
            out = (4 * channels, *(n // 2 for n in spatial))
            return self.node("SpaceToDepth", [x], out, blocksize=2)
        return self._plain_conv(x)

    def _head(self, x: str) -> str:
        """Ends in a dense layer, in a pooled one, or in the map itself."""
        channels, *spatial = self.shapes[x]
        kind = self.pick(0, 0, 1, 1, 2)
        if kind == 2:
            return self._conv(x)
        if kind == 1:
            x = self.node("GlobalAveragePool", [x], (channels, *(1 for _ in spatial)))
        size = int(np.prod(self.shapes[x]))
        flat = self.node("Flatten", [x], (size,), axis=1)
        hidden, classes = self.pick(4, 8), self.pick(2, 3, 5)
        if self.chance(0.4):
            flat = self.node("MatMul", [flat, self._matrix(size, hidden)], (hidden,))
            flat = self.node("Relu", [self.node("Add", [flat, self.small(hidden)], (hidden,))], (hidden,))
            size = hidden
        weight = [self.weights(classes, size), self.small(classes)]
        return self.node("Gemm", [flat, *weight], (classes,), transB=1)

    def _matrix(self, size: int, outputs: int) -> str:
        spread = 1.2 / np.sqrt(size)
        return self.constant(self.rng.normal(0, spread, (size, outputs)).astype(np.float32))
