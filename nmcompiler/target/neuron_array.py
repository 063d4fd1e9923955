"""Cores that are arrays of analog neurons: what they differ in, how they leak, and what can be trimmed."""

from __future__ import annotations

from dataclasses import dataclass

from nmcompiler.target.figures import Evidence

__all__ = ["NeuronArray", "TrimDac"]


@dataclass(frozen=True)
class TrimDac:
    """A converter of each neuron's own by which the host trims it: ``2**bits`` codes, 0 for no trim.

    Attributes:
        bits: Bits of a code; codes go from ``−2**(bits − 1)`` to ``2**(bits − 1) − 1``.
        span: What the lowest code takes off: of a threshold, in thresholds; of a bias, in levels.
    """

    bits: int
    span: float

    @property
    def step(self) -> float:
        """What one code more adds."""
        return self.span / float(1 << self.bits - 1)

    @property
    def lowest(self) -> int:
        """The lowest code."""
        return -(1 << self.bits - 1)

    @property
    def highest(self) -> int:
        """The highest code."""
        return -self.lowest - 1


@dataclass(frozen=True)
class NeuronArray:
    """A core is an array of analog neurons with a synapse of its own for every weight.

    A coefficient of variation is the standard deviation over the mean, of all such circuits of a chip; one
    that is left out was never published, and does not vary here.

    Attributes:
        weight_cv: Of the weight of a synapse. A bias is one more synapse.
        threshold_cv: Of the threshold of a neuron.
        gain_cv: Of the gain with which the membrane of an output is read.
        time_constant_cv: Of the time constant of a membrane.
        temporal_noise: Standard deviation, in thresholds, of what noise adds to the membrane of a neuron
            that fires, in every step of a rate code, once in a window of a code with windows.
        tau_steps: Time constant of a membrane in steps; left out where membranes keep what they hold.
        adc_bits: Bits of the codes in which membranes of outputs are read, the sign included; left out where
            membranes cannot be read.
        digital_terms: Neurons that only add and subtract at most so many whole numbers (weights 1 and −1,
            threshold 1, no bias, as in max pools) are computed by the router, exactly; 0 where none are.
        synapse_copies: How many synapses of a neuron are given the same weight where its fan-in leaves room,
            a bias as well: each is off by a factor of its own, and the sum is off by less.
        threshold_dac: Trims thresholds; left out where nothing does.
        bias_dac: Trims biases.
        source: Where it was read.
        evidence: How far that is published.
    """

    source: str
    evidence: Evidence
    weight_cv: float | None = None
    threshold_cv: float | None = None
    gain_cv: float | None = None
    time_constant_cv: float | None = None
    temporal_noise: float | None = None
    tau_steps: float | None = None
    adc_bits: int | None = None
    digital_terms: int = 0
    synapse_copies: int = 1
    threshold_dac: TrimDac | None = None
    bias_dac: TrimDac | None = None

    @property
    def leaks(self) -> bool:
        """Whether membranes forget."""
        return self.tau_steps is not None
