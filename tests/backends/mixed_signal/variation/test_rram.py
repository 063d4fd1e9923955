from __future__ import annotations

import numpy as np
import pytest

from nmcompiler.errors import UsageError
from nmcompiler_backends.mixed_signal.variation import RramDevice, RramProgramming

from .statistics import FAMILY, normals, rectified, worst_z

POINTS = (0.0, 0.02, 0.1, 0.3, 0.5, 0.8, 1.0)
N = 20_000
DAY = 86_400.0
WAN = {
    1.0: [0.348, 16.030, -43.853, 45.393, -16.815],
    DAY: [0.701, 22.086, -50.773, 47.095, -16.458],
    2 * DAY: [0.782, 20.274, -43.507, 37.062, -11.934],
}


def moments(time_s):
    return [rectified(40 * x, sum(c * x**i for i, c in enumerate(WAN[time_s]))) for x in POINTS]


def drawn(model, time_s, n=N):
    return [40 * model.programmed(np.full(n, x), time_s, normals(20 + k, n)) for k, x in enumerate(POINTS)]


@pytest.mark.parametrize("time_s", list(WAN))
def test_the_spread_is_the_published_one(time_s):
    assert worst_z(drawn(RramProgramming(), time_s), moments(time_s)) < FAMILY


@pytest.mark.parametrize("which", range(5))
@pytest.mark.parametrize("time_s", list(WAN))
def test_each_coefficient_off_by_five_percent_is_seen(time_s, which):
    wrong = list(WAN[time_s])
    wrong[which] *= 1.05
    model = RramProgramming({time_s: tuple(wrong)})
    assert worst_z(drawn(model, time_s, 100_000), moments(time_s)) > FAMILY


@pytest.mark.parametrize("time_s", [0.5, 3600.0, DAY + 1])
def test_other_times_are_refused_in_a_sentence(time_s):
    with pytest.raises(UsageError) as refused:
        RramDevice().conductances(np.ones(3), time_s, lambda name: np.zeros(3))
    sentence = refused.value.sentence()
    assert "never published" in sentence
    assert "1, 86400, 172800 s" in sentence
    assert "\n" not in sentence


def test_a_device_without_variation_is_its_target():
    x = np.linspace(0, 1, 21)
    assert RramDevice(None).sources == ()
    assert np.array_equal(RramDevice(None).conductances(x, 77.0, lambda name: normals(0, 21)), x)
