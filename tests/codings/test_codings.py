"""Each code, neuron by neuron, against the formula of the integer network."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmcompiler.codings import CODINGS, coding
from nmcompiler.errors import UsageError
from nmcompiler.ir.schedule import Slot

HUGE = 2**40
WINDOWED = sorted(name for name, code in CODINGS.items() if code.windowed)


def fire_train(name, v, theta, levels, signed, above=0):
    """The values that one neuron sends when its membrane stands at ``v`` before it may fire."""
    code = coding(name)
    steps = code.steps(levels)
    membrane, aux, out = np.array([v + above]), np.zeros(1, np.int64), np.zeros(1, np.int32)
    sent = []
    for step in range(steps):
        code.fire(membrane, aux, out, np.array([theta]), 1, step, steps, levels, signed, above)
        sent.append(int(out[0]))
    return np.array(sent), Slot(1, 0, steps, levels, bool(signed))


def expected(v, theta, levels, signed):
    return max(-levels if signed else 0, min(levels, math.floor(v / theta)))


@pytest.mark.parametrize("above", [0, 1])
@pytest.mark.parametrize("name", WINDOWED)
@given(
    v=st.integers(-5000, 5000),
    theta=st.integers(1, 300),
    levels=st.sampled_from([1, 2, 3, 7, 10, 15, 31]),
    signed=st.integers(0, 1),
)
def test_a_neuron_sends_the_value_of_the_integer_network(name, above, v, theta, levels, signed):
    sent, slot = fire_train(name, v, theta, levels, signed, above)
    assert coding(name).decode(sent, slot) == expected(v, theta, levels, signed)


@pytest.mark.parametrize("name", WINDOWED)
@pytest.mark.parametrize("levels", [1, 7, 10, 15])
@pytest.mark.parametrize("theta", [1, 2, 7])
def test_ties_and_their_neighbours_are_exact(name, levels, theta):
    for k in range(-levels - 2, levels + 3):
        for v in (k * theta - 1, k * theta, k * theta + 1):
            for signed in (0, 1):
                sent, slot = fire_train(name, v, theta, levels, signed)
                assert coding(name).decode(sent, slot) == expected(v, theta, levels, signed)


@pytest.mark.parametrize("name", WINDOWED)
@given(q=st.integers(-255, 255), levels=st.sampled_from([1, 10, 15, 255]))
def test_encoding_and_decoding_are_inverse_and_cost_the_closed_form(name, q, levels):
    q = max(-levels, min(levels, q))
    code = coding(name)
    slot = Slot(0, 0, code.steps(levels), levels, signed=True)
    sent = code.encode(np.array([q]), slot)
    assert sent.shape == (code.steps(levels), 1)
    assert code.decode(sent, slot)[0] == q
    assert np.count_nonzero(sent) == code.spikes_per_value(levels)[abs(q)]


@given(q=st.integers(-16, 16), steps=st.integers(16, 40))
def test_rate_spreads_the_spikes_of_an_input_evenly(q, steps):
    sent = coding("rate").encode(np.array([q]), Slot(0, 0, steps, 16, True))[:, 0]
    assert sent.sum() == q
    assert set(np.unique(sent)) <= {0, 1 if q > 0 else -1}
    times = np.flatnonzero(sent)
    if len(times) > 1:
        assert np.ptp(np.diff(times)) <= 1


@given(q=st.integers(-255 * 8, 255 * 8))
def test_a_current_is_spread_over_all_steps_and_sums_to_its_value(q):
    sent = coding("rate").encode(np.array([q]), Slot(0, 0, 8, 255 * 8, True))[:, 0]
    assert sent.sum() == q
    assert np.ptp(sent) <= 1


def test_a_current_of_a_multiple_of_the_steps_is_constant():
    sent = coding("rate").encode(np.array([800, -12]), Slot(0, 0, 4, 1020, True))
    assert sent.tolist() == [[200, -3]] * 4


@given(inputs=st.lists(st.integers(-20, 30), min_size=1, max_size=40), theta=st.integers(1, 25))
def test_a_rate_neuron_keeps_what_it_has_not_sent(inputs, theta):
    code = coding("rate")
    v, zero, aux, out = (
        np.array([theta // 2]),
        np.zeros(1, np.int64),
        np.zeros(1, np.int64),
        np.zeros(1, np.int32),
    )
    total = 0
    for step, x in enumerate(inputs):
        code.integrate(np.array([x]), v, zero, zero, 1, 1, 0, -HUGE, HUGE)
        code.fire(v, aux, out, np.array([theta]), 1, step, len(inputs), len(inputs), 2, 0)
        total += int(out[0])
        assert total == aux[0] >= 0
    assert v[0] == theta // 2 + sum(inputs) - theta * total


def test_ttfs_counts_an_arrival_in_every_step_until_the_window_ends():
    code = coding("ttfs")
    v, slope, current = np.array([5]), np.zeros(1, np.int64), np.zeros(1, np.int64)
    for arrival, boundary in ((3, 0), (0, 0), (1, 1), (0, 0)):
        code.integrate(np.array([arrival]), v, slope, current, 1, 0, boundary, -HUGE, HUGE)
    assert v[0] == 5 + 3 * 3 + 1
    assert slope[0] == 0


@given(
    membranes=st.lists(st.integers(-300, 300), min_size=1, max_size=20),
    theta=st.integers(1, 25),
    signed=st.integers(0, 1),
)
def test_a_ttfs_neuron_never_sends_twice(membranes, theta, signed):
    """Not even where its membrane moves while it may fire."""
    aux, out, sent, steps = np.zeros(1, np.int64), np.zeros(1, np.int32), [], len(membranes)
    for step, v in enumerate(membranes):
        coding("ttfs").fire(np.array([v]), aux, out, np.array([theta]), 1, step, steps, steps, signed, 0)
        sent.append(int(out[0]))
    assert np.count_nonzero(sent) <= 1


@given(
    membranes=st.lists(st.integers(-300, 300), min_size=1, max_size=20),
    theta=st.integers(1, 25),
    signed=st.integers(0, 1),
    above=st.integers(0, 1),
)
def test_what_a_graded_neuron_has_sent_adds_up_to_its_value(membranes, theta, signed, above):
    aux, out, total = np.zeros(1, np.int64), np.zeros(1, np.int32), 0
    for v in membranes:
        membrane = np.array([v + above])
        coding("graded").fire(membrane, aux, out, np.array([theta]), 1, 0, 1, 7, signed, above)
        total += int(out[0])
        assert total == expected(v, theta, 7, signed)
        assert membrane[0] == v + above


@pytest.mark.parametrize("levels", [1, 7, 8, 15, 255])
@pytest.mark.parametrize("signed", [False, True])
def test_a_payload_holds_every_value_and_every_change_and_no_bit_is_spare(levels, signed):
    code, lowest = coding("graded"), -levels if signed else 0
    for changes, low, high in ((False, lowest, levels), (True, lowest - levels, levels - lowest)):
        bits = code.payload_bits(levels, signed, changes=changes)
        magnitude = bits - (low < 0)
        assert 2**magnitude > high >= 2 ** (magnitude - 1)


@pytest.mark.parametrize("name", sorted(set(CODINGS) - {"graded"}))
def test_the_spikes_of_other_codes_carry_no_value(name):
    assert coding(name).payload_bits(255, signed=True) == 0
    assert not coding(name).streams


def test_phase_weighs_early_arrivals_more_and_adds_them_at_the_boundary():
    code = coding("phase")
    v, dendrite, current = np.array([5]), np.zeros(1, np.int64), np.zeros(1, np.int64)
    for arrival, boundary in ((3, 0), (0, 0), (1, 1)):
        code.integrate(np.array([arrival]), v, dendrite, current, 1, 0, boundary, -HUGE, HUGE)
    assert v[0] == 5 + 4 * 3 + 1
    assert dendrite[0] == 0


@pytest.mark.parametrize("name", sorted(CODINGS))
def test_registers_saturate_once_a_step_and_are_counted(name):
    v, dendrite, current = np.array([120, 0]), np.zeros(2, np.int64), np.zeros(1, np.int64)
    count = coding(name).integrate(np.array([1000, 3]), v, dendrite, current, 1, 1, 0, -128, 127)
    assert count == (2 if name == "ttfs" else 1)  # its slope clips, and so does the membrane that it joins
    assert max(v.max(), dendrite.max()) == 127


@pytest.mark.parametrize("name", sorted(c for c in CODINGS if CODINGS[c].keeps))
@pytest.mark.parametrize("kind", [np.int32, np.int64])
@pytest.mark.parametrize(("active", "boundary"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_registers_keep_what_they_hold_where_nothing_is_added(name, kind, active, boundary):
    """Up to both ends of their range; a current is added only while a block is active."""
    v = np.array([-128, -127, -1, 0, 1, 126, 127], kind)
    none = np.zeros(7, kind)
    before, dendrite = v.copy(), none.copy()
    current = none if active else np.full(7, 9, kind)
    clipped = CODINGS[name].integrate(none, v, dendrite, current, 7, active, boundary, -128, 127)
    assert (clipped, v.tolist(), dendrite.any()) == (0, before.tolist(), False)


def test_an_unknown_coding_names_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'phase'"):
        coding("phaze")
