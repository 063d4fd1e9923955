"""Calibration samples of a model, and which models they can quantise."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nmcompiler.errors import RefusedNode, UnsupportedModel, UsageError
from nmcompiler.evaluate.float import arrange_inputs
from nmcompiler.ir.kernels import Array
from nmcompiler.ir.layers import Model

__all__ = ["calibration_samples", "largest_layer", "last_readers", "refuse"]

_LARGEST_LAYER = 1 << 26  # values of one layer that calibration may hold


def refuse(model: Model) -> None:
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


def calibration_samples(model: Model, calibration: Mapping[str, Array] | None) -> dict[str, Array]:
    """Returns calibration values ``(N, h, w, c)`` by input layer, as many as memory allows."""
    given = calibration or {}
    for port in model.inputs:
        if not len(given.get(port.name, ())):
            raise UsageError(
                f"there are no calibration samples for input '{port.name}'",
                hint="give --calibration a .npz file with x",
            )
    most = max(_LARGEST_LAYER // largest_layer(model), 8)
    return arrange_inputs(model, {port.name: given[port.name][:most] for port in model.inputs})


def largest_layer(model: Model) -> int:
    """Returns the number of values of the largest layer, before any pool."""
    return max((int(np.prod(layer.sum_shape)) for layer in model.graph), default=1)


def last_readers(model: Model) -> dict[str, list[str]]:
    """Returns for each layer the sources that nothing reads after it."""
    last: dict[str, str] = {}
    for edge in model.graph.edges():
        last[edge.source] = edge.target
    result: dict[str, list[str]] = {}
    for source, reader in last.items():
        result.setdefault(reader, []).append(source)
    return result
