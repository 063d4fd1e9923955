"""Thresholds and biases in the rate code, against brute force on one neuron at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.ir.kernels import Array
from nmcompiler.passes.rate_arrivals import Events
from nmcompiler.passes.rate_search import RateTuner, Steps, whole_lead
from nmcompiler.passes.scales import ScaleSearch
from nmcompiler.target.model import USUAL, Dynamics


def _tuner(
    sums: Array,
    wanted: Array,
    *,
    bias: float = 0.0,
    signed: bool = False,
    takes_back: bool = True,
    settle: int = 0,
    dynamics: Dynamics = USUAL,
) -> RateTuner:
    held = np.full(sums.shape[1:], bias, np.float32)
    steps = Steps(sums.astype(np.float32), held, signed, takes_back, settle, dynamics)
    return RateTuner(steps, wanted.astype(np.float32), np.ones((len(wanted), 1), np.float32))


def _error(tuner: RateTuner, scale: Array, shift: Array) -> Array:
    count = tuner.steps.counts(scale.astype(np.float32), shift.astype(np.float32))
    error: Array = np.square(scale * count - tuner.wanted).mean(axis=0)
    return error


def _noisy(seed: int, steps: int = 8, rows: int = 200, channels: int = 3) -> tuple[Array, Array]:
    """Arrivals of both signs whose sums are ``y``, unevenly in time, and ``relu(y)``."""
    rng = np.random.default_rng(seed)
    y = rng.normal(0.3, 1, (rows, channels)) * np.array([1, 5, 0.2])[:channels]
    share = rng.dirichlet(np.ones(steps), (rows, channels)).transpose(2, 0, 1)
    noise = rng.normal(0, 0.2, (steps, rows, channels)) * y.std(axis=0)
    return y * share + noise - noise.mean(axis=0), np.maximum(y, 0)


@given(seed=st.integers(0, 1000), takes_back=st.booleans(), settle=st.integers(0, 3))
@settings(max_examples=20, deadline=None)
def test_no_plain_threshold_is_much_better_than_what_was_found(
    seed: int, takes_back: bool, settle: int
) -> None:
    sums, wanted = _noisy(seed)
    tuner = _tuner(sums, wanted, takes_back=takes_back, settle=settle)
    found = tuner.search()
    mine = _error(tuner, found.scale, np.asarray(found.shift))
    for share in np.linspace(0.25, 1, 12):
        plain = _error(tuner, share * wanted.max(axis=0) / 8, np.zeros(3))
        assert (mine <= plain * 1.15).all()


def test_the_bias_makes_up_for_spikes_that_cannot_be_taken_back() -> None:
    sums, wanted = _noisy(5)
    tuner = _tuner(sums, wanted, takes_back=False)
    found = tuner.search()
    assert (
        _error(tuner, found.scale, np.asarray(found.shift)) < _error(tuner, found.scale, np.zeros(3))
    ).all()


def test_activations_that_count_for_more_come_closer() -> None:
    sums, wanted = _noisy(4)
    even = _tuner(sums, wanted)
    for channel in range(3):
        small = wanted < np.quantile(wanted, 0.7, axis=0)
        counts = np.ones_like(wanted)
        counts[:, channel] = np.where(small[:, channel], 1, 1e-3)
        kept = []
        for tuner in (even, replace(even, importance=counts.astype(np.float32))):
            found = tuner.search()
            q = tuner.steps.counts(found.scale.astype(np.float32), np.asarray(found.shift, np.float32))
            kept.append((small * np.square(found.scale * q - wanted)).mean(axis=0))
        assert kept[1][channel] < 0.9 * kept[0][channel]
        others = np.arange(3) != channel
        assert np.allclose(kept[1][others], kept[0][others])


@given(seed=st.integers(0, 1000), factor=st.floats(1.1, 3))
@settings(max_examples=20, deadline=None)
def test_a_shift_for_other_scales_is_never_worse_than_the_first_guess(seed: int, factor: float) -> None:
    sums, wanted = _noisy(seed)
    tuner = _tuner(sums, wanted, takes_back=False)
    found = tuner.search()
    scale = factor * found.scale
    start = np.asarray(found.shift)
    assert (_error(tuner, scale, tuner.shift(scale, start)) <= _error(tuner, scale, start) * (1 + 1e-5)).all()


def test_on_and_off_halves_stand_for_signed_values() -> None:
    sums, _ = _noisy(1)
    y = sums.sum(axis=0)
    halves = _tuner(sums, y, signed=True, takes_back=False).search()
    whole = _tuner(sums, y, signed=True).search()
    for found, takes_back in ((halves, False), (whole, True)):
        tuner = _tuner(sums, y, signed=True, takes_back=takes_back)
        assert (_error(tuner, found.scale, np.asarray(found.shift)) < 0.2 * np.square(y).mean(axis=0)).all()


def test_waiting_lets_uneven_arrivals_even_out() -> None:
    sums, wanted = _noisy(2)
    errors = []
    for settle in (0, 2, 6):
        tuner = _tuner(sums, wanted, takes_back=False, settle=settle)
        found = tuner.search()
        errors.append(_error(tuner, found.scale, np.asarray(found.shift)) / np.square(wanted).mean(axis=0))
    assert (np.diff([e.mean() for e in errors]) < 0).all()


@pytest.mark.parametrize("value", [0.0, 2.0])
def test_silent_channels_take_the_median_scale(value: float) -> None:
    sums, wanted = _noisy(3)
    wanted[:, 1] = 0
    if not value:
        wanted[:] = 0
    found = _tuner(sums, wanted).search()
    assert found.silent.tolist() == [not value, True, not value]
    assert np.isfinite(found.scale).all()
    assert found.scale.min() > 0
    if value:
        assert found.scale[1] == pytest.approx(np.median(found.scale[[0, 2]]))


def _left(tuner: RateTuner, found: ScaleSearch, lead: Array | float) -> float:
    """Returns the mean squared error with a lead, the bias being as good as it can be for it."""
    shift = tuner.shift(found.scale, found.shift, lead)
    scale = found.scale.astype(np.float32)
    count = tuner.steps.counts(scale, shift.astype(np.float32), np.asarray(lead, np.float32))
    return float(np.square(scale * count - tuner.wanted).mean())


def test_a_lower_start_holds_back_spikes_that_come_before_what_inhibits_them() -> None:
    rng = np.random.default_rng(6)
    spikes = rng.binomial(1, 0.4, (300, 12, 20)).astype(np.int8)
    # In every step the first half of the sources excites and the second inhibits.
    weights = np.concatenate([rng.uniform(0.2, 1, (10, 4)), -rng.uniform(0.2, 1, (10, 4))]).astype(np.float32)
    events = Events(spikes, weights, np.zeros((300, 12, 4), np.float32))
    wanted = np.maximum(events.total, 0)
    dynamics = Dynamics(compares="event")
    steps = Steps(events, np.zeros((300, 4), np.float32), False, False, 0, dynamics)
    tuner = RateTuner(steps, wanted, np.ones((300, 1), np.float32))
    found = tuner.search()
    assert (np.asarray(found.lead) < 0).all()
    assert _left(tuner, found, np.asarray(found.lead)) < 0.8 * _left(tuner, found, 0.0)


@pytest.mark.parametrize("floor", [None, 0])
def test_membranes_that_are_set_to_zero_have_a_start_of_their_own_where_no_floor_takes_it(
    floor: int | None,
) -> None:
    sums, wanted = _noisy(7)
    found = _tuner(sums, wanted, takes_back=False, dynamics=Dynamics("zero", floor)).search()
    assert np.any(found.lead) == (floor is None)
    assert not np.any(_tuner(sums, wanted, takes_back=False).search().lead)


def test_a_lead_is_a_whole_number_that_a_membrane_has_room_for() -> None:
    found = whole_lead(np.array([-2.0, 0.26, -100.0]), np.array([3.0, 10.0, 5.0]), 127)
    assert found.tolist() == [-6, 3, -63]
    assert whole_lead(0.0, np.array([3.0, 10.0]), 127).tolist() == [0, 0]
