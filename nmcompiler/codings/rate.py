"""Free-running rate code: every neuron integrates and fires for T steps."""

from __future__ import annotations

import numpy as np

from nmcompiler.codings.base import Coding, IntArray, depths
from nmcompiler.ir.bounds import accumulator_bound
from nmcompiler.ir.network import Network, Population
from nmcompiler.ir.relays import is_relay
from nmcompiler.ir.schedule import Schedule, Slot
from nmcompiler.ir.spiking import NeuronParameters
from nmcompiler.ir.typed import held_types
from nmcompiler.target.model import BiasFormat, Target

__all__ = ["Rate"]


class Rate(Coding):
    """T steps; the number of spikes approximates q of the golden network with L = T.

    Equations (SEMANTICS §2), I the bias current::

        each of T steps     v ← v + A(t) + I;  spike if v ≥ θ, then v ← v − θ

    On chips that reset to zero v ← 0 stands for v ← v − θ; what a membrane held beyond θ is then lost.
    Neurons of such chips, and of those that compare after every event, start at θ // 2 and the population's
    lead, which calibration chooses. A signed neuron sends −1 while v < 0. Where spikes carry a sign, a neuron
    of an unsigned population may take back a spike: it sends −1 while v < 0 and it has sent more than it took
    back (``signed`` = 2).
    A population of depth d is active in the steps d … d + T − 1, and skips are delayed by the depth
    difference: then the chip equals the same network executed layer by layer.

    With ``settle`` = k, a hidden population first integrates for k steps without firing. Spikes that arrive
    unevenly then even out before they are answered, which matters most where no spike can be taken back: a
    neuron that fires in error never makes up for it (Hao et al., "Reducing ANN-SNN conversion error through
    residual membrane potential", 2023, wait likewise). Each layer takes k steps more; from k = T − 1 on it
    fires with all its arrivals before it, as in ``rate-sync``. The currents of these steps stand in v₀. A
    relay (``ir/relays.py``) waits for nothing: it sends on in every step what arrived.
    """

    name = "rate"
    title = "free-running spike rate over T steps"
    exact = False
    windowed = False
    keeps = True
    input_encodings = ("current", "spikes")
    most_fraction_bits = 8

    def __init__(self, settle: int = 0) -> None:
        """Takes how many steps a hidden population integrates before it may fire."""
        self.settle = settle

    def settled(self, steps: int) -> Rate:
        """Returns the code with ``settle`` = steps."""
        return Rate(steps)

    def steps(self, levels: int) -> int:
        """Returns ``levels``, which is T in this code."""
        return levels

    def schedule(self, network: Network, *, timesteps: int | None = None) -> Schedule:
        """Returns T active steps for every population, starting ``settle`` steps after its first arrivals."""
        if timesteps is None:
            timesteps = max(p.levels for p in network.graph if p.sends)
        arrival: dict[str, int] = {}
        start: dict[str, int] = {}
        for p in network.graph:
            arrival[p.name] = 1 + max((start[s] for s in network.graph.predecessors(p.name)), default=-1)
            start[p.name] = arrival[p.name] + self._waits(network, p)
        depth = depths(network)
        slots = {
            p.name: Slot(depth[p.name], start[p.name], timesteps, p.levels, p.signed) for p in network.graph
        }
        delays = {
            (e.source, e.target): arrival[e.target] - start[e.source]
            for e in network.graph.edges()
            if arrival[e.target] - start[e.source] > 1
        }
        return Schedule(self.name, (0,), max(s.fire_end for s in slots.values()), slots, delays)

    def neurons(self, network: Network, name: str, slot: Slot, target: Target) -> NeuronParameters:
        """Returns thresholds and a bias current with f fractional bits, as many as the chip has room for.

        The current of a step is ``bias · 2^f / (T + settle)``, rounded to what the chip can hold; weights
        and thresholds count 2^f likewise.
        """
        population = network.graph.node(name)
        fires = population.fires
        waited = self._waits(network, population)
        steps = slot.steps + waited
        shift = self._fraction_bits(network, population, steps, target)
        theta = population.theta << shift
        current = _held(population.bias << shift, steps, target.bias)
        start = theta // 2 + (population.lead << shift) + waited * current if fires else np.zeros_like(theta)
        signed = 1 if population.signed else 2 if fires and target.signed_spikes else 0
        return NeuronParameters(theta, start, current, shift, signed)

    def _waits(self, network: Network, population: Population) -> int:
        """Returns the steps that a population integrates first; a relay sends on at once what arrives."""
        return self.settle if population.fires and not is_relay(network, population.name) else 0

    def _fraction_bits(self, network: Network, population: Population, steps: int, target: Target) -> int:
        if target.bias is None:
            return 0  # nothing has a fraction, and the chip's weights are what they are
        room = target.membrane_max // max(1, accumulator_bound(network, population.name))
        if population.fires:
            most = (1 << target.threshold.bits) - 1
            room = min(room, most // max(1, int(population.theta.max())))
        if target.bias is not None and population.bias.any():
            largest = -(-int(np.abs(population.bias).max()) // steps)
            room = min(room, _largest(target.bias) // max(1, largest))
        if target.crossbar is not None:
            code = held_types(network, population.name, target)
            room = min(room, target.crossbar.room(code.base) // max(1, int(np.abs(code.unit).max())))
        return min(self.most_fraction_bits, max(0, room.bit_length() - 1))

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
        kind, n = v.dtype.type, np.uint64(tile)
        low, high, clipped = kind(minimum), kind(maximum), kind(0)
        for s in range(np.uint64(v.size) // n):
            for i in range(n):
                k = s * n + i
                x = kind(v[k] + arrivals[k] + (current[i] if active else 0))
                v[k] = min(max(x, low), high)
                clipped = kind(clipped + kind(v[k] != x))
        return int(clipped)

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
        kind, n = v.dtype.type, np.uint64(tile)
        for s in range(np.uint64(v.size) // n):
            mine = slice(s * n, s * n + n)
            membranes, net, sent = v[mine], aux[mine], out[mine]
            for i in range(n):
                x = membranes[i]
                spike = kind(x >= kind(theta[i] + above))
                if signed != 0:
                    spike = kind(spike - kind((x < kind(above)) & ((signed == 1) | (net[i] > 0))))
                sent[i] = spike
                membranes[i] = kind(x - spike * theta[i])
                net[i] = kind(net[i] + spike)

    @staticmethod
    def fire_to_zero(
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
        """Sends one spike and forgets by how much the membrane was beyond its threshold."""
        kind, n = v.dtype.type, np.uint64(tile)
        for s in range(np.uint64(v.size) // n):
            mine = slice(s * n, s * n + n)
            membranes, net, sent = v[mine], aux[mine], out[mine]
            for i in range(n):
                x = membranes[i]
                spike = kind(x >= kind(theta[i] + above))
                if signed != 0:
                    spike = kind(spike - kind((x < kind(above)) & ((signed == 1) | (net[i] > 0))))
                sent[i] = spike
                membranes[i] = kind(above) if spike != 0 else x
                net[i] = kind(net[i] + spike)

    @staticmethod
    def walk(
        starts: IntArray,
        targets: IntArray,
        weights: IntArray,
        first: IntArray,
        size: IntArray,
        local: IntArray,
        delay: IntArray,
        sent: IntArray,
        t: int,
        v: IntArray,
        fired: IntArray,
        current: IntArray,
        theta: IntArray,
        tile: int,
        active: int,
        fires: int,
        to_zero: int,
        above: int,
        floor: int,
        minimum: int,
        maximum: int,
    ) -> int:
        """The bias, and then one event after another, each with a comparison of its own."""
        saturations = 0
        samples = v.size // tile
        for s in range(samples):
            base = s * tile
            for i in range(tile):
                fired[base + i] = 0
                if active:
                    x = max(v[base + i] + current[i], floor)
                    if x > maximum or x < minimum:
                        x = min(max(x, minimum), maximum)
                        saturations += 1
                    if fires and x >= theta[i] + above:
                        x = above if to_zero else x - theta[i]
                        fired[base + i] = 1
                    v[base + i] = x
            for e in range(delay.size):
                spikes = sent[(t - delay[e]) % len(sent), samples * first[e] + s * size[e] + local[e]]
                for _ in range(spikes):
                    for p in range(starts[e], starts[e + 1]):
                        i = targets[p]
                        x = max(v[base + i] + weights[p], floor)
                        if x > maximum or x < minimum:
                            x = min(max(x, minimum), maximum)
                            saturations += 1
                        if active and fires and x >= theta[i] + above:
                            x = above if to_zero else x - theta[i]
                            fired[base + i] += 1
                        v[base + i] = x
        return saturations


def _largest(bias: BiasFormat) -> int:
    return ((1 << bias.mantissa_bits - 1) - 1) << bias.exponent_max


def _held(total: IntArray, steps: int, bias: BiasFormat | None) -> IntArray:
    """Returns the nearest ``mantissa · 2**exponent`` to ``total / steps``, int64."""
    unit = np.ones_like(total)
    if bias is not None:
        most = (1 << bias.mantissa_bits - 1) - 1
        for _ in range(bias.exponent_max):
            unit = np.where(np.abs(_nearest(total, steps * unit)) > most, 2 * unit, unit)
    held: IntArray = unit * _nearest(total, steps * unit)
    return held


def _nearest(total: IntArray, parts: IntArray) -> IntArray:
    quotient: IntArray = (2 * total + parts) // (2 * parts)
    return quotient
