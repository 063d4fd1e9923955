"""From floating point to integers: scales, thresholds, weights and biases, layer by layer.

Each layer is calibrated on the quantised outputs of the layers before it, against what the layer gives in
floating point, so that errors do not add up along the network. Only the samples' values are used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from nmcompiler.errors import InputFileError, RefusedNode, UnsupportedModel, UsageError
from nmcompiler.evaluate.float import activate, arrange_inputs, max_pool
from nmcompiler.evaluate.linear import apply
from nmcompiler.ir.kernels import Array, Kernel, Shape
from nmcompiler.ir.layers import Layer, Model
from nmcompiler.ir.network import Network, Population, PopulationGraph, Projection, Role
from nmcompiler.passes.base import LOSSY, Context, Keeps, Note, PassResult
from nmcompiler.passes.draft import compact
from nmcompiler.passes.kernel_algebra import is_identity, scale_sources
from nmcompiler.passes.max_tree import Term, Values, max_tree, read
from nmcompiler.passes.refit import Positions, Read, refit
from nmcompiler.passes.scales import input_range, search_scales
from nmcompiler.passes.thresholds import Branch, Formats, Integers, fit_population, fit_readout

__all__ = ["Quantise", "QuantiseOptions"]

_CHUNK = 32  # samples that go through a layer at a time
_LARGEST_LAYER = 1 << 26  # values of one layer that calibration may hold


@dataclass(frozen=True)
class QuantiseOptions:
    """Options of quantisation.

    Attributes:
        levels: L of hidden populations; T in the rate code.
        weight_bits: Bits of a weight, sign included; None for the chip's.
        input_levels: L of the inputs.
        input_repeats: T where a code injects inputs as a current in each of T steps, else 1. Their values
            are then sums over the steps: L is ``input_levels · input_repeats``, at a scale as much finer.
        headroom_bits: Bits that the code adds to thresholds, biases and membranes (4 in ``rate``).
        proved: Whether membranes must fit the chip for every input, by the sums of their weights: then no
            saturation is possible. Codes that are judged by accuracy anyway need them to fit only for what
            calibration saw, with a margin: a neuron that keeps firing never holds its whole sum.
        grid: Number of scales tried per channel.
        rows: Positions that the search for scales looks at.
        refit: Whether weights are refitted to the quantised inputs of their layer.
        refit_rows: Positions that the refit looks at.
    """

    levels: int = 255
    weight_bits: int | None = None
    input_levels: int = 255
    input_repeats: int = 1
    headroom_bits: int = 0
    proved: bool = True
    grid: int = 40
    rows: int = 8192
    refit: bool = True
    refit_rows: int = 16384


@dataclass(frozen=True, eq=False)
class _Signal:
    """A layer's values: in integers for the network, and on the calibration samples both ways."""

    values: Values
    q: Array  # (N, h, w, c) float32 whole numbers
    x: Array  # (N, h, w, c) float32, floating-point path

    @property
    def real(self) -> Array:
        """``(N, h, w, c)`` float32: what the integers stand for."""
        real: Array = self.q * self.values.scale.astype(np.float32) + self.values.offset.astype(np.float32)
        return real


@dataclass
class _State:
    """What has been built so far."""

    graph: PopulationGraph
    formats: Formats
    samples: int
    signals: dict[str, _Signal] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)


