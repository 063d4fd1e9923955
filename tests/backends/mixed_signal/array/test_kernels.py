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


def drawn_rows(rng, rows, targets, dense):
    """Stretches of ``add_values`` of random rows: all of one shape, or some with gaps, and some empty."""
    count = np.ones(rows, int) if dense else rng.integers(0, 3, rows)
    starts = np.concatenate([[0], np.cumsum(count)])
    total = int(starts[-1])
    into = np.full(total, 1) if dense else rng.integers(0, targets - 3, total)
    length = np.full(total, targets - 1) if dense else rng.integers(1, 4, total)
    first = np.concatenate([[0], np.cumsum(length)])[:-1]
    weights = rng.normal(0, 1, int(length.sum())).astype(np.float32)
    return [part.astype(np.uint64) for part in (starts, first, into, length)], weights


def added(acc, q, row, stretches, weights):
    """Adds one neuron's value, synapse by synapse, as sums must be rounded."""
    starts, first, into, length = (part.astype(int) for part in stretches)
    for e in range(starts[row], starts[row + 1]):
        for i in range(length[e]):
            acc[into[e] + i] += np.float32(q) * weights[first[e] + i]


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("rows", [1, 3, 9, 22])
def test_sums_are_rounded_in_the_order_of_their_rows(dense, rows):
    rng = np.random.default_rng(rows)
    stretches, weights = drawn_rows(rng, rows, 13, dense)
    source = rng.permutation(30)[:rows]
    values = (rng.integers(-3, 16, (5, 30)) * rng.integers(0, 2, (5, 30))).astype(np.int32)
    acc, wanted = np.zeros((5, 13), np.float32), np.zeros((5, 13), np.float32)
    jit(kernels.add_values)(values, source, *stretches, weights, acc)
    for s in range(5):
        for p in range(rows):
            added(wanted[s], values[s, source[p]], p, stretches, weights)
    assert np.array_equal(acc, wanted)
    trains = rng.integers(-1, 2, (5, 30, 4)).astype(np.int16)
    offset = rng.integers(0, 7, rows)
    acc, wanted = np.zeros((5, 6, 13), np.float32), np.zeros((5, 6, 13), np.float32)
    jit(kernels.add_trains)(trains, source, offset, *stretches, weights, acc)
    for s in range(5):
        for p in range(rows):
            for j in range(min(4, 6 - offset[p])):
                added(wanted[s, offset[p] + j], trains[s, source[p], j], p, stretches, weights)
    assert np.array_equal(acc, wanted)


@pytest.mark.parametrize(("wait", "fires"), [(0, 1), (3, 1), (3, 0)])
def test_neurons_that_cross_at_events_alone_are_the_same_in_both_kernels(wait, fires):
    rng = np.random.default_rng(wait)
    samples, events, n = 6, 20, 11
    theta = rng.uniform(0.5, 1.5, n)
    tau = np.where(rng.integers(0, 2, n), rng.uniform(1.0, 9.0, n), np.inf)
    lost = np.tile(-np.expm1(-1 / tau), (events, 1))
    arrivals = rng.normal(0.2, 0.6, (samples, events, n))
    numbers = rng.normal(0, 0.1, n), rng.normal(0, 0.5, n), theta, theta * rng.uniform(-1, 1, n)
    found = []
    for _ in range(2):
        shapes = (samples, n), (samples, n), (samples, n, events - wait)
        found.append(
            [np.full(shape, 7, kind) for shape, kind in zip(shapes, (float, float, np.int32), strict=True)]
        )
    jit(kernels.fire_in_steps)(arrivals, *numbers, lost, wait, fires, *found[0])
    times = np.arange(events, dtype=float)
    jit(kernels.integrate_and_fire)(
        arrivals, *numbers, tau, times, lost, wait, fires, *found[1], np.empty((0, 0, 0))
    )
    assert all(np.array_equal(a, b) for a, b in zip(*found, strict=True))
    assert found[0][2].any() == bool(fires)


def test_a_value_that_is_sent_is_one_event():
    counted = np.array([5, 0, 0])
    jit(kernels.count_events)(np.array([[[0, 1], [3, -1], [0, 0]], [[1, 1], [0, 0], [0, 0]]]), counted)
    assert counted.tolist() == [8, 2, 0]
