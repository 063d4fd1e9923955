"""What a chip answers: outputs in the units of the ONNX network, and classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nmcompiler.ir.kernels import Array
from nmcompiler.program.layout import Program

__all__ = ["classes", "decoded"]


def decoded(program: Program, batches: Sequence[tuple[Array, ...]]) -> list[Array]:
    """Returns ``(N, *shape)`` float64 for each output port; weights into a membrane may count 2^shift."""
    outputs = []
    for k, port in enumerate(program.outputs):
        raw = np.concatenate([b[k] for b in batches])
        unit = port.scale / 2.0 ** program.fraction_bits(port.population)
        outputs.append((port.read(raw) * unit).reshape(-1, *port.shape))
    return outputs


def classes(y: Array) -> Array:
    """Returns the class of each of N samples: where its largest value is, the first of several."""
    return np.asarray(y.reshape(len(y), -1).argmax(axis=1))
