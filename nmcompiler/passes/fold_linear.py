"""Linear layers fold into the layers that read them, so that nothing between them is ever rounded."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar, TypeAlias

import numpy as np

from nmcompiler.evaluate.linear import apply
from nmcompiler.ir.kernels import Array, Conv, Dense, Kernel, Shape
from nmcompiler.ir.layers import Layer, Link, Model
from nmcompiler.passes.base import Context, Keeps, Note, PassResult, close
from nmcompiler.passes.draft import Draft, compact
from nmcompiler.passes.kernel_algebra import as_dense, compose, is_depthwise, is_pick, synapses
from nmcompiler.passes.room import Reads, Room
from nmcompiler.target.model import Target

__all__ = ["FoldLinear"]

_Edges: TypeAlias = list[tuple[str, Link]]


@dataclass(frozen=True)
class FoldLinear:
    """Composes each layer without activation and pooling into the layers that read it.

    BatchNormalization becomes weights and bias of the convolution before it, a shift before a padded
    convolution a bias per neuron, a residual join several edges of one layer, a concat edges that write
    different channels, and an average pool before a dense layer part of its weights.

    Where a neuron of the composed layer would read more than a core of the chip takes, and neurons of the
    two parts do not, the linear layer stays a population of its own.

    Attributes:
        growth: A composition may have this many times the synapses of its two parts.
        pooling_growth: The same where an average pool goes into a dense layer, which saves a rounding.
    """

    name: ClassVar[str] = "fold-linear"
    keeps: ClassVar[Keeps] = close(1e-4)
    growth: float = 2.0
    pooling_growth: float = 16.0

    def run(self, graph: Model, context: Context) -> PassResult[Model]:
        """Returns the model with as few linear layers as the rules of composition allow."""
        draft, room = Draft(graph), Room.of(context.target)
        notes: list[Note] = []
        too_large: dict[str, tuple[str, Reads]] = {}
        folded = True
        while folded:
            folded = False
            for name in tuple(draft.layers):
                if name not in draft.layers:
                    continue
                made = self._made(draft, name)
                if made and (full := _too_large(draft, room, name, made)) is not None:
                    too_large[name] = full
                elif made:
                    _replace(draft, name, made)
                    folded = True
                    notes.append(Note(name, "folded into the layers that read it"))
        merged = [name for name in draft.layers if _merge_parallel(draft, name)]
        changed = bool(notes or merged)
        notes += _kept_apart(draft, too_large, context.target)
        return PassResult(draft.model() if changed else graph, changed, tuple(notes))

    def _made(self, draft: Draft, name: str) -> dict[str, _Edges]:
        """Returns the new in-edges of all consumers of a layer; empty where it cannot fold into each."""
        inner = draft.layers[name]
        linear = not inner.is_input and inner.activation.is_identity and inner.max_pool is None
        if not linear or inner.function is not None or name in draft.ports:
            return {}
        consumers = draft.consumers(name)
        free = all(is_pick(link.kernel) for _, link in draft.sources[name])
        if len(consumers) > 1 and not free:
            return {}
        made = {}
        for consumer in consumers:
            edges = self._composed(draft, name, consumer)
            if edges is None:
                return {}
            made[consumer] = edges
        return made

    def _composed(self, draft: Draft, name: str, consumer: str) -> _Edges | None:
        """Returns the consumer's in-edges with those from ``name`` replaced, or None."""
        edges: _Edges = []
        target = draft.layers[consumer].sum_shape
        for source, link in draft.sources[consumer]:
            if source != name:
                edges.append((source, link))
                continue
            if self._grows(draft, name, link.kernel, target):
                return None
            for origin, before in draft.sources[name]:
                parts = synapses(link.kernel, target) + synapses(before.kernel, draft.shape(name))
                shapes = draft.shape(origin), draft.shape(name), target
                if _least(link.kernel, before.kernel, *shapes) > self.pooling_growth * parts:
                    return None
                kernel = compose(link.kernel, before.kernel, *shapes)
                if kernel is None or synapses(kernel, target) > self._allowed(before.kernel, kernel) * parts:
                    return None
                if kernel.weight.size:
                    edges.append((origin, Link(kernel, link.slot)))
        return edges

    def _grows(self, draft: Draft, name: str, outer: Kernel, target: Shape) -> bool:
        """Whether the edges into a layer have too many synapses, all together, once they are dense maps.

        A pool of a concat has one edge for each of its sources, and is no smaller for it.
        """
        shape = draft.shape(name)
        parts, least = synapses(outer, target), 0
        for origin, link in draft.sources[name]:
            parts += synapses(link.kernel, shape)
            least += _least(outer, link.kernel, draft.shape(origin), shape, target)
        return least > self.pooling_growth * parts

    def _allowed(self, inner: Kernel, made: Kernel) -> float:
        pooling = isinstance(made, Dense) and is_depthwise(inner)
        return self.pooling_growth if pooling else self.growth


