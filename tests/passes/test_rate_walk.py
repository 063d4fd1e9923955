"""Trains on calibration samples are those of the judge of the rate code."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.evaluate.rate_events import Origin, send_by_event
from nmcompiler.ir.kernels import Conv, Dense
from nmcompiler.ir.network import Population
from nmcompiler.ir.spiking import NeuronParameters
from nmcompiler.passes.rate_walk import walked
from nmcompiler.target.model import Dynamics


@given(
    seed=st.integers(0, 10_000),
    wait=st.integers(0, 2),
    to_zero=st.booleans(),
    floor=st.sampled_from([None, 0, -3]),
    shift=st.integers(0, 2),
)
@settings(max_examples=30, deadline=None)
def test_they_are_sent_as_the_judge_sends_them(
    seed: int, wait: int, to_zero: bool, floor: int | None, shift: int
) -> None:
    rng = np.random.default_rng(seed)
    shape = (2, 3, 2)
    sources = [
        Origin((Conv(rng.integers(-3, 4, (1, 2, 2, 2))),), rng.integers(0, 3, (4, 3, 2, 3, 2))),
        Origin(
            (Dense(rng.integers(-3, 4, (12, 5))), Dense(rng.integers(-3, 4, (12, 5)))),
            rng.integers(0, 2, (4, 3, 1, 1, 5)),
        ),
    ]
    population = Population(
        "p",
        shape,
        "hidden",
        bias=np.zeros((1, 1, 1), np.int64),
        theta=np.ones((1, 1, 1), np.int64),
        levels=4,
        signed=False,
        scale=np.ones(2),
        offset=np.zeros(2),
    )
    neurons = NeuronParameters(
        theta=rng.integers(1, 9, shape),
        v0=rng.integers(-4, 5, (1, 1, 2)),
        current=rng.integers(-2, 3, (1, 1, 2)),
        shift=shift,
    )
    dynamics = Dynamics("zero" if to_zero else "subtract", floor, "event")
    wanted = send_by_event(sources, population, neurons, dynamics, wait)
    assert np.array_equal(walked(sources, population, neurons, dynamics, wait), wanted)
    assert wanted.shape == (4, 3, *shape)
