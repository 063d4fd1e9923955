"""Passes: from the layer graph to the golden integer network."""

from __future__ import annotations

from nmcompiler.errors import UnsupportedModel
from nmcompiler.ir.layers import Model
from nmcompiler.ir.network import Network
from nmcompiler.passes.base import EXACT, LOSSY, Context, Keeps, Note, Pass, PassResult, close
from nmcompiler.passes.fold_linear import FoldLinear
from nmcompiler.passes.fuse_activation import FuseActivation
from nmcompiler.passes.join_pools import JoinPools
from nmcompiler.passes.layer_rules import refused_layers
from nmcompiler.passes.legalise_fan_in import FAN_IN_METHODS, FanInMethod, LegaliseFanIn
from nmcompiler.passes.linearise import Linearise
from nmcompiler.passes.pipeline import Pipeline
from nmcompiler.passes.quantise import Quantise, QuantiseOptions
from nmcompiler.passes.rectify import Rectify
from nmcompiler.passes.remove_dead import RemoveDead
from nmcompiler.passes.split_signed import SplitSigned

__all__ = [
    "EXACT",
    "FAN_IN_METHODS",
    "LOSSY",
    "Context",
    "FanInMethod",
    "FoldLinear",
    "FuseActivation",
    "JoinPools",
    "Keeps",
    "LegaliseFanIn",
    "Linearise",
    "Note",
    "Pass",
    "PassResult",
    "Pipeline",
    "Quantise",
    "QuantiseOptions",
    "Rectify",
    "RemoveDead",
    "SplitSigned",
    "close",
    "float_passes",
    "refused_layers",
    "to_network",
]


def float_passes() -> tuple[Pass[Model], ...]:
    """Returns the passes that simplify a layer graph before quantisation, in order.

    Functions become linear first, so that what replaces them folds. Folding runs twice: a pool that moved
    into the layer before it can leave two linear maps in a row.
    """
    simpler = FoldLinear(), FuseActivation()
    return RemoveDead(), Linearise(), *simpler, *simpler, Rectify()


def to_network(
    model: Model,
    context: Context,
    options: QuantiseOptions,
    *,
    legalise: tuple[Pass[Network], ...] = (),
    fan_in: LegaliseFanIn | None = None,
    pools: JoinPools | None = None,
    verify: bool = False,
) -> tuple[Network, tuple[Note, ...]]:
    """Returns the golden integer network of a model, and what the passes have to say.

    Args:
        model: The layer graph as the frontend reads it.
        context: Calibration samples and the target.
        options: Options of quantisation.
        legalise: The backend's passes from network to network, in order.
        fan_in: What becomes of layers with more inputs than a neuron of the chip has synapses.
        pools: What becomes of pools whose readers would store too many weights; None: they stay as they are.
        verify: Whether to execute each pass against the one before.

    Raises:
        UsageError: Where calibration samples are missing.
        UnsupportedModel: Where a layer has no integer form, or breaks a rule of the chip's layers.
        DoesNotFit: Where a layer's numbers cannot fit the chip's formats.
        NotVerified: Where a pass breaks its promise.
    """
    simple = Pipeline(float_passes(), verify).run(model, context)
    refused = refused_layers(
        simple.graph, context.target, levels=options.levels, input_levels=options.input_levels
    )
    if refused:
        raise UnsupportedModel(refused, asked=f"'{model.name}' on '{context.target.name}'")
    fit: tuple[Pass[Model] | None, ...] = (pools, fan_in)
    fitting = Pipeline(tuple(step for step in fit if step is not None), verify).run(simple.graph, context)
    quantised = Quantise(options).run(fitting.graph, context)
    legal = Pipeline(legalise, verify).run(quantised.graph, context)
    return legal.graph, (*simple.notes, *fitting.notes, *quantised.notes, *legal.notes)
