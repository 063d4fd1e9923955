"""Weights of few values: codes times quanta."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.errors import NmcError
from nmcompiler.ir.kernels import Conv, Dense, Sparse
from nmcompiler.passes.codebook import _part, code_weights
from nmcompiler.passes.coded import _held_by_thresholds, coded_layer
from nmcompiler.passes.columns import Positions
from nmcompiler.passes.formats import Branch, Formats
from nmcompiler.passes.thresholds import fit_coded
from nmcompiler.target import Crossbar
from nmcompiler.testing import tiny_target

NOTHING = np.zeros(1)


def branch(kernel):
    return Branch("a", kernel, 0, 15, False)


def problem(seed, outputs=4, unknowns=12, rows=200):
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(unknowns, unknowns)) * 0.4 + np.eye(unknowns)
    x = np.maximum(rng.normal(size=(rows, unknowns)) @ mixed, 0).astype(np.float32)
    return rng.normal(size=(outputs, unknowns)), x.reshape(rows, 1, 1, unknowns)


def loss(weight, other, x):
    sums = x.reshape(len(x), -1) @ (weight - other).T
    return np.square(sums - sums.mean(axis=0)).mean(axis=0)


@pytest.mark.parametrize("limit", [1, 3, 7])
def test_weights_become_whole_codes_times_a_quantum(limit):
    weight, x = problem(0)
    coded = code_weights((branch(Dense(weight)),), (x,), (1, 1, 4), limit, np.zeros(4))
    codes = coded.branches[0].kernel.weight / coded.quantum[:, None]
    assert np.allclose(codes, np.round(codes))
    assert np.abs(codes).max() <= limit + 1e-9


@pytest.mark.parametrize("limit", [1, 3, 7])
def test_codes_make_up_for_each_other(limit):
    """Their error is less than that of the best plain rounding, and hardly ever more for one output."""
    sums = np.zeros(2)
    for seed in range(5):
        weight, x = problem(seed)
        coded = code_weights((branch(Dense(weight)),), (x,), (1, 1, 4), limit, np.zeros(4))
        found = loss(weight, coded.branches[0].kernel.weight, x)
        plain = np.full(4, np.inf)
        for share in np.linspace(0.1, 1, 60):
            q = share * np.abs(weight).max(axis=1, keepdims=True) / limit
            plain = np.minimum(plain, loss(weight, q * np.clip(np.round(weight / q), -limit, limit), x))
        assert (found <= 1.25 * plain).all()
        sums += found.sum(), plain.sum()
    assert sums[0] < 0.95 * sums[1]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000))
def test_few_weights_have_codes_near_the_best_of_all(seed):
    """Three weights of −1, 0 and 1: all 27 codes with the quantum that suits each best."""
    weight, x = problem(seed, outputs=1, unknowns=3)
    coded = code_weights((branch(Dense(weight)),), (x,), (1, 1, 1), 1, NOTHING)
    found = loss(weight, coded.branches[0].kernel.weight, x)[0]
    centred = x.reshape(len(x), -1) - x.reshape(len(x), -1).mean(axis=0)
    gram = centred.T @ centred
    best = np.inf
    for code in np.ndindex(3, 3, 3):
        q = np.array(code) - 1
        quantum = (q @ gram @ weight[0]) / max(float(q @ gram @ q), 1e-12)
        best = min(best, loss(weight, quantum * q[None], x)[0])
    assert found <= 2.0 * best + 0.02 * loss(weight, 0 * weight, x)[0]


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_quanta_tried_together_have_the_errors_of_each_alone(groups):
    rng = np.random.default_rng(groups)
    kernel = Conv(rng.normal(size=(3, 2, 4 // groups, 8)), groups=groups, target_channel=1)
    x = np.maximum(rng.normal(size=(6, 5, 5, 4)), 0).astype(np.float32)
    shape = (3, 4, 10)
    part = _part(kernel, x, Positions.spread(6, shape, 1000), shape)
    quanta = rng.uniform(0.1, 1.0, (5, 10))
    together = part.errors(quanta, 3)
    alone = [part.error(part.codes(quantum, 3), quantum) for quantum in quanta]
    assert together.shape == (5, 8)
    assert np.allclose(together, alone)


def test_quanta_of_a_read_out_are_multiples_of_one():
    weight, x = problem(3)
    coded = code_weights((branch(Dense(weight)),), (x,), (1, 1, 4), 7, np.zeros(4), grain=8)
    multiples = coded.quantum / (coded.quantum.max() / 8)
    assert np.allclose(multiples, np.round(multiples))
    assert multiples.max() == pytest.approx(8)


def test_a_large_bias_makes_the_quantum_coarser():
    weight, x = problem(4)
    least = np.array([0.0, 5.0, 0.0, 0.0])
    coded = code_weights((branch(Dense(weight)),), (x,), (1, 1, 4), 7, least)
    assert coded.quantum[1] >= 5
    assert (coded.quantum[[0, 2, 3]] < 5).all()


def test_a_convolution_has_a_quantum_for_each_channel():
    rng = np.random.default_rng(5)
    kernel = Conv(rng.normal(size=(3, 3, 2, 3)) * [1, 10, 0.1], padding=(1, 1))
    x = rng.integers(0, 8, (20, 6, 6, 2)).astype(np.float32)
    coded = code_weights((branch(kernel),), (x,), (6, 6, 3), 7, np.zeros(3))
    codes = coded.branches[0].kernel.weight / coded.quantum
    assert np.allclose(codes, np.round(codes))
    assert np.abs(codes).max() <= 7 + 1e-9
    assert 5 < coded.quantum[1] / coded.quantum[0] < 20


def test_whole_weights_are_the_codes_times_one_factor_and_the_scale_follows():
    weight, x = problem(6)
    coded = code_weights((branch(Dense(weight)),), (x,), (1, 1, 4), 7, np.zeros(4))
    formats = Formats(7, 2**18 - 1, 2**19 - 3, 255, 0, False, "chip", grain=32)
    scale = np.array([0.5, 0.7, 1.1, 0.9])
    made = fit_coded("layer", coded.branches, coded.quantum, np.zeros((1, 1, 4)), scale, (1, 1, 4), formats)
    whole = made.branches[0].kernel.weight
    codes = np.round(coded.branches[0].kernel.weight / coded.quantum[:, None]).astype(np.int64)
    assert np.array_equal(whole, 32 * codes)
    assert np.allclose(made.scale, scale, rtol=0.02)
    assert np.allclose(whole / made.unit[:, None], coded.branches[0].kernel.weight)


def test_formats_of_chips_with_crossbars_differ_from_those_without():
    plain, typed = tiny_target(), tiny_target(crossbar=Crossbar(4, 9))
    assert Formats.of(plain) != Formats.of(typed)


@pytest.mark.parametrize(
    "kernel", [Sparse(np.arange(4), np.arange(4), np.ones(4)), Dense(np.ones((4, 4)))], ids=["wiring", "map"]
)
def test_a_layer_without_codes_is_named_in_one_sentence(kernel):
    layer = SimpleNamespace(name="shuffle", sum_shape=(2, 2, 1))
    state = SimpleNamespace(formats=Formats.of(tiny_target(crossbar=Crossbar(4, 9))))
    with pytest.raises(NmcError, match="layer 'shuffle' reads values through wiring of its own"):
        coded_layer(state, layer, (branch(kernel),), NOTHING, NOTHING, alike=False)


def test_a_channel_of_tiny_weights_keeps_a_threshold_that_fits():
    """Its bias alone fills its range: the quantum of its weights must not be as small as they are."""
    rng = np.random.default_rng(7)
    formats = Formats(7, 2**18 - 1, 2**19 - 3, 255, 0, False, "chip", grain=32)
    exact = rng.uniform(0, 1, (50, 2, 2, 3)) * [1.0, 1e3, 0.0]
    least = _held_by_thresholds(exact, formats)
    reached = exact.max(axis=(0, 1, 2))
    assert (reached[:2] / least[:2] <= formats.theta * (1 + 1e-9)).all()
    assert least[2] == pytest.approx(np.median(reached[:2]) / formats.theta)
