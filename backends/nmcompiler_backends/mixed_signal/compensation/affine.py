"""A straight line for each column that brings what was read back to what was meant."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from nmcompiler.session import ChipSession

__all__ = ["fit_lines", "set_lines"]

_Array: TypeAlias = npt.NDArray[Any]
# What is taken to be known before anything is measured, in samples: of the gain, and of the offset.
_GAIN_SAMPLES = 2.5
_OFFSET_SAMPLES = 50


def fit_lines(read: _Array, wanted: _Array, used: _Array) -> tuple[_Array, _Array]:
    """Returns gain and offset ``(n,)`` of ``wanted ≈ gain · read + offset``, by least squares, shrunk.

    Covariance and variance are sums over the samples that are used. To both ``2.5 · mean var(read)`` is
    added, the mean over columns, which draws the gain to 1 where samples are few or do not vary; the offset
    is multiplied by ``k / (k + 50)`` for k used samples.

    Args:
        read: ``(S, n)``.
        wanted: ``(S, n)``.
        used: ``(S, n)`` bool: the samples that count for each column.
    """
    read, wanted, used = read.astype(float), wanted.astype(float), used.astype(float)
    count = used.sum(axis=0)
    samples = np.maximum(count, 1)
    middle_read, middle_wanted = (used * read).sum(axis=0) / samples, (used * wanted).sum(axis=0) / samples
    off_read, off_wanted = used * (read - middle_read), used * (wanted - middle_wanted)
    square, product = (off_read**2).sum(axis=0), (off_read * off_wanted).sum(axis=0)
    prior = _GAIN_SAMPLES * float((square / samples).mean())
    known = square + prior
    gain = np.divide(product + prior, known, out=np.ones_like(known), where=known > 0)
    return gain, (middle_wanted - gain * middle_read) * count / (count + _OFFSET_SAMPLES)


def set_lines(session: ChipSession, block: int, gain: _Array, offset: _Array) -> None:
    """Sets gain and offset ``(n,)`` of a block's neurons, as far as their codes reach."""
    codes = {}
    for name, wanted in (("gain", gain), ("offset", offset)):
        limits = session.ranges[name]
        codes[name] = session.trim[name].copy()
        rounded = np.rint(wanted / limits.step).astype(np.int64)
        codes[name][session.span(name, block)] = np.clip(rounded, limits.lowest, limits.highest)
    session.configure(codes)
