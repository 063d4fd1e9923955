from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from nmcompiler.errors import UsageError
from nmcompiler_backends.mixed_signal.variation import PcmDevice, PcmDrift, PcmProgramming, PcmReadNoise

from .statistics import FAMILY, normals, rectified, worst_z, z_scores

POINTS = (0.0, 0.02, 0.1, 0.3, 0.5, 0.8, 1.0)
N = 20_000
DAY = 86_400.0


def sigma_us(x):
    """The published polynomial, written again."""
    return 0.26348 + 1.9650 * x - 1.1731 * x**2


def programmed_us(model, n=N, seed=11):
    return [25 * model.programmed(np.full(n, x), normals(seed + 100 * k, n)) for k, x in enumerate(POINTS)]


MOMENTS = [rectified(25 * x, sigma_us(x)) for x in POINTS]


def test_programming_noise_has_the_rectified_moments():
    assert worst_z(programmed_us(PcmProgramming()), MOMENTS) < FAMILY


def test_the_unrectified_moments_would_be_seen_to_be_wrong_at_zero():
    samples = programmed_us(PcmProgramming())[0]
    assert abs(z_scores(samples, 0.0, sigma_us(0.0) ** 2)[0]) > FAMILY


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("factor", [0.95, 1.05])
def test_each_coefficient_off_by_five_percent_is_seen(which, factor):
    coefficients = list(PcmProgramming().coefficients)
    coefficients[which] *= factor
    wrong = PcmProgramming((coefficients[0], coefficients[1], coefficients[2]))
    assert worst_z(programmed_us(wrong, n=100_000), MOMENTS) > FAMILY
    assert worst_z(programmed_us(PcmProgramming(), n=100_000), MOMENTS) < FAMILY


# Mean and spread of ν, on both sides of each clip: x below 0.0076 and above 0.205 for the mean (0.1, 0.049),
# below 0.017 and above 0.329 for the spread (0.045, 0.008).
DRIFT = {
    0.001: (0.1, 0.045),
    0.01: (-0.0155 * math.log(0.01) + 0.0244, 0.045),
    0.05: (-0.0155 * math.log(0.05) + 0.0244, -0.0125 * math.log(0.05) - 0.0059),
    0.25: (0.049, -0.0125 * math.log(0.25) - 0.0059),
    0.6: (0.049, 0.008),
}


@pytest.mark.parametrize("time_s", [25.0, DAY, 365 * DAY])
def test_the_logarithm_of_drift_is_normal(time_s):
    lasting = math.log(time_s / 20.0)
    samples = [np.log(PcmDrift().factors(np.full(N, x), time_s, normals(k, N))) for k, x in enumerate(DRIFT)]
    moments = [(-mu * lasting, (sd * lasting) ** 2) for mu, sd in DRIFT.values()]
    assert worst_z(samples, moments) < FAMILY


@pytest.mark.parametrize("name", ["mean", "spread"])
@pytest.mark.parametrize("which", range(4))
def test_each_coefficient_of_drift_off_by_a_tenth_is_seen(name, which):
    line = list(getattr(PcmDrift(), name))
    line[which] *= 1.1
    wrong = replace(PcmDrift(), **{name: tuple(line)})
    samples = [np.log(wrong.factors(np.full(N, x), DAY, normals(k, N))) for k, x in enumerate(DRIFT)]
    lasting = math.log(DAY / 20.0)
    moments = [(-mu * lasting, (sd * lasting) ** 2) for mu, sd in DRIFT.values()]
    assert worst_z(samples, moments) > FAMILY


def test_nothing_drifts_before_twenty_seconds():
    x = np.linspace(0, 1, 11)
    assert (PcmDrift().factors(x, 19.0, normals(0, 11)) == 1).all()


@pytest.mark.parametrize("time_s", [25.0, DAY])
def test_read_noise_has_the_published_spread(time_s):
    points = (0.005, 0.02, 0.1, 0.3, 0.6, 1.0)
    grown = math.sqrt(math.log((time_s + 250e-9) / 500e-9))
    samples = [PcmReadNoise().factors(np.full(N, x), time_s, normals(k, N)) for k, x in enumerate(points)]
    moments = [rectified(1.0, min(0.0088 / x**0.65, 0.2) * grown) for x in points]
    assert worst_z(samples, moments) < FAMILY


def test_a_device_is_its_three_parts_one_after_another():
    x = np.linspace(0, 1, 201)
    drawn = {name: normals(k, 201) for k, name in enumerate(("programming", "drift", "read"))}
    g = PcmDevice().conductances(x, DAY, drawn.__getitem__)
    expected = np.maximum(0, x + sigma_us(x) / 25 * drawn["programming"])
    expected = expected * PcmDrift().factors(x, DAY, drawn["drift"])
    expected = expected * PcmReadNoise().factors(x, DAY, drawn["read"])
    np.testing.assert_allclose(g, expected, rtol=1e-12)
    assert (g >= 0).all()


def test_a_device_without_variation_is_its_target():
    x = np.linspace(0, 1, 201)
    still = PcmDevice(None, None, None)
    assert still.sources == ()
    assert np.array_equal(still.conductances(x, DAY, lambda name: normals(0, 201)), x)


def test_a_reading_before_programming_is_refused():
    with pytest.raises(UsageError, match="0 s after programming"):
        PcmDevice().conductances(np.ones(1), 0.0, lambda name: np.zeros(1))
