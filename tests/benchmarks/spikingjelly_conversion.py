"""Prints SpikingJelly's ANN-to-SNN conversions of the shipped networks beside this compiler's rate code.

    pip install -e '.[bench]'
    python -m tests.benchmarks.spikingjelly_conversion --limit 1000

All lines get the same ONNX weights, the same 256 calibration images and the same test images, whose pixels
enter as a current in each of the T steps; a network's answer is the sum of its read-out over time.
SpikingJelly computes in float32 and knows no chip; this compiler's networks have weights of 8 bits, are put
on the cores of generic-digital and run there, with as many steps more as their layers need to be reached.

SpikingJelly converts ReLU alone. For the ReLU6 of the depthwise network, activations are capped at 6 while
scales are calibrated, and the cap is lifted afterwards: a neuron then saturates at its scale, which is at
most 6. Max and percentile scales see all calibration images as one batch, so that they are exact; local
threshold balancing, which learns from batch to batch, sees them in small batches and many times over.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from spikingjelly.activation_based import ann2snn, functional
from torch import Tensor, nn

from nmcompiler.comparison import Journal, Sizes, cases, measured
from tests.benchmarks.fashion_mnist import DEMO, NETWORKS, official_images, subject

STEPS = (2, 4, 8, 16)
BATCH = 250
BALANCING_BATCH = 16
BALANCING_PASSES = 40


class Add(nn.Module):
    """The sum of two tensors."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return a + b


class Layers(nn.Module):
    """The nodes of an ONNX file as modules, in their order."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        graph = onnx.load(path).graph
        weights = {w.name: torch.tensor(numpy_helper.to_array(w)) for w in graph.initializer}
        self.source = graph.input[0].name
        self.wires: list[tuple[tuple[str, ...], tuple[str, ...], str]] = []
        for node in graph.node:
            names = []
            for k, module in enumerate(modules_of(node, weights)):
                names.append(f"{node.name.replace('.', '_')}_{k}")
                self.add_module(names[-1], module)
            inputs = tuple(i for i in node.input if i not in weights)
            self.wires.append((tuple(names), inputs, node.output[0]))

    def forward(self, image: Tensor) -> Tensor:
        """Returns the logits (N, classes)."""
        values = {self.source: image}
        for names, inputs, output in self.wires:
            first, *others = names
            value = getattr(self, first)(*(values[i] for i in inputs))
            for name in others:
                value = getattr(self, name)(value)
            values[output] = value
        return value


def modules_of(node: onnx.NodeProto, weights: Mapping[str, Tensor]) -> Sequence[nn.Module]:
    """Returns the modules of a node, one after the other."""
    given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    tensors = [weights[i] for i in node.input if i in weights]
    simple: Mapping[str, Callable[[], Sequence[nn.Module]]] = {
        "Conv": lambda: [_conv(given, *tensors)],
        "BatchNormalization": lambda: [_norm(given, *tensors)],
        "Relu": lambda: [nn.ReLU()],
        "Clip": lambda: [_capped(float(tensors[1])), nn.ReLU()],
        "MaxPool": lambda: [nn.MaxPool2d(given["kernel_shape"], given["strides"])],
        "GlobalAveragePool": lambda: [nn.AdaptiveAvgPool2d(1)],
        "Flatten": lambda: [nn.Flatten()],
        "Gemm": lambda: [_dense(*tensors)],
        "Add": lambda: [Add()],
    }
    return simple[node.op_type]()


def _capped(most: float) -> nn.Module:
    """Returns a module that SpikingJelly takes for one without effect, and that caps its input."""
    made = nn.Identity()
    made.register_forward_hook(lambda module, inputs, output: output.clamp(max=most))
    return made


def _conv(given: Mapping[str, Any], weight: Tensor, bias: Tensor | None = None) -> nn.Module:
    top, left, bottom, right = given["pads"]
    assert (top, left) == (bottom, right)
    made = nn.Conv2d(
        weight.shape[1] * given["group"],
        weight.shape[0],
        weight.shape[2:],
        given["strides"],
        (top, left),
        groups=given["group"],
        bias=bias is not None,
    )
    return _loaded(made, weight=weight, bias=bias)


def _norm(given: Mapping[str, Any], scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor) -> nn.Module:
    made = nn.BatchNorm2d(len(scale), eps=given["epsilon"])
    return _loaded(made, weight=scale, bias=bias, running_mean=mean, running_var=variance)


def _dense(weight: Tensor, bias: Tensor) -> nn.Module:
    return _loaded(nn.Linear(weight.shape[1], weight.shape[0]), weight=weight, bias=bias)


def _loaded(module: nn.Module, **tensors: Tensor | None) -> nn.Module:
    module.load_state_dict({k: v for k, v in tensors.items() if v is not None}, strict=False)
    return module


def recipes(images: Tensor) -> dict[str, Any]:
    """Returns SpikingJelly's conversions by name, over the calibration images."""
    whole = [images]
    small = list(images.split(BALANCING_BATCH)) * BALANCING_PASSES
    return {
        "max": ann2snn.RateCodingRecipe(whole, mode="max"),
        "99.9 %": ann2snn.RateCodingRecipe(whole, mode="99.9%"),
        "99.9 % per channel": ann2snn.RateCodingRecipe(
            whole, mode="99.9%", channel_wise=True, pre_spike_maxpool=True, half_threshold=True
        ),
        "local balancing": ann2snn.LocalThresholdBalancingRecipe(small),
    }


