"""Published measurements of chips, from programs that run on the simulator and its counters."""

from __future__ import annotations

import numpy as np
import pytest

from nmcompiler.ir.graph import Graph
from nmcompiler.ir.kernels import Dense
from nmcompiler.ir.layers import InputPort, OutputPort
from nmcompiler.ir.network import Network, Population, PopulationGraph, Projection
from nmcompiler.registry import backend
from nmcompiler.sim import Simulator
from nmcompiler.testing.chain import placed_program

CYCLES_PER_SYNOP = 2
STEPS = 16


def crossbar(seed: int, sources: int, neurons: int) -> Network:
    """Returns a network of one dense layer that fills a crossbar with weights from −7 to 7."""
    rng = np.random.default_rng(seed)
    zero, one = np.zeros((1, 1, 1), np.int64), np.ones((1, 1, 1), np.int64)
    graph: PopulationGraph = Graph()
    for name, n, role, theta in (("x", sources, "input", one), ("y", neurons, "readout", 40 * one)):
        scale = np.ones(n)
        graph.add(Population(name, (1, 1, n), role, zero, theta, STEPS, False, scale, 0 * scale))
    graph.connect("x", "y", Projection(Dense(rng.integers(-7, 8, (neurons, sources)))))
    order = np.arange(sources), np.arange(neurons)
    return Network(
        "crossbar",
        graph,
        (InputPort("x", (sources,), "x", order[0]),),
        (OutputPort("y", (neurons,), "y", order[1]),),
    )


@pytest.fixture(scope="module")
def odin():
    """The chip, and the synops of a program that uses all of its rows and neurons."""
    target = backend("digital").targets()["odin"]
    program, _ = placed_program(crossbar(1, 128, 256), target, "rate", timesteps=STEPS)
    x = np.random.default_rng(2).integers(0, STEPS + 1, (20, 128))
    result = Simulator(program).run(x)
    assert result.saturations == 0
    assert result.spikes[1] > 0
    return target, result.synops, int(x.sum())


def test_a_spike_drives_all_neurons_of_the_crossbar(odin):
    _, synops, spikes = odin
    assert synops == 256 * spikes


@pytest.mark.parametrize(
    ("clock_mhz", "synops_per_second", "measured_uw"),
    [(75, 37.5e6, 477), (1.3, 650e3, 35)],
)
def test_the_measured_power_of_odin_at_full_load(odin, clock_mhz, synops_per_second, measured_uw):
    target, synops, _ = odin
    seconds = synops * CYCLES_PER_SYNOP / (clock_mhz * 1e6)
    assert synops / seconds == pytest.approx(synops_per_second)
    figures = {key: figure.value for key, figure in target.figures.items()}
    power_uw = (
        1e3 * figures["static_power_per_chip_mw"]
        + 1e3 * figures["clock_power_per_chip_mhz_mw"] * clock_mhz
        + 1e-6 * figures["energy_per_synop_pj"] * synops / seconds
    )
    assert power_uw == pytest.approx(measured_uw, rel=0.1)
