"""From floating point to integers: scales, thresholds, weights and biases, layer by layer.

Each layer is calibrated on the quantised outputs of the layers before it, against what the layer gives in
floating point, so that errors do not add up along the network. Only the samples' values are used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
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
from nmcompiler.passes.gptq import round_in_turn
from nmcompiler.passes.kernel_algebra import is_identity, scale_sources, scale_targets
from nmcompiler.passes.max_tree import Term, Values, max_tree, read
from nmcompiler.passes.output_step import output_step
from nmcompiler.passes.rate_response import RateOptions, RateResponse
from nmcompiler.passes.rate_search import RateTuner
from nmcompiler.passes.refit import Positions, Read, refit
from nmcompiler.passes.scales import ScaleSearch, importance, input_range, output_gain, search_scales
from nmcompiler.passes.sensitivity import sensitivities
from nmcompiler.passes.thresholds import (
    Branch,
    Formats,
    Integers,
    fit_population,
    fit_readout,
    readout_theta,
)

__all__ = ["Quantise", "QuantiseOptions"]

_CHUNK = 32  # samples that go through a layer at a time
_SCARCE = 1.0  # λ of a refit to few noisy inputs
_ROWS_IN_TURN = 8192  # positions that the rounding of weights looks at
_LEAST_ROW = 0.1  # what a row of a refit counts for at least, before the root is taken
_LARGEST_LAYER = 1 << 26  # values of one layer that calibration may hold


@dataclass(frozen=True)
class QuantiseOptions:
    """Options of quantisation.

    Attributes:
        levels: L of hidden populations; T in the rate code.
        weight_bits: Bits of a weight, sign included; None for the chip's.
        output_levels: L of the read-outs, T in the rate code; None where they are read from membranes.
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
        weighted: Whether errors count by what they do to the network's outputs; not in the rate code.
        in_turn: Whether weights are rounded one after another, each making up for those before it; not in
            the rate code.
        rate: T and settling where layers answer in free-running spikes; None where they cut and round.
    """

    levels: int = 255
    weight_bits: int | None = None
    output_levels: int | None = None
    input_levels: int = 255
    input_repeats: int = 1
    headroom_bits: int = 0
    proved: bool = True
    grid: int = 40
    rows: int = 8192
    refit: bool = True
    refit_rows: int = 16384
    weighted: bool = True
    in_turn: bool = True
    rate: RateOptions | None = None


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
    rate: RateResponse | None = None
    sensitivity: dict[str, Array] = field(default_factory=dict)
    in_turn: bool = False


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
        if options.rate is not None:
            most = options.rate.samples(_largest(graph))
            samples = {name: x[:most] for name, x in samples.items()}
        state = _State(PopulationGraph(), formats, max(len(x) for x in samples.values()))
        if options.rate is not None:
            state.rate = RateResponse(state.graph, context.target, options.rate)
        elif options.weighted:
            state.sensitivity = sensitivities(graph, samples)
        state.in_turn = options.in_turn and state.rate is None
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
            state.sensitivity.pop(name, None)
            for done in readers.get(name, ()):
                del state.signals[done]
            if state.rate is not None:
                state.rate.keep(signal.values for signal in state.signals.values())
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
        if state.rate is not None:
            state.rate.put_input(layer.name, q)
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
        tuner = self._tuner(state, layer, exact, branches, bias, target)
        found = tuner.search() if tuner else self._searched(state, layer, target, coarse)
        bias, coarse = _shifted(bias, coarse, found.shift)
        observed = np.abs(coarse).max(axis=(0, 1, 2)).astype(np.float64)
        numbers, acc, b = _fitted(state, layer, branches, bias, coarse, found.scale, observed, levels)
        if tuner and not np.allclose(numbers.scale, found.scale):  # the chip's formats asked for others
            more = tuner.shift(numbers.scale, found.shift) - found.shift
            bias, coarse = _shifted(bias, coarse, more)
            numbers, acc, b = _fitted(state, layer, branches, bias, coarse, numbers.scale, observed, levels)
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
        if state.rate is not None:
            q = state.rate.counts(values)
        state.signals[layer.name] = _Signal(values, q, target)
        saturated = float(np.mean((reached > levels) | (signed & (reached < -levels))))
        state.notes.append(
            Note(layer.name, "", _sqnr(target, q * numbers.scale), int(found.silent.sum()), saturated)
        )

    def _searched(self, state: _State, layer: Layer, target: Array, coarse: Array) -> ScaleSearch:
        """Returns the scales of a layer whose values are its sums, cut and rounded."""
        options = self.options
        return search_scales(
            target,
            activate(layer, coarse),
            options.levels,
            signed=layer.activation.lower < 0,
            grid=options.grid,
            rows=options.rows,
            sensitivity=state.sensitivity.get(layer.name),
        )

    def _tuner(
        self,
        state: _State,
        layer: Layer,
        exact: Array,
        branches: tuple[Branch, ...],
        bias: Array,
        target: Array,
    ) -> RateTuner | None:
        """Returns what finds the scales of a layer by simulating it; None where values are exact."""
        if state.rate is None:
            return None
        clip = layer.activation
        at = Positions.spread(state.samples, layer.sum_shape, state.rate.options.rows)
        edges = [(b.kernel, state.signals[b.source].values) for b in branches]
        steps = state.rate.steps(edges, bias, at, layer.sum_shape, signed=clip.lower < 0)
        wanted = np.clip(at.of(exact), clip.lower, clip.upper)
        return RateTuner(steps, wanted, importance(target)[at.sample])

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
        kernels, shift = refit(
            reads,
            at.of(exact),
            at.of(coarse),
            layer.activation,
            at,
            layer.sum_shape,
            scarce=None if state.rate is None else _SCARCE,
            weight=_row_weights(state, layer, at),
        )
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
        pooled = [max_pool(layer.max_pool, a, layer.shape[:2]) for a in (source.q, source.x)]
        if state.rate is not None:
            pooled[0] = state.rate.counts(values)
        state.signals[layer.name] = _Signal(values, *pooled)

    def _output_step(self, state: _State, exact: Array, coarse: Array, levels: int) -> float:
        """Returns what a unit of all outputs stands for, from ``(N, h, w, c)`` wanted and found sums."""
        at = Positions.spread(state.samples, exact.shape[1:], self.options.rows)
        return output_step(at.of(exact), at.of(coarse), importance(exact)[at.sample], levels)

    def _readout(self, state: _State, model: Model, layer: Layer) -> None:
        exact = _float_sum(state, model, layer)
        branches, bias, coarse = self._prepared(state, model, layer, exact)
        if state.rate is None and self.options.refit:
            branches, bias, coarse = _stretched(layer, branches, bias, coarse, exact)
        observed = np.abs(coarse).max(axis=(0, 1, 2)).astype(np.float64)
        levels = self.options.output_levels or 0
        step = self._output_step(state, exact, coarse, levels) if levels else None
        integer, scale, b = _fitted_readout(state, layer, branches, bias, coarse, observed, step)
        theta = readout_theta(step, scale)
        scales = np.full(layer.sum_shape[2], theta * scale)
        population = _population(
            layer, "readout", levels=levels, signed=True, scale=scales, bias=b, theta=np.array([theta])
        )
        _add(state, population, integer)
        acc = _quantised_sum(state, integer, b, layer.sum_shape)
        q = _answers(state, population, acc) if levels else acc
        saturated = float(np.mean(np.abs(acc) > (levels + 0.5) * theta)) if levels else 0.0
        state.notes.append(
            Note(layer.name, "", _sqnr(exact, q * scales.astype(np.float32)), saturated_share=saturated)
        )


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
        if state.in_turn:
            better = _in_turn(state, layer, branches, numbers.unit)
            if state.formats.hold(better, np.round(bias * numbers.unit), numbers.theta, layer.sum_shape):
                numbers = replace(numbers, branches=better)
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
    step: float | None,
) -> tuple[tuple[Branch, ...], float, Array]:
    """Returns a read-out's integer branches, the one scale of its sums and its integer bias.

    ``step`` is what a unit of its values stands for, where it is read from those.
    """
    allowed = bias
    one = np.ones(layer.sum_shape[2], np.int64)
    while True:
        integer, scale = fit_readout(
            layer.name, branches, allowed, layer.sum_shape, state.formats, observed=observed, step=step
        )
        theta = readout_theta(step, scale) * one
        if state.in_turn:
            better = _in_turn(state, layer, branches, one / scale)
            if state.formats.hold(better, np.round(bias / scale), theta, layer.sum_shape):
                integer = better
        acc = _quantised_sum(state, integer, np.zeros((1, 1, 1)), layer.sum_shape)
        corrected, _ = _corrected(bias, exact, acc * np.float32(scale) + bias.astype(np.float32))
        b = state.formats.round_bias(corrected / scale)
        if state.formats.hold(integer, b, theta, layer.sum_shape):
            return integer, scale, b
        allowed = 1.05 * np.maximum(np.abs(allowed), np.abs(corrected))


def _answers(state: _State, population: Population, acc: Array) -> Array:
    """Returns the values ``(N, h, w, c)`` that a read-out sends for its sums."""
    if state.rate is not None:
        zero = np.zeros(len(population.scale))
        terms = (Term(population.name),)
        return state.rate.counts(
            Values(terms, population.shape, population.levels, population.signed, population.scale, zero)
        )
    theta = population.theta
    q = np.floor((acc + (theta // 2).astype(np.float32)) / theta.astype(np.float32))
    sent: Array = np.clip(q, population.lowest, population.levels)
    return sent


def _stretched(
    layer: Layer, branches: tuple[Branch, ...], bias: Array, sums: Array, exact: Array
) -> tuple[tuple[Branch, ...], Array, Array]:
    """Returns a read-out whose outputs no longer are drawn towards their means, and its sums."""
    gain = output_gain(exact, sums)
    middle = sums.mean(axis=(0, 1, 2), dtype=np.float64)
    branches = tuple(replace(b, kernel=scale_targets(b.kernel, gain, layer.sum_shape)) for b in branches)
    return branches, gain * bias + (1 - gain) * middle, (gain * (sums - middle) + middle).astype(np.float32)


def _in_turn(state: _State, layer: Layer, branches: tuple[Branch, ...], unit: Array) -> tuple[Branch, ...]:
    """Returns branches with whole weights that make up for each other's rounding; they may not fit."""
    at = Positions.spread(state.samples, layer.sum_shape, _ROWS_IN_TURN)
    limit = state.formats.weight
    rounded = []
    for branch in branches:
        scaled = scale_targets(branch.kernel, unit, layer.sum_shape)
        q = state.signals[branch.source].q
        rounded.append(replace(branch, kernel=round_in_turn(scaled, q, at, layer.sum_shape, limit)))
    return tuple(rounded)


