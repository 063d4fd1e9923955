"""The leaky neuron against its closed form, and sums against plain matrix products."""

from __future__ import annotations

import numpy as np
import pytest

from nmcompiler.sim.jit import jit
from nmcompiler_backends.mixed_signal.array import kernels


def run(times, arrivals, *, current=0.0, start=0.0, theta=1.0, rest=0.0, tau=np.inf, fires=1):
    """One neuron; returns its membrane after the last event, and when it spiked."""
    events = len(times)
    gaps = np.diff(times, prepend=0.0)
    lost = -np.expm1(-gaps / tau)[:, None]
    v, held = np.empty((1, 1)), np.empty((1, 1))
    sent, when = np.zeros((1, 1, events), np.int32), np.zeros((1, 1, events))
    numbers = (np.array([value], float) for value in (current, start, theta, rest, tau))
    jit(kernels.integrate_and_fire)(
        np.asarray(arrivals, float).reshape(1, events, 1),
        *numbers,
        np.asarray(times, float),
        lost,
        0,
        fires,
        v,
        held,
        sent,
        when,
    )
    return float(v[0, 0]), when[0, 0][sent[0, 0] > 0]


def closed_form(end, times, weights, spikes, *, start, theta, rest, tau):
    """``v(T) = rest + (v0 − rest)·e^(−T/τ) + Σ w·e^(−(T − t)/τ) − θ Σ e^(−(T − s)/τ)``, term by term."""
    v = rest + (start - rest) * np.exp(-end / tau)
    v += sum(w * np.exp(-(end - t) / tau) for t, w in zip(times, weights, strict=True))
    return v - theta * sum(np.exp(-(end - s) / tau) for s in spikes)


def random_train(rng):
    events = int(rng.integers(1, 30))
    times = np.sort(rng.uniform(0, 20, events))
    times[0] = 0.0
    numbers = {
        "start": rng.uniform(-0.5, 0.9),
        "theta": rng.uniform(0.3, 1.5),
        "rest": rng.choice([0.0, 0.5, rng.uniform(0.5, 4.0)]),
        "tau": rng.uniform(0.3, 30.0),
    }
    return times, rng.normal(0.1, 0.6, events), numbers


def test_two_thousand_random_trains_agree_with_the_closed_form():
    rng = np.random.default_rng(5)
    spikes, own = 0, 0
    for _ in range(2000):
        times, weights, numbers = random_train(rng)
        v, when = run(times, weights, **numbers)
        assert v == pytest.approx(closed_form(times[-1], times, weights, when, **numbers), abs=1e-9)
        spikes += len(when)
        own += int((~np.isin(when, times)).sum())
    assert spikes > 4000
    assert own > 500


def test_a_crossing_between_events_lies_where_the_closed_form_reaches_the_threshold():
    rng = np.random.default_rng(6)
    seen = 0
    for _ in range(300):
        times, weights, numbers = random_train(rng)
        _, when = run(times, weights, **numbers)
        for s in when[~np.isin(when, times)]:
            before = times < s
            v = closed_form(s, times[before], weights[before], when[when < s], **numbers)
            assert v == pytest.approx(numbers["theta"], abs=1e-9)
            seen += 1
    assert seen > 100


def test_without_leak_a_neuron_adds_up_and_subtracts():
    v, when = run([0, 1, 2, 3, 4], [3, 0, 6, -9, 20], theta=5, start=2)
    assert when.tolist() == [0, 2, 4]
    assert v == 2 + 3 + 6 - 9 + 20 - 3 * 5


def test_the_bias_is_an_event_of_its_own_and_outputs_only_integrate():
    v, when = run(np.arange(10.0), np.zeros(10), current=0.25, theta=0.5, fires=0)
    assert (v, len(when)) == (2.5, 0)
    _, when = run(np.arange(10.0), np.zeros(10), current=0.25, theta=0.5)
    assert when.tolist() == [1, 3, 5, 7, 9]


def test_leak_towards_half_of_the_threshold_costs_a_constant_rate_nothing():
    """The rate of the notes: a leak takes θ/2τ a step, which a rest at θ/2 gives back."""
    steps = np.arange(4000.0)
    for tau in (4.0, 8.0):
        for drive in (0.2, 0.45, 0.8):
            _, plain = run(steps, np.full(4000, drive), tau=tau)
            _, rested = run(steps, np.full(4000, drive), tau=tau, rest=0.5, start=0.5)
            assert abs(len(rested) / 4000 - drive) < 0.03
            assert len(plain) / 4000 < drive - 0.04


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_sums_are_matrix_products(kind):
    rng = np.random.default_rng(0)
    weight = rng.integers(-9, 10, (7, 5))
    values = rng.integers(-3, 16, (4, 9)).astype(np.int32)
    source = np.array([1, 2, 3, 5, 6, 7, 8])
    stretches = [np.arange(8), np.arange(7) * 5, np.zeros(7), np.full(7, 5)]
    stretches = [s.astype(np.uint64) for s in stretches]
    acc = np.ones((4, 5), kind)
    jit(kernels.add_values)(values, source, *stretches, weight.reshape(-1).astype(kind), acc)
    assert np.array_equal(acc, 1 + values[:, source] @ weight)
    trains = rng.integers(0, 2, (4, 9, 3)).astype(np.int32)
    offset = np.array([0, 0, 2, 1, 0, 3, 4])
    acc = np.zeros((4, 5, 5), kind)
    jit(kernels.add_trains)(trains, source, offset, *stretches, weight.reshape(-1).astype(kind), acc)
    expected = np.zeros((4, 8, 5))
    for p in range(7):
        for j in range(3):
            expected[:, offset[p] + j] += trains[:, source[p], j, None] * weight[p]
    assert np.array_equal(acc, expected[:, :5])


def test_values_are_quotients_rounded_down_and_clipped():
    v = np.array([[-3.0, 3.9, 4.0, 99.0]])
    out = np.zeros((1, 4), np.int32)
    jit(kernels.fire_values)(v, np.array([2.0, 2.0, 2.0, 2.0]), 0, 15, out)
    assert out.tolist() == [[0, 1, 2, 15]]
    jit(kernels.fire_values)(v, np.array([2.0, 2.0, 2.0, 2.0]), -1, 15, out)
    assert out.tolist() == [[-1, 1, 2, 15]]