@dataclass(frozen=True)
class Quantise:
    """The one step from a model to an integer network (SEMANTICS §1)."""

    name: ClassVar[str] = "quantise"
    keeps: ClassVar[Keeps] = LOSSY
    options: QuantiseOptions = QuantiseOptions()

    def run(self, graph: Model, context: Context) -> PassResult[Network]:
        """Returns the integer network; its notes carry each layer's signal to noise ratio.

        Raises:
            UsageError: Where calibration samples are missing.
            UnsupportedModel: Where an activation cannot be the clip of a population.
            DoesNotFit: Where a layer's numbers cannot fit the chip's formats.
        """
        _refuse(graph)
        options = self.options
        formats = Formats.of(
            context.target,
            weight_bits=options.weight_bits,
            headroom_bits=options.headroom_bits,
            proved=options.proved,
        )
        samples = _samples(graph, context.calibration)
        state = _State(PopulationGraph(), formats, max(len(x) for x in samples.values()))
        readers = _last_readers(graph)
        readouts = {port.node for port in graph.outputs}
        names = graph.graph.names()
        for index, name in enumerate(names):
            context.progress(self.name, index, len(names))
            layer = graph.graph.node(name)
            if layer.is_input:
                self._input(state, layer, samples[name])
            elif name in readouts:
                self._readout(state, graph, layer)
            else:
                self._hidden(state, graph, layer)
            for done in readers.get(name, ()):
                del state.signals[done]
        context.progress(self.name, len(names), len(names))
        network = Network(graph.name, state.graph, graph.inputs, graph.outputs)
        return PassResult(network, True, tuple(state.notes))

    def _input(self, state: _State, layer: Layer, x: Array) -> None:
        coded = input_range(x, self.options.input_levels)
        levels = self.options.input_levels * self.options.input_repeats
        scale = coded.scale / self.options.input_repeats
        q = np.floor((x - coded.offset) / scale + 0.5)
        q = np.clip(q, -levels if coded.signed else 0, levels)
        population = _population(
            layer, "input", levels=levels, signed=coded.signed, scale=scale, offset=coded.offset
        )
        state.graph.add(population)
        values = Values((Term(layer.name),), layer.shape, levels, coded.signed, scale, coded.offset)
        state.signals[layer.name] = _Signal(values, q.astype(np.float32), x.astype(np.float32))

    def _hidden(self, state: _State, model: Model, layer: Layer) -> None:
        edges = model.graph.in_edges(layer.name)
        source = state.signals[edges[0].source] if len(edges) == 1 else None
        if source is not None and _only_pools(layer, edges[0].payload.kernel, source):
            self._pool(state, layer, source)
            return
        options = self.options
        levels = options.levels
        signed = layer.activation.lower < 0
        exact = _float_sum(state, model, layer)
        branches, bias, coarse = self._prepared(state, model, layer, exact)
        target = activate(layer, exact)
        found = search_scales(
            target, activate(layer, coarse), levels, signed=signed, grid=options.grid, rows=options.rows
        )
        observed = np.abs(coarse).max(axis=(0, 1, 2)).astype(np.float64)
        numbers, acc, b = _fitted(state, layer, branches, bias, coarse, found.scale, observed, levels)
        theta = numbers.theta
        acc += (b + theta // 2).astype(np.float32)
        reached = np.floor(acc / theta.astype(np.float32))
        q = np.clip(reached, -levels if signed else 0, levels)
        population = _population(
            layer, "hidden", levels=levels, signed=signed, scale=numbers.scale, bias=b, theta=theta
        )
        _add(state, population, numbers.branches)
        values = Values(
            (Term(layer.name),), layer.sum_shape, levels, signed, numbers.scale, np.zeros(len(theta))
        )
        if layer.max_pool is not None:
            values = max_tree(state.graph, layer.name, values, layer.max_pool, layer.shape, layer.origin)
            q = max_pool(layer.max_pool, q, layer.shape[:2])
        state.signals[layer.name] = _Signal(values, q, target)
        saturated = float(np.mean((reached > levels) | (signed & (reached < -levels))))
        state.notes.append(
            Note(layer.name, "", _sqnr(target, q * numbers.scale), int(found.silent.sum()), saturated)
        )

    def _prepared(
        self, state: _State, model: Model, layer: Layer, exact: Array
    ) -> tuple[tuple[Branch, ...], Array, Array]:
        """Returns in-edges and bias that suit the quantised inputs, and the sums ``(N, h, w, c)`` so made."""
        edges = model.graph.in_edges(layer.name)
        branches, offset = _branches(state, model, layer)
        bias, coarse = _corrected(offset, exact, _quantised_sum(state, branches, offset, layer.sum_shape))
        if not self.options.refit:
            return branches, bias, coarse
        reads = tuple(Read(e.payload.kernel, state.signals[e.source].real) for e in edges)
        at = Positions.spread(state.samples, layer.sum_shape, self.options.refit_rows)
        kernels, shift = refit(reads, at.of(exact), at.of(coarse), layer.activation, at, layer.sum_shape)
        if all(kernel is read.kernel for kernel, read in zip(kernels, reads, strict=True)):
            return branches, bias, coarse
        shift = shift + bias - offset
        branches, offset = _branches(state, model, layer, kernels)
        bias = offset + shift
        return branches, bias, _quantised_sum(state, branches, bias, layer.sum_shape)

    def _pool(self, state: _State, layer: Layer, source: _Signal) -> None:
        """A layer that only pools needs no population before its tree."""
        if layer.max_pool is None:
            raise ValueError("a layer that only pools has a pool")
        values = max_tree(state.graph, layer.name, source.values, layer.max_pool, layer.shape, layer.origin)
        pooled = (max_pool(layer.max_pool, a, layer.shape[:2]) for a in (source.q, source.x))
        state.signals[layer.name] = _Signal(values, *pooled)

    def _readout(self, state: _State, model: Model, layer: Layer) -> None:
        exact = _float_sum(state, model, layer)
        branches, bias, coarse = self._prepared(state, model, layer, exact)
        observed = np.abs(coarse).max(axis=(0, 1, 2)).astype(np.float64)
        integer, scale, b = _fitted_readout(state, layer, branches, bias, coarse, observed)
        acc = _quantised_sum(state, integer, b, layer.sum_shape)
        scales = np.full(layer.sum_shape[2], scale)
        _add(state, _population(layer, "readout", levels=0, signed=True, scale=scales, bias=b), integer)
        state.notes.append(Note(layer.name, "", _sqnr(exact, acc * np.float32(scale))))


def _fitted(
    state: _State,
    layer: Layer,
    branches: tuple[Branch, ...],
    bias: Array,
    exact: Array,
    scale: Array,
    observed: Array,
    levels: int,
) -> tuple[Integers, Array, Array]:
    """Returns a layer's integers, its sums ``Σ w·q`` on the samples, and its integer bias.

    The bias makes up for the rounding of the weights; where it no longer fits, θ is chosen once more.
    """
    allowed = bias
    while True:
        numbers = fit_population(
            layer.name,
            branches,
            allowed,
            scale,
            layer.sum_shape,
            state.formats,
            observed=observed,
            levels=levels,
            ceiling=layer.activation.upper / levels,
        )
        acc = _quantised_sum(state, numbers.branches, np.zeros((1, 1, 1)), layer.sum_shape)
        real = acc / numbers.unit.astype(np.float32) + bias.astype(np.float32)
        corrected, _ = _corrected(bias, exact, real)
        b = state.formats.round_bias(corrected * numbers.unit)
        if state.formats.hold(numbers.branches, b, numbers.theta, layer.sum_shape):
            return numbers, acc, b
        allowed = 1.05 * np.maximum(np.abs(allowed), np.abs(corrected))


def _fitted_readout(
    state: _State,
    layer: Layer,
    branches: tuple[Branch, ...],
    bias: Array,
    exact: Array,
    observed: Array,
) -> tuple[tuple[Branch, ...], float, Array]:
    """Returns a read-out's integer branches, its one scale and its integer bias."""
    allowed = bias
    one = np.ones(layer.sum_shape[2], np.int64)
    while True:
        integer, scale = fit_readout(
            layer.name, branches, allowed, layer.sum_shape, state.formats, observed=observed
        )
        acc = _quantised_sum(state, integer, np.zeros((1, 1, 1)), layer.sum_shape)
        corrected, _ = _corrected(bias, exact, acc * np.float32(scale) + bias.astype(np.float32))
        b = state.formats.round_bias(corrected / scale)
        if state.formats.hold(integer, b, one, layer.sum_shape):
            return integer, scale, b
        allowed = 1.05 * np.maximum(np.abs(allowed), np.abs(corrected))


def _population(
    layer: Layer,
    role: Role,
    *,
    levels: int,
    signed: bool,
    scale: Array,
    offset: Array | None = None,
    bias: Array | None = None,
    theta: Array | None = None,
) -> Population:
    one = np.ones((1, 1, 1), np.int64)
    return Population(
        name=layer.name,
        shape=layer.sum_shape,
        role=role,
        bias=0 * one if bias is None else compact(bias),
        theta=one if theta is None else compact(theta.reshape(1, 1, -1)),
        levels=levels,
        signed=signed,
        scale=np.asarray(scale, np.float64),
        offset=np.zeros(len(scale)) if offset is None else offset,
        op=layer.op,
        origin=layer.origin,
    )


def _add(state: _State, population: Population, branches: tuple[Branch, ...]) -> None:
    """Adds a population with its projections; a branch reads every term of its source."""
    state.graph.add(population)
    for branch in branches:
        values = state.signals[branch.source].values
        for source, kernel in read(state.graph, branch.kernel, values, population.shape):
            state.graph.connect(source, population.name, Projection(kernel, branch.slot))


def _branches(
    state: _State, model: Model, layer: Layer, kernels: tuple[Kernel, ...] | None = None
) -> tuple[tuple[Branch, ...], Array]:
    """Returns the in-edges with weights per unit of their sources, and the bias with input offsets."""
    branches = []
    bias = np.asarray(layer.bias, np.float64)
    edges = model.graph.in_edges(layer.name)
    for edge, real in zip(edges, kernels or [e.payload.kernel for e in edges], strict=True):
        signal = state.signals[edge.source]
        values = signal.values
        kernel = scale_sources(real, values.scale, values.shape)
        if np.any(values.offset):
            constant = np.broadcast_to(values.offset, (1, *values.shape)).astype(np.float64)
            bias = bias + apply(real, constant, layer.sum_shape)[0]
        terms = [state.graph.node(term.population) for term in values.terms]
        branches.append(
            Branch(
                source=edge.source,
                kernel=kernel,
                slot=edge.payload.slot,
                levels=sum(p.levels for p in terms),
                signed=values.signed,
            )
        )
    return tuple(branches), compact(bias)


def _float_sum(state: _State, model: Model, layer: Layer) -> Array:
    edges = [(e.payload.kernel, state.signals[e.source].x) for e in model.graph.in_edges(layer.name)]
    return _sum(state, edges, layer.bias, layer.sum_shape)


def _quantised_sum(state: _State, branches: tuple[Branch, ...], bias: Array, shape: Shape) -> Array:
    edges = [(branch.kernel, state.signals[branch.source].q) for branch in branches]
    return _sum(state, edges, bias, shape)


def _sum(state: _State, edges: list[tuple[Kernel, Array]], bias: Array, shape: Shape) -> Array:
    """Returns ``Σ kernel(x) + bias`` as ``(N, *shape)`` float32, some samples at a time."""
    result = np.empty((state.samples, *shape), np.float32)
    result[:] = bias
    with np.errstate(over="ignore", invalid="ignore"):  # reported below, in words
        for first in range(0, state.samples, _CHUNK):
            part = slice(first, first + _CHUNK)
            for kernel, x in edges:
                result[part] += apply(kernel, x[part], shape)
    if not np.isfinite(result).all():
        raise InputFileError(
            "a layer's sums on the calibration samples leave the range of 32-bit floating point",
            hint="scale the weights or the samples down; values above 1e15 carry no information here",
        )
    return result


def _corrected(bias: Array, wanted: Array, found: Array) -> tuple[Array, Array]:
    """Returns bias and sums shifted per channel so that the means agree."""
    shift = (wanted - found).mean(axis=(0, 1, 2), dtype=np.float64)
    return bias + shift, found + shift.astype(np.float32)


def _sqnr(wanted: Array, found: Array) -> float:
    signal = float(np.square(wanted, dtype=np.float64).sum())
    noise = float(np.square(wanted - found, dtype=np.float64).sum())
    if noise == 0:
        return float("inf")
    return 10 * float(np.log10(max(signal, 1e-30) / noise))


def _only_pools(layer: Layer, kernel: Kernel, source: _Signal) -> bool:
    """Whether a layer is a max pool of values that exist as integers already."""
    clip = layer.activation
    harmless = clip.is_identity or (
        clip.lower == 0
        and clip.upper == np.inf
        and not source.values.signed
        and not np.any(source.values.offset)
    )
    copies = is_identity(kernel, source.values.shape, layer.sum_shape)
    return layer.max_pool is not None and copies and harmless and not np.any(layer.bias)


def _refuse(model: Model) -> None:
    """Refuses activations that are not the clip of a population."""
    refused = []
    for layer in model.graph:
        clip = layer.activation
        relu = clip.lower == 0 and clip.upper > 0
        if not (clip.is_identity or relu or (clip.lower == -clip.upper and clip.upper > 0)):
            reason = f"it clips to {clip.lower} … {clip.upper}"
            refused.append(RefusedNode(layer.name, layer.op, reason, "use Relu or Clip(0, c)"))
    if refused:
        raise UnsupportedModel(refused)


def _samples(model: Model, calibration: Mapping[str, Array] | None) -> dict[str, Array]:
    """Returns calibration values ``(N, h, w, c)`` by input layer, as many as memory allows."""
    given = calibration or {}
    for port in model.inputs:
        if not len(given.get(port.name, ())):
            raise UsageError(
                f"there are no calibration samples for input '{port.name}'",
                hint="give --calibration a .npz file with x",
            )
    largest = max((int(np.prod(layer.sum_shape)) for layer in model.graph), default=1)
    most = max(_LARGEST_LAYER // largest, 8)
    return arrange_inputs(model, {port.name: given[port.name][:most] for port in model.inputs})


def _last_readers(model: Model) -> dict[str, list[str]]:
    """Returns for each layer the sources that nothing reads after it."""
    last: dict[str, str] = {}
    for edge in model.graph.edges():
        last[edge.source] = edge.target
    result: dict[str, list[str]] = {}
    for source, reader in last.items():
        result.setdefault(reader, []).append(source)
    return result
