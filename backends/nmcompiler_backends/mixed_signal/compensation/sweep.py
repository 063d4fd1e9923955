"""Finds codes of a DAC of every neuron by trying them on all neurons of a layer at once.

Neurons of a layer do not see each other, so that one run with a code on all of them tries it for every one.
Only their spikes are counted. What a code is off by is the sum over samples of the squared difference to the
golden network's counts, whose curve over the codes has one valley but for chance: it is walked in steps that
halve, each from what every neuron found best.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nmcompiler.session import Calibration, ChipSession
from nmcompiler_backends.mixed_signal.tiles import Ints

__all__ = ["sweep"]

_COARSE = 8  # codes that are tried over the whole range
# A neuron that counts alike with several codes takes the one that is nearest to no trim.
_PER_CODE = 2.0**-12


class _Layer:
    """The neurons of a layer that send spikes, and the best code that each of them was tried with."""

    def __init__(
        self, session: ChipSession, name: str, calibration: Calibration, blocks: Sequence[int]
    ) -> None:
        spans = [session.span(name, b) for b in blocks]
        self._session, self._name, self._x, self._blocks = session, name, calibration.x, blocks
        self._golden = [calibration.values[b] for b in blocks]
        self._codes = np.array(session.trim[name], np.int64)
        self._mine = np.concatenate([np.arange(s.start, s.stop) for s in spans])
        self.best = self._codes[self._mine]
        self._least = np.full(self.best.shape, np.inf)
        self.attempt(self.best)

    def attempt(self, codes: Ints) -> None:
        """Runs the samples with these codes, and keeps those that are better than any before."""
        self.settle(codes)
        spikes = self._session.measure(self._x, self._blocks).spikes
        pairs = zip(self._blocks, self._golden, strict=True)
        off = np.concatenate([((spikes[b] - q) ** 2).sum(axis=0) for b, q in pairs]) + _PER_CODE * np.abs(
            codes
        )
        better = off < self._least
        self.best = np.where(better, codes, self.best)
        self._least = np.where(better, off, self._least)

    def settle(self, codes: Ints) -> None:
        """Sets the codes."""
        self._codes[self._mine] = codes
        self._session.configure({self._name: self._codes})


def sweep(session: ChipSession, name: str, calibration: Calibration, blocks: Sequence[int]) -> None:
    """Sets one trim of every neuron of a layer that sends spikes; does nothing where a chip has it not.

    Args:
        session: The chip; all layers before are trimmed.
        name: The trim, one code for each neuron.
        calibration: Samples, and the golden network's counts.
        blocks: Rows of ``blocks`` of the layer.
    """
    spiking = [b for b in blocks if b in calibration.values]
    if not spiking or name not in session.ranges:
        return
    layer, known = _Layer(session, name, calibration, spiking), session.ranges[name]
    step = max(1, (known.highest - known.lowest + 1) // _COARSE)
    for code in range(known.lowest, known.highest + 1, step):
        layer.attempt(np.full_like(layer.best, code))
    while step > 1:
        step //= 2
        middle = layer.best
        for side in (-step, step):
            layer.attempt(np.clip(middle + side, known.lowest, known.highest))
    layer.settle(layer.best)
