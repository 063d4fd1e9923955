from __future__ import annotations

import numpy as np
import pytest

from nmcompiler_backends.mixed_signal.variation import Mismatch, SynapseDevice

from .statistics import FAMILY, normals, rectified, worst_z

POINTS = (0.02, 0.1, 0.3, 0.5, 0.8, 1.0)
N = 20_000


def currents(device, n=N):
    return [
        device.conductances(np.full(n, x), 0.0, lambda source, k=k: normals(40 + k, n))
        for k, x in enumerate(POINTS)
    ]


def moments(cv):
    """Of x · max(0, 1 + cv·N): the mismatch of synapses."""
    mean, variance = rectified(1, cv)
    return [(x * mean, x * x * variance) for x in POINTS]


def floored(cv, floor=0.1):
    """Of max(floor, 1 + cv·N): the mismatch of gains."""
    mean, variance = rectified(1 - floor, cv)
    return [(mean + floor, variance)]


@pytest.mark.parametrize("cv", [0.1, 0.2, 0.4])
def test_currents_of_synapses_are_off_by_a_factor(cv):
    assert worst_z(currents(SynapseDevice.of(cv, None)), moments(cv)) < FAMILY
    assert worst_z(currents(SynapseDevice.of(1.05 * cv, None)), moments(cv)) > FAMILY


@pytest.mark.parametrize("cv", [0.1, 0.2, 0.4])
def test_gains_of_columns_are_off_by_a_factor(cv):
    def gains(spread):
        return [SynapseDevice.of(None, spread).gains((N,), lambda source: normals(7, N))]

    assert worst_z(gains(cv), floored(cv)) < FAMILY
    assert worst_z(gains(1.05 * cv), floored(cv)) > FAMILY


def test_a_code_of_zero_brings_nothing():
    silent = SynapseDevice.of(0.4, 0.4).conductances(np.zeros(9), 0.0, lambda source: normals(0, 9))
    assert not silent.any()


def test_parts_that_do_not_vary_are_no_sources():
    assert SynapseDevice.of(0.2, 0.1).sources == ("weight", "gain")
    assert SynapseDevice.of(0.2, 0.1).only(["gain"]) == SynapseDevice(None, Mismatch.of_parameters(0.1))
    assert SynapseDevice.of(0.0, None) == SynapseDevice(None, None)
    x = np.linspace(0, 1, 5)
    assert np.array_equal(SynapseDevice(None, None).conductances(x, 0.0, lambda source: x), x)
    assert np.array_equal(SynapseDevice(None, None).gains((2, 3), lambda source: x), np.ones((2, 3)))
