"""Pools become populations only where that takes fewer chips, and nothing that is computed changes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nmcompiler.codings import CODINGS
from nmcompiler.evaluate.integer import run_integer
from nmcompiler.ir.cores import Traffic
from nmcompiler.ir.kernels import Array
from nmcompiler.ir.layers import Model
from nmcompiler.ir.network import Network
from nmcompiler.mapping.mapper import MapOptions, map_network
from nmcompiler.passes import Context, JoinPools, Pipeline, QuantiseOptions, float_passes, to_network
from nmcompiler.target.model import Crossbar, Target
from nmcompiler.testing.targets import boundless_target, tiny_target
from tests.passes.random_models import ModelBuilder

# A pool of 4 × 4 × 4 values in 3 terms, and a dense layer of 40 × 64 weights that reads it.
_DENSE = 40 * 64
_CORE = 512  # weights that a core holds: 3 · 5 cores of weights without, 5 with a joined pool


def _network() -> tuple[Model, dict[str, Array]]:
    b = ModelBuilder()
    x = b.max_pool(b.relu(b.conv(b.input((8, 8, 2)), 4)))
    model = b.model(b.dense(b.copy(x, "Flatten"), 40))
    return Pipeline(float_passes()).run(model, Context(None, boundless_target())).graph, b.samples(24)


def _chip(cores: int, **limits: object) -> Target:
    size: dict[str, object] = {"neurons": 256, "synapse_bits": 8 * _CORE, "cores": cores, "max_chips": 4}
    return tiny_target(**{**size, **limits})  # type: ignore[arg-type]


def _joined(model: Model, target: Target) -> list[str]:
    made = JoinPools().run(model, Context(None, target))
    assert made.changed == (made.graph is not model)
    pools = [layer.name for layer in made.graph.graph if layer.max_pool and layer.max_pool.joined]
    assert [note.layer for note in made.notes] == pools
    return pools


def test_a_pool_is_joined_where_that_takes_fewer_chips() -> None:
    model, _ = _network()
    (pool,) = [layer.name for layer in model.graph if layer.max_pool]
    # 256 + 3 · 64 neurons take 1.75 cores, the weights 15, or 5 and a quarter for the joined pool.
    needed = math.ceil(1.75 + 3 * _DENSE / _CORE)
    assert _joined(model, _chip(needed)) == []
    assert _joined(model, _chip(needed - 1)) == [pool]
    assert _joined(model, _chip(4)) == [pool]  # two chips in place of five


def test_no_pool_is_joined_where_weights_do_not_fill_cores() -> None:
    model, _ = _network()
    assert _joined(model, _chip(4, synapse_bits=None)) == []
    assert _joined(model, _chip(4, neurons=4)) == []  # 16 cores for the joined pool save 10


def test_no_pool_is_joined_before_a_convolution_or_on_a_chip_that_stores_otherwise() -> None:
    b = ModelBuilder()
    x = b.max_pool(b.relu(b.conv(b.input((8, 8, 2)), 4)))
    conv = Pipeline(float_passes()).run(b.model(b.conv(x, 40)), Context(None, boundless_target())).graph
    assert _joined(conv, _chip(1, synapse_bits=4096)) == []
    model, _ = _network()
    crossbar = Crossbar(axon_types=4, weight_bits=9)
    assert _joined(model, _chip(4, crossbar=crossbar)) == []


def _integers(model: Model, samples: dict[str, Array], target: Target, pools: JoinPools | None) -> Network:
    context = Context(samples, target)
    return to_network(model, context, QuantiseOptions(15), pools=pools, verify=True)[0]


@pytest.mark.parametrize("code", ["phase", "graded", "ttfs"])
def test_joined_pools_give_the_same_integers_on_fewer_chips(code: str) -> None:
    model, samples = _network()
    target = _chip(12)
    before, after = (_integers(model, samples, target, pools) for pools in (None, JoinPools()))
    assert after.neurons == before.neurons + 64
    outputs = [run_integer(network, samples).outputs for network in (before, after)]
    for name, wanted in outputs[0].items():
        np.testing.assert_array_equal(outputs[1][name], wanted)
    chips = []
    for network in (before, after):
        spiking = CODINGS[code].convert(network, target, input_encoding=target.input_encodings[0])
        traffic = Traffic({p.name: np.ones(p.shape) for p in network.graph})
        chips.append(map_network(spiking, target, traffic, MapOptions(place=False)).chips)
    assert chips == [2, 1]