def converted(path: Path, recipe: Any) -> nn.Module:
    """Returns the spiking network; what the conversion prints is dropped."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        made = ann2snn.FXConverter(recipe, device="cpu").convert(Layers(path).eval())
    for module in made.modules():
        if isinstance(module, nn.Identity):
            module._forward_hooks.clear()  # lifts the cap: the neuron behind it saturates by itself
    return made.eval()


def accuracies(net: nn.Module, images: Tensor, classes: Tensor, steps: Sequence[int]) -> list[float]:
    """Returns the accuracy after each of ``steps`` time steps, (0 … 1)."""
    right = dict.fromkeys(steps, 0)
    with torch.no_grad():
        for x, y in zip(images.split(BATCH), classes.split(BATCH), strict=True):
            functional.reset_net(net)
            total: Tensor | float = 0.0
            for t in range(1, max(steps) + 1):
                total = total + net(x)
                if t in right:
                    right[t] += int((total.argmax(1) == y).sum())
    return [right[t] / len(classes) for t in steps]


def ours(network: str, images: np.ndarray, classes: np.ndarray, steps: Sequence[int]) -> list[float]:
    """Returns the accuracy of the placed program in the rate code, for each T."""
    asked = subject(network, images, classes, len(images), os.cpu_count() or 1)
    planned = cases(("generic-digital",), ("rate",), Sizes(timesteps=steps))
    return [row["accuracy"]["chip"] for row in measured(asked, planned, Journal(None))]


def rows(network: str, images: np.ndarray, classes: np.ndarray) -> Iterator[tuple[str, ...]]:
    """Yields the lines of one network: conversion, and accuracy at each T."""
    path = NETWORKS[network]
    x, y = torch.tensor(images, dtype=torch.float32), torch.tensor(classes, dtype=torch.int64)
    (float_accuracy,) = accuracies(Layers(path).eval(), x, y, (1,))
    calibration = torch.tensor(np.load(DEMO / "calibration.npz")["x"], dtype=torch.float32)
    for name, recipe in recipes(calibration).items():
        found = accuracies(converted(path, recipe), x, y, STEPS)
        yield line(network, f"SpikingJelly, {name}", float_accuracy, found)
    yield line(network, "nmcompiler, rate", float_accuracy, ours(network, images, classes, STEPS))


def line(network: str, how: str, float_accuracy: float, found: Sequence[float]) -> tuple[str, ...]:
    """Returns the cells of a line."""
    return network, how, *(f"{100 * a:.2f} %" for a in (float_accuracy, *found))


def main() -> None:
    """Prints the table as Markdown, row by row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=int, default=1000, help="test images of each run")
    parser.add_argument("--data", type=Path, help="folder of the data set")
    parser.add_argument("--network", choices=list(NETWORKS), action="append", help="only this network")
    options = parser.parse_args()
    torch.manual_seed(0)
    images, classes = (a[: options.limit].copy() for a in official_images(options.data))
    print("| network | conversion | float | " + " | ".join(f"T = {t}" for t in STEPS) + " |")
    print("|---|---|" + "---|" * (1 + len(STEPS)))
    for network in options.network or NETWORKS:
        for cells in rows(network, images, classes):
            print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
