"""Linear layers fold into the layers that read them, so that nothing between them is ever rounded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from nmcompiler.evaluate.linear import apply
from nmcompiler.ir.kernels import Array, Conv, Dense, Kernel
from nmcompiler.ir.layers import Layer, Link, Model
from nmcompiler.passes.base import Context, Keeps, Note, PassResult, close
from nmcompiler.passes.draft import Draft, compact
from nmcompiler.passes.kernel_algebra import compose, is_depthwise, is_pick, synapses

__all__ = ["FoldLinear"]


@dataclass(frozen=True)
class FoldLinear:
    """Composes each layer without activation and pooling into the layers that read it.

    BatchNormalization becomes weights and bias of the convolution before it, a shift before a padded
    convolution a bias per neuron, a residual join several edges of one layer, a concat edges that write
    different channels, and an average pool before a dense layer part of its weights.

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
        draft = Draft(graph)
        notes = []
        folded = True
        while folded:
            folded = False
            for name in tuple(draft.layers):
                if name in draft.layers and self._fold(draft, name):
                    folded = True
                    notes.append(Note(name, "folded into the layers that read it"))
        merged = [name for name in draft.layers if _merge_parallel(draft, name)]
        changed = bool(notes or merged)
        return PassResult(draft.model() if changed else graph, changed, tuple(notes))

    def _fold(self, draft: Draft, name: str) -> bool:
        """Folds one layer into all of its consumers, or does nothing."""
        inner = draft.layers[name]
        linear = not inner.is_input and inner.activation.is_identity and inner.max_pool is None
        if not linear or name in draft.ports:
            return False
        consumers = draft.consumers(name)
        free = all(is_pick(link.kernel) for _, link in draft.sources[name])
        if not consumers or (len(consumers) > 1 and not free):
            return False
        made = {}
        for consumer in consumers:
            edges = self._composed(draft, name, consumer)
            if edges is None:
                return False
            made[consumer] = edges
        passed_on = len(consumers) == 1 and _passes_on(draft.sources[consumers[0]])
        for consumer, edges in made.items():
            draft.layers[consumer] = _absorb(draft, name, consumer)
            draft.sources[consumer] = edges
        draft.remove(name)
        if passed_on:  # the merged layer is the inner one, scaled, clipped or pooled
            draft.layers[consumers[0]] = replace(draft.layers[consumers[0]], op=inner.op)
            draft.rename(consumers[0], name)
        return True

    def _composed(self, draft: Draft, name: str, consumer: str) -> list[tuple[str, Link]] | None:
        """Returns the consumer's in-edges with those from ``name`` replaced, or None."""
        edges: list[tuple[str, Link]] = []
        target = draft.layers[consumer].sum_shape
        for source, link in draft.sources[consumer]:
            if source != name:
                edges.append((source, link))
                continue
            for origin, before in draft.sources[name]:
                kernel = compose(link.kernel, before.kernel, draft.shape(origin), draft.shape(name), target)
                if kernel is None:
                    return None
                parts = synapses(link.kernel, target) + synapses(before.kernel, draft.shape(name))
                if synapses(kernel, target) > self._allowed(link.kernel, before.kernel, kernel) * parts:
                    return None
                if kernel.weight.size:
                    edges.append((origin, Link(kernel, link.slot)))
        return edges

    def _allowed(self, outer: Kernel, inner: Kernel, made: Kernel) -> float:
        pooling = isinstance(made, Dense) and is_depthwise(inner)
        return self.pooling_growth if pooling else self.growth


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


def _passes_on(edges: list[tuple[str, Link]]) -> bool:
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
