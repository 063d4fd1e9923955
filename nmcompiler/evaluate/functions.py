"""Functions of layers that only floating point evaluates."""

from __future__ import annotations

from functools import singledispatch

import numpy as np

from nmcompiler.ir.kernels import Array
from nmcompiler.ir.layers import Function, LocalNorm

__all__ = ["evaluate"]


@singledispatch
def evaluate(function: Function, z: Array) -> Array:
    """Returns ``function(z)`` for sums of shape ``(N, h, w, c)``, in their dtype."""
    raise AssertionError(f"no rule evaluates {type(function).__name__}")


@evaluate.register
def _local_norm(function: LocalNorm, z: Array) -> Array:
    channels, before = z.shape[3], (function.size - 1) // 2
    square = np.square(z)
    total = np.zeros_like(z)
    for shift in range(-before, function.size - before):  # channel c reads channel c + shift
        inside = slice(max(0, -shift), max(0, channels - max(0, shift)))
        read = slice(inside.start + shift, inside.stop + shift)
        if inside.start < inside.stop:
            total[..., inside] += square[..., read]
    base = function.bias + function.alpha / function.size * total
    result: Array = z / np.power(base, z.dtype.type(function.beta))
    return result
