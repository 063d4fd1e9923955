"""Where the neurons of a population are read: by which cores, and on how many."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from nmcompiler.ir.cores import HOST, Box
from nmcompiler.ir.kernels import Array, Shape
from nmcompiler.mapping.classes import classes
from nmcompiler.mapping.needs import AxonKey, PopulationNeeds
from nmcompiler.mapping.product import Product

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
        """Takes a box of a population that was put on a core, or that the host feeds in a later pass."""
        for key in needs.by_key:
            self._boxes.setdefault(key[0], {}).setdefault(core, []).append((needs, key, box))

    def leave_out(self, name: str, source: str) -> None:
        """Lets whoever reads a population, of which nothing was placed, read another of the same shape."""
        for core, boxes in self._boxes.pop(name, {}).items():
            self._boxes.setdefault(source, {}).setdefault(core, []).extend(boxes)

    def destinations(self, source: str, shape: Shape) -> Array:
        """Returns the number of cores on which each neuron of a population is read, ``(h, w, c)`` int64.

        The host, which keeps spikes for later passes, is one of them.
        """
        return classes(shape, ((core - HOST, read) for core, _, read in self.reads(source))).counts

    def built(self, source: str, shape: Shape) -> Array | None:
        """Returns how many times each neuron of a population is built, ``(h, w, c)`` int64.

        None where a neuron reaches any number of axons. The host takes one, whatever it feeds later.
        """
        if self.fan_out is None:
            return None
        # What comes from one source with one key shares an axon on a core.
        axons: dict[tuple[int, AxonKey | None], int] = {}
        numbered = (
            (axons.setdefault((core, None if core == HOST else key), len(axons)), read)
            for core, key, read in self.reads(source)
        )
        built: Array = np.maximum(-(-classes(shape, numbered).counts // self.fan_out), 1)
        return built

    def reads(self, source: str) -> Iterator[tuple[int, AxonKey, Product | Array]]:
        """Yields core, key of the axons, and neurons of a population that are read there, for every box."""
        for core, boxes in self._boxes.get(source, {}).items():
            for needs, key, box in boxes:
                for wire in needs.by_key[key]:
                    yield core, key, wire.reach.read(box)
