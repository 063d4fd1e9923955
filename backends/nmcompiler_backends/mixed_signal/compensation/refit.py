"""Digital weights beside those of the read-out's devices, for what these are off by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from nmcompiler.program.layout import Program
from nmcompiler.session import Calibration, ChipSession
from nmcompiler_backends.mixed_signal.compensation.neurons import levels_of, parameters
from nmcompiler_backends.mixed_signal.tiles import cut_block

__all__ = ["ReadoutRefit", "ridge"]

_TRIM = "refit"
_Array: TypeAlias = npt.NDArray[Any]
_STRENGTHS = 2.0 ** np.arange(-4, 13)


@dataclass(frozen=True)
class ReadoutRefit:
    """Ridge regression of what read-outs are off by on the spikes that drive them.

    The host sees both; how much the weights are held down is chosen by leaving out one calibration sample
    at a time. It costs a digital product for every driver and read-out.
    """

    @property
    def name(self) -> str:
        """Identifier."""
        return "refit"

    def apply(self, session: ChipSession, calibration: Calibration, blocks: Sequence[int]) -> None:
        """Trims one layer; see ``nmcompiler.session.Compensation``."""
        outputs = [b for b in blocks if levels_of(session.program, b).highest == 0]
        if not outputs:
            return
        measured = session.measure(calibration.x, outputs)
        limits = session.ranges[_TRIM]
        for block in outputs:
            mine, neurons = session.span(_TRIM, block), session.span("gain", block)
            drivers = _drivers(session.program, block)
            sent = np.stack([_spikes(session.program, measured.spikes, d) for d in drivers.tolist()], axis=1)
            gain = session.trim["gain"][neurons] * session.ranges["gain"].step
            offset = session.trim["offset"][neurons] * session.ranges["offset"].step
            read = measured.adc[block].sum(axis=1) * gain + offset
            wanted = calibration.membranes[block] - parameters(session.program, block)[1]
            weights, middle = ridge(sent, wanted - read)
            codes = {name: session.trim[name].copy() for name in (_TRIM, "offset")}
            rounded = np.rint(weights / limits.step).astype(np.int64).reshape(-1)
            codes[_TRIM][mine] = np.clip(rounded, limits.lowest, limits.highest)
            codes["offset"][neurons] += np.rint(middle).astype(np.int64)
            session.configure(codes)


def ridge(x: _Array, y: _Array) -> tuple[_Array, _Array]:
    """Returns weights ``(P, n)`` and offset ``(n,)`` of ``y ≈ x·w + offset``, from ``(S, P)`` and ``(S, n)``.

    The penalty ``strength · mean var(x) · |w|²`` is the one, of powers of two, whose predictions of left-out
    samples are best; by the closed form of ridge regression, ``residual / (1 − leverage)``.
    """
    x, y = x.astype(float), y.astype(float)
    mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
    off = y - mean_y
    left, size, right = np.linalg.svd(x - mean_x, full_matrices=False)
    spread = float((size**2).mean()) / len(x)
    if spread <= 0:
        return np.zeros((x.shape[1], y.shape[1])), mean_y
    errors = [_left_out(left, size, off, spread * k) for k in _STRENGTHS]
    penalty = spread * _STRENGTHS[int(np.argmin(errors))]
    weights = right.T @ ((size / (size**2 + penalty))[:, None] * (left.T @ off))
    return weights, mean_y - mean_x @ weights


def _left_out(left: _Array, size: _Array, off: _Array, penalty: float) -> float:
    """Returns the sum of squares of what left-out samples are predicted wrongly by."""
    kept = size**2 / (size**2 + penalty)
    residual = off - left @ (kept[:, None] * (left.T @ off))
    leverage = (left**2) @ kept + 1 / len(left)
    return float(((residual / np.maximum(1 - leverage, 1e-9)[:, None]) ** 2).sum())


def _drivers(program: Program, block: int) -> _Array:
    kind = program.target.conductance_tiles
    assert kind is not None
    return np.unique(cut_block(program, block, kind).sources)


def _spikes(program: Program, spikes: Any, neuron: int) -> _Array:
    first = program.column("gid0")
    block = int(np.searchsorted(first, neuron, side="right")) - 1
    sent: _Array = spikes[block][:, neuron - first[block]]
    return sent
