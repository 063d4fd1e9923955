"""Sweeps against an exhaustive search, and what they bring on chips that vary."""

from __future__ import annotations

import numpy as np
import pytest

from nmcompiler.compensate import calibration_of, compensate
from nmcompiler.session import TrimRange
from nmcompiler_backends.mixed_signal.array.session import ArraySession
from nmcompiler_backends.mixed_signal.compensation import BiasTrim, ThresholdTrim
from nmcompiler_backends.mixed_signal.compensation.sweep import sweep

from ..array.chips import drawn, placed


class OneLayer:
    """Neurons whose counts are off by a parabola of their code, and that nobody may set out of range."""

    program = None

    def __init__(self, middles, bits=5):
        half = 2 ** (bits - 1)
        self.ranges = {"threshold": TrimRange(-half, half - 1, 0, 0.1, "", "neuron", len(middles))}
        self.trim = {"threshold": np.zeros(len(middles), np.int64)}
        self.middles, self.runs = np.array(middles), 0

    def span(self, name, block):
        return slice(0, len(self.middles))

    def configure(self, trim):
        codes, limits = trim["threshold"], self.ranges["threshold"]
        assert ((codes >= limits.lowest) & (codes <= limits.highest)).all()
        self.trim = {"threshold": np.array(codes)}

    def measure(self, x, blocks=None):
        self.runs += 1
        spikes = np.abs(self.trim["threshold"] - self.middles)
        return type("Read", (), {"spikes": {0: np.stack([spikes, spikes])}})


def golden(neurons):
    return type("Golden", (), {"x": {}, "values": {0: np.zeros((2, neurons), np.int64)}})


@pytest.mark.parametrize(("bits", "most"), [(3, 10), (5, 14), (10, 24)])
def test_every_neuron_gets_its_best_code_in_few_runs(bits, most):
    half = 2 ** (bits - 1)
    middles = np.unique(np.linspace(-half - 3, half + 3, 60).astype(int))
    session = OneLayer(middles, bits)
    sweep(session, "threshold", golden(len(middles)), [0])
    assert np.array_equal(session.trim["threshold"], np.clip(middles, -half, half - 1))
    assert session.runs <= most


def test_a_neuron_that_counts_alike_with_every_code_is_not_trimmed():
    session = OneLayer([0, 0])
    session.measure = lambda x, blocks=None: type("Read", (), {"spikes": {0: np.ones((2, 2))}})
    sweep(session, "threshold", golden(2), [0])
    assert session.trim["threshold"].tolist() == [0, 0]


def off(session, calibration):
    """Sum of squared differences of all counts to the golden network's."""
    spikes = session.measure(calibration.x).spikes
    inner = [b for b in calibration.values if session.program.column("kind")[b] > 0]
    return sum(int(((spikes[b] - calibration.values[b]) ** 2).sum()) for b in inner)


@pytest.mark.parametrize("code", ["phase", "rate"])
def test_trims_bring_counts_closer_and_both_closer_than_one(code):
    errors = np.zeros(3)
    for seed in range(6):
        program, samples = placed(seed, code)
        calibration = calibration_of(program, samples)
        for k, methods in enumerate(((), (ThresholdTrim(),), (ThresholdTrim(), BiasTrim()))):
            session = ArraySession(program, drawn(program, seed))
            compensate(session, methods, calibration)
            errors[k] += off(session, calibration)
    assert errors[1] < 0.7 * errors[0]
    assert errors[2] < errors[1]


def test_a_chip_without_the_dac_is_left_as_it_is():
    program, samples = placed(5, threshold_dac=None)
    session = ArraySession(program, drawn(program, 1))
    before = {name: np.array(codes) for name, codes in session.trim.items()}
    compensate(session, (ThresholdTrim(),), calibration_of(program, samples))
    assert all(np.array_equal(before[name], codes) for name, codes in session.trim.items())
