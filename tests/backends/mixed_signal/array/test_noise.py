"""Noise that differs from time to time: its spread, and what it must not depend on."""

from __future__ import annotations

import numpy as np
import pytest

from nmcompiler.sim import Record
from nmcompiler_backends.mixed_signal.array.circuits import varying
from nmcompiler_backends.mixed_signal.array.machine import Machine, moments_of
from nmcompiler_backends.mixed_signal.array.plan import plan_of
from nmcompiler_backends.mixed_signal.array.session import ArraySession
from nmcompiler_backends.mixed_signal.array.simulator import ArraySimulator

from .chips import analog, drawn, placed

ALL = Record(values=True, membranes=True)


def noisy(code="phase", sigma=0.3):
    return placed(3, code, temporal_noise=sigma)


def test_a_target_without_noise_has_none():
    assert "temporal" not in varying(analog().neuron_array)
    assert varying(analog(temporal_noise=0.1).neuron_array)[-1] == "temporal"


@pytest.mark.parametrize("code", ["phase", "rate"])
def test_noise_has_the_spread_of_the_target_and_neither_mean_nor_memory(code):
    program, _ = noisy(code)
    machine = Machine(plan_of(program), drawn(program, 1, ("temporal",)))
    part = max(
        (p for p in machine.parts.values() if not p.block.is_readout and not p.plan.exact),
        key=lambda p: p.block.n,
    )
    shape = (400, part.block.n) if code == "phase" else (400, 9, part.block.n)
    moments = [str(k) for k in range(400)]
    added = machine.noisy(part, np.zeros(shape), moments) / part.circuits.nominal
    # Standard errors: s / sqrt(N) of a mean, s / sqrt(2 N) of a deviation, s² / sqrt(N) of a covariance.
    assert abs(added.mean()) < 4.5 * 0.3 / np.sqrt(added.size)
    assert abs(added.std() - 0.3) < 4.5 * 0.3 / np.sqrt(2 * added.size)
    flat = added.reshape(400, -1)
    assert abs(np.mean(flat[:-1] * flat[1:])) < 4.5 * 0.09 / np.sqrt(flat[1:].size)


def test_read_outs_and_ideal_chips_have_no_noise():
    program, samples = noisy()
    machine = Machine(plan_of(program), drawn(program, 1, ("temporal",)))
    for part in machine.parts.values():
        if part.block.is_readout:
            zero = np.zeros((2, part.block.n))
            assert machine.noisy(part, zero, ["a", "b"]) is zero
    still, ideal = (ArraySimulator(program, draw).run(samples) for draw in (drawn(program, 1, ()), None))
    golden = ArraySimulator(placed(3)[0], drawn(placed(3)[0], 1, ())).run(samples)
    assert all(map(np.array_equal, still.outputs, golden.outputs))
    assert ideal.outputs[0].shape == still.outputs[0].shape


@pytest.mark.parametrize("code", ["phase", "rate"])
def test_a_sample_has_the_same_noise_in_every_batch_and_for_any_threads(code):
    program, samples = noisy(code)
    simulator = ArraySimulator(program, drawn(program, 1, ("temporal",)))
    whole = simulator.run(samples, record=ALL)
    parts = [
        simulator.run({k: x[a:b] for k, x in samples.items()}, record=ALL, threads=2)
        for a, b in ((0, 7), (7, 30))
    ]
    for name in ("outputs", "values", "membranes"):
        joined = [np.concatenate(a) for a in zip(*(getattr(p, name) for p in parts), strict=True)]
        assert all(map(np.array_equal, getattr(whole, name), joined)), name
    other = ArraySimulator(program, drawn(program, 2, ("temporal",))).run(samples, record=ALL)
    assert not all(map(np.array_equal, whole.values, other.values))
    still = ArraySimulator(program, drawn(program, 1, ())).run(samples, record=ALL)
    assert not all(map(np.array_equal, whole.values, still.values))


def test_moments_tell_samples_and_runs_apart():
    q = [np.array([[1, 2], [1, 2], [2, 1]])]
    first, same, other = moments_of(q)
    assert first == same != other
    assert moments_of(q, "measurement 1")[0] != moments_of(q, "measurement 2")[0]


def test_what_is_measured_again_has_other_noise():
    program, samples = noisy(sigma=0.5)
    session = ArraySession(program, drawn(program, 1, ("temporal",)))
    seen = []
    for code in (0, 1, 0):
        session.configure({"bias": np.full(program.neurons, code)})
        seen.append(session.measure(samples).spikes)
    assert any(not np.array_equal(seen[0][b], seen[2][b]) for b in seen[0])
