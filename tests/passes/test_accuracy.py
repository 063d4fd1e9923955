"""The shipped network loses next to nothing in integers."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from nmcompiler.evaluate.float import run_float
from nmcompiler.evaluate.integer import run_integer
from nmcompiler.frontend import read_model
from nmcompiler.ir.kernels import Array
from nmcompiler.ir.layers import Model
from nmcompiler.passes import Context, QuantiseOptions, SplitSigned, to_network
from nmcompiler.target.model import Target, ThresholdFormat
from nmcompiler.testing.targets import tiny_target

DATA = Path(str(files("nmcompiler.demo_data")))


@cache
def _shipped() -> tuple[Model, Array, Array, Array, float]:
    """Returns the network, calibration samples, test samples and labels, and its accuracy in percent."""
    model = read_model(DATA / "fashion_mnist_lenet.onnx")
    with np.load(DATA / "calibration.npz") as calibration, np.load(DATA / "test.npz") as test:
        samples, x, y = calibration["x"], test["x"], test["y"]
    result = run_float(model, {model.inputs[0].name: x.astype(np.float32)}).outputs[model.outputs[0].name]
    return model, samples, x, y, 100 * float(np.mean(result.argmax(axis=1) == y))


def _loss(target: Target, options: QuantiseOptions) -> float:
    """Returns percentage points lost on the shipped test images."""
    model, samples, x, y, accuracy = _shipped()
    name = model.inputs[0].name
    legal = () if target.signed_spikes else (SplitSigned(),)
    network, _ = to_network(model, Context({name: samples}, target), options, legalise=legal)
    outputs = run_integer(network, {name: x}).outputs[model.outputs[0].name]
    return accuracy - 100 * float(np.mean(outputs.argmax(axis=1) == y))


@pytest.mark.parametrize(("levels", "budget"), [(255, 0.3), (15, 0.5)])
def test_eight_bit_weights_keep_the_accuracy(levels: int, budget: float) -> None:
    assert _loss(tiny_target(), QuantiseOptions(levels=levels)) <= budget


def test_small_membranes_and_one_threshold_a_population_keep_it_too() -> None:
    target = tiny_target(membrane_bits=18, threshold=ThresholdFormat(17, "population"), signed_spikes=False)
    assert _loss(target, QuantiseOptions(levels=15)) <= 0.5
    sixteen = QuantiseOptions(levels=16, input_levels=16, headroom_bits=4, proved=False)
    assert _loss(target, sixteen) <= 1.0
