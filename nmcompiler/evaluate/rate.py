"""Executes a network in the free-running ``rate`` code layer by layer: what a chip's counts must equal.

A population sees all T steps of its sources before the next population is looked at, so there are no chips,
delays or queues here, only the neuron of SEMANTICS §2: integrate, fire, subtract (or set to zero, where the
chip does). A chip does the same in a pipeline, where each population starts when the first spikes of its
sources arrive and skips are delayed.

Steps are the first axis: a train is ``(T, N, h, w, c)``, what each neuron sends in each step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from nmcompiler.evaluate.integer import encode_inputs
from nmcompiler.evaluate.linear import apply
from nmcompiler.evaluate.rate_events import hold_by_event, origins, send_by_event
from nmcompiler.ir.kernels import Array, Kernel, Shape
from nmcompiler.ir.network import Population
from nmcompiler.ir.schedule import Schedule
from nmcompiler.ir.spiking import NeuronParameters, Spiking
from nmcompiler.target.model import USUAL, Dynamics

__all__ = ["RateResult", "arrivals", "fire", "input_train", "run_rate", "send", "waiting"]

_CHUNK = 1 << 22  # values, over samples and steps, that are worked on at a time


@dataclass(frozen=True, eq=False)
class RateResult:
    """What a network in the rate code computed; the first axis counts samples.

    Attributes:
        outputs: By output port: ``(N, *shape)`` float64, the read-out's membranes over ``2**shift``, or its
            counts where it has levels.
        counts: By population that sends: ``(N, h, w, c)`` int64 sums of what its neurons sent.
        spikes: Likewise: how many values were sent, those taken back included.
    """

    outputs: Mapping[str, Array]
    counts: Mapping[str, Array]
    spikes: Mapping[str, Array]


def run_rate(
    spiking: Spiking, samples: Mapping[str, Array], *, batch: int = 64, dtype: type = np.float64
) -> RateResult:
    """Runs a network in the rate code on real samples; membranes never saturate here.

    Args:
        spiking: The network with its neurons' numbers and its schedule.
        samples: ``(N, *shape)`` by input port.
        batch: Samples that go through at a time.
        dtype: Type of the sums; in float64 every sum is exact.
    """
    count = len(next(iter(samples.values())))
    parts = [
        _run(spiking, {name: x[first : first + batch] for name, x in samples.items()}, dtype)
        for first in range(0, count, batch)
    ]

    def joined(pick: list[Mapping[str, Array]]) -> dict[str, Array]:
        return {name: np.concatenate([part[name] for part in pick]) for name in pick[0]}

    return RateResult(
        joined([p.outputs for p in parts]),
        joined([p.counts for p in parts]),
        joined([p.spikes for p in parts]),
    )


def _run(spiking: Spiking, samples: Mapping[str, Array], dtype: type) -> RateResult:
    network, schedule = spiking.network, spiking.schedule
    inputs = encode_inputs(network, samples)
    trains: dict[str, Array] = {}
    membranes: dict[str, Array] = {}
    for port in network.inputs:
        trains[port.node] = input_train(inputs[port.name], schedule.slots[port.node].steps)
    for p in network.graph:
        if p.role == "input":
            continue
        neurons, dynamics = spiking.neurons[p.name], spiking.dynamics
        edges = [(e.payload.kernel, trains[e.source]) for e in network.graph.in_edges(p.name)]
        wait = waiting(schedule, p.name, network.graph.predecessors(p.name)) if p.sends else 0
        if dynamics.compares == "event":
            sources = origins(network.graph, p.name, trains)
            if p.sends:
                trains[p.name] = send_by_event(sources, p, neurons, dynamics, wait)
            else:
                membranes[p.name] = hold_by_event(sources, p, neurons, dynamics)
        elif p.sends:
            trains[p.name] = send(edges, p, neurons, wait, dtype, dynamics)
        else:
            membranes[p.name] = hold(edges, p, neurons, dynamics, dtype)
    outputs = {}
    for out in network.outputs:
        result = membranes[out.node] if out.node in membranes else _count(trains[out.node], np.float64)
        read = out.read(result.reshape(len(result), -1))
        outputs[out.name] = read.reshape(-1, *out.shape).astype(np.float64)
    return RateResult(
        outputs,
        {name: _count(train, np.int64) for name, train in trains.items()},
        {name: _events(train, spiking.dynamics) for name, train in trains.items()},
    )


def _count(train: Array, dtype: type) -> Array:
    total: Array = train.sum(axis=0, dtype=dtype)
    return total


def _events(train: Array, dynamics: Dynamics) -> Array:
    """Returns the events of a train: values sent, or spikes where a step may hold several of a neuron."""
    if dynamics.compares == "event":
        return _count(train, np.int64)
    events: Array = np.count_nonzero(train, axis=0)
    return events


def waiting(schedule: Schedule, name: str, sources: Iterable[str]) -> int:
    """Returns the steps that a population integrates before it may fire.

    Raises:
        ValueError: Where the first spikes of its sources arrive in different steps.
    """
    first = {schedule.slots[s].fire_start + schedule.delay(s, name) for s in sources}
    if len(first) > 1:
        raise ValueError(f"the sources of '{name}' arrive in the steps {sorted(first)}")
    return schedule.slots[name].fire_start - first.pop() if first else 0


def input_train(q: Array, steps: int) -> Array:
    """Returns integers ``(N, h, w, c)`` spread evenly over the steps, ``(T, N, h, w, c)`` int32.

    Where all steps are the same, it is one of them seen T times, which saves its readers T − 1 sums.
    """
    if not np.any(q % steps):
        return np.broadcast_to((q // steps).astype(np.int32), (steps, *q.shape))
    j = np.arange(steps + 1).reshape(-1, *(1,) * q.ndim)
    reached = (steps // 2 + j * np.abs(q.astype(np.int64))[None]) // steps
    train: Array = (np.diff(reached, axis=0) * np.sign(q)).astype(np.int32)
    return train


def arrivals(edges: Iterable[tuple[Kernel, Array]], shape: Shape, dtype: type = np.float32) -> Array:
    """Returns the sums ``Σ kernel(train)`` of every step, ``(T, N, *shape)``, not to be written to."""
    total: Array | None = None
    steps = 1
    for kernel, train in edges:
        steps, count = train.shape[:2]
        seen = train[:1] if train.strides[0] == 0 else train
        merged: Array = seen.reshape(-1, *train.shape[2:]).astype(dtype)
        part = apply(kernel, merged, shape).reshape(len(seen), count, *shape)
        total = part if total is None else total + part
    if total is None:
        raise ValueError("a population without sources receives nothing")
    return np.broadcast_to(total, (steps, *total.shape[1:]))


def hold(
    edges: list[tuple[Kernel, Array]],
    population: Population,
    neurons: NeuronParameters,
    dynamics: Dynamics,
    dtype: type,
) -> Array:
    """Returns the membranes ``(N, h, w, c)`` of a read-out after all steps, over ``2**shift``."""
    unit = 2.0**neurons.shift
    if dynamics.floor is None:
        total = sum(apply(kernel, _count(train, dtype), population.shape) for kernel, train in edges)
        held: Array = total + (neurons.v0 + len(edges[0][1]) * neurons.current) / unit
        return held
    sums = arrivals(edges, population.shape, dtype)
    v: Array = np.zeros(sums.shape[1:], dtype) + (neurons.v0 / unit).astype(dtype)
    for arrived in sums:
        v = np.maximum(v + arrived + (neurons.current / unit).astype(dtype), dynamics.floor / unit)
    return v


def send(
    edges: list[tuple[Kernel, Array]],
    population: Population,
    neurons: NeuronParameters,
    wait: int = 0,
    dtype: type = np.float32,
    dynamics: Dynamics = USUAL,
) -> Array:
    """Returns what the neurons of a population send, ``(T, N, h, w, c)`` int8.

    Args:
        edges: Integer kernels, and the trains ``(T, N, h, w, c)`` of their sources.
        population: The population.
        neurons: Its numbers.
        wait: Steps that it integrates before it may fire.
        dtype: Type of the sums.
        dynamics: How its neurons reset and how low they go.
    """
    steps, count = edges[0][1].shape[:2]

    def real(numbers: Array) -> Array:
        spread: Array = np.broadcast_to(numbers / 2.0**neurons.shift, population.shape).astype(dtype)
        return spread

    theta, start, current = real(neurons.theta), real(neurons.v0), real(neurons.current)
    train = np.empty((steps, count, *population.shape), np.int8)
    each = max(1, _CHUNK // (steps * population.size))
    for first in range(0, count, each):
        part = slice(first, first + each)
        sums = arrivals(((k, t[:, part]) for k, t in edges), population.shape, dtype)
        floor = None if dynamics.floor is None else dynamics.floor / 2.0**neurons.shift
        zero = dynamics.reset == "zero"
        fire(sums, theta, start, current, neurons.signed, wait, train[:, part], to_zero=zero, floor=floor)
    return train


def fire(
    sums: Array,
    theta: Array,
    start: Array,
    current: Array,
    signed: int,
    wait: int = 0,
    train: Array | None = None,
    *,
    to_zero: bool = False,
    floor: float | None = None,
) -> Array:
    """Returns what neurons have sent in all after T steps, ``(…)`` int32: spikes less those taken back.

    Args:
        sums: ``(T, …)`` what arrives in each step.
        theta: Threshold; this and the next two broadcast to ``(…)``.
        start: Start of the membrane.
        current: Bias current of a step in which it may fire.
        signed: 1: −1 is sent while v < 0; 2: likewise, but no more than were sent; 0: never.
        wait: Steps of integrating before the T steps of firing.
        train: ``(T, …)``, receives what is sent in each step.
        to_zero: Whether a spike, up or down, sets the membrane to zero.
        floor: What the membrane is lifted to once a step's arrivals are added.
    """
    steps, shape = len(sums), sums.shape[1:]
    v = np.empty(shape, sums.dtype)
    v[:] = start
    spent = np.empty_like(v)
    up, down, positive = (np.empty(shape, bool) for _ in range(3))
    sent = np.empty(shape, np.int8)
    count = np.zeros(shape, np.int32)
    for j in range(steps + wait):
        if j < steps:
            v += sums[j]
        if j >= wait:
            v += current
        if floor is not None:
            np.maximum(v, floor, out=v)
        if j < wait:
            continue
        np.greater_equal(v, theta, out=up)
        sent[...] = up
        if signed:
            np.less(v, 0, out=down)
            if signed == 2:
                down &= np.greater(count, 0, out=positive)
            sent -= down
        if to_zero:
            v[sent != 0] = 0
        else:
            v -= np.multiply(sent, theta, out=spent)
        count += sent
        if train is not None:
            train[j - wait] = sent
    return count
