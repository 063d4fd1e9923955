"""From floating point to integers: scales, thresholds, weights and biases, layer by layer.

Each layer is calibrated on the quantised outputs of the layers before it, against what the layer gives in
floating point, so that errors do not add up along the network. Only the samples' values are used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nmcompiler.evaluate.float import activate, max_pool
from nmcompiler.ir.kernels import Array
from nmcompiler.ir.layers import Layer, MaxPool, Model
from nmcompiler.ir.network import Network, Population, PopulationGraph
from nmcompiler.passes.base import LOSSY, Context, Keeps, Note, PassResult
from nmcompiler.passes.calibration import calibration_samples, largest_layer, last_readers, refuse
from nmcompiler.passes.codebook import typed_formats
from nmcompiler.passes.coded import coded_layer
from nmcompiler.passes.columns import most_rows
from nmcompiler.passes.fitted import fit_hidden, fit_output, stretched
from nmcompiler.passes.formats import Branch, Formats
from nmcompiler.passes.layerwise import (
    Signal,
    State,
    add_population,
    branches_of,
    corrected,
    float_sum,
    integer_sum,
    only_pools,
    population_of,
    quantised_sum,
    row_weights,
    shifted,
    sqnr,
)
from nmcompiler.passes.max_tree import Term, Values, joined, max_tree
from nmcompiler.passes.output_step import output_step
from nmcompiler.passes.rate_response import RateOptions, RateResponse
from nmcompiler.passes.rate_search import RateTuner, whole_lead
from nmcompiler.passes.refit import Positions, Read, refit
from nmcompiler.passes.scales import ScaleSearch, importance, input_range, refine_scales, search_scales
from nmcompiler.passes.sensitivity import gradients, sensitivities
from nmcompiler.passes.thresholds import readout_theta
from nmcompiler.target.model import Target

__all__ = ["Quantise", "QuantiseOptions"]

_SCARCE = 1.0  # λ of a refit to few noisy inputs


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
        weighted: Whether errors count by what they do to the network's outputs.
        in_turn: Whether weights are rounded one after another, each making up for those before it; not in
            the rate code.
        coupled: Whether a layer is fitted to the quantised outputs of those before it, and its bias makes up
            for rounding. Else it is fitted to what the layers give in floating point: that takes a fraction
            of the time, and is enough to know what fits a chip.
        bias_steps: Steps of the currents in which a code brings biases; 1 where membranes start at them. As
            yet only crossbars, whose biases are small, make use of it.
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
    coupled: bool = True
    bias_steps: int = 1
    rate: RateOptions | None = None


@dataclass(frozen=True)
class Quantise:
    """The one step from a model to an integer network (SEMANTICS §1).

    Attributes:
        options: How.
        sums: What layers give on the samples in floating point, ``(N, h, w, c)`` float32 by name, as far as
            it is known; what was missing is added. It serves any number of quantisations of one model on
            the same samples. None where only one is to be made: it holds all layers at once.
    """

    name: ClassVar[str] = "quantise"
    keeps: ClassVar[Keeps] = LOSSY
    options: QuantiseOptions = QuantiseOptions()
    sums: dict[str, Array] | None = None

    def run(self, graph: Model, context: Context) -> PassResult[Network]:
        """Returns the integer network; its notes carry each layer's signal to noise ratio.

        Raises:
            UsageError: Where calibration samples are missing.
            UnsupportedModel: Where an activation cannot be the clip of a population.
            DoesNotFit: Where a layer's numbers cannot fit the chip's formats.
        """
        refuse(graph)
        options = self.options
        formats = Formats.of(
            context.target,
            weight_bits=options.weight_bits,
            headroom_bits=options.headroom_bits,
            proved=options.proved,
        )
        samples = calibration_samples(graph, context.calibration)
        signed = frozenset(n for n, x in samples.items() if input_range(x, options.input_levels).signed)
        # All of them first: a layer that a crossbar cannot hold is refused before anything is searched.
        formats_of = {
            layer.name: self._formats(formats, context.target, graph, layer, signed) for layer in graph.graph
        }
        if options.rate is not None:
            most = options.rate.samples(largest_layer(graph))
            samples = {name: x[:most] for name, x in samples.items()}
        state = State(PopulationGraph(), formats, max(len(x) for x in samples.values()))
        if options.rate is not None:
            state.rate = RateResponse(state.graph, context.target, options.rate)
        if options.weighted:
            state.sensitivity = sensitivities(graph, samples)
            state.gradients = {} if state.rate else gradients(graph, samples)
        state.in_turn = options.in_turn and state.rate is None
        state.coupled, state.known = options.coupled, self.sums
        readers = last_readers(graph)
        readouts = {port.node for port in graph.outputs}
        names = graph.graph.names()
        for index, name in enumerate(names):
            context.progress(self.name, index, len(names))
            layer = graph.graph.node(name)
            state.formats = formats_of[name]
            if layer.is_input:
                self._input(state, layer, samples[name])
            elif name in readouts:
                self._readout(state, graph, layer)
            else:
                self._hidden(state, graph, layer)
            state.quantum = None
            state.sensitivity.pop(name, None)
            state.gradients.pop(name, None)
            for done in readers.get(name, ()):
                del state.signals[done]
            if state.rate is not None:
                state.rate.keep(signal.values for signal in state.signals.values())
        context.progress(self.name, len(names), len(names))
        network = Network(graph.name, state.graph, graph.inputs, graph.outputs)
        return PassResult(network, True, tuple(state.notes))

    def _formats(
        self, formats: Formats, target: Target, model: Model, layer: Layer, signed: frozenset[str]
    ) -> Formats:
        """Returns the formats of one layer, which in a crossbar depend on its fan-in."""
        edges = model.graph.in_edges(layer.name)
        if target.crossbar is None or not edges:
            return formats
        bits = self.options.weight_bits or target.weight_bits
        return typed_formats(formats, target, model, layer, bits, self.options.bias_steps, signed)

    def _input(self, state: State, layer: Layer, x: Array) -> None:
        coded = input_range(x, self.options.input_levels)
        levels = self.options.input_levels * self.options.input_repeats
        scale = coded.scale / self.options.input_repeats
        q = np.floor((x - coded.offset) / scale + 0.5)
        q = np.clip(q, -levels if coded.signed else 0, levels)
        population = population_of(
            layer, "input", levels=levels, signed=coded.signed, scale=scale, offset=coded.offset
        )
        state.graph.add(population)
        values = Values((Term(layer.name),), layer.shape, levels, coded.signed, scale, coded.offset)
        if state.rate is not None:
            state.rate.put_input(layer.name, q)
        state.signals[layer.name] = Signal(values, q.astype(np.float32), x.astype(np.float32))

    def _hidden(self, state: State, model: Model, layer: Layer) -> None:
        edges = model.graph.in_edges(layer.name)
        source = state.signals[edges[0].source] if len(edges) == 1 else None
        if source is not None and only_pools(layer, edges[0].payload.kernel, source):
            self._pool(state, layer, source)
            return
        options = self.options
        levels = options.levels
        signed = layer.activation.lower < 0
        exact = float_sum(state, model, layer)
        branches, bias, coarse = self._prepared(state, model, layer, exact)
        if state.formats.grain:
            branches, bias, coarse = coded_layer(state, layer, branches, bias, exact, alike=False)
        target = activate(layer, exact)
        tuner = self._tuner(state, layer, exact, branches, bias, target)
        found = tuner.search() if tuner else self._searched(state, layer, target, coarse)
        bias, coarse = shifted(state, bias, coarse, found.shift)
        observed = np.abs(coarse).max(axis=(0, 1, 2)).astype(np.float64)
        numbers, acc, b = fit_hidden(state, layer, branches, bias, coarse, found.scale, observed, levels)
        if tuner and not np.allclose(numbers.scale, found.scale):  # the chip's formats asked for others
            more = tuner.shift(numbers.scale, found.shift, found.lead) - found.shift
            bias, coarse = shifted(state, bias, coarse, more)
            numbers, acc, b = fit_hidden(
                state, layer, branches, bias, coarse, numbers.scale, observed, levels
            )
        theta = numbers.theta
        acc += (b + theta // 2).astype(np.float32)
        reached = np.floor(acc / theta.astype(np.float32))
        q = np.clip(reached, -levels if signed else 0, levels)
        population = population_of(
            layer,
            "hidden",
            levels=levels,
            signed=signed,
            scale=numbers.scale,
            bias=b,
            theta=theta,
            lead=whole_lead(found.lead, numbers.unit, state.formats.membrane),
        )
        add_population(state, population, numbers.branches)
        values = Values(
            (Term(layer.name),), layer.sum_shape, levels, signed, numbers.scale, np.zeros(len(theta))
        )
        if layer.max_pool is not None:
            values = _pooled(state, layer, layer.max_pool, values)
            q = max_pool(layer.max_pool, q, layer.shape[:2])
        if state.rate is not None:
            q = state.rate.counts(values)
        state.signals[layer.name] = Signal(values, q, target)
        saturated = float(np.mean((reached > levels) | (signed & (reached < -levels))))
        state.notes.append(
            Note(layer.name, "", sqnr(target, q * numbers.scale), int(found.silent.sum()), saturated)
        )

    def _searched(self, state: State, layer: Layer, target: Array, coarse: Array) -> ScaleSearch:
        """Returns the scales of a layer whose values are its sums, cut and rounded."""
        options = self.options
        values = activate(layer, coarse)
        signed = layer.activation.lower < 0
        sensitivity = state.sensitivity.get(layer.name)
        found = search_scales(
            target,
            values,
            options.levels,
            signed=signed,
            grid=options.grid,
            rows=options.rows,
            sensitivity=sensitivity,
        )
        grads = state.gradients.get(layer.name)
        if sensitivity is None or grads is None:
            return found
        return refine_scales(
            found, target, values, options.levels, signed=signed, sensitivity=sensitivity, gradients=grads
        )

    def _tuner(
        self,
        state: State,
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
        edges = [(b.kernel, state.signals[b.source].values) for b in branches]
        rows = state.rate.rows(edges, layer.sum_shape)
        at = Positions.spread(state.samples, layer.sum_shape, rows)
        steps = state.rate.steps(edges, bias, at, layer.sum_shape, signed=clip.lower < 0)
        wanted = np.clip(at.of(exact), clip.lower, clip.upper)
        counts = importance(target)[at.sample, None]
        sensitivity = state.sensitivity.get(layer.name)
        if sensitivity is not None and layer.max_pool is None:  # those of a pool are of what it chose
            counts = at.of(sensitivity)
        return RateTuner(steps, wanted, counts, state.formats.biased)

    def _prepared(
        self, state: State, model: Model, layer: Layer, exact: Array
    ) -> tuple[tuple[Branch, ...], Array, Array]:
        """Returns in-edges and bias that suit the quantised inputs, and the sums ``(N, h, w, c)`` so made."""
        edges = model.graph.in_edges(layer.name)
        branches, offset = branches_of(state, model, layer)
        if not self.options.coupled:
            return branches, offset, exact
        sums = quantised_sum(state, branches, offset, layer.sum_shape)
        bias, coarse = corrected(state, offset, exact, sums)
        if not self.options.refit:
            return branches, bias, coarse
        reads = tuple(Read(e.payload.kernel, state.signals[e.source].real) for e in edges)
        most = most_rows(tuple(read.kernel for read in reads), self.options.refit_rows)
        at = Positions.spread(state.samples, layer.sum_shape, most)
        kernels, shift = refit(
            reads,
            at.of(exact),
            at.of(coarse),
            layer.activation,
            at,
            layer.sum_shape,
            scarce=None if state.rate is None else _SCARCE,
            weight=row_weights(state, layer, at) if state.rate is None else None,
        )
        if all(kernel is read.kernel for kernel, read in zip(kernels, reads, strict=True)):
            return branches, bias, coarse
        shift = shift + bias - offset if state.formats.biased else np.zeros_like(shift)
        branches, offset = branches_of(state, model, layer, kernels)
        bias = offset + shift
        return branches, bias, quantised_sum(state, branches, bias, layer.sum_shape)

    def _pool(self, state: State, layer: Layer, source: Signal) -> None:
        """A layer that only pools needs no population before its tree."""
        if layer.max_pool is None:
            raise ValueError("a layer that only pools has a pool")
        values = _pooled(state, layer, layer.max_pool, source.values)
        pooled = [max_pool(layer.max_pool, a, layer.shape[:2]) for a in (source.q, source.x)]
        if state.rate is not None:
            pooled[0] = state.rate.counts(values)
        state.signals[layer.name] = Signal(values, *pooled)

    def _output_step(self, state: State, exact: Array, coarse: Array, levels: int) -> float:
        """Returns what a unit of all outputs stands for, from ``(N, h, w, c)`` wanted and found sums."""
        at = Positions.spread(state.samples, exact.shape[1:], self.options.rows)
        return output_step(at.of(exact), at.of(coarse), importance(exact)[at.sample], levels)

    def _readout(self, state: State, model: Model, layer: Layer) -> None:
        exact = float_sum(state, model, layer)
        branches, bias, coarse = self._prepared(state, model, layer, exact)
        if self.options.refit:
            branches, bias, coarse = stretched(state, layer, branches, bias, coarse, exact)
        if state.formats.grain:
            branches, bias, coarse = coded_layer(state, layer, branches, bias, exact, alike=True)
        observed = np.abs(coarse).max(axis=(0, 1, 2)).astype(np.float64)
        levels = self.options.output_levels or 0
        step = self._output_step(state, exact, coarse, levels) if levels else None
        integer, scale, b = fit_output(state, layer, branches, bias, coarse, observed, step)
        theta = readout_theta(step, scale, state.formats)
        scales = np.full(layer.sum_shape[2], theta * scale)
        population = population_of(
            layer, "readout", levels=levels, signed=True, scale=scales, bias=b, theta=np.array([theta])
        )
        add_population(state, population, integer)
        acc = integer_sum(state, integer, coarse, bias, 1 / scale, layer.sum_shape) + b.astype(np.float32)
        q = _answers(state, population, acc) if levels else acc
        saturated = float(np.mean(np.abs(acc) > (levels + 0.5) * theta)) if levels else 0.0
        state.notes.append(
            Note(layer.name, "", sqnr(exact, q * scales.astype(np.float32)), saturated_share=saturated)
        )


def _pooled(state: State, layer: Layer, pool: MaxPool, values: Values) -> Values:
    """Returns the values of a pool, whose populations are added."""
    pooled = max_tree(state.graph, layer.name, values, pool, layer.shape, layer.origin)
    return joined(state.graph, layer.name, pooled, layer.origin) if pool.joined else pooled


def _answers(state: State, population: Population, acc: Array) -> Array:
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
