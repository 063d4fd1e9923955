"""Cores that multiply in analog: tiles of devices or synapses, and how their currents are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nmcompiler.target.figures import Evidence

__all__ = ["ConductanceTiles"]


@dataclass(frozen=True)
class ConductanceTiles:
    """A core is a stack of tiles in which a weight is the difference of two conductances, or two currents.

    Input axons are rows, neurons are columns. A tile reads one digit of all its inputs at once; an ADC turns
    the current of every column into a code; codes are scaled, shifted and added in digital, over digits and
    over the tiles of the stack. Thresholds and biases are digital.

    Attributes:
        device: What carries the currents: phase-change or resistive memory, whose largest conductance is the
            largest weight of a column, or synapse circuits whose weights are digital codes, with one scale
            for all columns.
        rows: Inputs of one tile; each is a pair of devices in every column, one for each sign.
        columns: Neurons of one tile.
        tiles_per_core: Tiles whose codes a core adds up, each with inputs of its own.
        adc_bits: Bits of a code, the sign included; codes are symmetric.
        adc_deviations: The ADC of a layer's tile reaches as far as its most demanding column needs for
            digits that are 0 or 1 with equal odds, its mean and so many standard deviations. Left out, it
            reaches as far as any digits can bring.
        input_bits: Bits of a digit: 1 where an input is on or off, more where pulses have a length or a
            height.
        read_after_s: Seconds between programming and the run; left out for synapses, which keep their codes.
        weight_cv: Standard deviation over mean of what equal weights of synapses bring.
        gain_cv: Likewise of the gains with which the columns of a tile are read.
        row_copies: How often a tile holds its rows where it has room: copies are driven by the same inputs,
            and their currents add up.
        digital_terms: Neurons that only add and subtract at most so many whole numbers (weights 1 and −1,
            threshold 1, no bias, as in max pools) are computed by the digital periphery; 0 where none are.
        source: Where tiles, ADC and device were read.
        evidence: How far that is published.
    """

    device: Literal["pcm", "rram", "synapse"]
    rows: int
    columns: int
    tiles_per_core: int
    adc_bits: int
    source: str
    evidence: Evidence
    read_after_s: float | None = None
    weight_cv: float | None = None
    gain_cv: float | None = None
    input_bits: int = 1
    adc_deviations: float | None = None
    row_copies: int = 1
    digital_terms: int = 0

    @property
    def scales_columns(self) -> bool:
        """Whether the largest weight of a column is the largest that its devices can hold."""
        return self.device != "synapse"
