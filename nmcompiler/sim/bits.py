"""What the bits of typed crossbars weigh."""

from __future__ import annotations

import numpy as np

from nmcompiler.program.crossbar_check import types_of
from nmcompiler.program.layout import Program
from nmcompiler.program.usage import block_stretches
from nmcompiler.sim.result import Array, Int64Array

__all__ = ["crossbar_weights"]


def crossbar_weights(program: Program) -> tuple[Int64Array, Array]:
    """Returns the bits before each entry of ``weights``, ``(W + 1,)``, and weights for the kernels ``(W,)``.

    Where a typed crossbar stores a bit for an axon and a neuron, the second has the bit times the neuron's
    weight for the axon's type, int16; everywhere else it is what is stored.
    """
    weights = np.array(program.arrays["weights"], np.int16)
    bits = np.zeros(len(weights) + 1 if len(program.table("crossbars")) else 1, np.int64)
    np.cumsum(weights[: len(bits) - 1] != 0, out=bits[1:])
    for block, types, first in program.table("crossbars").tolist():
        n, core = int(program.column("n")[block]), int(program.column("core")[block])
        typed = program.table("type_weights")[first : first + n * types].reshape(n, types)
        stretches = block_stretches(program, block)
        row = np.repeat(np.arange(len(stretches.length)), stretches.length)
        step = np.arange(len(row)) - np.repeat(
            np.cumsum(stretches.length) - stretches.length, stretches.length
        )
        kinds = types_of(program, core, stretches.axon)[row]
        place = int(program.column("weight0")[block]) + stretches.weight[row] + step
        weights[place] *= typed[stretches.target[row] + step, kinds].astype(np.int16)
    return bits, weights
