"""The values of a model's layers on calibration samples, layer by layer, dropped when nothing reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from nmcompiler.evaluate.float import activate, preactivation
from nmcompiler.ir.kernels import Array
from nmcompiler.ir.layers import Layer, Model
from nmcompiler.passes.calibration import calibration_samples, last_readers

__all__ = ["walk"]


def walk(
    model: Model, calibration: Mapping[str, Array] | None
) -> Iterator[tuple[Layer, dict[str, Array], Array]]:
    """Yields every layer but the inputs, sources first, with what it reads and what it sums up.

    Args:
        model: The layer graph.
        calibration: Samples by input name.

    Yields:
        The layer, values ``(N, h, w, c)`` float32 of those before it by name, as long as any is still read,
        and its sums ``(N, *sum_shape)`` float32.

    Raises:
        UsageError: Where samples are missing.
    """
    values = {n: x.astype(np.float32) for n, x in calibration_samples(model, calibration).items()}
    readers = last_readers(model)
    for layer in model.graph:
        if layer.is_input:
            continue
        sums = preactivation(model.graph, layer.name, values)
        yield layer, values, sums
        values[layer.name] = activate(layer, sums)
        for done in readers.get(layer.name, ()):
            del values[done]
