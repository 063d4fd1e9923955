"""Layers with more inputs than a neuron has synapses: partial sums on neurons of their own.

The inputs of a layer are dealt to helper populations of at most as many synapses, which pass on what they
sum up, each in the values of any other layer::

    m_g = clip(p_g − lo_g, 0, L·s_g),  p_g = Σ_{i ∈ g} w_i·x_i,    y = act(Σ_g m_g + Σ_g lo_g + b)

``lo_g`` is a low quantile of ``p_g`` on the calibration samples, per channel: one helper holds a sum of
either sign without a sign, where relu(p) and relu(−p) would take two (an offset tree). The scales ``s_g`` are
sought as those of all layers are. Inputs for which the layer has synapses left, it reads itself; not in a
crossbar of bits, where the inputs of all its neurons would take axons of each of its cores. The network that
is made is another one, if close: quantisation follows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from nmcompiler.errors import DoesNotFit
from nmcompiler.ir.kernels import Array, identity
from nmcompiler.ir.layers import Clip, Layer, Link, Model
from nmcompiler.passes.base import LOSSY, Context, Keeps, Note, PassResult
from nmcompiler.passes.draft import Draft
from nmcompiler.passes.fan_in import FanIn, crowded, signed_inputs
from nmcompiler.passes.kernel_algebra import is_pick
from nmcompiler.passes.pieces import pieces, shares
from nmcompiler.passes.walk import walk

__all__ = ["Split", "SplitFanIn", "split_layers"]

_LOW = 0.2  # percent of the partial sums that lie below the range of a helper
_ROWS = 1 << 16  # partial sums of a channel that are looked at
_DEEPEST = 32  # levels of helpers: each at least halves what is read
_LEAST = 2  # synapses with which helpers make the inputs fewer

_Edges = list[tuple[str, Link]]


@dataclass(frozen=True)
class SplitFanIn:
    """Gives layers whose neurons have more inputs than the chip allows helpers that sum up some of them."""

    name: ClassVar[str] = "split-fan-in"
    keeps: ClassVar[Keeps] = LOSSY

    def run(self, graph: Model, context: Context) -> PassResult[Model]:
        """Returns the model in which no layer has too many inputs.

        Raises:
            UsageError: Where calibration samples are missing.
            DoesNotFit: A value takes more synapses than a neuron has, or the chip has no bias.
        """
        fan_in = FanIn.of(context.target, signed_inputs(graph, context.calibration))
        if fan_in is None:
            return PassResult(graph, False)
        split = split_layers(graph, fan_in, context)
        if not split.helpers:
            return PassResult(graph, False)
        notes = tuple(_note(graph, fan_in, context, name, len(h)) for name, h in split.helpers.items())
        return PassResult(_with_ranges(split, context), True, notes)


@dataclass(frozen=True, eq=False)
class Split:
    """A model with helpers, the low ends of whose ranges are not known yet.

    Attributes:
        model: It.
        helpers: By layer that was split, the names of its helpers.
        reader: By helper, the layer that reads it.
    """

    model: Model
    helpers: Mapping[str, list[str]]
    reader: Mapping[str, str]

    @property
    def linear(self) -> Model:
        """The model whose helpers pass on all sums: it computes what it did before, up to rounding."""
        draft = Draft(self.model)
        for name in self.reader:
            draft.layers[name] = replace(draft.layers[name], activation=Clip())
        return draft.model()

    @property
    def neurons(self) -> int:
        """Neurons of all helpers."""
        return sum(math.prod(self.model.graph.node(name).sum_shape) for name in self.reader)


def split_layers(model: Model, fan_in: FanIn, context: Context) -> Split:
    """Returns the model with helpers, so that no layer has too many inputs.

    Raises:
        DoesNotFit: A value takes more synapses than a neuron has, or the chip has no bias.
    """
    draft = Draft(model)
    helpers: dict[str, list[str]] = {}
    reader: dict[str, str] = {}
    for _ in range(_DEEPEST):
        for name in (found := crowded(draft, fan_in)):
            made = _split(draft, draft.layers[name], fan_in, context)
            helpers.setdefault(name, []).extend(made)
            reader.update(dict.fromkeys(made, name))
        if not found:
            break
    return Split(draft.model() if helpers else model, helpers, reader)


def _split(draft: Draft, layer: Layer, fan_in: FanIn, context: Context) -> list[str]:
    """Puts helpers between a layer and what it reads, and returns their names."""
    if context.target.bias is None:
        raise _cannot(layer, fan_in, draft, context, "partial sums need a bias, which the chip has not")
    most = fan_in.inputs
    if most < _LEAST:
        raise _cannot(layer, fan_in, draft, context, f"partial sums need {_LEAST} synapses beside the bias")
    plain = [edge for edge in draft.sources[layer.name] if is_pick(edge[1].kernel)]
    own = 0 if fan_in.shared else _own_inputs(draft, layer, fan_in, most)
    groups = _groups(draft, layer, fan_in, context, own)
    if own:
        plain, groups = [*plain, *groups[0]], groups[1:]
    elif len(groups) + len(plain) > most:
        plain, groups = [], _groups(draft, layer, fan_in, context, None)
    helpers: list[str] = []
    for edges in groups:
        name = f"{layer.name}.part{len(helpers) + 1}"
        while name in draft.layers:
            name += "_"
        draft.layers[name] = Layer(name, layer.op, layer.sum_shape, activation=Clip(0.0), origin=layer.origin)
        draft.sources[name] = edges
        helpers.append(name)
    joined = Link(identity(layer.sum_shape[2]))
    draft.sources[layer.name] = [*plain, *((helper, joined) for helper in helpers)]
    return helpers


def _own_inputs(draft: Draft, layer: Layer, fan_in: FanIn, most: int) -> int:
    """Returns how many inputs a layer can read itself beside helpers and plain copies of other layers."""
    wide = [edge for edge in draft.sources[layer.name] if not is_pick(edge[1].kernel)]
    if len(wide) != 1:
        return 0
    if fan_in.cost(draft.layers[wide[0][0]]) > 1:
        return 0
    total = _reads(draft, fan_in, layer, wide)
    plain = _reads(draft, fan_in, layer, draft.sources[layer.name]) - total
    return shares(total, most, plain)


def _groups(draft: Draft, layer: Layer, fan_in: FanIn, context: Context, own: int | None) -> list[_Edges]:
    """Returns the in-edges in groups that a helper each can read.

    Args:
        draft: The model.
        layer: The layer.
        fan_in: Limits of the chip.
        context: The chip.
        own: Inputs that the layer is to read itself: they are the first group; 0 for none, None where even
            its plain copies of other layers are to be read by helpers.
    """
    most = fan_in.inputs
    groups: list[_Edges] = []
    room = 0
    for source, link in draft.sources[layer.name]:
        if is_pick(link.kernel) and own is not None:
            continue
        cost = fan_in.cost(draft.layers[source])
        if cost > most:
            raise _cannot(layer, fan_in, draft, context, f"one value of '{source}' takes {cost} synapses")
        shapes = draft.shape(source), layer.sum_shape
        for part in pieces(link.kernel, *shapes, most // cost, own or None):
            edges = [(source, replace(link, kernel=kernel)) for kernel in part]
            needed = _reads(draft, fan_in, layer, edges)
            if not groups or needed > room or (own and len(groups) == 1):
                groups.append([])
                room = most
            groups[-1] += edges
            room -= needed
    return groups


def _reads(draft: Draft, fan_in: FanIn, layer: Layer, edges: _Edges) -> int:
    return fan_in.reads([(draft.layers[source], link.kernel) for source, link in edges], layer)


def _cannot(layer: Layer, fan_in: FanIn, draft: Draft, context: Context, hint: str) -> DoesNotFit:
    return DoesNotFit(
        layer=layer.name,
        resource="fan_in",
        used=_reads(draft, fan_in, layer, draft.sources[layer.name]),
        limit=fan_in.most,
        target=context.target.name,
        hint=f"{hint}: try --fan-in prune",
    )


def _note(model: Model, fan_in: FanIn, context: Context, name: str, parts: int) -> Note:
    layer = model.graph.node(name)
    edges = [(model.graph.node(e.source), e.payload.kernel) for e in model.graph.in_edges(name)]
    text = (
        f"has {fan_in.reads(edges, layer):,} inputs a neuron, and {context.target.name} takes "
        f"{fan_in.inputs:,}: {parts} partial sums take {parts * math.prod(layer.sum_shape):,} neurons"
    )
    return Note(name, text, by_target=True, warning=True)


def _with_ranges(split: Split, context: Context) -> Model:
    """Returns the model whose helpers pass on what lies above the low end of their sums in calibration."""
    draft = Draft(split.model)
    for layer, _, sums in walk(split.linear, context.calibration):
        name = split.reader.get(layer.name)
        if name is None:
            continue
        rows = sums.reshape(-1, layer.sum_shape[2])
        some = rows[:: -(-len(rows) // _ROWS)]
        low: Array = np.percentile(some, _LOW, axis=0).astype(np.float64).reshape(1, 1, -1)
        helper, reader = draft.layers[layer.name], draft.layers[name]
        draft.layers[layer.name] = replace(helper, bias=helper.bias - low)
        draft.layers[name] = replace(reader, bias=reader.bias + low)
    return draft.model()
