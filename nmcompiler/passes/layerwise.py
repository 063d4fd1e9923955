"""What quantisation knows while it goes through a model layer by layer: signals, sums and corrections."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from nmcompiler.errors import InputFileError
from nmcompiler.evaluate.linear import apply
from nmcompiler.ir.kernels import Array, Kernel, Shape
from nmcompiler.ir.layers import Layer, Model
from nmcompiler.ir.network import Population, PopulationGraph, Projection, Role
from nmcompiler.passes.base import Note
from nmcompiler.passes.draft import compact
from nmcompiler.passes.formats import Branch, Formats
from nmcompiler.passes.kernel_algebra import is_identity, scale_sources
from nmcompiler.passes.max_tree import Values, read
from nmcompiler.passes.rate_response import RateResponse
from nmcompiler.passes.refit import Positions

__all__ = [
    "Signal",
    "State",
    "add_population",
    "branches_of",
    "corrected",
    "float_sum",
    "integer_sum",
    "only_pools",
    "population_of",
    "quantised_sum",
    "row_weights",
    "shifted",
    "sqnr",
]

_CHUNK = 32  # samples that go through a layer at a time
_LEAST_ROW = 0.1  # what a row of a refit counts for at least, before the root is taken


@dataclass(frozen=True, eq=False)
class Signal:
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
class State:
    """What has been built so far."""

    graph: PopulationGraph
    formats: Formats
    samples: int
    signals: dict[str, Signal] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    rate: RateResponse | None = None
    sensitivity: dict[str, Array] = field(default_factory=dict)
    gradients: dict[str, Array] = field(default_factory=dict)
    in_turn: bool = False
    coupled: bool = True
    known: dict[str, Array] | None = None  # sums in floating point, see ``Quantise``
    quantum: Array | None = None  # of the present layer, where its weights are codes times quanta


def branches_of(
    state: State, model: Model, layer: Layer, kernels: tuple[Kernel, ...] | None = None
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


def population_of(
    layer: Layer,
    role: Role,
    *,
    levels: int,
    signed: bool,
    scale: Array,
    offset: Array | None = None,
    bias: Array | None = None,
    theta: Array | None = None,
    lead: Array | None = None,
) -> Population:
    """Returns the population of a layer; an input has neither bias nor threshold."""
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
        lead=0 * one if lead is None else compact(lead.reshape(1, 1, -1)),
    )


def add_population(state: State, population: Population, branches: tuple[Branch, ...]) -> None:
    """Adds a population with its projections; a branch reads every term of its source."""
    state.graph.add(population)
    for branch in branches:
        values = state.signals[branch.source].values
        for source, kernel in read(state.graph, branch.kernel, values, population.shape):
            state.graph.connect(source, population.name, Projection(kernel, branch.slot))


def row_weights(state: State, layer: Layer, at: Positions) -> Array | None:
    """Returns ``(rows,)``: what the errors of a layer at some positions count for in a refit.

    Square roots of the sensitivities: few rows would otherwise decide, and be learnt by heart.
    """
    found = state.sensitivity.get(layer.name)
    if found is None or layer.max_pool is not None:
        return None
    mean = at.of(found).mean(axis=1)
    weights: Array = np.sqrt(mean / mean.mean() + _LEAST_ROW)
    return weights


def float_sum(state: State, model: Model, layer: Layer) -> Array:
    """Returns a layer's sums ``(N, h, w, c)`` float32 on the samples, all in floating point."""
    if state.known is not None and layer.name in state.known:
        return state.known[layer.name]
    edges = [(e.payload.kernel, state.signals[e.source].x) for e in model.graph.in_edges(layer.name)]
    sums = _sum(state, edges, layer.bias, layer.sum_shape)
    if state.known is not None:
        state.known[layer.name] = sums
    return sums


def quantised_sum(state: State, branches: tuple[Branch, ...], bias: Array, shape: Shape) -> Array:
    """Returns ``(N, *shape)`` float32: the sums of branches on the integers of their sources."""
    edges = [(branch.kernel, state.signals[branch.source].q) for branch in branches]
    return _sum(state, edges, bias, shape)


def integer_sum(
    state: State,
    branches: tuple[Branch, ...],
    exact: Array,
    bias: Array,
    unit: Array | float,
    shape: Shape,
) -> Array:
    """Returns ``(N, *shape)`` float32: the sums ``Σ w·q`` of integer branches, without a bias.

    Where layers are not coupled they are what the real sums ``exact``, less their ``bias``, are in ``unit``.
    """
    if state.coupled:
        return quantised_sum(state, branches, np.zeros((1, 1, 1)), shape)
    sums: Array = (exact - bias.astype(np.float32)) * np.asarray(unit, np.float32)
    return sums


def _sum(state: State, edges: list[tuple[Kernel, Array]], bias: Array, shape: Shape) -> Array:
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


def shifted(state: State, bias: Array, sums: Array, shift: Array | float) -> tuple[Array, Array]:
    """Returns bias and sums, both ``shift`` larger; as they are where the chip has no bias."""
    if not state.formats.biased:
        return bias, sums
    return bias + shift, sums + np.asarray(shift, np.float32)


def corrected(state: State, bias: Array, wanted: Array, found: Array) -> tuple[Array, Array]:
    """Returns bias and sums shifted per channel so that the means agree."""
    return shifted(state, bias, found, (wanted - found).mean(axis=(0, 1, 2), dtype=np.float64))


def sqnr(wanted: Array, found: Array) -> float:
    """Returns the signal to noise ratio of quantised values in dB."""
    signal = float(np.square(wanted, dtype=np.float64).sum())
    noise = float(np.square(wanted - found, dtype=np.float64).sum())
    if noise == 0:
        return float("inf")
    return 10 * float(np.log10(max(signal, 1e-30) / noise))


def only_pools(layer: Layer, kernel: Kernel, source: Signal) -> bool:
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
