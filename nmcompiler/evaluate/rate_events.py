"""Executes populations in the ``rate`` code whose neurons compare after every event, layer by layer.

A neuron takes the spikes of a step one after another: sources in the order of the network, the neurons of a
source in flat order (row, column, channel), several spikes of one neuron in a row. What it does depends on
that order, so it is part of the rule; on a chip where nobody controls it, a seed draws one for all sources.

A train is ``(T, N, h, w, c)``: how many spikes each neuron sends in each step, which may be more than one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from nmcompiler.evaluate.linear import apply
from nmcompiler.ir.kernels import Array, Kernel, Shape
from nmcompiler.ir.network import Population, PopulationGraph
from nmcompiler.ir.spiking import NeuronParameters
from nmcompiler.target.model import Dynamics

__all__ = ["Origin", "hold_by_event", "origins", "send_by_event", "synapses", "turns"]

_AT_A_TIME = 256  # source neurons whose synapses are listed together


@dataclass(frozen=True, eq=False)
class Origin:
    """A source of a population.

    Attributes:
        kernels: Those through which it is read.
        train: ``(T, N, h, w, c)``.
        number: Its place among the populations of the network.
    """

    kernels: tuple[Kernel, ...]
    train: Array
    number: int = 0

    @property
    def size(self) -> int:
        """Neurons of the source."""
        return int(np.prod(self.train.shape[2:]))


def origins(graph: PopulationGraph, name: str, trains: Mapping[str, Array]) -> list[Origin]:
    """Returns the sources of a population in the order of the network."""
    edges = graph.in_edges(name)
    numbers = {name: number for number, name in enumerate(graph.names())}
    sources = sorted({e.source for e in edges}, key=lambda name: numbers[name])
    return [
        Origin(tuple(e.payload.kernel for e in edges if e.source == s), trains[s], numbers[s])
        for s in sources
    ]


def turns(sources: Iterable[Origin], ties: int | None) -> Array:
    """Returns in which order the neurons of all sources, put together, have their turn in a step.

    Without a seed that is their own order. With one, source i of population p comes at the place of the
    number that SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014)
    makes of ``seed + (p·2^32 + i + 1)·0x9E3779B97F4A7C15``.
    """
    numbers = [(s.number << 32) + i + 1 for s in sources for i in range(s.size)]
    if ties is None:
        return np.arange(len(numbers))
    return np.array(sorted(range(len(numbers)), key=lambda k: _mixed(ties, numbers[k])), np.int64)


def _mixed(seed: int, number: int) -> int:
    most = (1 << 64) - 1
    z = (seed + number * 0x9E3779B97F4A7C15) & most
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & most
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & most
    return z ^ (z >> 31)


def send_by_event(
    sources: Iterable[Origin],
    population: Population,
    neurons: NeuronParameters,
    dynamics: Dynamics,
    wait: int = 0,
) -> Array:
    """Returns what the neurons of a population send, ``(T, N, h, w, c)`` int32.

    Args:
        sources: Where spikes come from, in the order in which they are taken.
        population: The population.
        neurons: Its numbers.
        dynamics: How its neurons reset and how low they go.
        wait: Steps that it integrates before it may fire.
    """
    walk = _Walk(list(sources), population, neurons, dynamics)
    return np.stack(list(walk.steps(wait, fires=True))).reshape(-1, walk.samples, *population.shape)


def hold_by_event(
    sources: Iterable[Origin], population: Population, neurons: NeuronParameters, dynamics: Dynamics
) -> Array:
    """Returns the membranes ``(N, h, w, c)`` float64 of a read-out after all steps, over ``2**shift``."""
    walk = _Walk(list(sources), population, neurons, dynamics)
    for _ in walk.steps(0, fires=False):
        pass
    held: Array = walk.v.reshape(-1, *population.shape) / 2.0**neurons.shift
    return held


class _Walk:
    """Whole-numbered membranes ``(N, n)`` of a population and the synapses of its sources."""

    def __init__(
        self, sources: list[Origin], population: Population, neurons: NeuronParameters, dynamics: Dynamics
    ) -> None:
        self.length, self.samples = sources[0].train.shape[:2]
        self.theta, start, self.current = (
            np.broadcast_to(numbers, population.shape).reshape(-1)
            for numbers in (neurons.theta, neurons.v0, neurons.current)
        )
        self.v = np.repeat(start[None], self.samples, axis=0).astype(np.int64)
        self.dynamics = dynamics
        reached = [column for s in sources for column in synapses(s, population.shape)]
        order = turns(sources, dynamics.ties)
        self.synapses = [(reached[k][0], reached[k][1] << neurons.shift) for k in order]
        trains = [s.train.reshape(self.length, self.samples, -1) for s in sources]
        self.train = np.concatenate(trains, axis=2)[:, :, order]

    def steps(self, wait: int, *, fires: bool) -> Iterator[Array]:
        """Yields the spikes ``(N, n)`` int32 of each step in which the population is active."""
        every = np.arange(self.v.shape[1])
        for t in range(self.length + wait):
            sent = np.zeros(self.v.shape, np.int32)
            active = t >= wait
            if active:
                self._add(slice(None), every, self.current, sent, fires=fires)
            if t < self.length:
                for neuron in np.flatnonzero(self.train[t].any(axis=0)):
                    spikes, (targets, weights) = self.train[t][:, neuron], self.synapses[neuron]
                    for k in range(int(spikes.max())):
                        rows = np.flatnonzero(spikes > k)[:, None]
                        self._add(rows, targets, weights, sent, fires=fires and active)
            if active:
                yield sent

    def _add(self, rows: Array | slice, targets: Array, amount: Array, sent: Array, *, fires: bool) -> None:
        """Adds an amount to some membranes, lifts them to the floor and, where they fire, compares them."""
        v = self.v[rows, targets] + amount
        if self.dynamics.floor is not None:
            v = np.maximum(v, self.dynamics.floor)
        if fires:
            up = v >= self.theta[targets]
            sent[rows, targets] += up
            v = np.where(up, 0 if self.dynamics.reset == "zero" else v - self.theta[targets], v)
        self.v[rows, targets] = v


def synapses(source: Origin, shape: Shape) -> list[tuple[Array, Array]]:
    """Returns for each neuron of a source the neurons that it reaches, flat, and the weights, no zeros."""
    result: list[tuple[Array, Array]] = []
    of = source.train.shape[2:]
    size = int(np.prod(of))
    for first in range(0, size, _AT_A_TIME):
        count = min(_AT_A_TIME, size - first)
        one = np.zeros((count, size))
        one[np.arange(count), first + np.arange(count)] = 1
        reached = sum(apply(kernel, one.reshape(count, *of), shape) for kernel in source.kernels)
        for row in np.asarray(reached).reshape(count, -1):
            targets = np.flatnonzero(row)
            result.append((targets, np.round(row[targets]).astype(np.int64)))
    return result
