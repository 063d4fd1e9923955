"""What a spike code must say: its schedule, its closed forms, and one step of a block of neurons.

A step is: deliver what arrives, saturate once, fire. The code writes the last two as plain Python functions
(static methods) over flat arrays, so that they can be read, tested and compiled alike. Their signatures are
the same for every code::

    integrate(arrivals, v, dendrite, current, tile, active, boundary, minimum, maximum) -> saturations
    fire(v, aux, out, theta, tile, step, steps, levels, signed, above) -> None

- ``arrivals`` (n,) int32 or int64: Σ weight · value of the spikes that arrive in this step. Left as it is.
- ``v``, ``dendrite`` (n,), of the same type: membrane and dendrite registers, updated.
- ``current``, ``theta`` (tile,), likewise: bias current and threshold; neuron i uses entry ``i % tile``.
- ``active``: 1 while ``0 <= step < steps``, else 0.
- ``boundary``: 1 in the first step of every window but the first, else 0.
- ``minimum``, ``maximum``: range of the registers. A register that would leave it is clipped once a step,
  and every clipped register counts one saturation.
- ``aux`` (n,), likewise: free state of the code, zero at the start of a sample. In a code that ``streams``
  it is the value as sent so far, and stays from frame to frame of a stream.
- ``out`` (n,) int16 or int32: receives the value that each neuron sends in this step, 0 for none.
- ``step``: steps since the block's ``fire_start``; ``fire`` is called only while ``0 <= step < steps``,
  and never for a read-out without levels. ``steps``: how many steps the block fires for.
- ``levels``: L of the block; ``signed``: 1 where its spikes carry a sign, 2 where a spike may be taken back.
- ``above``: 1 on chips that fire on v > θ, where membranes start one higher; 0 for v ≥ θ.

Loops run over unsigned indices, and sums are cast to the type of the registers: that lets LLVM make vector
code of them. No register of 32 bits is used where one could overflow.

A code that runs on chips which set a membrane to zero when it fires also has ``fire_to_zero``, of the same
signature as ``fire``. One that runs on chips which compare after every event has ``walk``, which does both:
it takes the events of a step one after another::

    walk(starts, targets, weights, first, size, local, delay, sent, t, v, fired, current, theta, tile,
         active, fires, to_zero, above, floor, minimum, maximum) -> saturations

- ``starts`` (E + 1,), ``targets``, ``weights`` int64: source e reaches the neurons ``targets[p]`` of the
  block with ``weights[p]``, p from ``starts[e]`` to ``starts[e + 1] − 1``; in the order of their events.
- ``first``, ``size``, ``local``, ``delay`` (E,) int64: first neuron and neurons of the block of each source,
  its position there, and the steps that its spikes travel.
- ``sent`` (D, S · M) int32: what every neuron sent in the last D steps, step t in row ``t % D``.
- ``fired`` (S · n,) int64: receives the spikes that each neuron sends.
- ``fires``: 1 where the block compares while it is active, 0 for a read-out without levels.
- ``to_zero``: 1 where a spike sets the membrane to ``above``, 0 where it subtracts θ.
- ``floor``: what a register is lifted to first, which counts no saturation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from nmcompiler.ir.network import Network, Population
from nmcompiler.ir.schedule import Schedule, Slot
from nmcompiler.ir.spiking import NeuronParameters, Spiking
from nmcompiler.target.model import Dynamics, Target

__all__ = ["Coding", "IntArray", "StepFunction", "add_arrivals", "depths", "windowed_schedule"]

IntArray: TypeAlias = npt.NDArray[np.int64]
StepFunction: TypeAlias = Callable[..., Any]


class Coding:
    """A spike code.

    Attributes:
        name: Identifier.
        title: One line for people.
        exact: Whether its result equals the golden network bit for bit.
        windowed: Whether a window can be executed in one pass with multiplier q.
        streams: Whether samples can be run as the frames of one stream, in which neurons send only changes.
        divides: Whether firing divides by θ, which must then be at least 1.
        registers: Registers of a neuron: its membrane, and the dendrite where the code has one.
        keeps: Whether registers keep what they hold in a step in which nothing arrives, the dendrite is 0 and
            so is the bias current, as long as no membrane is beyond its range; one that is may be clipped at
            the start of a window, or in every step. Steps that change nothing are left out.
        integrate: What a step does to the registers of a block; see the module's docstring.
        fire: What a block sends in a step of its firing; see the module's docstring.
        fire_to_zero: Likewise, where a spike sets the membrane to zero; None where the code must subtract.
        walk: A step in which every event is compared; None where the code needs all events of a step.
        input_encodings: How inputs may enter, the preferred one first; each must also be in the target's.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    exact: ClassVar[bool]
    windowed: ClassVar[bool]
    streams: ClassVar[bool] = False
    divides: ClassVar[bool] = False
    registers: ClassVar[int] = 1
    keeps: ClassVar[bool] = False
    input_encodings: ClassVar[tuple[str, ...]]
    integrate: ClassVar[StepFunction]
    fire: ClassVar[StepFunction]
    fire_to_zero: ClassVar[StepFunction | None] = None
    walk: ClassVar[StepFunction | None] = None

    def misses(self, dynamics: Dynamics) -> str | None:
        """Returns what the code needs and neurons of these dynamics do not have; None where nothing."""
        if dynamics.reset == "zero" and self.fire_to_zero is None:
            return 'a spike that subtracts θ from the membrane (reset = "subtract")'
        if dynamics.compares == "event" and self.walk is None:
            return 'a membrane that is compared once a step (compares = "step")'
        if dynamics.floor is not None and self.exact:
            return "a membrane without a floor (membrane_floor left out)"
        return None

    def settled(self, steps: int) -> Coding:
        """Returns the code in which hidden populations integrate for ``steps`` steps before they may fire.

        Codes with windows are returned as they are: their windows wait for all that arrives.
        """
        return self

    def steps(self, levels: int) -> int:
        """Returns the number of steps in which a population of ``levels`` fires."""
        raise NotImplementedError

    def schedule(self, network: Network, *, timesteps: int | None = None) -> Schedule:
        """Returns when each population of the network fires: in windows, where the code says nothing else.

        ``timesteps`` is for codes without windows.
        """
        return windowed_schedule(self, network)

    def neurons(self, network: Network, name: str, slot: Slot, target: Target) -> NeuronParameters:
        """Returns what the neurons of a population hold on a chip.

        In windowed codes the bias is part of the start of the membrane, never a current (SEMANTICS §2).
        """
        population = network.graph.node(name)
        zero = np.zeros((1, 1, 1), np.int64)
        return NeuronParameters(population.theta, population.v0, zero, 0, int(population.signed))

    def convert(
        self, network: Network, target: Target, *, input_encoding: str, timesteps: int | None = None
    ) -> Spiking:
        """Returns the network in this code, with the numbers that the chip's neurons hold."""
        schedule = self.schedule(network, timesteps=timesteps)
        neurons = {
            p.name: self.neurons(network, p.name, schedule.slots[p.name], target)
            for p in network.graph
            if p.role != "input"
        }
        return Spiking(network, self.name, schedule, neurons, input_encoding, target.dynamics)

    def payload_bits(self, levels: int, signed: bool, *, changes: bool = False) -> int:
        """Returns the bits of the value that an event carries, its sign included; 0 for unit spikes.

        Args:
            levels: L of the population.
            signed: Whether its values carry a sign.
            changes: Whether events carry changes of the value, as on a stream.
        """
        return 0

    def spikes_per_value(self, levels: int) -> IntArray:
        """Returns the closed form: entry q is the number of spikes that stand for the value q ≤ levels."""
        raise NotImplementedError

    def encode(self, q: IntArray, slot: Slot) -> IntArray:
        """Returns what input neurons send: ``(steps, *q.shape)`` for integers ``q``, signed where q is."""
        raise NotImplementedError

    def decode(self, sent: IntArray, slot: Slot) -> IntArray:
        """Returns the integers that a train ``(steps, …)`` of sent values stands for.

        That is the sum of what was sent, where the code says nothing else.
        """
        value: IntArray = sent.sum(axis=0)
        return value


