"""One population on its own: the values of its sources, its integers, and what it should give.

Errors are noise-to-signal ratios: ``Σ (s·(wanted − found))² / Σ (s·wanted)²`` over all samples and neurons,
``s`` the scale of the channel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nmcompiler.diagnose.reference import Reference, input_units
from nmcompiler.evaluate.linear import apply
from nmcompiler.ir.graph import Edge
from nmcompiler.ir.kernels import Array, Kernel, with_weight
from nmcompiler.ir.network import Network, Population, Projection
from nmcompiler.passes.kernel_algebra import largest_weight, scale_targets

__all__ = ["FLOOR", "Alone", "alone", "decibels", "noise"]

FLOOR = 1e-9
"""Noise below which nothing is told apart (90 dB)."""
_FACTORS = np.geomspace(1 / 8, 8, 25)  # by which all scales of a population may grow


@dataclass(frozen=True, eq=False)
class Alone:
    """A population with its surroundings; all values are ``(N, h, w, c)`` in units of q.

    Attributes:
        population: As the golden network has it.
        wanted: What the real network gives for the sources' values.
        open: The same before the float network's clip; for an input the values before rounding.
        found: What the network or the chip gave.
        sources: Values of the sources, one entry for each in-edge.
        integer: Kernels of the golden network, in the order of ``sources``.
        real: Kernels of the real network, in the same order.
        real_bias: Bias of the real network, in the accumulator's unit.
        bounds: Where the float network clips, ``(lowest, highest)``, ``(c,)`` each.
    """

    population: Population
    wanted: Array
    open: Array
    found: Array
    sources: tuple[Array, ...]
    integer: tuple[Kernel, ...]
    real: tuple[Kernel, ...]
    real_bias: Array
    bounds: tuple[Array, Array]

    @cached_property
    def theta(self) -> Array:
        """Threshold, float64; 1 for inputs and for read-outs without levels."""
        theta: Array = self.population.theta.astype(np.float64)
        return theta

    def accumulated(self, kernels: Sequence[Kernel], bias: Array) -> Array:
        """Returns ``(Σ kernel(source) + bias) / θ``; of an input its unrounded values."""
        if self.population.role == "input":
            return self.open
        total: Array = np.zeros(self.wanted.shape) + bias
        for kernel, source in zip(kernels, self.sources, strict=True):
            total += apply(kernel, source, self.population.shape)
        result: Array = total / self.theta
        return result

    @cached_property
    def plain(self) -> Array:
        """What the integers accumulate, in units of q, before firing."""
        return self.accumulated(self.integer, self.population.bias.astype(np.float64))

    def fired(self, v: Array, *, rounds: bool = True, limited: bool = True) -> Array:
        """Returns the values that a population sends for ``v``, as it is or with a restriction lifted.

        Args:
            v: Accumulators over θ.
            rounds: Whether values are whole numbers.
            limited: Whether they end at the largest level; else where the float network clips.
        """
        population = self.population
        if not population.sends:
            return v
        if rounds:
            half = 0.5 if population.role == "input" else (population.theta // 2) / self.theta
            v = np.floor(v + half + 1e-9)
        if not limited:
            return np.clip(v, *self.bounds)
        result: Array = np.clip(v, population.lowest, population.levels)
        return result

    def error(self, values: Array) -> float:
        """Returns the noise-to-signal ratio of values."""
        return noise(self.wanted, values, self.population.scale)

    @cached_property
    def own(self) -> float:
        """Error that the population itself adds to what its sources hold."""
        return self.error(self.found)

    def achievable(self, weight_bits: int) -> float:
        """Returns the error where the population is quantised afresh, in the same formats.

        Weights are rounded to ``weight_bits`` channel by channel (a read-out as a whole), the bias is real,
        and all scales take the factor that is the best on these samples for the same number of levels.
        """
        population = self.population
        if population.role == "input":
            v = self.open
        else:
            v = self.accumulated(self.rounded(weight_bits), self.real_bias)
        if not population.sends:
            return self.error(v)
        if _is_exact(self):
            return self.error(self.fired(v))
        return self.error(self.rescaled(v)[1])

    def rounded(self, weight_bits: int) -> tuple[Kernel, ...]:
        """Returns the real kernels with weights of so many bits, each channel as fine as they allow."""
        shape = self.population.shape
        peaks = [largest_weight(kernel, shape) for kernel in self.real]
        peak = np.maximum(np.max(peaks, axis=0), 1e-30) if peaks else np.ones(shape[2])
        if self.population.role == "readout":
            peak[:] = peak.max()
        unit = ((1 << weight_bits - 1) - 1) / peak
        result = []
        for kernel in self.real:
            whole = scale_targets(kernel, unit, shape)
            whole = with_weight(whole, np.round(whole.weight))
            result.append(scale_targets(whole, 1 / unit, shape))
        return tuple(result)

    def rescaled(self, v: Array) -> tuple[float, Array]:
        """Returns the factor on all scales with the least error at these levels, and the values it gives."""
        population = self.population
        best, factor, least = v, 1.0, np.inf
        for tried in _FACTORS:
            q = np.clip(np.floor(v / tried + 0.5), population.lowest, population.levels) * tried
            error = self.error(q)
            if error < least:
                best, factor, least = q, float(tried), error
        return factor, best


def _is_exact(layer: Alone) -> bool:
    """Whether the population needs no rounding at all: whole weights, whole bias, θ = 1, room enough."""
    whole = all(np.array_equal(k.weight, np.round(k.weight)) for k in layer.real)
    return (
        whole
        and bool((layer.population.theta == 1).all())
        and np.array_equal(layer.real_bias, np.round(layer.real_bias))
        and layer.population.role == "hidden"
    )


def alone(
    golden: Network,
    real: Reference,
    name: str,
    values: Mapping[str, Array],
    samples: Mapping[str, Array],
    found: Array | None = None,
) -> Alone:
    """Returns a population on its own.

    Args:
        golden: The integer network.
        real: Its real network.
        name: The population.
        values: ``(N, h, w, c)`` of all sources by population, in units of q.
        samples: Real samples by input port, for input populations.
        found: What the population gave; None takes ``values[name]``.
    """
    population, twin = golden.graph.node(name), real.network.graph.node(name)
    edges, real_edges = golden.graph.in_edges(name), real.network.graph.in_edges(name)
    sources = tuple(values[e.source].astype(np.float64) for e in edges)
    if population.role == "input":
        opened = input_units(golden, samples)[name]
    else:
        opened = np.zeros((len(next(iter(values.values()))), *population.shape)) + twin.bias
        for edge in real_edges:
            opened += apply(edge.payload.kernel, values[edge.source].astype(np.float64), population.shape)
        opened = opened / twin.theta
    return Alone(
        population=population,
        wanted=real.clipped(name, opened),
        open=opened,
        found=(values[name] if found is None else found).astype(np.float64),
        sources=sources,
        integer=tuple(e.payload.kernel for e in edges),
        real=_aligned(edges, real_edges),
        real_bias=np.asarray(twin.bias, np.float64),
        bounds=real.bounds[name],
    )


def _aligned(edges: tuple[Edge[Projection], ...], real: tuple[Edge[Projection], ...]) -> tuple[Kernel, ...]:
    """Returns the real kernels in the order of the integer ones; edges of one source keep their order."""
    left = list(real)
    kernels: list[Kernel] = []
    for edge in edges:
        twin = next((e for e in left if e.source == edge.source), None)
        if twin is None or len(edges) != len(real):
            return tuple(e.payload.kernel for e in edges)
        left.remove(twin)
        kernels.append(twin.payload.kernel)
    return tuple(kernels)


def noise(wanted: Array, found: Array, scale: Array) -> float:
    """Returns the noise-to-signal ratio of ``found``; at least ``FLOOR``, and 1 for noise without signal."""
    signal = float(np.square(wanted * scale).sum())
    lost = float(np.square((wanted - found) * scale).sum())
    if signal == 0:
        return FLOOR if lost == 0 else 1.0
    return max(lost / signal, FLOOR)


def decibels(ratio: float) -> float:
    """Returns a noise-to-signal ratio as a signal-to-noise ratio in dB."""
    return -10 * float(np.log10(ratio))
