"""Cores that are being filled: pieces of different populations share a core where every limit allows it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from nmcompiler.ir.kernels import Shape
from nmcompiler.mapping.areas import Area, joined, size, union_size
from nmcompiler.mapping.needs import AxonKey
from nmcompiler.mapping.pieces import Candidate
from nmcompiler.target.model import RESOURCES, Limits, Target

__all__ = ["OpenCore", "StoreKey", "exceeds"]

StoreKey = tuple[str, int, int]
"""Population and channel range: boxes that can share stored kernels."""


def exceeds(used: Mapping[str, int], limits: Limits) -> str | None:
    """Returns the first resource of which more is used than there is, or None."""
    for resource, amount in used.items():
        limit = getattr(limits, resource)
        if limit is not None and amount > limit:
            return resource
    return None


@dataclass(eq=False)
class OpenCore:
    """A core that is being filled.

    Attributes:
        kind: Index of its core type.
        limits: What it holds.
        target: The chip.
        pieces: What sits on it.
        used: Used so far, by resource; see ``settle`` for input axons.
    """

    kind: int
    limits: Limits
    target: Target
    pieces: list[Candidate] = field(default_factory=list)
    used: dict[str, int] = field(default_factory=lambda: dict.fromkeys(RESOURCES, 0))
    _stores: dict[StoreKey, tuple[int, int | None]] = field(default_factory=dict)
    _thetas: frozenset[int] = frozenset()
    _areas: dict[AxonKey, tuple[Area, ...]] = field(default_factory=dict)
    _shapes: dict[AxonKey, Shape] = field(default_factory=dict)
    _counts: dict[AxonKey, int] = field(default_factory=dict)  # sources in areas, where they were counted

    def add(self, piece: Candidate) -> bool:
        """Adds a piece where everything stays within the limits; returns whether it did."""
        used = self.with_piece(piece, self.limits)
        if used is None:
            return False
        self._shapes |= piece.needs.source_shapes
        for key, areas in self._joined(piece).items():
            if areas is not self._areas.get(key):
                self._areas[key] = areas
                self._counts.pop(key, None)
        self._stores |= self._store(piece)
        self._thetas |= piece.thetas
        self.pieces.append(piece)
        self.used = used
        return True

    def settle(self) -> None:
        """Counts the input axons, of which ``used`` says until then how many there are at most."""
        self.used["input_axons"] = self._axons({}, {})

    def copy(self) -> OpenCore:
        """Returns a core that can be filled on its own."""
        return replace(
            self,
            pieces=list(self.pieces),
            _stores=dict(self._stores),
            _areas=dict(self._areas),
            _shapes=dict(self._shapes),
            _counts=dict(self._counts),
        )

    def with_piece(self, piece: Candidate, limits: Limits) -> dict[str, int] | None:
        """Returns what is used with one more piece, input axons at most; None where that is beyond limits."""
        if not self._takes(piece):
            return None
        used = dict(self.used)
        for resource, amount in piece.sums.items():
            used[resource] += amount
        used["synapse_bits"] += self.more_synapse_bits(piece)
        if exceeds(used, limits):
            return None
        thetas = piece.thetas if not self._thetas else self._thetas | piece.thetas
        used["thresholds"] = len(thetas)
        for resource, amount in piece.most.items():
            used[resource] = max(used[resource], amount)
        if exceeds(used, limits):
            return None
        joined = self._joined(piece)
        used["input_axons"] += self._more_axons(piece, joined)
        if limits.input_axons is not None and used["input_axons"] > limits.input_axons:
            used["input_axons"] = self._axons(joined, piece.needs.source_shapes)
            if used["input_axons"] > limits.input_axons:
                return None
        return used

    def areas(self, key: AxonKey) -> tuple[Area, ...]:
        """Returns what it reads by key."""
        return self._areas.get(key, ())

    def read(self) -> Iterator[tuple[AxonKey, tuple[Area, ...], Shape]]:
        """Yields what it reads, with the shape of the source."""
        yield from ((key, areas, self._shapes[key]) for key, areas in self._areas.items() if areas)

    def _takes(self, piece: Candidate) -> bool:
        most = self.target.populations_per_core
        if most is None:
            return True
        names = {placed.needs.name for placed in self.pieces} | {piece.needs.name}
        return len(names) <= most

    def room(self, resource: str) -> int:
        """Returns how much of a resource is left."""
        limit: int | None = getattr(self.limits, resource)
        return sys.maxsize if limit is None else limit - self.used[resource]

    def _store(self, piece: Candidate) -> dict[StoreKey, tuple[int, int | None]]:
        """Returns the store of the piece's channels with the piece: bits a weight a synapse, and once."""
        key = (piece.needs.name, piece.box.c0, piece.box.c1)
        return {key: (self._stores.get(key, (0, None))[0] + piece.synapse_bits, piece.kernels)}

    def more_synapse_bits(self, piece: Candidate) -> int:
        """Returns the bits of synapses that a piece adds."""
        ((key, (apart, kernels)),) = self._store(piece).items()
        before, known = self._stores.get(key, (0, None))
        return _least(apart, kernels) - _least(before, known)

    def _joined(self, piece: Candidate) -> dict[AxonKey, tuple[Area, ...]]:
        return {key: joined(self._areas.get(key, ()), areas) for key, areas in piece.areas.items()}

    def _more_axons(self, piece: Candidate, joined: Mapping[AxonKey, tuple[Area, ...]]) -> int:
        """Returns the axons that a piece adds at most, given what is read with it."""
        if not self.pieces:
            return piece.input_axons
        pixels = self.target.axon_unit == "pixel"
        new = sum(
            size(one, pixels=pixels)
            for key, areas in piece.areas.items()
            if joined[key] is not self._areas.get(key)
            for one in areas
        )
        return new * self.target.axons_per_source

    def _axons(self, joined: Mapping[AxonKey, tuple[Area, ...]], shapes: Mapping[AxonKey, Shape]) -> int:
        """Returns the input axons where some keys read more than so far, from sources of these shapes."""
        pixels = self.target.axon_unit == "pixel"
        sources = 0
        for key, areas in joined.items():
            if areas and areas is not self._areas.get(key):
                sources += union_size(areas, shapes[key], pixels=pixels)
        for key, areas in self._areas.items():
            if areas is joined.get(key, areas):
                if key not in self._counts:
                    known = union_size(areas, self._shapes[key], pixels=pixels) if areas else 0
                    self._counts[key] = known
                sources += self._counts[key]
        return sources * self.target.axons_per_source


def _least(apart: int, kernels: int | None) -> int:
    return apart if kernels is None else min(apart, kernels)