def add_arrivals(
    arrivals: IntArray,
    v: IntArray,
    dendrite: IntArray,
    current: IntArray,
    tile: int,
    active: int,
    boundary: int,
    minimum: int,
    maximum: int,
) -> int:
    """Every arrival joins the membrane: ``integrate`` of the codes that need no other register."""
    kind = v.dtype.type
    clipped = kind(0)
    for k in range(np.uint64(v.size)):
        x = kind(v[k] + arrivals[k])
        v[k] = min(max(x, kind(minimum)), kind(maximum))
        clipped = kind(clipped + kind(v[k] != x))
    return int(clipped)


def depths(network: Network) -> dict[str, int]:
    """Returns ``w(p) = 1 + max w(source)`` for every population, 0 for inputs (SEMANTICS §2)."""
    depth: dict[str, int] = {}
    for population in network.graph:
        sources = network.graph.predecessors(population.name)
        depth[population.name] = 1 + max((depth[s] for s in sources), default=-1)
    return depth


def windowed_schedule(coding: Coding, network: Network) -> Schedule:
    """Returns the schedule of a code with windows: every population fires at the end of its window.

    A window is as long as its longest population. Right-aligned firing lets spikes of different L meet in
    the first step of the next window. A read-out without levels takes one step: it is read after the last
    delivery.
    """
    depth = depths(network)

    def steps(population: Population) -> int:
        return coding.steps(population.levels) if population.sends else 1

    lengths = [0] * (max(depth.values(), default=0) + 1)
    for population in network.graph:
        window = depth[population.name]
        lengths[window] = max(lengths[window], steps(population))
    starts = [sum(lengths[:k]) for k in range(len(lengths))]

    slots = {}
    for population in network.graph:
        window = depth[population.name]
        end = starts[window] + lengths[window]
        fire_start = end - steps(population) if population.sends else starts[window]
        slots[population.name] = Slot(
            window, fire_start, steps(population), population.levels, population.signed
        )
    return Schedule(coding.name, tuple(starts), sum(lengths), slots, {})
