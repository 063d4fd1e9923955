"""What any box of a population costs on a core: a few look-ups in sums of its neurons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nmcompiler.ir.cores import Box
from nmcompiler.ir.kernels import Array, Shape
from nmcompiler.mapping.areas import Area, area, joined, union_size
from nmcompiler.mapping.needs import AxonKey, PopulationNeeds, Wire
from nmcompiler.mapping.reach import Cuts, ProductReach
from nmcompiler.mapping.search import Outputs

__all__ = ["BoxCosts", "Candidate"]


@dataclass(frozen=True, eq=False)
class Candidate:
    """A piece with what it costs alone on a core.

    Attributes:
        costs: What any box of its population costs.
        box: Its box.
        sums: Neurons, bits of state and output axons, which add up on a core.
        synapse_bits: Bits of its synapses.
        kernels: Bits of the kernels of all projections, stored once for all boxes of the same channels on
            a core; None where a projection cannot be shared.
    """

    costs: BoxCosts
    box: Box
    sums: Mapping[str, int]
    synapse_bits: int
    kernels: int | None

    @property
    def needs(self) -> PopulationNeeds:
        """Its population."""
        return self.costs.needs

    @cached_property
    def thetas(self) -> frozenset[int]:
        """The distinct θ of the box."""
        return self.costs.thetas(self.box)

    @cached_property
    def areas(self) -> Mapping[AxonKey, tuple[Area, ...]]:
        """What the box reads."""
        return {
            key: joined((), [a for w in wires if (a := area(w.reach, self.box)) is not None])
            for key, wires in self.needs.by_key.items()
        }

    @cached_property
    def input_axons(self) -> int:
        """Input axons that it needs."""
        pixels = self.needs.target.axon_unit == "pixel"
        shapes = self.needs.source_shapes
        sources = sum(union_size(a, shapes[key], pixels=pixels) for key, a in self.areas.items() if a)
        return sources * self.needs.target.axons_per_source

    @cached_property
    def most(self) -> Mapping[str, int]:
        """Fan-in and destinations: the most of one of its neurons."""
        b = self.box
        part = np.s_[b.y0 : b.y1, b.x0 : b.x1, b.c0 : b.c1]
        return {
            "fan_in": int(self.needs.fan_in[part].max()),
            "destinations": int(self.costs.outputs.cores[part].max()),
        }

    @cached_property
    def used(self) -> Mapping[str, int]:
        """Its cost alone on a core, by resource."""
        return {
            **self.sums,
            "synapse_bits": self.synapse_bits,
            "input_axons": self.input_axons,
            "thresholds": len(self.thetas),
            **self.most,
        }


@dataclass(frozen=True, eq=False)
class BoxCosts:
    """Costs of the boxes of one population.

    Attributes:
        needs: The population.
        outputs: Where its neurons must send.
    """

    needs: PopulationNeeds
    outputs: Outputs

    def piece(self, box: Box) -> Candidate:
        """Returns a box with its costs."""
        target = self.needs.target
        built = box.size if self._built is None else _box_sum(self._built, box)
        compartments = built * target.compartments_per_neuron
        stored = [self._stored(i, box) for i in range(len(self.needs.wires))]
        kernels = [once for _, once in stored]
        return Candidate(
            self,
            box,
            {
                "neurons": compartments,
                "state_bits": compartments * target.membrane_bits,
                "output_axons": _box_sum(self._cores, box),
            },
            sum(single if once is None else min(single, once) for single, once in stored),
            None if None in kernels else sum(once for once in kernels if once is not None),
        )

    def thetas(self, box: Box) -> frozenset[int]:
        """Returns the distinct θ of a box."""
        theta = self.needs.theta
        if theta is None or theta.shape == (1, 1, 1):
            return self._all_thetas
        if theta.shape[:2] != (1, 1):
            return self.needs.thetas(box)
        known = self._thetas.get((box.c0, box.c1))
        if known is None:
            known = self._thetas[box.c0, box.c1] = self.needs.thetas(box)
        return known

    @cached_property
    def _all_thetas(self) -> frozenset[int]:
        return self.needs.thetas(Box.whole(self.needs.shape))

    @cached_property
    def _thetas(self) -> dict[tuple[int, int], frozenset[int]]:
        """The distinct θ of channel ranges, where all neurons of a channel have one."""
        return {}

    @cached_property
    def _cores(self) -> Array:
        return _summed(self.outputs.cores)

    @cached_property
    def _built(self) -> Array | None:
        return None if self.outputs.built is None else _summed(self.outputs.built)

    @cached_property
    def _synapses(self) -> tuple[tuple[Array, ...], ...]:
        """For each projection running sums of its synapses: along each axis, or of all axes together."""
        return tuple(
            tuple(_running(axis) for axis in w.reach.along)
            if isinstance(w.reach, ProductReach)
            else (_summed(np.broadcast_to(w.reach.fan_in, self.needs.shape)),)
            for w in self.needs.wires
        )

    @cached_property
    def _kernels(self) -> tuple[Array | None, ...]:
        """For each projection running sums of the weights of its channels where they are stored once."""
        kernels = (w.reach.kernel if self.needs.target.weight_sharing else None for w in self.needs.wires)
        return tuple(None if kernel is None else _running(kernel) for kernel in kernels)

    def synapses(self, number: int, box: Box) -> int:
        """Returns the synapses of a box in one of the projections."""
        sums = self._synapses[number]
        if len(sums) == 1:
            return _box_sum(sums[0], box)
        y, x, c = sums
        return int((y[box.y1] - y[box.y0]) * (x[box.x1] - x[box.x0]) * (c[box.c1] - c[box.c0]))

    def _stored(self, number: int, box: Box) -> tuple[int, int | None]:
        """Returns the bits of one projection: a weight a synapse, and its kernels once, where they can be."""
        if self.needs.target.kernel_memory == "power_of_two":
            return self._allocated(self.needs.wires[number], box)
        bits = self.needs.target.weight_bits
        kernel = self._kernels[number]
        once = None if kernel is None else int(kernel[box.c1] - kernel[box.c0]) * bits
        return self.synapses(number, box) * bits, once

    def _allocated(self, wire: Wire, box: Box) -> tuple[int, int | None]:
        cuts, index = _around(box, self.needs.shape)
        single, once = self.needs.stored(wire, cuts)
        return int(single[index]), None if once is None else int(once[0, 0, index[2]])


def _around(box: Box, shape: Shape) -> tuple[Cuts, tuple[int, int, int]]:
    """Returns a grid of which a box is one, and where it is."""
    y, x, c = (
        np.unique([0, first, end, length])
        for first, end, length in zip((box.y0, box.x0, box.c0), (box.y1, box.x1, box.c1), shape, strict=True)
    )
    return (y, x, c), (int(box.y0 > 0), int(box.x0 > 0), int(box.c0 > 0))


def _running(values: Array) -> Array:
    """Returns the sums of the first 0, 1, … of some values."""
    return np.concatenate([[0], np.cumsum(values, dtype=np.int64)])


def _summed(values: Array) -> Array:
    """Returns for each corner the sum of what lies before it along every axis."""
    sums = np.zeros(tuple(n + 1 for n in values.shape), np.int64)
    sums[1:, 1:, 1:] = values
    for axis in range(3):
        np.cumsum(sums, axis=axis, out=sums)
    return sums


def _box_sum(sums: Array, box: Box) -> int:
    corner = sums.item
    upper = (
        corner(box.y1, box.x1, box.c1)
        - corner(box.y0, box.x1, box.c1)
        - corner(box.y1, box.x0, box.c1)
        + corner(box.y0, box.x0, box.c1)
    )
    lower = (
        corner(box.y1, box.x1, box.c0)
        - corner(box.y0, box.x1, box.c0)
        - corner(box.y1, box.x0, box.c0)
        + corner(box.y0, box.x0, box.c0)
    )
    return int(upper - lower)
