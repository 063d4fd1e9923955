"""What the circuits of a block are on one chip: nominal where nothing varies, drawn where something does."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from nmcompiler.sim.load import Loaded
from nmcompiler.target import NeuronArray
from nmcompiler_backends.mixed_signal.array.plan import BlockPlan
from nmcompiler_backends.mixed_signal.tiles import Floats
from nmcompiler_backends.mixed_signal.variation import Chip, FloatArray, Mismatch

__all__ = ["SOURCES", "Circuits", "Draw", "build", "chosen", "varying"]

SOURCES: tuple[str, ...] = ("weight", "threshold", "gain", "time-constant", "temporal")
"""What can differ from circuit to circuit, and from time to time."""

# Sums of whole numbers below it are exact in 32-bit floats.
_EXACT = 2**24


@dataclass(frozen=True)
class Draw:
    """Which chip it is, and in what it differs from its program.

    Attributes:
        chip: The seed.
        sources: What varies, some of ``SOURCES``.
    """

    chip: Chip
    sources: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Circuits:
    """The circuits of one block; n neurons, W weights. Membranes are in the program's units.

    Attributes:
        weights: ``(W,)`` float32, or float64 where the program's own sums need it.
        start: ``(n,)`` membranes at the start of a sample, the bias of a windowed code included.
        current: ``(n,)`` bias that is added in every step of firing.
        nominal: ``(n,)`` thresholds of the program.
        theta: ``(n,)`` thresholds of the circuits, before any trim.
        gain: ``(n,)`` by what a membrane is multiplied where it is read.
        tau: ``(n,)`` time constants in steps, infinite where nothing leaks.
    """

    weights: Floats
    start: FloatArray
    current: FloatArray
    nominal: FloatArray
    theta: FloatArray
    gain: FloatArray
    tau: FloatArray


def varying(array: NeuronArray) -> tuple[str, ...]:
    """Returns what differs between the circuits of an array, or from time to time, some of ``SOURCES``."""
    slow = array.leaks and array.time_constant_cv
    cvs = (array.weight_cv, array.threshold_cv, array.gain_cv, slow, array.temporal_noise)
    return tuple(name for name, cv in zip(SOURCES, cvs, strict=True) if cv)


def build(loaded: Loaded, plan: BlockPlan, draw: Draw | None) -> Circuits:
    """Returns the circuits of a block on a chip.

    A weight is off by a factor of its own (``Mismatch``), the mean of those of its copies, and a bias, which
    is one more synapse, likewise; so are thresholds, gains and time constants. Membranes start at half of the
    threshold as it was meant.

    Args:
        loaded: The program.
        plan: The block.
        draw: The chip; None for one whose circuits are all nominal.
    """
    array, block, n = loaded.program.target.neuron_array, plan.block, (plan.block.n,)
    assert array is not None
    theta, v0, current, bias = _nominal(loaded, plan)

    def factors(source: str, place: str, mismatch: Mismatch, shape: tuple[int, ...] = n) -> FloatArray:
        if draw is None or plan.exact or source not in draw.sources:
            return np.ones(shape)
        return mismatch.factors(draw.chip.normals(f"block {block.index} {place}", source, shape))

    def synapses(place: str, shape: tuple[int, ...] = n) -> FloatArray:
        mismatch = Mismatch.of_weights(array.weight_cv or 0.0)
        places = [place, *(f"{place}, copy {k}" for k in range(1, plan.copies))]
        total = np.zeros(shape)
        for copy in places:
            total += factors("weight", copy, mismatch, shape)
        return total / plan.copies

    own = factors("threshold", "neurons", Mismatch.of_parameters(array.threshold_cv or 0.0))
    read = factors("gain", "outputs", Mismatch.of_parameters(array.gain_cv or 0.0))
    slow = factors("time-constant", "neurons", Mismatch.of_parameters(array.time_constant_cv or 0.0))
    held = plan.rows.weights * synapses("synapses", plan.rows.weights.shape)
    biased = synapses("bias")
    tau = np.inf if array.tau_steps is None or block.is_readout else array.tau_steps
    return Circuits(
        weights=held.astype(np.float32 if plan.largest < _EXACT else np.float64),
        start=(v0 - bias) + biased * bias,
        current=biased * current,
        nominal=theta,
        theta=theta * own,
        gain=1.0 / read,
        tau=tau * slow,
    )


def _nominal(loaded: Loaded, plan: BlockPlan) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Returns thresholds, starts, currents, and how much of the starts is bias, each ``(n,)``."""
    block = plan.block
    mine = slice(block.gid0, block.gid0 + block.n)
    theta, v0, current = (x[mine].astype(np.float64) for x in (loaded.theta, loaded.v0, loaded.current))
    v0 -= loaded.above
    if loaded.coding.windowed:
        bias = v0 if block.is_readout else v0 - theta // 2
    else:
        bias = (0 if block.is_readout else plan.waits) * current
    return theta, v0, current, bias


def chosen(array: NeuronArray, sources: Collection[str] | None) -> tuple[str, ...]:
    """Returns those of an array's sources that are asked for, all where None is."""
    return tuple(s for s in varying(array) if sources is None or s in sources)
