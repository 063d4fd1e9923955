from __future__ import annotations

import math

import numpy as np
import pytest

from nmcompiler_backends.mixed_signal.variation import Mismatch

from .statistics import FAMILY, normals, rectified, worst_z

N = 20_000
KINDS = [Mismatch.of_weights, Mismatch.of_parameters]


def floored(cv, floor):
    """Mean and variance of max(floor, 1 + cv·N)."""
    mean, variance = rectified(1 - floor, cv)
    return mean + floor, variance


@pytest.mark.parametrize("cv", [0.1, 0.2, 0.4])
def test_factors_have_the_moments_above_their_floor(cv):
    models = [kind(cv) for kind in KINDS]
    samples = [m.factors(normals(k, N)) for k, m in enumerate(models)]
    assert worst_z(samples, [floored(cv, m.floor) for m in models]) < FAMILY
    wrong = [Mismatch(1.05 * cv, m.floor).factors(normals(k, N)) for k, m in enumerate(models)]
    assert worst_z(wrong, [floored(cv, m.floor) for m in models]) > FAMILY


def test_weights_keep_their_sign_and_thresholds_stay_positive():
    wild = normals(0, N) * 3
    assert Mismatch.of_weights(0.5).factors(wild).min() == 0
    assert math.isclose(Mismatch.of_parameters(0.5).factors(wild).min(), 0.1)


def test_without_spread_nothing_changes():
    assert (Mismatch(0.0).factors(normals(0, 10)) == np.ones(10)).all()
