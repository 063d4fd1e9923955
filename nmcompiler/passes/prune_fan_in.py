"""Layers with more inputs than a neuron has synapses: only those that matter most are kept.

Of the inputs of a neuron as many stay as it has synapses, those of the largest ``|w_i|·rms(x_i)`` on the
calibration samples; an input that never changes there has none, and what it brings becomes part of the bias.
The kept weights are refitted (``refit``) to what the layer gave with all its inputs, on what the pruned
layers before it give, and the bias makes up for the rest of the mean.

Where neurons of a core should read the same sources (in a crossbar of bits, each takes axons), all neurons of
a layer keep the same inputs, by the root of the summed squares of ``|w_i|·rms(x_i)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from nmcompiler.errors import DoesNotFit
from nmcompiler.evaluate.float import activate
from nmcompiler.evaluate.linear import apply
from nmcompiler.ir.kernels import Array, Conv, Dense, Kernel, Shape
from nmcompiler.ir.layers import Layer, Link, Model
from nmcompiler.passes.base import LOSSY, Context, Keeps, Note, PassResult
from nmcompiler.passes.calibration import last_readers
from nmcompiler.passes.columns import Positions, columns, from_groups, most_rows, to_groups
from nmcompiler.passes.draft import Draft, compact
from nmcompiler.passes.fan_in import FanIn, crowded, signed_inputs
from nmcompiler.passes.layerwise import sqnr
from nmcompiler.passes.refit import Read, refit
from nmcompiler.passes.walk import walk

__all__ = ["PruneFanIn"]

_ROWS = 16384  # positions of a layer that the refit looks at
_SCORED = 4096  # positions at which inputs are compared
_SCARCE = 1.0  # λ of a refit to fewer rows than four times the inputs
_CONSTANT = 1e-6  # share of its root mean square by which an input must vary

_Edges = list[tuple[str, Link]]
_Values = Mapping[str, Array]


@dataclass(frozen=True)
class PruneFanIn:
    """Keeps as many inputs of a neuron as it has synapses, and refits their weights."""

    name: ClassVar[str] = "prune-fan-in"
    keeps: ClassVar[Keeps] = LOSSY

    def run(self, graph: Model, context: Context) -> PassResult[Model]:
        """Returns the model in which no layer has too many inputs.

        Raises:
            UsageError: Where calibration samples are missing.
            DoesNotFit: A layer has too many inputs that it reads through wiring of its own.
        """
        fan_in = FanIn.of(context.target, signed_inputs(graph, context.calibration))
        draft, notes = Draft(graph), []
        names = set() if fan_in is None else set(crowded(draft, fan_in))
        if fan_in is None or not names:
            return PassResult(graph, False)
        readers = last_readers(graph)
        found: dict[str, Array] = {}  # the values of the pruned network
        for layer, wanted, sums in walk(graph, context.calibration):
            found |= {name: x for name, x in wanted.items() if graph.graph.node(name).is_input}
            if layer.name in names:
                before = _reads(draft, fan_in, layer)
                pruned, edges = _pruned(draft, layer, fan_in, context, found, sums)
                draft.layers[layer.name], draft.sources[layer.name] = pruned, edges
                ratio = _ratio(layer, sums, _sums(edges, pruned, found))
                after = _reads(draft, fan_in, pruned)
                notes.append(_note(layer.name, before, after, fan_in.inputs, ratio, context))
            now = _sums(draft.sources[layer.name], draft.layers[layer.name], found)
            found[layer.name] = activate(layer, sums if now is None else now)
            for done in readers.get(layer.name, ()):
                del found[done]
        return PassResult(draft.model(), True, tuple(notes))


def _pruned(
    draft: Draft, layer: Layer, fan_in: FanIn, context: Context, found: _Values, sums: Array
) -> tuple[Layer, _Edges]:
    """Returns a layer and its in-edges with as many inputs as a neuron may have."""
    most = fan_in.inputs
    shape = layer.sum_shape
    before = draft.sources[layer.name]
    if not all(_has_columns(link.kernel, shape) for _, link in before):
        raise DoesNotFit(
            layer=layer.name,
            resource="fan_in",
            used=_reads(draft, fan_in, layer),
            limit=fan_in.most,
            target=context.target.name,
            hint="it reads them through wiring of its own, which is not pruned: try --fan-in split",
        )
    samples = len(sums)
    scores = _scores(before, layer, Positions.spread(samples, shape, _SCORED), found)
    costs = [
        np.full(s.shape[1], fan_in.cost(draft.layers[n])) for s, (n, _) in zip(scores, before, strict=True)
    ]
    kept = _kept(np.concatenate(scores, axis=1), np.concatenate(costs), most, shared=fan_in.shared)
    parts = np.split(kept, np.cumsum([s.shape[1] for s in scores])[:-1], axis=1)
    masked = [_masked(link.kernel, mask) for (_, link), mask in zip(before, parts, strict=True)]
    at = Positions.spread(samples, shape, most_rows(tuple(masked), _ROWS))
    reads = tuple(Read(k, found[name]) for k, (name, _) in zip(masked, before, strict=True))
    start = sum((apply(read.kernel, read.source, shape) for read in reads), np.float32(0)) + layer.bias
    lift = (sums - start).mean(axis=(0, 1, 2), dtype=np.float64)
    rows = (at.of(start) + lift).astype(np.float32)
    kernels, shift = refit(reads, at.of(sums), rows, layer.activation, at, shape, scarce=_SCARCE)
    bias = layer.bias if context.target.bias is None else compact(layer.bias + lift + shift)
    edges = [(name, replace(link, kernel=k)) for (name, link), k in zip(before, kernels, strict=True)]
    return replace(layer, bias=bias), edges


def _has_columns(kernel: Kernel, shape: Shape) -> bool:
    return isinstance(kernel, Conv) or (isinstance(kernel, Dense) and shape[:2] == (1, 1))


def _scores(edges: _Edges, layer: Layer, at: Positions, found: _Values) -> list[Array]:
    """Returns for each edge ``(c, unknowns)`` float64: what an input brings to a neuron of a channel."""
    result = []
    for source, link in edges:
        inputs = columns(link.kernel, found[source], at).astype(np.float64)
        rms = np.sqrt(np.square(inputs).mean(axis=1))
        rms[inputs.std(axis=1) <= _CONSTANT * rms] = 0
        each = np.abs(to_groups(link.kernel)) * rms[:, :, None]
        score = np.zeros((layer.sum_shape[2], each.shape[1]))
        first = link.kernel.target_channel if isinstance(link.kernel, Conv) else 0
        flat = each.transpose(0, 2, 1).reshape(-1, each.shape[1])
        score[first : first + len(flat)] = flat
        result.append(score)
    return result


def _kept(score: Array, cost: Array, most: int, *, shared: bool) -> Array:
    """Returns which inputs each channel keeps, bool ``(c, inputs)``: the best, as long as they fit."""
    if shared:
        score = np.broadcast_to(np.sqrt(np.square(score).sum(axis=0)), score.shape)
    order = np.argsort(-score, axis=1, kind="stable")
    fits = np.cumsum(cost[order], axis=1) <= most
    kept = np.zeros(score.shape, bool)
    np.put_along_axis(kept, order, fits, axis=1)
    kept &= score > 0
    return kept


def _masked(kernel: Kernel, kept: Array) -> Kernel:
    """Returns the kernel with only the inputs that are kept, bool ``(c, inputs)``."""
    weight = to_groups(kernel)
    groups, inputs, outputs = weight.shape
    first = kernel.target_channel if isinstance(kernel, Conv) else 0
    mine = kept[first : first + groups * outputs].reshape(groups, outputs, inputs).transpose(0, 2, 1)
    if mine.all() or not isinstance(kernel, Dense | Conv):
        return kernel
    return replace(kernel, weight=from_groups(kernel, weight * mine), pruned=True)


def _sums(edges: _Edges, layer: Layer, found: _Values) -> Array | None:
    """Returns ``(N, *sum_shape)`` float32: what a layer sums up now; None where it reads nothing."""
    parts = [apply(link.kernel, found[source], layer.sum_shape) for source, link in edges]
    if not parts:
        return None
    total: Array = sum(parts[1:], parts[0]) + layer.bias.astype(np.float32)
    return total


def _reads(draft: Draft, fan_in: FanIn, layer: Layer) -> int:
    edges = [(draft.layers[source], link.kernel) for source, link in draft.sources[layer.name]]
    return fan_in.reads(edges, layer)


def _ratio(layer: Layer, wanted: Array, found: Array | None) -> float:
    """Returns the signal to noise ratio of a layer's result in decibels."""
    clip = layer.activation
    pair = (np.clip(a, clip.lower, clip.upper) for a in (wanted, wanted if found is None else found))
    return sqnr(*pair)


def _note(name: str, before: int, after: int, limit: int, ratio: float, context: Context) -> Note:
    text = (
        f"keeps {after:,} of {before:,} inputs a neuron, and {context.target.name} takes {limit:,}: with the "
        f"kept weights refitted, its result has a signal-to-noise ratio of {ratio:.1f} dB"
    )
    return Note(name, text, sqnr_db=ratio, by_target=True, warning=True)
