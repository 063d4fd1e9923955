"""Free-running rate code: every neuron integrates and fires for T steps."""

from __future__ import annotations

import numpy as np

from nmcompiler.codings.base import Coding, IntArray, depths
from nmcompiler.ir.bounds import accumulator_bound
from nmcompiler.ir.network import Network
from nmcompiler.ir.schedule import Schedule, Slot
from nmcompiler.ir.spiking import NeuronParameters
from nmcompiler.target.model import Target

__all__ = ["Rate"]


class Rate(Coding):
    """T steps; the number of spikes approximates q of the golden network with L = T.

    Equations (SEMANTICS §2), I the bias current::

        each of T steps     v ← v + A(t) + I;  spike if v ≥ θ, then v ← v − θ

    A signed neuron sends −1 while v < 0. Where spikes carry a sign, a neuron of an unsigned population may
    take back a spike: it sends −1 while v < 0 and it has sent more than it took back (``signed`` = 2).
    A population of depth d is active in the steps d … d + T − 1, and skips are delayed by the depth
    difference: then the chip equals the same network executed layer by layer.
    """

    name = "rate"
    title = "free-running spike rate over T steps"
    exact = False
    windowed = False
    input_encodings = ("current", "spikes")
    most_fraction_bits = 8

    def steps(self, levels: int) -> int:
        """Returns ``levels``, which is T in this code."""
        return levels

    def schedule(self, network: Network, *, timesteps: int | None = None) -> Schedule:
        """Returns T active steps for every population, starting at its depth."""
        if timesteps is None:
            timesteps = max(p.levels for p in network.graph if p.role != "readout")
        depth = depths(network)
        slots = {
            p.name: Slot(depth[p.name], depth[p.name], timesteps, p.levels, p.signed) for p in network.graph
        }
        delays = {
            (e.source, e.target): depth[e.target] - depth[e.source]
            for e in network.graph.edges()
            if depth[e.target] - depth[e.source] > 1
        }
        return Schedule(self.name, (0,), max(depth.values()) + timesteps, slots, delays)

    def neurons(self, network: Network, name: str, slot: Slot, target: Target) -> NeuronParameters:
        """Returns thresholds and a bias current with f fractional bits, as many as the membrane has room for.

        The current of a step is ``round(bias · 2^f / T)``; weights and thresholds count 2^f likewise.
        """
        population = network.graph.node(name)
        room = target.membrane_max // max(1, accumulator_bound(network, name))
        shift = min(self.most_fraction_bits, max(0, room.bit_length() - 1))
        theta = population.theta << shift
        current = (2 * (population.bias << shift) + slot.steps) // (2 * slot.steps)
        start = theta // 2 if population.role != "readout" else np.zeros_like(theta)
        takes_back = population.role == "hidden" and target.signed_spikes
        signed = 1 if population.signed else 2 if takes_back else 0
        return NeuronParameters(theta, start, current, shift, signed)

    def spikes_per_value(self, levels: int) -> IntArray:
        """Returns q: the spikes that a value takes when none is sent and taken back."""
        return np.arange(levels + 1, dtype=np.int64)

    def encode(self, q: IntArray, slot: Slot) -> IntArray:
        """Returns q spread evenly over the T steps, as a neuron with θ = T and start T // 2 sends it.

        With L ≤ T these are spikes. A ``current`` has L = N·T: every step then carries a value up to N, and
        the same value in all steps where q is a multiple of T.
        """
        j = np.arange(slot.steps + 1).reshape(-1, *(1,) * q.ndim)
        reached = (slot.steps // 2 + j * np.abs(q)[None]) // slot.steps
        sent: IntArray = np.diff(reached, axis=0) * np.sign(q)[None]
        return sent

    def decode(self, sent: IntArray, slot: Slot) -> IntArray:
        """Returns the sum of the spikes."""
        value: IntArray = sent.sum(axis=0)
        return value

    @staticmethod
    def integrate(
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
        """Every arrival joins the membrane; the bias does while the block is active."""
        saturations = 0
        for i in range(v.size):
            x = v[i] + arrivals[i]
            if active:
                x += current[i % tile]
            if x > maximum or x < minimum:
                x = min(max(x, minimum), maximum)
                saturations += 1
            v[i] = x
        return saturations

    @staticmethod
    def fire(
        v: IntArray,
        aux: IntArray,
        out: IntArray,
        theta: IntArray,
        tile: int,
        step: int,
        steps: int,
        levels: int,
        signed: int,
        above: int,
    ) -> None:
        """Sends one spike; ``aux`` counts the spikes sent less those taken back."""
        for i in range(v.size):
            th = theta[i % tile]
            out[i] = 0
            if v[i] >= th + above:
                v[i] -= th
                out[i] = 1
            elif v[i] < above and (signed == 1 or (signed == 2 and aux[i] > 0)):
                v[i] += th
                out[i] = -1
            aux[i] += out[i]
