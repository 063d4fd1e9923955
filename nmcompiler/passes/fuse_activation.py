"""Activations and max pools become part of the layer before them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from nmcompiler.ir.kernels import Array, Kernel
from nmcompiler.ir.layers import Clip, Layer, Model
from nmcompiler.passes.base import Context, Keeps, Note, PassResult, close
from nmcompiler.passes.draft import Draft, compact
from nmcompiler.passes.kernel_algebra import is_identity, is_pick, scale_targets

__all__ = ["FuseActivation"]

_SCALE_FREE = {-math.inf, 0.0, math.inf}
"""Bounds of a clip that stay where they are when its operand is multiplied by a gain above 0."""


@dataclass(frozen=True)
class FuseActivation:
    """A layer that only clips or pools another one, which nothing else reads, merges into it.

    Clips and max pools are monotone and commute: MaxPool then Relu becomes Relu then MaxPool, so that the
    pool sees unsigned values. A follower may also multiply channels by gains above 0, where the clips of the
    layer before it lie at 0 or nowhere: then gains move in front of them.
    """

    name: ClassVar[str] = "fuse-activation"
    keeps: ClassVar[Keeps] = close(1e-4)

    def run(self, graph: Model, context: Context) -> PassResult[Model]:
        """Returns the model with activations and pools inside the layers that they follow."""
        draft = Draft(graph)
        notes = []
        for name in tuple(draft.layers):
            while name in draft.layers and (follower := _follower(draft, name)) is not None:
                _take_gain(draft, name, follower)
                draft.layers[name] = _fused(draft.layers[name], draft.layers[follower])
                draft.remove(follower)
                for edges in draft.sources.values():
                    edges[:] = [(name if s == follower else s, link) for s, link in edges]
                notes.append(Note(follower, f"fused into '{name}'"))
        changed = bool(notes)
        return PassResult(draft.model() if changed else graph, changed, tuple(notes))


def _follower(draft: Draft, name: str) -> str | None:
    """Returns the layer that can merge into ``name``, if there is one."""
    first = draft.layers[name]
    consumers = draft.consumers(name)
    if first.is_input or name in draft.ports or len(consumers) != 1 or consumers[0] in draft.ports:
        return None
    second = draft.layers[consumers[0]]
    edges = draft.sources[second.name]
    only_copies = (
        len(edges) == 1
        and _gain(edges[0][1].kernel, first, second) is not None
        and not np.any(second.bias)
        and second.function is None
    )
    two_pools = first.max_pool is not None and second.max_pool is not None
    return second.name if only_copies and not two_pools else None


def _gain(kernel: Kernel, first: Layer, second: Layer) -> Array | None:
    """Returns the gains ``(c,)`` by which a layer copies the one before it, None where it does not."""
    if not is_pick(kernel):
        return None
    gain = kernel.weight.reshape(-1)
    copies = is_identity(replace(kernel, weight=np.ones_like(kernel.weight)), first.shape, second.sum_shape)
    free = first.function is None and {first.activation.lower, first.activation.upper} <= _SCALE_FREE
    return gain if copies and (np.all(gain == 1) or (free and np.all(gain > 0))) else None


def _take_gain(draft: Draft, name: str, follower: str) -> None:
    """Multiplies the sum of a layer by the gains with which its follower copies it."""
    layer = draft.layers[name]
    gain = _gain(draft.sources[follower][0][1].kernel, layer, draft.layers[follower])
    if gain is None or np.all(gain == 1):
        return
    draft.layers[name] = replace(layer, bias=compact(layer.bias * gain))
    draft.sources[name] = [
        (source, replace(link, kernel=scale_targets(link.kernel, gain, layer.sum_shape)))
        for source, link in draft.sources[name]
    ]


def _fused(first: Layer, second: Layer) -> Layer:
    return replace(
        first,
        activation=_both(first.activation, second.activation),
        max_pool=first.max_pool or second.max_pool,
        shape=second.shape,
        origin=tuple(dict.fromkeys((*first.origin, *second.origin))),
    )


def _both(first: Clip, second: Clip) -> Clip:
    """Returns the clip that equals ``second ∘ first``."""

    def clip(value: float) -> float:
        return min(max(value, second.lower), second.upper)

    return Clip(clip(first.lower), clip(first.upper))
