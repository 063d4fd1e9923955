"""Populations with more inputs than a neuron has synapses: partial sums without any rounding.

Helpers of threshold 1 pass on what some of the inputs sum up, and have levels enough for all that they ever
sum up; the population adds their values (SEMANTICS §3)::

    p_g = Σ_{i ∈ g} w_i·q_i + b_g,    acc = Σ_g p_g + (b − Σ_g b_g)

Where spikes carry a sign ``b_g`` is 0, else it is what the inputs can take away at most, so that no helper is
ever below 0. A value must be sent whole: the codes ``phase`` and ``graded`` do that in steps that grow with
the logarithm of the levels, or not at all. Inputs for which the population has synapses left, it reads
itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from nmcompiler.codings import Coding
from nmcompiler.errors import DoesNotFit
from nmcompiler.ir.bounds import sums_of_weights
from nmcompiler.ir.kernels import Array, elementwise
from nmcompiler.ir.network import Network, Population, PopulationGraph, Projection
from nmcompiler.passes.base import EXACT, Context, Fitted, Keeps, Note, PassResult
from nmcompiler.passes.draft import compact
from nmcompiler.passes.drop_zeros import fan_in_of
from nmcompiler.passes.fan_in import FanIn, available_neurons
from nmcompiler.passes.formats import Formats
from nmcompiler.passes.pieces import pieces, shares
from nmcompiler.target.model import Target

__all__ = ["SplitExact"]

_MOST_LEVELS = 65535
_LEAST = 2  # synapses with which helpers make the inputs fewer
_DEEPEST = 32  # levels of helpers: each at least halves what is read

_Edges = list[tuple[str, Projection]]


@dataclass(frozen=True)
class SplitExact:
    """Gives populations with too many inputs helpers that sum up some of them, exactly.

    Attributes:
        coding: The code.
        chips: Chips that may be used.
        passes: Passes over them; None for any number.
    """

    coding: Coding
    chips: int | None = None
    passes: int | None = 1
    name: ClassVar[str] = "split-exact"
    keeps: ClassVar[Keeps] = EXACT

    def run(self, graph: Network, context: Context) -> PassResult[Network]:
        """Returns the network in which no population has too many inputs.

        Raises:
            DoesNotFit: A partial sum is more than a spike can carry or a membrane hold, or there are too few
                neurons for all of them.
        """
        limit = FanIn.of(context.target)
        if limit is None or limit.full - limit.bias < _LEAST:
            return PassResult(graph, False)
        network = graph
        helpers: dict[str, int] = {}
        changed = False  # synapses of weight 0 are left out, which may be enough
        for _ in range(_DEEPEST):
            made = _Builder(network, limit, self.coding, context.target)
            network = replace(graph, graph=made.built())
            changed |= made.changed
            for name, count in made.helpers.items():
                helpers[name] = helpers.get(name, 0) + count
            if not made.helpers:
                break
        if not changed:
            return PassResult(graph, False)
        self._check_room(network, graph, context.target)
        notes = (_note(graph, name, count, context.target) for name, count in helpers.items())
        return PassResult(network, True, tuple(notes))

    def _check_room(self, network: Network, before: Network, target: Target) -> None:
        available = available_neurons(target, self.chips, self.passes)
        if available is None or network.neurons <= available:
            return
        largest = max((p for p in before.graph if p.role != "input"), key=lambda p: p.size)
        raise DoesNotFit(
            layer=largest.name,
            resource="neurons",
            used=network.neurons,
            limit=available,
            target=target.name,
            words="neurons, with all other layers,",
            hint=f"{network.neurons - before.neurons:,} of them are exact partial sums",
        )


def _note(network: Network, name: str, helpers: int, target: Target) -> Note:
    neurons = helpers * network.graph.node(name).size
    sums = f"{helpers} exact partial sums, {neurons:,} neurons"
    text = f"has more inputs a neuron than {target.name} takes: {sums}"
    return Note(name, text, by_target=True, fitted=Fitted("exact", 1.0))


@dataclass
class _Builder:
    """Builds a network with one more level of helpers.

    Attributes:
        network: The network so far.
        limit: Synapses of a neuron.
        coding: The code.
        target: The chip.
        helpers: Number of helpers by population.
        changed: Whether a population had too many inputs.
    """

    network: Network
    limit: FanIn
    coding: Coding
    target: Target
    helpers: dict[str, int] = field(default_factory=dict)
    changed: bool = False

    def built(self) -> PopulationGraph:
        """Returns the populations with those helpers that are missing."""
        graph = PopulationGraph()
        for p in self.network.graph:
            edges: _Edges = [(e.source, e.payload) for e in self.network.graph.in_edges(p.name)]
            if edges and self._reads(edges, p) > self.limit.most:
                self.changed = True
                p, edges = self._split(graph, p, edges)
            graph.add(p)
            for source, projection in edges:
                graph.connect(source, p.name, projection)
        return graph

    def _reads(self, edges: _Edges, p: Population) -> int:
        shapes = [self.network.graph.node(source).shape for source, _ in edges]
        synapses = fan_in_of([projection.kernel for _, projection in edges], shapes, p)
        return int((synapses + self.limit.bias * (p.bias != 0)).max())

    def _split(self, graph: PopulationGraph, p: Population, edges: _Edges) -> tuple[Population, _Edges]:
        """Returns a population that reads helpers, which are added, and its in-edges."""
        most = self.limit.full - self.limit.bias
        total = sum(self._reads([edge], replace(p, bias=0 * p.bias)) for edge in edges)
        own = 0 if len(edges) > 1 else shares(total, most)
        bias = p.bias
        kept: _Edges = []
        for number, group in enumerate(self._groups(p, edges, most, own)):
            if own and not number:
                kept += group
                continue
            helper = self._helper(graph, p, group)
            bias = bias - helper.bias
            one = elementwise(np.ones(p.shape[2], np.int64))
            kept.append((helper.name, Projection(one, group[0][1].slot)))
        changed = replace(p, bias=compact(bias))
        self._check_bias(changed)
        return changed, kept

    def _groups(self, p: Population, edges: _Edges, most: int, own: int) -> list[_Edges]:
        groups: list[_Edges] = []
        room = 0
        for source, projection in edges:
            shapes = self.network.graph.node(source).shape, p.shape
            for part in pieces(projection.kernel, *shapes, most, own or None):
                these = [(source, replace(projection, kernel=kernel)) for kernel in part]
                needed = self._reads(these, replace(p, bias=0 * p.bias))
                if not groups or needed > room or (own and len(groups) == 1):
                    groups.append([])
                    room = most
                groups[-1] += these
                room -= needed
        return groups

    def _helper(self, graph: PopulationGraph, p: Population, edges: _Edges) -> Population:
        """Adds a population that passes on the whole sum of some in-edges, and returns it."""
        number = self.helpers[p.name] = self.helpers.get(p.name, 0) + 1
        name = f"{p.name}.part{number}"
        while name in self.network.graph or name in graph:
            name += "_"
        up, down = self._reach(edges, p)
        signed = self.target.signed_spikes and bool(down.any())
        bias = np.zeros((1, 1, 1), np.int64) if signed else compact(self._held_bias(down))
        levels = int(np.maximum(up, down).max() if signed else (up + bias).max())
        self._check(p.name, levels, signed, int((np.maximum(up, down) + np.abs(bias)).max()) + 1)
        helper = replace(
            p,
            name=name,
            role="hidden",
            bias=bias,
            theta=np.ones((1, 1, 1), np.int64),
            levels=max(levels, 1),
            signed=signed,
            scale=np.ones(p.shape[2]),
            offset=np.zeros(p.shape[2]),
            lead=np.zeros((1, 1, 1), np.int64),
        )
        graph.add(helper)
        for source, projection in edges:
            graph.connect(source, name, projection)
        return helper

    def _reach(self, edges: _Edges, p: Population) -> tuple[Array, Array]:
        """Returns how far the sums of some in-edges can go up and down, broadcastable to the shape."""
        up, down = np.zeros((1, 1, 1), np.int64), np.zeros((1, 1, 1), np.int64)
        for source, projection in edges:
            node = self.network.graph.node(source)
            more, less = sums_of_weights(projection.kernel, p.shape)
            if node.signed:
                more = less = more + less
            up, down = up + more * node.levels, down + less * node.levels
        return up, down

    def _held_bias(self, least: Array) -> Array:
        """Returns the smallest biases that the chip can hold and that are not below ``least``."""
        formats = Formats.of(self.target)
        if formats.mantissa is None:
            return least
        unit = np.ones_like(least)
        for _ in range(formats.exponent):
            unit = np.where(-(-least // unit) > formats.mantissa, 2 * unit, unit)
        return -(-least // unit) * unit

    def _check(self, name: str, levels: int, signed: bool, reach: int) -> None:
        """Raises where a helper's values are too many for a spike, or its membrane for a register."""
        formats = Formats.of(self.target)
        need, carried = self.coding.payload_bits(levels, signed), self.target.graded_payload_bits or 0
        limits = (
            ("values of a partial sum", levels, _MOST_LEVELS),
            ("bits of an event", need, carried),
            ("of a membrane", reach, formats.membrane),
        )
        for words, used, most in limits:
            if used > most:
                raise self._too_large(name, words, used, most)

    def _check_bias(self, p: Population) -> None:
        """Raises where the bias that makes up for those of helpers is none that the chip can hold."""
        formats = Formats.of(self.target)
        largest = int(np.abs(p.bias).max())
        if largest > formats.bias or not np.array_equal(formats.round_bias(p.bias), p.bias):
            raise self._too_large(p.name, "of a bias", largest, formats.bias)

    def _too_large(self, name: str, words: str, used: int, most: int) -> DoesNotFit:
        return DoesNotFit(
            layer=name,
            resource="fan_in",
            used=used,
            limit=most,
            target=self.target.name,
            words=words,
            hint="its inputs cannot be summed up exactly in parts: try --fan-in split",
        )
