"""Piecewise linear operators, which become sums of rectified values."""

from __future__ import annotations

import numpy as np
import pytest

from nmcompiler.errors import UnsupportedModel
from nmcompiler.evaluate.float import run_float
from nmcompiler.evaluate.host import apply_host_ops
from nmcompiler.evaluate.onnx_runtime import run_onnx
from nmcompiler.frontend import read_model_bytes
from nmcompiler.ir.layers import Clip, HostOp, Model

from .models import agreed, model, node, samples, weights


def activations(read: Model) -> list[Clip]:
    return [
        layer.activation for layer in read.graph if not layer.is_input and not layer.activation.is_identity
    ]


def of(op: str, *constants: object, opset: int = 17, rectified: bool = False, **attributes: object) -> Model:
    names = [f"c{k}" if value is not None else "" for k, value in enumerate(constants)]
    values = {n: v for n, v in zip(names, constants, strict=True) if n}
    source = "r" if rectified else "x"
    nodes = [node(op, [source, *names], "y", **attributes)]
    if rectified:
        nodes.insert(0, node("Relu", ["x"], "r"))
    return agreed(model(nodes, (3, 4, 4), values, opset=opset))


@pytest.mark.parametrize("alpha", [0.01, 0.5, 1.5, -0.25])
def test_leaky_relu_is_two_rectified_halves(alpha: float) -> None:
    assert activations(of("LeakyRelu", alpha=alpha)) == [Clip(0.0), Clip(0.0)]


@pytest.mark.parametrize("shape", [(), (1,), (3, 1, 1), (1, 3, 1, 1), (3, 4, 4)])
def test_prelu_takes_slopes_that_broadcast(shape: tuple[int, ...]) -> None:
    assert activations(of("PRelu", weights(*shape))) == [Clip(0.0), Clip(0.0)]


def test_a_slope_of_zero_is_a_relu() -> None:
    assert activations(of("LeakyRelu", alpha=0.0)) == [Clip(0.0)]


def test_abs_is_two_rectified_halves() -> None:
    assert activations(of("Abs")) == [Clip(0.0), Clip(0.0)]


@pytest.mark.parametrize("op", ["LeakyRelu", "Abs"])
def test_values_that_are_never_negative_pass_as_they_are(op: str) -> None:
    assert activations(of(op, rectified=True)) == [Clip(0.0)]


@pytest.mark.parametrize(
    ("bounds", "made"),
    [
        ((-0.5, 0.25), [Clip(0.0, 0.75)]),
        ((None, 0.25), [Clip(0.0)]),
        ((0.25, None), [Clip(0.0)]),
        ((0.25, 0.5), [Clip(0.0, 0.25)]),
        ((-1.0, None), [Clip(0.0)]),
        ((0.0, 6.0), [Clip(0.0, 6.0)]),
    ],
)
def test_clip_to_any_bounds_is_a_shifted_relu(bounds: tuple, made: list[Clip]) -> None:
    assert activations(of("Clip", *bounds)) == made


@pytest.mark.parametrize("bounds", [(0.5, 0.5), (0.5, 0.25)])
def test_a_clip_that_leaves_one_value_is_a_constant_layer(bounds: tuple) -> None:
    assert activations(of("Clip", *bounds)) == []


@pytest.mark.parametrize("bounds", [(None, 0.5), (-1.0, 0.5), (0.0, 0.5)])
def test_a_clip_of_values_that_are_never_negative_is_one_layer(bounds: tuple) -> None:
    assert activations(of("Clip", *bounds, rectified=True)) == [Clip(0.0), Clip(0.0, 0.5)]


@pytest.mark.parametrize(
    ("op", "constant"),
    [("Max", 0.0), ("Min", 0.25), ("Max", -0.5), ("Max", weights(3, 1, 1)), ("Min", weights(3, 4, 4))],
)
def test_max_and_min_with_a_constant(op: str, constant: object) -> None:
    assert len(activations(of(op, constant))) == 1


def test_max_with_zero_is_a_relu_and_min_of_that_an_upper_bound() -> None:
    nodes = [node("Max", ["zero", "x"], "m"), node("Min", ["m", "six"], "y")]
    read = agreed(model(nodes, (3, 4), {"zero": 0.0, "six": 0.5}))
    assert activations(read) == [Clip(0.0), Clip(0.0, 0.5)]


@pytest.mark.parametrize("op", ["Max", "Min", "Mean", "Sum"])
def test_branches_and_constants_join(op: str) -> None:
    nodes = [
        node("Relu", ["x"], "a"),
        node("Neg", ["x"], "b"),
        node(op, ["a", "b", "c", "x", "d"], "y"),
    ]
    agreed(model(nodes, (3, 4, 4), {"c": weights(3, 1, 1), "d": 0.1}))


@pytest.mark.parametrize("attributes", [{}, {"alpha": 0.5, "beta": 0.25}, {"alpha": -1.0}])
def test_hard_sigmoid_is_one_clipped_layer(attributes: dict) -> None:
    assert activations(of("HardSigmoid", **attributes)) == [Clip(0.0, 1.0)]


@pytest.mark.parametrize("op", ["Sigmoid", "Tanh"])
def test_a_closing_squash_stays_on_the_host(op: str) -> None:
    data = model([node("Gemm", ["x", "w"], "a"), node(op, ["a"], "y")], (4,), {"w": 40 * weights(4, 3)})
    read = read_model_bytes(data, "net.onnx")
    (port,) = read.outputs
    assert port.host_ops == (HostOp(op),)
    fed = samples(read)
    found = apply_host_ops(port.host_ops, run_float(read, fed).outputs["y"].astype(np.float64))
    np.testing.assert_allclose(found, run_onnx(data, fed)["y"], atol=1e-5)


@pytest.mark.parametrize(
    ("op", "constants", "reason"),
    [
        ("PRelu", (weights(2, 3, 4, 4),), "sample to sample"),
        ("PRelu", (np.ones((1, 1, 1, 1, 1), np.float32),), "more axes|mixes"),
        ("Sigmoid", (), "only a closing one"),
    ],
)
def test_what_neurons_cannot_do_is_refused(op: str, constants: tuple, reason: str) -> None:
    names = [f"c{k}" for k in range(len(constants))]
    nodes = [node(op, ["x", *names], "odd"), node("Relu", ["odd"], "y")]
    with pytest.raises(UnsupportedModel, match=reason):
        read_model_bytes(model(nodes, (3, 4, 4), dict(zip(names, constants, strict=True))), "net.onnx")
