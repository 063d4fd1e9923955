"""A program on one chip: the circuits of every block, and what trims make of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nmcompiler_backends.mixed_signal.array.circuits import Draw, build
from nmcompiler_backends.mixed_signal.array.codes import Answer, ArrayCode, Part, Trains, Values
from nmcompiler_backends.mixed_signal.array.plan import Ints, Plan
from nmcompiler_backends.mixed_signal.array.readout import Adc, reach
from nmcompiler_backends.mixed_signal.tiles import Floats
from nmcompiler_backends.mixed_signal.trims import RANGE_ONE, scaled
from nmcompiler_backends.mixed_signal.variation import FloatArray

__all__ = ["Machine", "Reading", "moments_of"]

# Of the threshold as it was meant: no trim reaches below.
_LEAST_THRESHOLD = 0.05


@dataclass(frozen=True, eq=False)
class Reading:
    """What was read of a block of outputs.

    Attributes:
        sums: ``(S, n)`` int64: membranes less where they were meant to start, in whole units of the program.
        peak: Largest magnitude of a code, 0 where nothing is rounded.
        clipped: Codes that the ADC clipped.
    """

    sums: Ints
    peak: int
    clipped: int


def moments_of(encoded: Sequence[Ints], run: str = "a run") -> list[str]:
    """Returns a name for each sample by its values: the same sample has the same noise in every batch.

    Args:
        encoded: Values of the input neurons, ``(S, n)`` for each port.
        run: Names apart what is measured again.
    """
    rows = zip(*(np.ascontiguousarray(q) for q in encoded), strict=True)
    return [f"{run} {hashlib.blake2b(b''.join(q.tobytes() for q in row)).hexdigest()}" for row in rows]


@dataclass(frozen=True, eq=False)
class Machine:
    """A program whose blocks are circuits of one chip.

    Attributes:
        plan: What it shares with other chips.
        draw: The chip; None for ideal circuits and converters.
    """

    plan: Plan
    draw: Draw | None

    @cached_property
    def code(self) -> ArrayCode:
        """How its blocks compute."""
        loaded = self.plan.loaded
        return Values(loaded) if loaded.coding.windowed else Trains(loaded)

    @cached_property
    def parts(self) -> Mapping[int, Part]:
        """Every block that is no input, by its row in ``blocks``."""
        loaded = self.plan.loaded
        return {k: Part(plan, build(loaded, plan, self.draw)) for k, plan in self.plan.blocks.items()}

    @cached_property
    def ranges(self) -> Mapping[int, float]:
        """How far the ADC of each block of outputs reaches without any trim."""
        ideal = {
            k: Part(self.plan.blocks[k], build(self.plan.loaded, self.plan.blocks[k], None))
            for k in self.plan.outputs
        }
        return {k: reach(part, self.plan.peaks) for k, part in ideal.items()}

    def noisy(self, part: Part, arrivals: Floats, moments: Sequence[str]) -> Floats:
        """Returns what arrives in a block, ``(S, …, n)``, with temporal noise on it where the chip has any.

        Args:
            part: The block.
            arrivals: Sums of its synapses.
            moments: S names: what is computed under one name has one noise, however samples are batched.
        """
        sigma, quiet = self.plan.array.temporal_noise, part.plan.exact or part.block.is_readout
        if sigma is None or quiet or self.draw is None or "temporal" not in self.draw.sources:
            return arrivals
        shape, scale = arrivals.shape[1:], sigma * part.circuits.nominal
        noise = [
            self.draw.chip.normals(f"block {part.block.index} at {moment}", "temporal", shape)
            for moment in moments
        ]
        noisy: Floats = arrivals + scale * np.array(noise).reshape(arrivals.shape)
        return noisy

    def answer(self, part: Part, arrivals: Floats, codes: Mapping[str, Ints]) -> Answer:
        """Returns what the neurons of a block do about what arrives, with the codes of all trims."""
        circuits, array = part.circuits, self.plan.array
        theta, bias = circuits.theta, np.zeros(part.block.n)
        mine = slice(part.block.gid0, part.block.gid0 + part.block.n)
        if array.threshold_dac is not None and "threshold" in codes:
            theta = theta + codes["threshold"][mine] * (array.threshold_dac.step * circuits.nominal)
            theta = np.maximum(theta, _LEAST_THRESHOLD * circuits.nominal)
        if array.bias_dac is not None and "bias" in codes and not part.block.is_readout:
            bias = codes["bias"][mine] * (array.bias_dac.step * circuits.nominal)
        return self.code.answer(part, arrivals, theta, bias)

    def read(self, part: Part, v: FloatArray, codes: Mapping[str, Ints]) -> Reading:
        """Returns what is read of the membranes ``(S, n)`` of outputs, before any digital correction."""
        seen, bits = v * part.circuits.gain, self.plan.array.adc_bits
        start = self._start(part)
        if self.draw is None or bits is None:
            return Reading(np.rint(seen).astype(np.int64) - start, 0, 0)
        factor = 1.0
        if "adc-range" in codes:
            factor = float(codes["adc-range"][self.plan.outputs.index(part.block.index)]) / RANGE_ONE
        adc = Adc(bits, self.ranges[part.block.index] * factor)
        read = adc.codes(seen)
        return Reading(adc.membranes(read) - start, int(np.abs(read).max(initial=0)), adc.clipped(seen))

    def membranes(self, part: Part, sums: Ints, codes: Mapping[str, Ints]) -> Ints:
        """Returns the results ``(S, n)``: what was read, with the digital gain and offset of every output."""
        mine = slice(part.block.gid0, part.block.gid0 + part.block.n)
        if "gain" in codes:
            sums = scaled(sums, codes["gain"][mine]) + codes["offset"][mine]
        return sums + self._start(part)

    def _start(self, part: Part) -> Ints:
        loaded, block = self.plan.loaded, part.block
        return loaded.v0[block.gid0 : block.gid0 + block.n] - loaded.above
