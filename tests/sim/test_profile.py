"""Time is counted at every block, on every path, and nothing else changes."""

from __future__ import annotations

import time

import numpy as np
import pytest

from nmcompiler.sim import Profile, Simulator
from nmcompiler.sim import profile as profile_module
from nmcompiler.testing import random_samples
from nmcompiler.testing.networks import random_network

from .handmade import program
from .test_engine import ALL, assembled, assert_same


@pytest.mark.parametrize(("name", "literal"), [("phase", False), ("phase", True), ("rate", True)])
@pytest.mark.parametrize("samples", [5, 20])
def test_every_block_has_time_and_no_result_changes(name, literal, samples):
    network = random_network(5)
    made = assembled(network, name)
    x = random_samples(network, 5, samples)
    profile = Profile(len(made.arrays["blocks"]))
    timed = Simulator(made).run(x, record=ALL, literal=literal, profile=profile, threads=2)
    assert_same(timed, Simulator(made).run(x, record=ALL, literal=literal))
    blocks = Simulator(made)._loaded.blocks
    assert all(profile.seconds[b.index] > 0 for b in blocks if not b.is_input)


def test_plain_windows_are_timed():
    made = program("phase", membrane_bits=45, v0=[2**40, -1], theta=[2**30 + 1, 1])
    profile = Profile(3)
    result = Simulator(made).run(np.array([[3, 1], [0, 3]]), profile=profile, check=False)
    assert result.windowed
    assert (profile.seconds > 0).all()


def test_seconds_of_compiling_are_left_out(monkeypatch):
    clock = {"now": 0.0, "compiled": 0.0}
    monkeypatch.setattr(time, "perf_counter", lambda: clock["now"])
    monkeypatch.setattr(profile_module, "compile_seconds", lambda: clock["compiled"])
    profile = Profile(2)
    for _ in range(2):
        with profile.at(1):
            clock["now"] += 5.0
            clock["compiled"] += 3.0
    assert profile.seconds.tolist() == [0.0, 4.0]
