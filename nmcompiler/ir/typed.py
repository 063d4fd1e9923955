"""Weights as sums of a few typed weights of a neuron: what a crossbar of bits and axon types can store.

A source that takes an axon of each type t reaches a neuron with ``Σ_t bit_t · s_t``, s_t being the neuron's
weight for the type. With ``s = unit · base`` the weights that can be had are ``unit`` times the sums of some
entries of ``base``: −1, 0, 1 for the base (1, −1), and −2^(k−1) … 2^(k−1) − 1 for (1, 2, …, −2^(k−1)).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import singledispatch

import numpy as np

from nmcompiler.errors import DoesNotFit
from nmcompiler.ir.kernels import Array, Conv, Dense, Kernel, Shape, Sparse
from nmcompiler.ir.network import Network
from nmcompiler.target.model import Crossbar, Target

__all__ = ["TypeCode", "base_of", "bits_of", "held_types", "largest_code", "type_code"]


@dataclass(frozen=True, eq=False)
class TypeCode:
    """How the weights of one population are made of typed weights.

    Attributes:
        base: Weights of the types, in units of the neuron.
        unit: int64 of the population's shape or broadcastable to it, never 0, and below 0 only with one
            type: the weight of a neuron for type t is ``unit · base[t]``.
        used: By source population, the types whose axons a source needs.
    """

    base: tuple[int, ...]
    unit: Array
    used: Mapping[str, tuple[int, ...]]

    @property
    def largest(self) -> int:
        """Largest magnitude of a typed weight."""
        return int(np.abs(self.unit).max()) * max(abs(b) for b in self.base)


def base_of(types: int) -> tuple[int, ...]:
    """Returns the weights of ``types`` types in units of a neuron: (1), (1, −1), (1, 2, −4) and so on."""
    if types <= 2:
        return (1, -1)[:types]
    return (*(1 << t for t in range(types - 1)), -(1 << types - 1))


def largest_code(types: int) -> int:
    """Returns the largest magnitude of either sign that sums of the types can have, 0 for one type."""
    return 0 if types < 2 else (1 << types - 1) - 1


def bits_of(codes: Array, base: tuple[int, ...]) -> Array:
    """Returns which types make up whole numbers: bool ``(types, *codes.shape)``."""
    if len(base) <= 2:
        return np.stack([codes == b for b in base])
    return np.stack([(codes >> t) & 1 == 1 for t in range(len(base))])


def type_code(network: Network, name: str, types: int, crossbar: Crossbar | None = None) -> TypeCode | None:
    """Returns the typed weights of a population with the fewest types, None where more are needed.

    The unit of a neuron is the largest that makes its weights; where the weights of the types would then be
    more than the crossbar holds, the largest of its parts that makes them as well, of more types if need be.
    """
    too_large: TypeCode | None = None
    population = network.graph.node(name)
    groups: dict[str, list[Kernel]] = {}
    for edge in network.graph.in_edges(name):
        groups.setdefault(edge.source, []).append(edge.payload.kernel)
    shared = all(len(kernels) == 1 and isinstance(kernels[0], Conv) for kernels in groups.values())
    found = {
        source: _entries(kernels, network.graph.node(source).shape, population.shape, shared)
        for source, kernels in groups.items()
    }
    count = population.shape[2] if shared else population.size
    signed = _units(list(found.values()), count)
    for k in range(1, types + 1):
        unit = signed if k == 1 else np.abs(signed)
        if crossbar is not None:
            unit = _held_units(unit, list(found.values()), k, crossbar)
        codes = {source: weight // unit[index] for source, (index, weight) in found.items()}
        low = min((int(c.min(initial=0)) for c in codes.values()), default=0)
        high = max((int(c.max(initial=0)) for c in codes.values()), default=0)
        if _holds(k, low, high):
            base = base_of(k)
            used = {
                source: tuple(np.flatnonzero(bits_of(c, base).any(axis=1)).tolist())
                for source, c in codes.items()
            }
            made = TypeCode(base, unit.reshape((1, 1, -1) if shared else population.shape), used)
            if crossbar is None or np.abs(unit).max(initial=1) <= crossbar.room(base):
                return made
            too_large = too_large or made
    return too_large


def held_types(network: Network, name: str, target: Target) -> TypeCode:
    """Returns the typed weights of a population on a chip with crossbars.

    Raises:
        DoesNotFit: Where the chip has too few types of axons, or too narrow weights.
    """
    crossbar = target.crossbar
    if crossbar is None:
        raise ValueError(f"{target.name} has no crossbar")
    code = type_code(network, name, crossbar.axon_types, crossbar)
    hint = "use fewer weight bits, or a target with more types of axons"
    if code is None:
        raise DoesNotFit(
            layer=name,
            resource="axon types",
            used=crossbar.axon_types + 1,
            limit=crossbar.axon_types,
            target=target.name,
            hint=hint,
        )
    if int(np.abs(code.unit).max(initial=1)) > crossbar.room(code.base):
        raise DoesNotFit(
            layer=name,
            resource="bits of a typed weight",
            used=code.largest.bit_length() + 1,
            limit=crossbar.weight_bits,
            target=target.name,
            hint=hint,
        )
    return code


def _held_units(unit: Array, groups: list[tuple[Array, Array]], types: int, crossbar: Crossbar) -> Array:
    """Returns the units, those that are too large divided by what their neurons' codes leave room for."""
    room = crossbar.room(base_of(types))
    large = unit > room
    if not large.any():
        return unit
    low, high = np.zeros(len(unit), np.int64), np.zeros(len(unit), np.int64)
    for index, weight in groups:
        np.minimum.at(low, index, weight // unit[index])
        np.maximum.at(high, index, weight // unit[index])
    unit = unit.copy()
    for factor in range(2, largest_code(types) + 1):
        fits = np.array(
            [_holds(types, int(a), int(b)) for a, b in zip(low * factor, high * factor, strict=True)]
        )
        divided = large & fits & (unit % factor == 0) & (unit // factor <= room)
        unit[divided] //= factor
        large &= ~divided
    return unit


def _holds(types: int, low: int, high: int) -> bool:
    if types <= 2:
        return high <= 1 and low >= (0 if types == 1 else -1)
    return -(1 << types - 1) <= low and high < 1 << types - 1


def _units(groups: list[tuple[Array, Array]], count: int) -> Array:
    """Returns the greatest common divisor of each neuron's weights, negative where none is positive."""
    unit, positive = np.zeros(count, np.int64), np.zeros(count, np.bool_)
    for index, weight in groups:
        np.gcd.at(unit, index, np.abs(weight))
        positive[index[weight > 0]] = True
    unit[unit == 0] = 1
    none = np.zeros(count, np.bool_)
    for index, weight in groups:
        none[index[weight < 0]] = True
    unit[none & ~positive] *= -1
    return unit


def _entries(kernels: list[Kernel], source: Shape, target: Shape, shared: bool) -> tuple[Array, Array]:
    """Returns neuron (channel where ``shared``) and weight of every synapse, those of one pair summed."""
    if shared:
        (kernel,) = kernels
        weight = kernel.weight.astype(np.int64)
        assert isinstance(kernel, Conv)
        channel = kernel.target_channel + np.arange(weight.shape[3])
        return np.broadcast_to(channel, weight.shape).ravel(), weight.ravel()
    rows, columns, weights = (
        np.concatenate(part) for part in zip(*(_synapses(k, source, target) for k in kernels), strict=True)
    )
    if len(kernels) == 1 and not isinstance(kernels[0], Sparse):
        return rows, weights
    pairs, first = np.unique(rows * int(np.prod(source)) + columns, return_inverse=True)
    sums = np.zeros(len(pairs), np.int64)
    np.add.at(sums, first, weights)
    return pairs // int(np.prod(source)), sums


@singledispatch
def _synapses(kernel: Kernel, source: Shape, target: Shape) -> tuple[Array, Array, Array]:
    """Returns flat target, flat source and weight of every synapse."""
    raise TypeError(f"no rule for the synapses of a {type(kernel).__name__}")


@_synapses.register
def _dense(kernel: Dense, source: Shape, target: Shape) -> tuple[Array, Array, Array]:
    rows, columns = np.indices(kernel.weight.shape)
    return rows.ravel(), columns.ravel(), kernel.weight.ravel().astype(np.int64)


@_synapses.register
def _sparse(kernel: Sparse, source: Shape, target: Shape) -> tuple[Array, Array, Array]:
    return np.asarray(kernel.rows), np.asarray(kernel.columns), kernel.weight.astype(np.int64)


@_synapses.register
def _conv(kernel: Conv, source: Shape, target: Shape) -> tuple[Array, Array, Array]:
    kh, kw, fan_in, written = kernel.weight.shape
    y, x, ky, kx, i, o = (a.ravel() for a in np.indices((*target[:2], kh, kw, fan_in, written)))
    sy = y * kernel.stride[0] - kernel.padding[0] + ky * kernel.dilation[0]
    sx = x * kernel.stride[1] - kernel.padding[1] + kx * kernel.dilation[1]
    inside = (sy >= 0) & (sy < source[0]) & (sx >= 0) & (sx < source[1])
    channel = kernel.source_channel + o // (written // kernel.groups) * fan_in + i
    columns = (sy * source[1] + sx) * source[2] + channel
    rows = (y * target[1] + x) * target[2] + kernel.target_channel + o
    weights = kernel.weight[ky, kx, i, o].astype(np.int64)
    return rows[inside], columns[inside], weights[inside]
