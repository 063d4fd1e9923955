"""The inner loops of a neuron array: plain Python over flat arrays, compiled by ``nmcompiler.sim.jit``.

Synapses of a block stand in rows, one for each neuron that sends to it: row p has the stretches
``starts[p] … starts[p + 1] − 1``, and stretch e the synapses ``into[e] … into[e] + length[e] − 1`` with the
weights from ``first[e]`` on. Rows are added one by one in their order, so that sums are the same however
samples are batched.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["add_trains", "add_values", "count_events", "fire_in_steps", "fire_values", "integrate_and_fire"]

Array = npt.NDArray[Any]


def add_values(
    values: Array,
    source: Array,
    starts: Array,
    first: Array,
    into: Array,
    length: Array,
    weights: Array,
    acc: Array,
) -> None:
    """Adds ``Σ w · q`` to the sums of a block.

    Args:
        values: ``(S, M)`` int32: what every neuron of the program stands for.
        source: ``(P,)`` int64: the neuron of each row.
        starts: ``(P + 1,)`` uint64: first stretch of each row.
        first: ``(E,)`` uint64: first weight of each stretch.
        into: ``(E,)`` uint64: first target neuron of the block.
        length: ``(E,)`` uint64: synapses.
        weights: ``(W,)`` float32 or float64.
        acc: ``(S, n)`` of that type, added to.
    """
    dense = starts[-1] == source.size and source.size > 0
    for p in range(starts[-1]):
        dense = dense and starts[p] == p and into[p] == into[0] and length[p] == length[0]
    active = np.empty(source.size, np.int64)
    factor = np.empty(source.size, weights.dtype)
    for s in range(values.shape[0]):
        row = acc[s]
        count = 0
        for p in range(source.size):
            q = values[s, source[p]]
            active[count] = p
            factor[count] = q
            count += q != 0
        done = 0
        if dense:  # rows of one shape: four are read before the sums are written, added in the same order
            n = length[0]
            sums = row[into[0] : into[0] + n]
            for done in range(0, count - 3, 4):
                f0, f1, f2, f3 = factor[done], factor[done + 1], factor[done + 2], factor[done + 3]
                w0 = weights[first[active[done]] : first[active[done]] + n]
                w1 = weights[first[active[done + 1]] : first[active[done + 1]] + n]
                w2 = weights[first[active[done + 2]] : first[active[done + 2]] + n]
                w3 = weights[first[active[done + 3]] : first[active[done + 3]] + n]
                for i in range(n):
                    sums[i] = (((sums[i] + f0 * w0[i]) + f1 * w1[i]) + f2 * w2[i]) + f3 * w3[i]
            done = count - count % 4
        for k in range(done, count):
            p, f = active[k], factor[k]
            for e in range(starts[p], starts[p + 1]):
                a, n = into[e], length[e]
                w = weights[first[e] : first[e] + n]
                for i in range(n):
                    row[a + i] += f * w[i]


def add_trains(
    trains: Array,
    source: Array,
    offset: Array,
    starts: Array,
    first: Array,
    into: Array,
    length: Array,
    weights: Array,
    acc: Array,
) -> None:
    """Adds what arrives in every step to the sums of a block.

    Args:
        trains: ``(S, M, T)`` int32: what every neuron sends in each step of its firing.
        source: As in ``add_values``, and so are the next but ``offset``.
        offset: ``(P,)`` int64: the step of the block in which the first of these arrives.
        starts: First stretch of each row.
        first: First weight of each stretch.
        into: First target neuron.
        length: Synapses.
        weights: ``(W,)`` float32 or float64.
        acc: ``(S, K, n)`` of that type, added to; what arrives in step K or later is not.
    """
    one, two = np.uint64(1), np.uint64(2)
    step = np.empty(trains.shape[2], np.uint64)
    factor = np.empty(trains.shape[2], weights.dtype)
    for s in range(trains.shape[0]):
        for p in range(source.size):
            events = np.uint64(0)
            for j in range(min(trains.shape[2], acc.shape[1] - offset[p])):
                q = trains[s, source[p], j]
                step[events] = offset[p] + j
                factor[events] = q
                events += np.uint64(q != 0)
            for e in range(starts[p], starts[p + 1]):
                a, n = into[e], length[e]
                w = weights[first[e] : first[e] + n]
                # Two events at a time, which are of different steps, read the weights once.
                for pair in range(events // two):
                    k = two * pair
                    row, f = acc[s, step[k], a : a + n], factor[k]
                    other, g = acc[s, step[k + one], a : a + n], factor[k + one]
                    for i in range(n):
                        row[i] += f * w[i]
                        other[i] += g * w[i]
                if events % two:
                    row, f = acc[s, step[events - one], a : a + n], factor[events - one]
                    for i in range(n):
                        row[i] += f * w[i]


def fire_values(v: Array, theta: Array, lowest: int, levels: int, out: Array) -> None:
    """Writes what neurons send in the code ``phase``: ``q = clip(floor(v / θ), lowest, levels)``.

    Args:
        v: ``(S, n)`` float64: membranes when they fire.
        theta: ``(n,)`` float64, above 0.
        lowest: Smallest value.
        levels: Largest value.
        out: ``(S, n)`` int32.
    """
    for s in range(v.shape[0]):
        for i in range(v.shape[1]):
            out[s, i] = min(max(math.floor(v[s, i] / theta[i]), lowest), levels)


def count_events(trains: Array, out: Array) -> None:
    """Counts the steps in which each neuron sends anything.

    Args:
        trains: ``(S, n, T)``.
        out: ``(n,)`` int64, added to.
    """
    for s in range(trains.shape[0]):
        for i in range(trains.shape[1]):
            events = 0
            for j in range(trains.shape[2]):
                events += trains[s, i, j] != 0
            out[i] += events


def fire_in_steps(
    arrivals: Array,
    current: Array,
    start: Array,
    theta: Array,
    rest: Array,
    lost: Array,
    wait: int,
    fires: int,
    v: Array,
    held: Array,
    sent: Array,
) -> None:
    """What ``integrate_and_fire`` does, bit for bit, for neurons whose rest does not lie above θ.

    They cross it at events alone, so that one step of all neurons is plain arithmetic, a vector at a time.

    Args:
        arrivals: ``(S, K, n)``, and the others as in ``integrate_and_fire``.
        current: ``(n,)``.
        start: ``(n,)``.
        theta: ``(n,)``.
        rest: ``(n,)``.
        lost: ``(K, n)``.
        wait: The first event at which neurons may fire.
        fires: 0 for neurons that only integrate.
        v: ``(S, n)``.
        held: ``(S, n)``.
        sent: ``(S, n, K − wait)``.
    """
    samples, events, n = arrivals.shape
    for s in range(samples):
        x = v[s]
        for i in range(n):
            x[i] = start[i]
        for k in range(events):
            now, gone = arrivals[s, k], lost[k]
            for i in range(n):
                x[i] += (rest[i] - x[i]) * gone[i]
                x[i] += now[i]
            if k < wait:
                continue
            for i in range(n):
                x[i] += current[i]
            if k == wait:
                for i in range(n):
                    held[s, i] = x[i]
            for i in range(n):
                spiked = fires != 0 and x[i] >= theta[i]
                sent[s, i, k - wait] = spiked
                x[i] = x[i] - theta[i] if spiked else x[i]


def integrate_and_fire(
    arrivals: Array,
    current: Array,
    start: Array,
    theta: Array,
    rest: Array,
    tau: Array,
    times: Array,
    lost: Array,
    wait: int,
    fires: int,
    v: Array,
    held: Array,
    sent: Array,
    when: Array,
) -> None:
    """Leaky integrate-and-fire neurons, integrated exactly from event to event.

    Between events a membrane relaxes to its rest, ``v ← rest + (v − rest)·exp(−dt / τ)``; a constant current
    b moves the rest by b·τ. Where the rest lies above θ it crosses θ on its own, after ``τ·ln((rest − v) /
    (rest − θ))``. At event k the arrivals and the bias are added, then v is compared with θ. A spike takes θ
    off the membrane; from one event to the next, that one included, a neuron sends one spike at most.

    Args:
        arrivals: ``(S, K, n)``: what arrives at each event.
        current: ``(n,)`` float64: the bias that is added at each event from ``wait`` on.
        start: ``(n,)`` float64: membranes at time 0.
        theta: ``(n,)`` float64.
        rest: ``(n,)`` float64: where membranes relax to.
        tau: ``(n,)`` float64: time constants, infinite where nothing leaks.
        times: ``(K,)`` float64, rising from 0: when the events are.
        lost: ``(K, n)`` float64: ``1 − exp(−dt / τ)`` for the time before each event.
        wait: The first event at which neurons may fire.
        fires: 0 for neurons that only integrate.
        v: ``(S, n)`` float64: receives the membranes after the last event.
        held: ``(S, n)`` float64: receives those before the first comparison.
        sent: ``(S, n, K − wait)`` int32: receives the spikes of each event and of the time before it.
        when: ``(S, n, K − wait)`` float64 or of size 0: receives the times of the spikes.
    """
    samples, events, n = arrivals.shape
    timed = when.size > 0
    for s in range(samples):
        for i in range(n):
            v[s, i] = start[i]
        for k in range(events):
            for i in range(n):
                x, t = v[s, i], times[k]
                spiked = 0
                crosses = fires and k > wait and lost[k, i] > 0 and rest[i] > theta[i] > x
                if crosses and rest[i] + (x - rest[i]) * (1 - lost[k, i]) >= theta[i]:
                    began = times[k - 1]
                    after = tau[i] * math.log((rest[i] - x) / (rest[i] - theta[i]))
                    spiked, t = 1, began + after
                    x = rest[i] * -math.expm1(-(times[k] - t) / tau[i])
                else:
                    x += (rest[i] - x) * lost[k, i]
                x += arrivals[s, k, i]
                if k >= wait:
                    x += current[i]
                    if k == wait:
                        held[s, i] = x
                    if fires and spiked == 0 and x >= theta[i]:
                        x -= theta[i]
                        spiked, t = 1, times[k]
                    sent[s, i, k - wait] = spiked
                    if timed and spiked:
                        when[s, i, k - wait] = t
                v[s, i] = x
