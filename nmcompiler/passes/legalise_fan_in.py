"""What becomes of layers whose neurons have more inputs than synapses: split, pruned or refused."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, TypeAlias

import numpy as np

from nmcompiler.errors import DoesNotFit
from nmcompiler.evaluate.float import run_float
from nmcompiler.ir.kernels import Array
from nmcompiler.ir.layers import Model
from nmcompiler.passes.base import LOSSY, Context, Fitted, Keeps, Note, PassResult
from nmcompiler.passes.draft import Draft
from nmcompiler.passes.fan_in import (
    FanIn,
    available_neurons,
    crowded,
    neurons_of,
    signed_inputs,
    with_joined_pools,
)
from nmcompiler.passes.prune_fan_in import PruneFanIn
from nmcompiler.passes.split_fan_in import SplitFanIn, split_layers

__all__ = ["FAN_IN_METHODS", "FanInMethod", "LegaliseFanIn"]

FanInMethod: TypeAlias = Literal["auto", "exact", "split", "prune", "refuse"]
FAN_IN_METHODS: tuple[FanInMethod, ...] = ("auto", "exact", "split", "prune", "refuse")


@dataclass(frozen=True)
class LegaliseFanIn:
    """Makes layers with too many inputs fit the synapses of a neuron, before they are quantised.

    Nothing changes where no layer has too many, and nothing where only the integer network is to be split
    (``exact``) or the mapper is to refuse it (``refuse``), but that pools become populations of their own.

    Attributes:
        method: ``split`` into partial sums (``split_fan_in``), ``prune`` (``prune_fan_in``), or ``auto``:
            split where the chips have neurons for it, else prune.
        chips: Chips that may be used.
        passes: Passes over them; None for any number.
    """

    method: FanInMethod = "auto"
    chips: int | None = None
    passes: int | None = 1
    name: ClassVar[str] = "legalise-fan-in"
    keeps: ClassVar[Keeps] = LOSSY

    def run(self, graph: Model, context: Context) -> PassResult[Model]:
        """Returns the model in which no layer has too many inputs.

        Raises:
            UsageError: Where calibration samples are missing.
            DoesNotFit: Neither way fits the chip, or the one that was asked for does not.
        """
        fan_in = FanIn.of(context.target, signed_inputs(graph, context.calibration))
        if fan_in is None or self.method == "refuse" or not crowded(Draft(graph), fan_in):
            return PassResult(graph, False)
        joined = with_joined_pools(graph, fan_in)
        if self.method == "exact" or not crowded(Draft(joined), fan_in):
            return PassResult(joined, joined is not graph)
        chosen = self._chosen(joined, fan_in, context)
        made = chosen.run(joined, context)
        method = "prune" if isinstance(chosen, PruneFanIn) else "split"
        return replace(made, notes=(*made.notes, _answers_note(graph, made.graph, context, method)))

    def _chosen(self, model: Model, fan_in: FanIn, context: Context) -> SplitFanIn | PruneFanIn:
        """Returns the way that fits the chips.

        Raises:
            DoesNotFit: None does.
        """
        if self.method == "prune":
            return PruneFanIn()
        try:
            extra = split_layers(model, fan_in, context).neurons
        except DoesNotFit:
            if self.method == "split":
                raise
            return PruneFanIn()
        neurons = neurons_of(model)
        available = available_neurons(context.target, self.chips, self.passes)
        if available is None or neurons + extra <= available:
            return SplitFanIn()
        if self.method == "auto" and neurons <= available:
            return PruneFanIn()
        names = crowded(Draft(model), fan_in)
        layer = max(names, key=lambda name: math.prod(model.graph.node(name).sum_shape))
        fits = "would fit: try --fan-in prune" if neurons <= available else f"would take {neurons:,}"
        raise DoesNotFit(
            layer=layer,
            resource="neurons",
            used=neurons + extra,
            limit=available,
            target=context.target.name,
            words="neurons, with all other layers,",
            hint=(
                f"{extra:,} of them sum up parts of layers with more than {fan_in.full:,} inputs a neuron; "
                f"pruned to so many, the network {fits}"
            ),
        )


def _answers_note(before: Model, after: Model, context: Context, method: str) -> Note:
    """Returns how the network was made to fit, and how many answers on the calibration samples stay."""
    port = before.outputs[0]
    if context.calibration is None or math.prod(port.shape) < 2:
        return Note(port.node, fitted=Fitted(method, None))
    outputs = [run_float(model, context.calibration).outputs[port.name] for model in (before, after)]
    share = float(np.mean(_classes(outputs[0]) == _classes(outputs[1])))
    text = f"gives {100 * share:.1f} % of the calibration samples the answer that it gave with all inputs"
    return Note(port.node, text, by_target=True, warning=True, fitted=Fitted(method, share))


def _classes(outputs: Array) -> Array:
    classes: Array = outputs.reshape(len(outputs), -1).argmax(axis=1)
    return classes