def _row_weights(state: _State, layer: Layer, at: Positions) -> Array | None:
    """Returns ``(rows,)``: what the errors of a layer at some positions count for in a refit.

    Square roots of the sensitivities: few rows would otherwise decide, and be learnt by heart.
    """
    found = state.sensitivity.get(layer.name)
    if found is None or layer.max_pool is not None:
        return None
    mean = at.of(found).mean(axis=1)
    weights: Array = np.sqrt(mean / mean.mean() + _LEAST_ROW)
    return weights


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


def _shifted(bias: Array, sums: Array, shift: Array | float) -> tuple[Array, Array]:
    return bias + shift, sums + np.asarray(shift, np.float32)


def _corrected(bias: Array, wanted: Array, found: Array) -> tuple[Array, Array]:
    """Returns bias and sums shifted per channel so that the means agree."""
    return _shifted(bias, found, (wanted - found).mean(axis=(0, 1, 2), dtype=np.float64))


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
    most = max(_LARGEST_LAYER // _largest(model), 8)
    return arrange_inputs(model, {port.name: given[port.name][:most] for port in model.inputs})


def _largest(model: Model) -> int:
    return max((int(np.prod(layer.sum_shape)) for layer in model.graph), default=1)


def _last_readers(model: Model) -> dict[str, list[str]]:
    """Returns for each layer the sources that nothing reads after it."""
    last: dict[str, str] = {}
    for edge in model.graph.edges():
        last[edge.source] = edge.target
    result: dict[str, list[str]] = {}
    for source, reader in last.items():
        result.setdefault(reader, []).append(source)
    return result
