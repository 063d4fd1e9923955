"""Functions that no population computes become one gain per channel."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from nmcompiler.errors import UsageError
from nmcompiler.evaluate.float import preactivation, run_float
from nmcompiler.evaluate.functions import evaluate
from nmcompiler.ir.kernels import Array
from nmcompiler.ir.layers import Layer, Link, Model
from nmcompiler.passes.base import LOSSY, Context, Keeps, Note, PassResult
from nmcompiler.passes.draft import Draft, compact
from nmcompiler.passes.kernel_algebra import scale_targets

__all__ = ["Linearise"]

_BATCH = 8  # all layers of so many samples are in memory at once
_HIGHEST_DB = 200.0  # a function that is a gain has no error but rounding


@dataclass(frozen=True)
class Linearise:
    """Replaces the function of a layer by the gain of each channel that is nearest to it in calibration.

    For sums x and results y of a channel, over all samples and positions, the gain ``Σ x·y / Σ x²`` leaves
    the least square error. A channel that calibration never saw active takes the median gain of the others.
    The gains scale weights and bias of the layer, so later passes fold them into its neighbours. What is
    lost stands in a warning for each layer: nothing is replaced silently.
    """

    name: ClassVar[str] = "linearise"
    keeps: ClassVar[Keeps] = LOSSY

    def run(self, graph: Model, context: Context) -> PassResult[Model]:
        """Returns the model without functions; raises ``UsageError`` where samples are missing."""
        names = [layer.name for layer in graph.graph if layer.function is not None]
        if not names:
            return PassResult(graph, False)
        if context.calibration is None:
            kinds = ", ".join(dict.fromkeys(graph.graph.node(name).op for name in names))
            raise UsageError(f"{kinds} can only be replaced with calibration samples")
        draft, notes = Draft(graph), []
        count = len(next(iter(context.calibration.values())))
        for name, sums in _measured(graph, names, context.calibration).items():
            layer = draft.layers[name]
            draft.layers[name], draft.sources[name] = _scaled(layer, draft.sources[name], sums.gain)
            text = (
                f"({layer.op}) is replaced by one gain per channel, fitted to {count:,} samples: its result "
                f"has a signal-to-noise ratio of {sums.ratio_db:.1f} dB"
            )
            notes.append(Note(name, text, sqnr_db=sums.ratio_db, warning=True))
        return PassResult(draft.model(), True, tuple(notes))


@dataclass(frozen=True, eq=False)
class _Sums:
    """Sums over samples and positions for each channel, all ``(c,)`` float64: Σ x², Σ x·y and Σ y²."""

    xx: Array
    xy: Array
    yy: Array

    @property
    def gain(self) -> Array:
        """The gains, ``(c,)``."""
        active = self.xx > 0
        gain = self.xy / np.where(active, self.xx, 1)
        return np.where(active, gain, np.median(gain[active]) if active.any() else 1.0)

    @property
    def ratio_db(self) -> float:
        """Energy of y over energy of ``y − gain · x``, in decibels."""
        signal = float(self.yy.sum())
        noise = signal - float((self.gain * self.xy).sum())  # at the gain of least error
        if noise <= signal * 10 ** (-_HIGHEST_DB / 10):
            return _HIGHEST_DB
        return 10 * math.log10(signal / noise)


def _measured(model: Model, names: list[str], samples: Mapping[str, Array]) -> dict[str, _Sums]:
    """Returns the sums of each layer, on the exact results of the layers before it."""
    found: dict[str, _Sums] = {}
    for batch in _batches(samples):
        results = run_float(model, batch, record=True).layers
        for name in names:
            layer = model.graph.node(name)
            x = preactivation(model.graph, name, results)
            sums = _sums(x, _function(layer, x))
            before = found.get(name)
            found[name] = sums if before is None else _added(before, sums)
    return found


def _function(layer: Layer, x: Array) -> Array:
    if layer.function is None:
        raise AssertionError(f"'{layer.name}' has no function")
    return evaluate(layer.function, x)


def _sums(x: Array, y: Array) -> _Sums:
    flat = (np.asarray(a, np.float64).reshape(-1, a.shape[-1]) for a in (x, y))
    a, b = flat
    return _Sums(*(np.einsum("nc,nc->c", u, v) for u, v in ((a, a), (a, b), (b, b))))


def _added(a: _Sums, b: _Sums) -> _Sums:
    return _Sums(a.xx + b.xx, a.xy + b.xy, a.yy + b.yy)


def _batches(samples: Mapping[str, Array]) -> Iterator[dict[str, Array]]:
    for start in range(0, len(next(iter(samples.values()))), _BATCH):
        yield {name: np.asarray(x)[start : start + _BATCH] for name, x in samples.items()}


def _scaled(layer: Layer, edges: list[tuple[str, Link]], gain: Array) -> tuple[Layer, list[tuple[str, Link]]]:
    """Returns a layer whose sum is multiplied by gains instead of its function, and its in-edges."""
    scaled = [
        (source, replace(link, kernel=scale_targets(link.kernel, gain, layer.sum_shape)))
        for source, link in edges
    ]
    return replace(layer, bias=compact(layer.bias * gain), function=None), scaled
