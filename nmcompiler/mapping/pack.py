"""Cores that are being filled: pieces of different populations share a core where every limit allows it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from nmcompiler.ir.cores import Box
from nmcompiler.ir.kernels import Array
from nmcompiler.mapping.needs import AxonKey, PopulationNeeds
from nmcompiler.mapping.reach import axons
from nmcompiler.target.model import RESOURCES, Limits, Target

__all__ = ["Candidate", "OpenCore", "StoreKey", "exceeds"]

StoreKey = tuple[str, int, int]
"""Population and channel range: boxes that can share stored kernels."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A piece with what it costs.

    Attributes:
        needs: Its population.
        box: Its box.
        used: Its cost alone on a core, by resource.
        kernels: Bits of the kernels of all projections, stored once for all boxes of the same channels on
            a core; None where a projection cannot be shared.
    """

    needs: PopulationNeeds
    box: Box
    used: Mapping[str, int]
    kernels: int | None

    @cached_property
    def thetas(self) -> frozenset[int]:
        """The distinct θ of the box."""
        return self.needs.thetas(self.box)

    @cached_property
    def masks(self) -> Mapping[AxonKey, Array]:
        """What the box reads, bool masks of the sources; not to be changed."""
        return {key: self.needs.read(key, self.box) for key in self.needs.by_key}


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
        used: Used so far, by resource.
    """

    kind: int
    limits: Limits
    target: Target
    pieces: list[Candidate] = field(default_factory=list)
    used: dict[str, int] = field(default_factory=lambda: dict.fromkeys(RESOURCES, 0))
    _stores: dict[StoreKey, tuple[int, int | None]] = field(default_factory=dict)
    _thetas: frozenset[int] = frozenset()
    _masks: dict[AxonKey, Array] = field(default_factory=dict)

    def add(self, piece: Candidate) -> bool:
        """Adds a piece where everything stays within the limits; returns whether it did."""
        if not self._takes(piece):
            return False
        stores = self._with_stores(piece)
        thetas = self._thetas | piece.thetas
        used = self._additive(piece)
        used["synapse_bits"] = sum(
            apart if kernels is None else min(apart, kernels) for apart, kernels in stores.values()
        )
        used["thresholds"] = len(thetas)
        used["input_axons"] = 0
        if exceeds(used, self.limits):
            return False
        masks: dict[AxonKey, Array] = {}
        if self.pieces:
            masks = self._with_masks(piece)
            pixels = self.target.axon_unit == "pixel"
            sources = sum(axons(m, pixels=pixels) for m in masks.values())
            used["input_axons"] = sources * self.target.axons_per_source
        else:  # most cores hold one piece, whose axons are known without a mask
            used["input_axons"] = piece.used["input_axons"]
        if exceeds(used, self.limits):
            return False
        self.pieces.append(piece)
        self._stores, self._thetas, self._masks = stores, thetas, masks
        self.used = used
        return True

    def _takes(self, piece: Candidate) -> bool:
        most = self.target.populations_per_core
        names = {placed.needs.name for placed in self.pieces} | {piece.needs.name}
        return most is None or len(names) <= most

    def room(self, resource: str) -> int:
        """Returns how much of a resource is left."""
        limit: int | None = getattr(self.limits, resource)
        return sys.maxsize if limit is None else limit - self.used[resource]

    def _additive(self, piece: Candidate) -> dict[str, int]:
        used = dict(self.used)
        for resource in ("neurons", "state_bits", "output_axons"):
            used[resource] += piece.used[resource]
        for resource in ("fan_in", "destinations"):
            used[resource] = max(used[resource], piece.used[resource])
        return used

    def _with_stores(self, piece: Candidate) -> dict[StoreKey, tuple[int, int | None]]:
        stores = dict(self._stores)
        key = (piece.needs.name, piece.box.c0, piece.box.c1)
        apart = stores.get(key, (0, None))[0] + piece.used["synapse_bits"]
        stores[key] = (apart, piece.kernels)
        return stores

    def _with_masks(self, piece: Candidate) -> dict[AxonKey, Array]:
        """Returns what the core reads with one more piece; its own masks are not changed."""
        if not self._masks:
            for placed in self.pieces:
                _read(self._masks, placed)
        masks = dict(self._masks)
        _read(masks, piece)
        return masks


def _read(masks: dict[AxonKey, Array], piece: Candidate) -> None:
    """Adds what a piece reads to masks by source and delay."""
    for key, mask in piece.masks.items():
        masks[key] = masks[key] | mask if key in masks else mask
