"""A spiking network: an integer network, the numbers its neurons hold in a code, and when they fire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nmcompiler.ir.kernels import Array
from nmcompiler.ir.network import Network
from nmcompiler.ir.schedule import Schedule
from nmcompiler.target.model import USUAL, Dynamics

__all__ = ["NeuronParameters", "Spiking"]


@dataclass(frozen=True, eq=False)
class NeuronParameters:
    """What the neurons of one population hold; arrays are int64 and broadcast to its shape.

    Attributes:
        theta: Threshold, ``2**shift`` times that of the integer network.
        v0: Start of the membrane (a chip that fires on v > θ starts one higher).
        current: Bias current of a step; zero in windowed codes.
        shift: Arriving weights count ``2**shift``.
        signed: 1: spikes carry a sign; 2: a spike may be taken back; 0: neither.
    """

    theta: Array
    v0: Array
    current: Array
    shift: int = 0
    signed: int = 0


@dataclass(frozen=True, eq=False)
class Spiking:
    """An integer network in a spike code.

    Attributes:
        network: The golden integer network.
        coding: Name of the code.
        schedule: When each population fires.
        neurons: Parameters by population name, inputs left out.
        input_encoding: How inputs enter.
        dynamics: How the chip's neurons reset, how low they go, and when they compare.
    """

    network: Network
    coding: str
    schedule: Schedule
    neurons: Mapping[str, NeuronParameters]
    input_encoding: str
    dynamics: Dynamics = USUAL
