"""Where the neurons of a population are read: by which cores, and on how many."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from nmcompiler.ir.cores import Box
from nmcompiler.ir.kernels import Array, Shape
from nmcompiler.mapping.needs import AxonKey, PopulationNeeds

__all__ = ["Readers"]


@dataclass(eq=False)
class Readers:
    """The boxes that have been placed, by the populations that they read.

    Attributes:
        fan_out: Axons that a neuron reaches, or None for any number; then it is built once.
    """

    fan_out: int | None
    _boxes: dict[str, dict[int, list[tuple[PopulationNeeds, AxonKey, Box]]]] = field(default_factory=dict)

    def add(self, needs: PopulationNeeds, core: int, box: Box) -> None:
        """Takes a box of a population that was put on a core."""
        for key in needs.by_key:
            self._boxes.setdefault(key[0], {}).setdefault(core, []).append((needs, key, box))

    def leave_out(self, name: str, source: str) -> None:
        """Lets whoever reads a population, of which nothing was placed, read another of the same shape."""
        for core, boxes in self._boxes.pop(name, {}).items():
            self._boxes.setdefault(source, {}).setdefault(core, []).extend(boxes)

    def destinations(self, source: str, shape: Shape) -> Array:
        """Returns the number of cores on which each neuron of a population is read, ``(h, w, c)`` int64."""
        total = np.zeros(shape, np.int64)
        for mask in self.masks(source, shape).values():
            total += mask
        return total

    def built(self, source: str, shape: Shape) -> Array | None:
        """Returns how many times each neuron of a population is built, ``(h, w, c)`` int64.

        None where a neuron reaches any number of axons.
        """
        if self.fan_out is None:
            return None
        axons = np.zeros(shape, np.int64)
        for boxes in self._boxes.get(source, {}).values():
            masks: dict[AxonKey, Array] = {}
            for needs, key, box in boxes:
                mask = masks.setdefault(key, np.zeros(shape, bool))
                for wire in needs.by_key[key]:
                    wire.reach.mark(mask, box)
            for mask in masks.values():
                axons += mask
        built: Array = np.maximum(-(-axons // self.fan_out), 1)
        return built

    def masks(self, source: str, shape: Shape) -> dict[int, Array]:
        """Returns, for every core that reads a population, which neurons it reads as a bool mask."""
        found = {}
        for core, boxes in self._boxes.get(source, {}).items():
            mask = np.zeros(shape, bool)
            for needs, key, box in boxes:
                for wire in needs.by_key[key]:
                    wire.reach.mark(mask, box)
            found[core] = mask
        return found
