"""The kernel for sixteen samples at a time, against the plain steps."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nmcompiler.sim import Simulator, lanes

from .handmade import wired
from .paths import assert_alike, by_groups, by_steps, grid
from .test_step_programs import any_program, any_samples

WIDEST = 32767


def assert_equals_steps(made, x):
    assert Simulator(made).certificate.windowed
    left = by_groups(made, x)
    assert_alike(left, by_steps(made, x))
    return left


@pytest.mark.parametrize("weight", [5, -3000, 5000, 10922, -WIDEST])
@pytest.mark.parametrize("length", [*range(1, 18), 24, 25])
def test_segments_of_every_length_leave_their_neighbours_alone(length, weight):
    """Products of 13 axons, of three, two or one at a time, or of none add up in 16 bits."""
    fed = [{"n": 13, "levels": 3, "signed": 1}]
    runs = [(0, 13, 0, 0, 0, 0, 0)]
    made = wired(
        "graded", fed, length + 9, runs, [[(0, 4, length)]], [weight] * length, membrane_bits=32, theta=999
    )
    x = grid(13, 3, 20, length, signed=True)
    membranes = assert_equals_steps(made, x)["membranes"][1]
    assert np.array_equal(membranes[:, 4 : 4 + length], np.repeat(weight * x.sum(1)[:, None], length, 1))
    assert not np.delete(membranes, range(4, 4 + length), axis=1).any()


def test_read_outs_send_nothing_to_those_behind_them():
    runs = [(0, 2, 0, 0, 0, 2, 0)]
    hidden = {"levels": 0, "steps": 1}
    made = wired("graded", [{"n": 2, "levels": 3}], 2, runs, [[(0, 0, 2)]], [9, 8, 7, 6], hidden=hidden)
    groups = Simulator(made)._groups
    assert groups.resting[:, lanes.SOURCE].tolist() == [0]
    assert_equals_steps(made, np.full((4, 2), 3))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 100_000), n=st.sampled_from([1, 2, 7, 8, 9, 40, 130]), samples=st.integers(1, 33))
def test_programs_that_nothing_compiles_equal_the_plain_steps(seed, n, samples):
    rng = np.random.default_rng(seed)
    made = replace(any_program(rng, "graded", n, hidden={"fire_start": 6}), membrane_bits=32)
    assume(Simulator(made)._groups is not None and Simulator(made).certificate.windowed)
    assert_equals_steps(made, any_samples(rng, made, samples))
