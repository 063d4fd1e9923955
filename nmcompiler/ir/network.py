"""The integer network: populations and projections, and what each of their numbers means.

    acc = Σ_projections Σ w·q + bias        q = clip(floor((acc + theta // 2) / theta), lowest, levels)

with ``lowest = -levels`` where the population is signed, else 0. The last legalised network is the golden
one: the program on the chip must compute exactly it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np

from nmcompiler.ir.graph import Graph
from nmcompiler.ir.kernels import Array, Kernel, Shape
from nmcompiler.ir.layers import InputPort, OutputPort

__all__ = ["Network", "Population", "PopulationGraph", "Projection", "Role"]

Role: TypeAlias = Literal["input", "hidden", "readout"]


@dataclass(frozen=True)
class Projection:
    """An edge: an integer kernel and the operand slot of the ONNX node that made it."""

    kernel: Kernel
    slot: int = 0


@dataclass(frozen=True, eq=False)
class Population:
    """Neurons of one kind.

    ``bias`` and ``theta`` are int64 and broadcast to ``shape``: ``(1, 1, 1)``, ``(1, 1, c)`` or the full
    shape. A neuron's membrane starts at ``bias + theta // 2``.

    Attributes:
        name: Unique.
        shape: ``(height, width, channels)``; a vector is ``(1, 1, n)``.
        role: ``input`` is fed by the host; ``readout`` is the result: its accumulator, or, where it has
            levels, the values that it sends.
        bias: Added to every accumulator once a sample. Zero for inputs.
        theta: Threshold, at least 1. One for inputs and for read-outs without levels.
        levels: Largest value L; 0 for a read-out that is read from its membrane and sends nothing.
        signed: Whether values go down to −L.
        scale: ``(c,)`` float64: the real value of channel c is ``scale[c] · q + offset[c]``.
        offset: ``(c,)`` float64, zero for all but inputs.
        op: Operator for people (``Conv``, ``Add``, ``MaxPool``).
        origin: Names of the ONNX nodes it stands for.
        lead: In the free-running ``rate`` code, what membranes start higher by than ``θ // 2``; usually
            negative, for spikes that come too early; ``(1, 1, 1)`` or ``(1, 1, c)``. Of no effect on q.
    """

    name: str
    shape: Shape
    role: Role
    bias: Array
    theta: Array
    levels: int
    signed: bool
    scale: Array
    offset: Array
    op: str = ""
    origin: tuple[str, ...] = ()
    lead: Array = field(default_factory=lambda: np.zeros((1, 1, 1), np.int64))

    @property
    def size(self) -> int:
        """Number of neurons."""
        h, w, c = self.shape
        return h * w * c

    @property
    def lowest(self) -> int:
        """Smallest value that the population can take."""
        return -self.levels if self.signed else 0

    @property
    def sends(self) -> bool:
        """Whether it sends spikes: all but read-outs that are read from their membranes."""
        return self.levels > 0

    @property
    def fires(self) -> bool:
        """Whether its neurons hold a threshold: all that send, but the inputs."""
        return self.sends and self.role != "input"

    @property
    def v0(self) -> Array:
        """Start of the membrane, ``bias + theta // 2``, in the broadcast form of the two."""
        start: Array = self.bias + self.theta // 2
        return start if self.sends else np.broadcast_to(self.bias, start.shape)


PopulationGraph = Graph[Population, Projection]


@dataclass(frozen=True, eq=False)
class Network:
    """An integer network with its ports.

    Attributes:
        name: Name for people.
        graph: Populations and projections.
        inputs: Ports whose ``node`` is an input population.
        outputs: Ports whose ``node`` is a read-out population.
    """

    name: str
    graph: PopulationGraph
    inputs: tuple[InputPort, ...]
    outputs: tuple[OutputPort, ...]

    @property
    def neurons(self) -> int:
        """Number of neurons on the chip: all populations but the inputs."""
        return sum(p.size for p in self.graph if p.role != "input")
