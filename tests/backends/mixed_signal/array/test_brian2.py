"""The leaky neuron against Brian2, spike by spike, where that is installed: ``pip install -e '.[bench]'``."""

from __future__ import annotations

import numpy as np
import pytest

from nmcompiler.sim.jit import jit
from nmcompiler_backends.mixed_signal.array import kernels

brian2 = pytest.importorskip("brian2")

pytestmark = pytest.mark.filterwarnings("ignore")  # its parser's own

STEPS, NEURONS = 400, 50


@pytest.fixture(scope="module")
def drawn():
    """Arrivals ``(STEPS, NEURONS)`` and the numbers of as many neurons, all different."""
    rng = np.random.default_rng(8)
    return {
        "arrivals": rng.normal(0.15, 0.5, (STEPS, NEURONS)),
        "theta": rng.uniform(0.6, 1.4, NEURONS),
        "rest": np.full(NEURONS, 0.5),
        "tau": rng.uniform(2.0, 20.0, NEURONS),
    }


def ours(drawn):
    lost = np.broadcast_to(-np.expm1(-1 / drawn["tau"]), (STEPS, NEURONS)).copy()
    lost[0] = 0
    v, held = np.empty((1, NEURONS)), np.empty((1, NEURONS))
    sent = np.zeros((1, NEURONS, STEPS), np.int32)
    jit(kernels.integrate_and_fire)(
        drawn["arrivals"][None],
        np.zeros(NEURONS),
        drawn["rest"],
        drawn["theta"],
        drawn["rest"],
        drawn["tau"],
        np.arange(STEPS, dtype=float),
        lost,
        0,
        1,
        v,
        held,
        sent,
        np.empty((0, 0, 0)),
    )
    return sent[0].T, v[0]


def theirs(drawn):
    brian2.prefs.codegen.target = "numpy"
    brian2.start_scope()
    brian2.defaultclock.dt = 1 * brian2.ms
    arriving = brian2.TimedArray(drawn["arrivals"], dt=1 * brian2.ms)
    group = brian2.NeuronGroup(
        NEURONS,
        "dv/dt = (rest - v) / (tau * ms) : 1\nrest : 1\ntau : 1\ntheta : 1",
        threshold="v >= theta",
        reset="v -= theta",
        method="exact",
        namespace={"arriving": arriving},
    )
    for name in ("rest", "tau", "theta"):
        setattr(group, name, drawn[name])
    group.v = drawn["rest"]
    group.run_regularly("v += arriving(t, i)", when="before_thresholds")
    monitor = brian2.SpikeMonitor(group)
    network = brian2.Network(group, monitor)
    network.run(STEPS * brian2.ms)
    sent = np.zeros((STEPS, NEURONS), int)
    sent[np.rint(monitor.t / brian2.ms).astype(int), np.asarray(monitor.i)] = 1
    return sent, np.asarray(group.v)


def test_every_spike_is_that_of_brian2(drawn):
    (mine, v), (other, w) = ours(drawn), theirs(drawn)
    assert mine.sum() > 2000
    assert np.array_equal(mine, other)
    assert np.abs(v - w).max() < 1e-9
