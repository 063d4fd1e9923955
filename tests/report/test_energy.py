from dataclasses import replace

import pytest

from nmcompiler.report.energy import Events, energy, latency_us
from nmcompiler.target import Figure
from nmcompiler.testing import tiny_target

EVENTS = Events(
    synops=1000.0, spikes=50.0, hops=20.0, active_updates=50.0, inactive_updates=150.0, steps=40, chips=2
)
PRICES = {
    "energy_per_synop_pj": 10.0,
    "energy_per_spike_pj": 100.0,
    "energy_per_hop_pj": 5.0,
    "energy_per_neuron_update_active_pj": 80.0,
    "energy_per_neuron_update_inactive_pj": 40.0,
}


def figure(value):
    return Figure(value, "a paper", "measured", "marginal")


def chip(step_us=None, **prices):
    figures = {key: figure(value) for key, value in prices.items()}
    return replace(tiny_target(), figures=figures, step_us=None if step_us is None else figure(step_us))


def test_a_fully_priced_sample_is_the_sum_of_its_events_and_of_static_power():
    result = energy(chip(step_us=2.5, **PRICES, static_power_per_chip_mw=30.0), EVENTS)
    # 1000 · 10 + 50 · 100 + 20 · 5 + 50 · 80 + 150 · 40 pJ
    assert result["dynamic_uj"] == pytest.approx(25_100e-6)
    # 30 mW · 2 chips · 40 steps · 2.5 µs = 6000 nJ
    assert result["static_uj"] == pytest.approx(6.0)
    assert result["total_uj"] == pytest.approx(6.0251)
    assert not result["is_lower_bound"]
    assert result["unpriced"] == []


@pytest.mark.parametrize("key", sorted(PRICES))
def test_a_term_that_nobody_priced_is_named_and_the_total_a_lower_bound(key):
    some = {k: v for k, v in PRICES.items() if k != key}
    all_of_it = energy(chip(step_us=1.0, static_power_per_chip_mw=1.0, **PRICES), EVENTS)
    less = energy(chip(step_us=1.0, static_power_per_chip_mw=1.0, **some), EVENTS)
    assert less["unpriced"] == [key]
    assert less["is_lower_bound"]
    assert less["total_uj"] < all_of_it["total_uj"]


def test_without_any_figure_nothing_is_said_instead_of_zero():
    result = energy(chip(), EVENTS)
    assert result["total_uj"] is result["dynamic_uj"] is result["static_uj"] is None
    assert result["is_lower_bound"]
    assert set(result["unpriced"]) == {*PRICES, "static_power_per_chip_mw"}


def test_static_power_needs_the_duration_of_a_step():
    result = energy(chip(**PRICES, static_power_per_chip_mw=30.0), EVENTS)
    assert result["static_uj"] is None
    assert result["unpriced"] == ["step_us"]
    assert result["total_uj"] == result["dynamic_uj"]


def test_events_that_did_not_happen_cost_nothing_but_are_priced():
    result = energy(chip(step_us=1.0, **PRICES), Events(0.0, 0.0, 0.0, 0.0, 0.0, 10, 1))
    assert result["dynamic_uj"] == 0.0


def test_latency_is_steps_times_their_duration_where_that_is_known():
    assert latency_us(chip(step_us=2.5), 40) == pytest.approx(100.0)
    assert latency_us(chip(), 40) is None
