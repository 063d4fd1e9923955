"""From a random ONNX file to the simulated chip: nothing differs from the integer network on the way."""

from __future__ import annotations

import numpy as np
import pytest

from nmcompiler.compiler import compile_model, run_program
from nmcompiler.evaluate.integer import decode_outputs, run_integer
from nmcompiler.evaluate.onnx_runtime import run_onnx
from nmcompiler.frontend.data import Samples
from nmcompiler.frontend.reader import read_model_bytes
from nmcompiler.passes import Context, QuantiseOptions, to_network
from nmcompiler.plan import CompileOptions
from nmcompiler.program.container import load, save
from nmcompiler.registry import find_target
from nmcompiler.testing import tiny_target
from nmcompiler.testing.random_onnx import random_onnx, random_samples

from ..frontend.models import model, node, weights
from .checks import WINDOWED

LEVELS = (15, 7, 10, 255, 1)


def many_cores(seed):
    """A tiny chip, another one for every seed, on which nearly every network needs many cores."""
    return tiny_target(
        neurons=20 + 7 * (seed % 9),
        weight_sharing=seed % 2 == 0,
        signed_spikes=seed % 3 != 0,
        fires_when="gt" if seed % 5 == 0 else "ge",
        weight_bits=8 if seed % 4 else 5,
        rows=24,
        columns=24,
        max_chips=4,
    )


def chip_of(seed):
    """Mostly tiny chips, and every fourth time one that is sold or a generic one."""
    if seed % 4 == 3:
        return find_target("loihi2" if seed % 8 == 3 else "generic-digital")[1]
    return many_cores(seed)


def compiled(seed, code, target, options):
    """A random network as a program, and samples that calibration never saw."""
    network = random_onnx(seed)
    calibration = random_samples(network, 24, seed)
    made = compile_model(network.SerializeToString(), target, code, calibration, options)
    return made, Samples(random_samples(network, 6, seed + 2), None)


def mismatched(facts):
    return [facts[f"mismatched_{what}"] for what in ("outputs", "activations", "membranes")]


def assert_exact(seed, code):
    """Compiles and runs one network in every way that must make no difference."""
    short = code in ("phase", "graded")  # windows that do not grow with the levels
    levels = LEVELS[seed % len(LEVELS)] if short else (15, 4)[seed % 2]
    input_levels = 255 if short else 16
    options = CompileOptions(levels=levels, input_levels=input_levels, seed=seed, verify=seed % 3 == 0)
    made, samples = compiled(seed, code, chip_of(seed), options)
    assert made.facts["static_check"]["ok"]
    ways = [{"threads": 2}, {"threads": 1, "literal": True}]
    runs = [run_program(made.program, samples, batch=4, **way) for way in ways]
    for run in runs:
        assert mismatched(run.facts) == [0, 0, 0]
        assert run.facts["saturations"] == 0
    first, second = runs
    for name, y in first.outputs.items():
        assert np.array_equal(y, second.outputs[name])
    for counter in ("spikes_per_neuron", "synops_per_sample", "hops_per_sample"):
        assert first.facts[counter] == second.facts[counter]
    return made


@pytest.mark.parametrize(
    ("seed", "code"),
    [(seed, code) for code in WINDOWED for seed in range(30 if code in ("phase", "rate-sync") else 8)],
)
def test_a_random_onnx_network_is_exact_on_the_chip(seed, code):
    assert_exact(seed, code)


@pytest.mark.long
@pytest.mark.parametrize("code", WINDOWED)
@pytest.mark.parametrize("seed", range(100, 320))
def test_two_hundred_more_onnx_networks_are_exact_on_the_chip(seed, code):
    assert_exact(seed, code)


