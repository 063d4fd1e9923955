"""How layers answer in the free-running ``rate`` code, for calibration: simulated, step by step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from nmcompiler.codings.rate import Rate
from nmcompiler.evaluate.linear import apply, windows_at
from nmcompiler.evaluate.rate import input_train, send
from nmcompiler.evaluate.rate_events import Origin
from nmcompiler.ir.kernels import Array, Conv, Kernel, Shape, with_weight
from nmcompiler.ir.network import Network, Population, PopulationGraph
from nmcompiler.ir.schedule import Slot
from nmcompiler.ir.spiking import NeuronParameters
from nmcompiler.passes.max_tree import Values
from nmcompiler.passes.rate_arrivals import event_rows, events_at
from nmcompiler.passes.rate_search import Steps
from nmcompiler.passes.rate_walk import walked
from nmcompiler.passes.refit import Positions
from nmcompiler.passes.split_signed import read_halves
from nmcompiler.target.model import Target

__all__ = ["RateOptions", "RateResponse"]

_MOST_VALUES = 1 << 28  # of one layer's train, a byte each


@dataclass(frozen=True)
class RateOptions:
    """How a network is executed in the ``rate`` code.

    Attributes:
        steps: T.
        settle: Steps that each hidden population integrates before it may fire.
    """

    steps: int
    settle: int = 0

    @property
    def rows(self) -> int:
        """Positions that the search for thresholds looks at: fewer where there are many steps."""
        return min(2048, max((1 << 16) // self.steps, 64))

    def samples(self, largest: int) -> int:
        """Returns how many calibration samples are simulated at most: time and memory grow with T.

        Args:
            largest: Neurons of the largest layer.
        """
        held = _MOST_VALUES // (self.steps * largest)
        return min(max(4096 // self.steps, 64), max(held, 8))


@dataclass
class RateResponse:
    """Spike trains of the calibration samples, population by population as the network grows.

    Attributes:
        graph: The network under construction.
        target: The chip.
        options: T and settling.
        trains: ``(T, N, h, w, c)`` by population; what nothing reads any more is dropped.
    """

    graph: PopulationGraph
    target: Target
    options: RateOptions
    trains: dict[str, Array | None] = field(default_factory=dict)

    def put_input(self, name: str, q: Array) -> None:
        """Takes the integers ``(N, h, w, c)`` of an input population."""
        self.trains[name] = input_train(q, self.options.steps)

    def counts(self, values: Values) -> Array:
        """Simulates the populations that are new; returns the counts of values, ``(N, h, w, c)`` float32."""
        for population in self.graph:
            if population.fires and population.name not in self.trains:
                self.trains[population.name] = self._sent(population)
        total: Array | None = None
        for term in values.terms:
            part = self._train(term.population).sum(axis=0, dtype=np.float32)
            if term.kernel is not None:
                part = apply(term.kernel, part, values.shape)
            total = part if total is None else total + part
        if total is None:
            raise ValueError("values without terms")
        return total

    def keep(self, read: Iterable[Values]) -> None:
        """Drops the trains that none of the values read, nor any copy of a term of theirs."""
        names = {term.population for values in read for term in values.terms}
        for name in self.trains.keys() - names:
            sources = set(self.graph.predecessors(name))
            if not sources or not sources <= names:
                self.trains[name] = None

    def train(self, values: Values) -> Array:
        """Returns the steps ``(T, N, h, w, c)`` of values: the sum of those of their terms."""
        if len(values.terms) == 1 and values.terms[0].kernel is None:
            return self._train(values.terms[0].population)
        total: Array | None = None
        for term in values.terms:
            part = self._train(term.population)
            if term.kernel is not None:
                steps, count = part.shape[:2]
                merged = part.reshape(-1, *part.shape[2:]).astype(np.float32)
                part = apply(term.kernel, merged, values.shape).reshape(steps, count, *values.shape)
            total = part if total is None else total + part
        if total is None:
            raise ValueError("values without terms")
        return total.astype(np.int32)

    def steps(
        self,
        edges: Sequence[tuple[Kernel, Values]],
        bias: Array,
        at: Positions,
        shape: Shape,
        *,
        signed: bool,
    ) -> Steps:
        """Returns what a layer receives at some positions.

        Args:
            edges: Kernels with weights per unit of their source, and the values that they read.
            bias: Real bias, broadcastable to ``shape``.
            at: The positions.
            shape: ``(height, width, channels)`` of the sum.
            signed: Whether the layer's values may be negative.
        """
        dynamics = self.target.dynamics
        held = np.broadcast_to(bias, shape)[at.y, at.x].astype(np.float32)
        if dynamics.compares == "event":
            trains = [(kernel, self.train(values)) for kernel, values in edges]
            return Steps(
                events_at(trains, at, shape, dynamics.ties),
                held,
                signed,
                False,
                self.options.settle,
                dynamics,
            )
        sums = np.zeros((self.options.steps, len(at.sample), shape[2]), np.float32)
        for kernel, values in edges:
            train = self.train(values)
            if train.strides[0] == 0:
                sums += _rows(kernel, train[0], at, shape)
                continue
            for total, step in zip(sums, train, strict=True):
                total += _rows(kernel, step, at, shape)
        return Steps(sums, held, signed, self.target.signed_spikes, self.options.settle, dynamics)

    def rows(self, edges: Sequence[tuple[Kernel, Values]], shape: Shape) -> int:
        """Returns how many positions of a layer the search for thresholds looks at."""
        most = self.options.rows
        if self.target.dynamics.compares == "step":
            return most
        kernels, sources = [kernel for kernel, _ in edges], [values.shape for _, values in edges]
        return min(most, event_rows(kernels, sources, shape, self.options.steps))

    def _train(self, name: str) -> Array:
        train = self.trains[name]
        if train is None:
            raise ValueError(f"the train of '{name}' was dropped")
        return train

    def _sent(self, population: Population) -> Array:
        """Returns the train of a population; without signed spikes, of its on half less its off half."""
        edges = [(e.payload.kernel, self._train(e.source)) for e in self.graph.in_edges(population.name)]
        slot = Slot(0, 0, self.options.steps, population.levels, population.signed)
        network = Network("", self.graph, (), ())
        neurons = Rate(self.options.settle).neurons(network, population.name, slot, self.target)
        if self.target.signed_spikes or not population.signed:
            return self._fired(edges, population, neurons)
        on = self._fired(edges, population, replace(neurons, signed=0))
        mirrored = [(with_weight(kernel, -kernel.weight), train) for kernel, train in edges]
        turned = replace(
            neurons, signed=0, current=-neurons.current, v0=2 * (neurons.theta // 2) - neurons.v0
        )
        halves: Array = on - self._fired(mirrored, population, turned)
        return halves

    def _fired(
        self, edges: list[tuple[Kernel, Array]], population: Population, neurons: NeuronParameters
    ) -> Array:
        dynamics, settle = self.target.dynamics, self.options.settle
        if dynamics.compares == "step":
            return send(edges, population, neurons, settle, dynamics=dynamics)
        sources = [_origin(kernel, train) for kernel, train in edges]
        return walked(sources, population, neurons, dynamics, settle)


def _origin(kernel: Kernel, train: Array) -> Origin:
    """Returns a source whose spikes carry no sign: values below zero come from an off half."""
    if train.min(initial=0) >= 0:
        return Origin((kernel,), train)
    halves = np.concatenate([np.maximum(train, 0), np.maximum(-train, 0)], axis=-1)
    return Origin(tuple(read_halves(kernel, train.shape[2:])), halves)


def _rows(kernel: Kernel, source: Array, at: Positions, shape: Shape) -> Array:
    """Returns ``kernel(source)`` at some positions, ``(rows, c)`` float32."""
    if not isinstance(kernel, Conv):
        return at.of(apply(kernel, source.astype(np.float32), shape))
    taken = windows_at(kernel, source, at.sample, at.y, at.x).astype(np.float32)
    rows, kh, kw, _ = taken.shape
    groups, (inputs, outputs) = kernel.groups, kernel.weight.shape[2:]
    columns = taken.reshape(rows, kh * kw, groups, inputs).transpose(2, 0, 1, 3)
    weight = kernel.weight.reshape(kh * kw, inputs, groups, outputs // groups).transpose(2, 0, 1, 3)
    products = columns.reshape(groups, rows, -1) @ weight.reshape(groups, -1, outputs // groups).astype(
        np.float32
    )
    result = np.zeros((rows, shape[2]), np.float32)
    written = slice(kernel.target_channel, kernel.target_channel + outputs)
    result[:, written] = products.transpose(1, 0, 2).reshape(rows, outputs)
    return result
