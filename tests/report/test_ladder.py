"""The loss ladder: layers in decibels, saturated and silent channels named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nmcompiler.evaluate.float import run_float
from nmcompiler.evaluate.integer import run_integer
from nmcompiler.report.ladder import float_values, layer_rows, simple_model
from nmcompiler.testing.faults import network_fault
from tests.diagnose.networks import subject


def _rows(network, given):
    x = given.samples.x
    golden = run_integer(network, x, record=True)
    values = {**golden.membranes, **golden.values}
    real = float_values(simple_model(given.program), x)
    return {row["name"]: row for row in layer_rows(network, real, values, golden.membranes, None)}


def test_float_values_lead_to_the_float_outputs():
    given = subject("residual", 0)
    model = simple_model(given.program)
    values = float_values(model, given.samples.x)
    assert set(values) == {layer.name for layer in model.graph}
    out = model.outputs[0]
    wanted = run_float(model, given.samples.x).outputs[out.name]
    assert np.array_equal(values[out.node].reshape(wanted.shape), wanted)
    assert values["add"].shape[1:] == (8, 8, 8)  # before its pool


def test_ratios_are_those_of_the_definition():
    given = subject("residual", 0)
    rows = _rows(given.network, given)
    assert list(rows) == ["x", "conv0", "conv1", "add", "conv3", "dense", "out"]
    golden = run_integer(given.network, given.samples.x, record=True)
    wanted = float_values(simple_model(given.program), given.samples.x)["conv1"].astype(np.float64)
    noise = wanted - golden.values["conv1"] * given.network.graph.node("conv1").scale
    expected = 10 * np.log10((wanted**2).sum() / (noise**2).sum())
    assert rows["conv1"]["sqnr_db"] == pytest.approx(expected, abs=0.01)


def test_saturated_values_and_lost_channels_are_counted():
    given = subject("residual", 0)
    before = _rows(given.network, given)["conv1"]
    made = network_fault("channel without weights", given.network, "conv1", 0)
    assert made is not None
    row = _rows(made[0], given)["conv1"]
    channel = int(made[1].description.split()[1])
    assert set(row["silent"]) - set(before["silent"]) <= {channel}
    made = network_fault("scale halved", given.network, "conv1", 0)
    assert made is not None
    assert _rows(made[0], given)["conv1"]["saturated_share"] > before["saturated_share"]
    population = given.network.graph.node("conv1")
    theta = np.full((1, 1, 8), population.theta.max())
    theta[..., 3] = 10**9
    graph = given.network.graph.copy()
    graph.replace(replace(population, theta=theta))
    row = _rows(replace(given.network, graph=graph), given)["conv1"]
    assert 3 in row["silent"]
    assert 3 in row["lost"]