def relative_error(seed, levels):
    """RMS error of the integer network over the standard deviation of the float outputs, in calibration."""
    network = random_onnx(seed)
    source = network.SerializeToString()
    samples = random_samples(network, 256, seed)
    options = QuantiseOptions(levels=levels, weight_bits=8)
    context = Context(samples, tiny_target())
    integers, _ = to_network(read_model_bytes(source, "random.onnx"), context, options)
    wanted = run_onnx(source, samples)["y"].astype(np.float64)
    found = decode_outputs(integers, run_integer(integers, samples).outputs)["y"]
    spread = max(wanted.std(), 0.01 * np.abs(wanted).max(), 1e-6)  # some networks answer a constant
    return np.sqrt(np.mean(np.square(found - wanted))) / spread


def test_integers_lose_little_of_random_onnx_networks():
    """A fold across a border, a scale or an order gone wrong shows here as an outlier."""
    errors = [relative_error(seed, 255) for seed in range(30)]
    assert np.median(errors) < 0.005
    assert max(errors) < 0.05


@pytest.mark.long
def test_integers_lose_little_of_five_hundred_onnx_networks():
    errors = [relative_error(seed, 255) for seed in range(1000, 1500)]
    assert np.median(errors) < 0.005
    assert np.quantile(errors, 0.99) < 0.03
    assert max(errors) < 0.1  # the worst answers nearly a constant, and loses by the rounding of its weights


@pytest.mark.parametrize("seed", [1, 3, 12, 13])
def test_the_outputs_of_a_run_stand_where_onnx_has_them(seed):
    """Maps as outputs too: the chip has channels last, ONNX channels first."""
    network = random_onnx(seed)
    calibration = random_samples(network, 256, seed)
    options = CompileOptions(levels=255)
    made = compile_model(network.SerializeToString(), tiny_target(neurons=64), "phase", calibration, options)
    samples = Samples({name: x[:16] for name, x in calibration.items()}, None)
    wanted = run_onnx(network.SerializeToString(), samples.x)["y"]
    found = run_program(made.program, samples).outputs["y"]
    assert found.shape == wanted.shape
    assert found.dtype == np.float32
    assert np.sqrt(np.mean(np.square(found - wanted))) < 0.05 * wanted.std()


def test_a_layer_of_zero_weights_compiles_saves_and_answers_its_bias(tmp_path):
    """It has no error at all, so its signal to noise ratio is infinite, and no scale follows from it."""
    nodes = [node("Gemm", ["x", "zero", "b"], "a"), node("Relu", ["a"], "h"), node("Gemm", ["h", "w"], "y")]
    constants = {"zero": np.zeros((4, 3)), "b": [0.5, -1.0, 2.0], "w": weights(3, 2)}
    x = np.random.default_rng(0).random((8, 4))
    made = compile_model(model(nodes, (4,), constants), tiny_target(), "phase", {"x": x})
    save(made.program, tmp_path / "zero.nmc")
    run = run_program(load(tmp_path / "zero.nmc"), Samples({"x": x}, None))
    assert mismatched(run.facts) == [0, 0, 0]
    np.testing.assert_allclose(run.outputs["y"], [[0.5, 0.0, 2.0] @ weights(3, 2)] * 8, rtol=0.05)


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
def test_what_closes_a_network_on_the_host_is_part_of_the_results(op):
    nodes = [node("Gemm", ["x", "w"], "a"), node("Relu", ["a"], "h"), node("Gemm", ["h", "v"], "s")]
    nodes.append(node(op, ["s"], "y"))
    source = model(nodes, (6,), {"w": weights(6, 8), "v": 4 * weights(8, 3, seed=1)})
    x = np.random.default_rng(0).random((64, 6)).astype(np.float32)
    made = compile_model(source, tiny_target(), "phase", {"x": x}, CompileOptions(levels=255))
    run = run_program(made.program, Samples({"x": x}, None))
    wanted = run_onnx(source, {"x": x})["y"]
    assert made.facts["host_ops"] == [op]
    assert np.sqrt(np.mean(np.square(run.outputs["y"] - wanted))) < 0.02 * wanted.std()
    assert run.facts["agreement"]["integer_float"] > 0.95
