"""What is chosen for layers with too many inputs, and what is said where nothing fits."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from nmcompiler.errors import DoesNotFit
from nmcompiler.evaluate.float import run_float
from nmcompiler.evaluate.integer import run_integer
from nmcompiler.frontend import read_model
from nmcompiler.ir.kernels import Array
from nmcompiler.ir.layers import Model
from nmcompiler.passes import (
    Context,
    FanInMethod,
    LegaliseFanIn,
    PassResult,
    Pipeline,
    Quantise,
    QuantiseOptions,
    float_passes,
    to_network,
)
from nmcompiler.passes.fan_in import FanIn, available_neurons, neurons_of, with_joined_pools
from nmcompiler.target.layer_rules import NetworkLimits
from nmcompiler.target.model import Target
from nmcompiler.testing.targets import boundless_target, tiny_target
from tests.passes.random_models import ModelBuilder

DATA = Path(str(files("nmcompiler.demo_data")))


def _simple(model: Model) -> Model:
    return Pipeline(float_passes()).run(model, Context(None, boundless_target())).graph


def _mlp() -> tuple[Model, dict[str, Array]]:
    """Returns a network of 12 + 4 neurons, with 20 and 12 inputs."""
    b = ModelBuilder()
    x = b.input((1, 1, 20))
    return _simple(b.model(b.dense(b.relu(b.dense(x, 12)), 4))), b.samples(48)


def _method(made: PassResult[Model]) -> str | None:
    notes = made.notes
    return next((n.fitted.method for n in notes if n.fitted is not None), None)


@pytest.mark.parametrize(
    ("neurons", "method", "expected"),
    [
        (32, "auto", "split"),  # one helper for each of 16
        (31, "auto", "prune"),
        (16, "auto", "prune"),
        (32, "split", "split"),
        (32, "prune", "prune"),
        (32, "refuse", None),
        (32, "exact", None),
    ],
)
def test_it_is_split_where_the_chip_has_the_neurons(
    neurons: int, method: FanInMethod, expected: str | None
) -> None:
    model, samples = _mlp()
    target = tiny_target(fan_in=11, neurons=neurons, rows=1, columns=1)
    made = LegaliseFanIn(method).run(model, Context(samples, target))
    assert _method(made) == expected
    assert made.changed == (expected is not None)


@pytest.mark.parametrize(
    ("neurons", "method", "sentence"),
    [
        (31, "split", "'fc' needs 32 neurons.* 16 of them sum up parts .* more than 11 .*--fan-in prune"),
        (15, "auto", "'fc' needs 32 neurons.* where tiny has 15.* pruned .* take 16"),
    ],
)
def test_where_nothing_fits_the_numbers_are_said(neurons: int, method: FanInMethod, sentence: str) -> None:
    model, samples = _mlp()
    target = tiny_target(fan_in=11, neurons=neurons, rows=1, columns=1)
    with pytest.raises(DoesNotFit, match=sentence.replace("'fc'", f"'{model.graph.names()[1]}'")):
        LegaliseFanIn(method).run(model, Context(samples, target))


def test_more_chips_have_more_neurons_and_a_chip_may_limit_hidden_ones() -> None:
    target = tiny_target(neurons=10, rows=1, columns=2, max_chips=3)
    assert available_neurons(target, None) == 60
    assert available_neurons(target, 2) == 40
    assert available_neurons(target, 2, 3) == 120
    assert available_neurons(target, 2, None) is None
    limited = replace(target, network_limits=NetworkLimits(inputs=None, hidden=30, outputs=None))
    assert available_neurons(limited, None) == available_neurons(limited, 1, None) == 30
    assert available_neurons(tiny_target(neurons=None), None) is None


def test_a_network_that_fits_is_left_alone() -> None:
    model, samples = _mlp()
    for target in (tiny_target(fan_in=20), tiny_target()):
        assert LegaliseFanIn().run(model, Context(samples, target)).graph is model


def test_the_shipped_network_needs_more_neurons_than_a_small_chip_has() -> None:
    model = _simple(read_model(DATA / "fashion_mnist_lenet.onnx"))
    with np.load(DATA / "calibration.npz") as data:
        samples = {model.inputs[0].name: data["x"][:8]}
    target = tiny_target(fan_in=64, neurons=256, rows=2, columns=2)
    with pytest.raises(DoesNotFit, match="where tiny has 1024; 20,650 of them sum up parts") as caught:
        LegaliseFanIn().run(model, Context(samples, target))
    joined = with_joined_pools(model, _limits(target))
    assert caught.value.used == neurons_of(joined) + 20650


def _limits(target: Target) -> FanIn:
    fan_in = FanIn.of(target)
    assert fan_in is not None
    return fan_in


def test_joined_pools_are_the_same_integers() -> None:
    b = ModelBuilder()
    x = b.max_pool(b.relu(b.conv(b.input((8, 8, 2)), 4)))
    model, samples = _simple(b.model(b.dense(b.copy(x, "Flatten"), 4))), b.samples(24)
    joined = with_joined_pools(model, _limits(tiny_target(fan_in=100)))
    assert joined is not model
    context = Context(samples, tiny_target())
    networks = [Quantise(QuantiseOptions(15)).run(m, context).graph for m in (model, joined)]
    assert networks[1].neurons == networks[0].neurons + 64
    outputs = [run_integer(n, samples).outputs for n in networks]
    for name, wanted in outputs[0].items():
        np.testing.assert_array_equal(outputs[1][name], wanted)
    reader = networks[1].outputs[0].node
    assert len(networks[1].graph.in_edges(reader)) == 1 < len(networks[0].graph.in_edges(reader))


@pytest.mark.parametrize("method", ["split", "prune"])
def test_integers_stay_near_the_whole_network(method: FanInMethod) -> None:
    model, samples = _mlp()
    context = Context(samples, tiny_target(fan_in=11))
    options = QuantiseOptions(255)
    network, notes = to_network(model, context, options, fan_in=LegaliseFanIn(method))
    (port,) = model.outputs
    wanted = run_float(model, samples).outputs[port.name]
    unit = network.graph.node(network.outputs[0].node).scale[0]
    found = unit * run_integer(network, samples).outputs[port.name]
    assert np.square(found - wanted).mean() < (0.002 if method == "split" else 0.2) * wanted.var()
    assert any(note.warning and note.fitted for note in notes)
