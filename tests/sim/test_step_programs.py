"""Programs that nothing compiles, written by hand or drawn, by rows and by the plain steps."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nmcompiler.codings import CODINGS
from nmcompiler.sim import Simulator, rows
from nmcompiler.target.model import Dynamics

from .handmade import wired, with_column
from .paths import TRAINS, assert_alike, by_rows, by_steps, grid

CODES = sorted(CODINGS)
WIDEST = 32767


def assert_equals_plain(made, x):
    left = by_rows(made, x)
    assert_alike(left, by_steps(made, x, TRAINS))
    return left


# --- what a program may hold though nothing compiles it ---------------------------------------------------


@pytest.mark.parametrize("code", CODES)
def test_a_segment_without_a_synapse_brings_nothing(code):
    pattern = [(0, 3, 0), (0, 0, 2), (1, 60, 0)]
    made = wired(code, [{"n": 3, "levels": 3}], 70, [(0, 3, 0, 0, 0, 1, 0)], [pattern], range(1, 6))
    left = assert_equals_plain(made, grid(3, 3, 6))
    assert left["membranes"][1][:, :2].any()
    assert not left["membranes"][1][:, 2:].any()


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("move", [0, 1])
@pytest.mark.parametrize("axons", [1, 4])
def test_runs_may_begin_below_what_their_segments_reach(code, move, axons):
    """Below the weights of the program and the neurons of the block."""
    runs = [(0, axons, 0, -7, -5, 1, move)]
    made = wired(code, [{"n": 4, "levels": 3}], 9, runs, [[(5, 8, 2), (6, 7, 1)]], range(1, 20))
    assert assert_equals_plain(made, grid(4, 3, 6))["membranes"][1].any()


@pytest.mark.parametrize("code", CODES)
def test_read_outs_send_nothing_to_those_behind_them(code):
    made = wired(code, [{"n": 2, "levels": 3}], 2, [(0, 2, 0, 0, 0, 2, 0)], [[(0, 0, 2)]], [9, 8, 7, 6])
    made = with_column(made, 1, levels=0, steps=2)
    made = replace(made, total_steps=made.total_steps + 9)
    assert_equals_plain(made, np.full((4, 2), 3))


def test_axons_without_any_segment_are_passed_over():
    made = wired("phase", [{"n": 4, "levels": 3}], 9, [(0, 4, 0, 0, 0, 1, 1)], [[]], [1])
    made = made.with_arrays(segments=np.zeros((0, 3), np.int32), patterns=np.zeros(3, np.int32))
    assert_equals_plain(made, grid(4, 3, 6))


# --- steps like the one before ----------------------------------------------------------------------------


def fed_twice(widest, **inputs):
    """Neurons fed by an input of three equal steps and by another one, over two links from each axon."""
    weights = np.random.default_rng(0).integers(-widest, widest + 1, 6 * 19)
    fed = [{"n": 3, "levels": 12, "steps": 3}, {"n": 3, "levels": 12, "steps": 3} | inputs]
    runs = [(0, 6, 0, 0, 0, 19, 0), (0, 6, 0, 0, 0, 19, 0)]
    made = wired("rate", fed, 19, runs, [[(0, 0, 19)]], weights, theta=widest, hidden={"steps": 12})
    return replace(made, total_steps=made.total_steps + 3)


@pytest.mark.parametrize("widest", [20, 8000, WIDEST])
@pytest.mark.parametrize(
    "other", [{}, {"levels": 13}, {"delay": 2}, {"delay": 4}, {"fire_start": 1}, {"steps": 1}, {"steps": 5}]
)
def test_what_arrives_again_is_not_added_up_again(widest, other):
    """Values whose steps are equal, values whose steps are not, silence, and silence of one input alone."""
    made = fed_twice(widest, **other)
    equal = np.array([[12, 6, 3], [0, 0, 0], [12, 12, 12], [9, 0, 0], [11, 7, 1]])
    which = np.stack(np.meshgrid(range(5), range(5)), -1).reshape(-1, 2)
    assert_equals_plain(made, {"x0": equal[which[:, 0]], "x1": equal[which[:, 1]]})


@pytest.mark.parametrize("weight", [5, WIDEST])
@pytest.mark.parametrize("levels", [5, 25])
def test_steps_of_silence_stand_between_those_with_spikes(weight, levels):
    """Of five steps one or more have no spike, and what arrived before them is not there any more."""
    weights = np.full(5 * 19, weight)
    fed = [{"n": 5, "levels": levels, "steps": 5}]
    made = wired("rate", fed, 19, [(0, 5, 0, 0, 0, 19, 0)], [[(0, 0, 19)]], weights, theta=weight)
    assert Simulator(made)._steps.blocks[1, rows.WIDE] == (weight == WIDEST)
    x = np.array([[q] * 5 for q in range(6)])
    left = assert_equals_plain(made, x)
    assert {1, 2, 3, 4} <= set(left["trains"][0][:, :, 0].sum(axis=1))


# --- programs that nothing compiles -----------------------------------------------------------------------


def any_program(rng, code, n, **options):
    """Runs of any stride and pattern, also over the bounds of inputs, from one to three inputs."""
    fed = []
    for _ in range(rng.integers(1, 4)):
        levels = int(rng.choice([1, 3, 7]))
        steps = CODINGS[code].steps(levels)
        late = {} if CODINGS[code].windowed else {"steps": int(rng.integers(1, 9))}
        fed.append(
            {"n": int(rng.choice([1, 2, 17, 56, 57, 63, 64, 65, 130])), "levels": levels, "steps": steps,
             "signed": int(rng.integers(0, 2)), "delay": int(rng.integers(1, 4)),
             "fire_start": int(rng.integers(0, 3))}
            | late
        )  # fmt: skip
    axons = sum(f["n"] for f in fed)
    widest = int(rng.choice([1, 100, 3000, WIDEST]))
    weights = rng.integers(-widest, widest + 1, 4000)
    segments, runs = [], []
    for p in range(rng.integers(1, 6)):
        first = int(rng.integers(0, axons))
        count = int(rng.integers(1, axons - first + 1)) if rng.random() < 0.7 else 1
        move = int(rng.choice([0, 0, 1, 1, -1, 2, -3]))
        count = min(count, 1 + (n - 1) // abs(move)) if move else count
        room = n - (count - 1) * abs(move)
        pattern = []
        for _ in range(rng.integers(0, 4)):
            length = int(rng.integers(0, min(100, room) + 1)) if rng.random() < 0.7 else 1
            pattern.append((int(rng.integers(0, 300)), int(rng.integers(0, room - length + 1)), length))
        # What a run begins with may lie below its block where its segments do not.
        low = int(rng.integers(0, 200)) if rng.random() < 0.3 else 0
        segments.append([(w + low, a + low, length) for w, a, length in pattern])
        stride = 1 if rng.random() < 0.5 else int(rng.integers(-6, 7))
        weight = 0 if stride >= 0 else -stride * (count - 1)
        into = 0 if move >= 0 else -move * (count - 1)
        runs.append((first, count, p, into - low, weight - low, stride, move))
    runs += runs[:1]
    options |= {
        "theta": int(rng.integers(1, 20 * widest)),
        "v0": rng.integers(-99, 99, n),
        "membrane_bits": 28,
    }
    return wired(code, fed, n, runs, segments, weights, **options)


def any_samples(rng, made, samples):
    """Values of all inputs; some samples are silent in all."""
    x = {}
    for k, port in enumerate(made.inputs):
        levels = int(made.column("levels")[k])
        q = rng.integers(-levels, levels + 1, (samples, port.shape[0]))
        q[rng.random(samples) < 0.2] = levels
        x[port.name] = q * (rng.random(q.shape) < rng.random((samples, 1))) * (rng.random((samples, 1)) < 0.8)
    return x


def further(rng, made):
    """Inputs reach the read-out too, and the neurons once more later; other windows; steps behind all."""
    inputs = len(made.inputs)
    axons, n = int(made.column("n")[:inputs].sum()), int(made.column("n")[inputs])
    runs, routes = made.arrays["runs"].copy(), made.arrays["routes"]
    if rng.random() < 0.5:
        runs[-1, 1] += axons
        routes = np.concatenate([routes, [(0, axons, 1, n, rng.integers(1, 5))]])
    if rng.random() < 0.3:
        again = routes[:inputs].copy()
        again[:, 4] += rng.integers(0, 4, inputs)
        routes = np.concatenate([routes, again])
    starts = tuple(sorted({0, *rng.integers(0, made.total_steps, 3).tolist()}))
    return replace(
        made.with_arrays(runs=runs, routes=routes.astype(np.int32)),
        window_starts=starts if rng.random() < 0.3 else made.window_starts,
        total_steps=made.total_steps + int(rng.choice([0, 5, 40])),
        membrane_bits=int(rng.choice([12, 16, 24, 28])),
    )


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 100_000),
    code=st.sampled_from(CODES),
    n=st.sampled_from([1, 2, 15, 16, 17, 48, 63, 64, 65, 130, 200]),
)
def test_programs_that_nothing_compiles_equal_the_plain_steps(seed, code, n):
    rng = np.random.default_rng(seed)
    made = further(rng, any_program(rng, code, n))
    assume(Simulator(made)._steps is not None)
    assert_equals_plain(made, any_samples(rng, made, 9))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 100_000),
    n=st.sampled_from([1, 15, 17, 64, 65]),
    signed=st.integers(0, 2),
    dynamics=st.builds(
        Dynamics, reset=st.sampled_from(["subtract", "zero"]), floor=st.sampled_from([None, 0, -3, 2, -5000])
    ),
    equal=st.booleans(),
)
def test_rates_that_nothing_compiles_equal_the_plain_steps(seed, n, signed, dynamics, equal):
    rng = np.random.default_rng(seed)
    steps, late = rng.integers(1, 12), rng.integers(0, 14)
    hidden = {
        "signed": signed,
        "steps": int(steps),
        "fire_start": int(late),
        "shift": int(rng.integers(0, 4)),
    }
    current = [*rng.integers(-50, 50, n), 3]
    made = further(rng, any_program(rng, "rate", n, hidden=hidden, dynamics=dynamics, current=current))
    assume(Simulator(made)._steps is not None)
    x = any_samples(rng, made, 9)
    if equal:  # every step of an input is then like that before
        x = {
            name: q - q % int(steps)
            for (name, q), steps in zip(x.items(), made.column("steps"), strict=False)
        }
    assert_equals_plain(made, x)
