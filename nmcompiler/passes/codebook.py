"""Weights of few values: a whole code times a quantum of each channel, chosen before a layer is tuned.

Where a core stores bits (``Target.crossbar``), a weight is a sum of the few typed weights of its neuron. How
few follows from the fan-in: a source takes an axon of every type, and a core has so many axons. So weights
become ``quantum[c] · code`` first, with codes that make up for each other's rounding, and everything that
follows (thresholds, biases, the search of scales) sees the weights that the chip will have.

For each channel some quanta are tried, codes are found by GPTQ and by plain rounding, and improved one by one
as long as that helps (coordinate descent on ``(w − s·q)ᵀ·H·(w − s·q)``), and at last the quantum is refitted:
``s = (qᵀ·H·w) / (qᵀ·H·q)``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from nmcompiler.errors import DoesNotFit
from nmcompiler.ir.kernels import Array, Conv, Dense, Kernel, Shape, with_weight
from nmcompiler.ir.layers import Layer, Model
from nmcompiler.ir.typed import base_of, largest_code
from nmcompiler.passes.columns import Positions, columns, from_groups, most_rows, to_groups
from nmcompiler.passes.formats import Branch, Formats
from nmcompiler.passes.gptq import spread_errors
from nmcompiler.passes.kernel_algebra import largest_weight
from nmcompiler.passes.room import Room
from nmcompiler.target.model import Target

__all__ = ["Coded", "code_weights", "typed_formats", "has_codes"]

_TRIED = 20  # quanta
_LEAST = 0.15  # smallest quantum that is tried, as a share of the largest weight over the largest code
_SWEEPS = 3
_ROWS = 8192
_DAMPING = 1e-2  # share of the mean of the diagonal of H that is added to it


def typed_formats(
    formats: Formats,
    target: Target,
    model: Model,
    layer: Layer,
    weight_bits: int,
    steps: int,
    signed: frozenset[str] = frozenset(),
) -> Formats:
    """Returns the formats of one layer on a chip with crossbars.

    Args:
        formats: Those of the chip.
        target: The chip.
        model: The layer graph.
        layer: The layer.
        weight_bits: Most bits of a weight.
        steps: Steps over which a bias is spread as a current; 1 where it is not.
        signed: Inputs with negative samples: where spikes carry no sign, they are two neurons a value.

    Raises:
        DoesNotFit: The layer's fan-in leaves a source fewer than two axons on every core.
    """
    crossbar = target.crossbar
    if crossbar is None:
        return formats
    edges = [
        (model.graph.node(e.source), e.payload.kernel)
        for e in model.graph.in_edges(layer.name)
        for _ in range(2 if e.source in signed and not target.signed_spikes else 1)
    ]
    fan_in = Room.of(target).reads(edges, layer.sum_shape).fan_in
    axons = max(kind.limits.input_axons or fan_in * crossbar.axon_types for kind in target.core_types)
    types = min(axons // max(fan_in, 1), crossbar.axon_types, weight_bits)
    if types < 2:
        raise DoesNotFit(
            layer=layer.name,
            resource="fan_in",
            used=fan_in,
            limit=axons // 2,
            target=target.name,
            hint="use a smaller kernel, fewer channels or more groups",
        )
    mantissa = None if formats.mantissa is None else formats.mantissa * steps
    return replace(
        formats, weight=largest_code(types), grain=crossbar.room(base_of(types)), mantissa=mantissa
    )


@dataclass(frozen=True, eq=False)
class Coded:
    """Weights that are codes times quanta.

    Attributes:
        branches: In-edges with real weights ``quantum[c] · code``.
        quantum: ``(c,)`` float64.
    """

    branches: tuple[Branch, ...]
    quantum: Array


@dataclass(frozen=True, eq=False)
class _Part:
    """One in-edge: weights ``(groups, unknowns, outputs)``, H of its inputs, and the channels it writes."""

    kernel: Kernel
    weight: Array
    gram: Array
    channels: slice

    def of(self, per_channel: Array) -> Array:
        """Returns numbers ``(c,)`` as ``(groups, 1, outputs)``."""
        written: Array = per_channel[self.channels].reshape(self.weight.shape[0], 1, -1)
        return written

    def tried(self, quanta: Array) -> _Part:
        """Returns the part with its outputs once for each of the quanta ``(tried, c)``, one after another."""
        again = np.tile(self.weight, (1, 1, len(quanta)))
        return replace(self, weight=again, channels=slice(0, again.shape[0] * again.shape[2]))

    def spread(self, quanta: Array) -> Array:
        """Returns quanta ``(tried, c)`` as numbers of the channels of ``tried``."""
        groups = self.weight.shape[0]
        mine = quanta[:, self.channels].reshape(len(quanta), groups, -1)
        spread: Array = mine.transpose(1, 0, 2).ravel()
        return spread

    def gathered(self, values: Array, tried: int) -> Array:
        """Returns numbers of the channels of ``tried`` as ``(tried, outputs written)``."""
        split = values.reshape(self.weight.shape[0], tried, -1)
        gathered: Array = split.transpose(1, 0, 2).reshape(tried, -1)
        return gathered

    def codes(self, quantum: Array, limit: int) -> Array:
        """Returns the codes ``(groups, unknowns, outputs)`` for quanta ``(c,)``, the better of two starts."""
        wanted = self.weight / self.of(quantum)
        starts = spread_errors(wanted, self.gram, limit), np.clip(np.round(wanted), -limit, limit)
        first, second = (_improved(wanted, start, self.gram, limit) for start in starts)
        errors = [self.error(codes, quantum) for codes in (first, second)]
        groups = self.weight.shape[0]
        better: Array = np.where((errors[1] < errors[0]).reshape(groups, 1, -1), second, first)
        return better

    def errors(self, quanta: Array, limit: int) -> Array:
        """Returns the squared errors ``(tried, outputs written)`` of the codes for quanta ``(tried, c)``."""
        tried, quantum = self.tried(quanta), self.spread(quanta)
        return self.gathered(tried.error(tried.codes(quantum, limit), quantum), len(quanta))

    def error(self, codes: Array, quantum: Array) -> Array:
        """Returns ``(outputs written,)`` squared errors of the sums."""
        left = self.weight - self.of(quantum) * codes
        error: Array = (left * (self.gram @ left)).sum(axis=1).ravel()
        return error

    def sums(self, codes: Array) -> tuple[Array, Array]:
        """Returns ``qᵀ·H·w`` and ``qᵀ·H·q``, ``(outputs written,)`` each."""
        turned = self.gram @ codes
        return (turned * self.weight).sum(axis=1).ravel(), (turned * codes).sum(axis=1).ravel()


def code_weights(
    branches: tuple[Branch, ...],
    sources: tuple[Array, ...],
    shape: Shape,
    limit: int,
    least: Array,
    grain: int | None = None,
) -> Coded:
    """Returns the branches of a layer with weights that are codes times quanta.

    Args:
        branches: In-edges with real weights.
        sources: ``(N, h, w, c)`` the values that each reads on the samples.
        shape: ``(height, width, channels)`` of the sums.
        limit: Largest code.
        least: ``(c,)`` smallest quanta with which the bias fits the chip.
        grain: Where all quanta must be whole multiples of one: the largest multiple.
    """
    count = len(sources[0])
    at = Positions.spread(count, shape, most_rows(tuple(b.kernel for b in branches), _ROWS))
    parts = [_part(b.kernel, x, at, shape) for b, x in zip(branches, sources, strict=True)]
    peak = np.zeros(shape[2])
    for branch in branches:
        peak = np.maximum(peak, largest_weight(branch.kernel, shape))
    peak[peak == 0] = 1.0
    quanta = np.maximum(np.geomspace(1.0, _LEAST, _TRIED)[:, None] * peak / limit, least)
    error = np.zeros_like(quanta)
    for part in parts:
        error[:, part.channels] += part.errors(quanta, limit)
    quantum = quanta[error.argmin(axis=0), np.arange(shape[2])]
    if grain is not None:
        unit = quantum.max() / grain
        quantum = unit * np.maximum(np.round(quantum / unit), 1)
    codes = [part.codes(quantum, limit) for part in parts]
    if grain is None:
        quantum = np.maximum(_refitted(parts, codes, quantum), least)
    kernels = [
        with_weight(p.kernel, from_groups(p.kernel, p.of(quantum) * q))
        for p, q in zip(parts, codes, strict=True)
    ]
    coded = tuple(replace(b, kernel=k) for b, k in zip(branches, kernels, strict=True))
    return Coded(coded, quantum)


def has_codes(kernel: Kernel, shape: Shape) -> bool:
    """Whether ``code_weights`` takes a kernel into ``shape``: convolutions, and dense layers of vectors."""
    return isinstance(kernel, Conv) or (isinstance(kernel, Dense) and shape[:2] == (1, 1))


def _part(kernel: Kernel, source: Array, at: Positions, shape: Shape) -> _Part:
    if isinstance(kernel, Conv):
        channels = slice(kernel.target_channel, kernel.target_channel + kernel.target_channels)
    elif isinstance(kernel, Dense) and shape[:2] == (1, 1):
        channels = slice(0, shape[2])
    else:
        raise TypeError(f"no codes for a {type(kernel).__name__} into {shape}")
    weight = to_groups(kernel).astype(np.float64)
    inputs = columns(kernel, source, at)
    inputs = inputs - inputs.mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
    gram = (inputs.transpose(0, 2, 1) @ inputs).astype(np.float64)
    loudness = np.trace(gram, axis1=1, axis2=2) / gram.shape[1]
    gram += (_DAMPING * loudness + np.finfo(np.float32).tiny)[:, None, None] * np.eye(gram.shape[1])
    return _Part(kernel, weight, gram, channels)


def _improved(wanted: Array, codes: Array, gram: Array, limit: int) -> Array:
    """Returns codes that no change of a single one makes better, after some sweeps over all of them."""
    codes = codes.copy()
    pull = gram @ (wanted - codes)
    loudness = np.diagonal(gram, axis1=1, axis2=2)
    for _ in range(_SWEEPS):
        moved = False
        for j in range(codes.shape[1]):
            step = pull[:, j] / loudness[:, j, None]
            new = np.clip(np.round(codes[:, j] + step), -limit, limit)
            change = new - codes[:, j]
            if change.any():
                pull -= gram[:, :, j, None] * change[:, None]
                codes[:, j] = new
                moved = True
        if not moved:
            break
    return codes


def _refitted(parts: list[_Part], codes: list[Array], quantum: Array) -> Array:
    above, below = np.zeros(len(quantum)), np.zeros(len(quantum))
    for part, found in zip(parts, codes, strict=True):
        up, down = part.sums(found)
        above[part.channels] += up
        below[part.channels] += down
    right = (above > 0) & (below > 0)
    return np.where(right, above / np.where(right, below, 1), quantum)