def _least(outer: Kernel, inner: Kernel, source: Shape, middle: Shape, target: Shape) -> int:
    """Returns how many synapses a composition has at least, without making it: a dense map has them all."""
    if is_pick(inner) or not isinstance(as_dense(outer, middle, target), Dense):
        return 0
    return math.prod(source) * math.prod(target)


def _replace(draft: Draft, name: str, made: dict[str, _Edges]) -> None:
    """Gives the consumers of a layer their new edges, and removes it."""
    inner = draft.layers[name]
    passed_on = len(made) == 1 and _passes_on(draft.sources[next(iter(made))])
    for consumer, edges in made.items():
        draft.layers[consumer] = _absorb(draft, name, consumer)
        draft.sources[consumer] = edges
    draft.remove(name)
    if passed_on:  # the merged layer is the inner one, scaled, clipped or pooled
        consumer = next(iter(made))
        draft.layers[consumer] = replace(draft.layers[consumer], op=inner.op)
        draft.rename(consumer, name)


def _too_large(draft: Draft, room: Room, name: str, made: dict[str, _Edges]) -> tuple[str, Reads] | None:
    """Returns a consumer that would read more than a core takes, where neither of the two parts does."""
    if not _holds(draft, room, name, draft.sources[name]):
        return None
    for consumer, edges in made.items():
        reads = _reads(draft, room, consumer, edges)
        if not room.holds(reads) and _holds(draft, room, consumer, draft.sources[consumer]):
            return consumer, reads
    return None


def _reads(draft: Draft, room: Room, name: str, edges: _Edges) -> Reads:
    sources = [(draft.layers[source], link.kernel) for source, link in edges]
    return room.reads(sources, draft.layers[name].sum_shape)


def _holds(draft: Draft, room: Room, name: str, edges: _Edges) -> bool:
    return room.holds(_reads(draft, room, name, edges))


def _kept_apart(draft: Draft, too_large: dict[str, tuple[str, Reads]], chip: Target) -> list[Note]:
    """Returns what there is to say about the layers that stay because of the chip."""
    notes = []
    for name, (consumer, reads) in too_large.items():
        if name in draft.layers:
            text = (
                f"stays a population of its own: folded into '{consumer}', it would make a neuron read "
                f"{reads.axons:,} input axons with {reads.fan_in:,} synapses, more than a core of "
                f"{chip.name} takes"
            )
            notes.append(Note(name, text, by_target=True))
    return notes


def _absorb(draft: Draft, name: str, consumer: str) -> Layer:
    """Returns the consumer with the bias that the folded layer adds, and its origin."""
    inner, outer = draft.layers[name], draft.layers[consumer]
    bias = outer.bias
    if np.any(inner.bias):
        constant = np.broadcast_to(inner.bias, (1, *inner.sum_shape)).astype(np.float64)
        for source, link in draft.sources[consumer]:
            if source == name:
                bias = bias + apply(link.kernel, constant, outer.sum_shape)[0]
    origin = tuple(dict.fromkeys((*inner.origin, *outer.origin)))
    return replace(outer, bias=compact(bias), origin=origin)


def _passes_on(edges: _Edges) -> bool:
    return len(edges) == 1 and is_pick(edges[0][1].kernel)


def _merge_parallel(draft: Draft, name: str) -> bool:
    """Adds up edges of equal source and geometry."""
    merged: dict[object, tuple[str, Link]] = {}
    for position, (source, link) in enumerate(draft.sources[name]):
        key = _geometry(source, link.kernel) or position
        if key in merged:
            first = merged[key][1]
            total: Array = first.kernel.weight + link.kernel.weight
            merged[key] = (source, replace(first, kernel=replace(first.kernel, weight=total)))
        else:
            merged[key] = (source, link)
    changed = len(merged) < len(draft.sources[name])
    draft.sources[name] = list(merged.values())
    return changed


def _geometry(source: str, kernel: Kernel) -> tuple[object, ...] | None:
    if isinstance(kernel, Dense):
        return (source, "dense")
    if isinstance(kernel, Conv):
        channels = (kernel.source_channel, kernel.target_channel, kernel.groups)
        return (source, kernel.weight.shape, kernel.stride, kernel.padding, kernel.dilation, channels)
    return None
