"""The receipt: what is counted, what it costs, and that it adds up to the last digit."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.compiler import run_program
from nmcompiler.frontend.data import Samples
from nmcompiler.program.container import save
from nmcompiler.report.energy import LayerEvents, energy_facts, layer_events
from nmcompiler.report.facts import population_names
from nmcompiler.report.timing import time_facts
from nmcompiler.report.workload import workload
from nmcompiler.sim import Simulator
from nmcompiler.target import Figure
from nmcompiler.testing import random_samples
from nmcompiler.testing.programs import random_program
from tests.oracle import oracle
from tests.sim.handmade import program as handmade

PRICES = {
    "energy_per_synop_pj": 23.6,
    "energy_per_spike_pj": 1.7,
    "energy_per_hop_pj": 3.5,
    "energy_per_neuron_update_active_pj": 81.0,
    "energy_per_neuron_update_inactive_pj": 52.0,
}
STATIC = {"static_power_per_chip_mw": 104.4}
EVENTS = LayerEvents(
    "layer",
    synops=1000,
    spikes=50,
    hops_east_west=15,
    hops_north_south=5,
    active_updates=50,
    inactive_updates=150,
    membrane_starts=4,
)


def figure(value, kind="marginal", includes=()):
    return Figure(value, "a paper", "measured", kind, includes)


def priced(program, step_us=None, **figures):
    made = {key: f if isinstance(f, Figure) else figure(f) for key, f in figures.items()}
    tick = None if step_us is None else figure(step_us)
    return replace(program, target=replace(program.target, figures=made, step_us=tick))


def time(latency_us=None, unpriced=()):
    return {"latency_us": latency_us, "unpriced": list(unpriced)}


def facts(latency_us=None, events=EVENTS, samples=1, **figures):
    return energy_facts(priced(handmade("phase"), **figures), [events], time(latency_us), samples)


def test_a_fully_priced_sample_is_the_sum_of_its_events_and_of_static_power():
    found = facts(100.0, **PRICES, static_power_per_chip_mw=30.0)
    # 1000 · 23.6 + 50 · 1.7 + 20 · 3.5 + 50 · 81 + 150 · 52 pJ
    assert found["run_fj"]["dynamic"] == 35_605_000
    # 30 mW · 100 µs = 3000 nJ
    assert found["run_fj"]["static"] == 3_000_000_000
    assert found["run_fj"]["total"] == 3_035_605_000
    assert found["total_uj"] == pytest.approx(3.035605)
    assert not found["is_lower_bound"]
    assert found["unpriced"] == []


def test_every_row_says_what_was_counted_at_what_price_from_where():
    row = facts(100.0, **PRICES)["receipt"][0]
    assert row == {
        "layer": "layer",
        "event": "synops",
        "count": 1000,
        "figure": "energy_per_synop_pj",
        "pj": 23.6,
        "fj": 23_600_000,
        "source": "a paper",
        "evidence": "measured",
        "kind": "marginal",
    }


@pytest.mark.parametrize("key", sorted(PRICES))
def test_a_term_that_nobody_priced_is_named_and_the_total_a_lower_bound(key):
    some = {k: v for k, v in PRICES.items() if k != key}
    less = facts(1.0, **some, **STATIC)
    assert less["unpriced"] == [key]
    assert less["is_lower_bound"]
    assert less["total_uj"] < facts(1.0, **PRICES, **STATIC)["total_uj"]


def test_without_any_figure_nothing_is_said_instead_of_zero():
    found = facts(1.0)
    assert found["total_uj"] is found["dynamic_uj"] is found["static_uj"] is None
    assert found["receipt"] == []
    assert found["is_lower_bound"]
    assert set(found["unpriced"]) == {*PRICES, "static_power_per_chip_mw"}


def test_static_power_needs_the_duration_of_a_step():
    found = facts(None, **PRICES, **STATIC)
    assert found["static_uj"] is None
    assert found["unpriced"] == ["step_us"]
    assert found["total_uj"] == found["dynamic_uj"]


def test_static_energy_of_a_bound_of_the_time_is_a_bound():
    program = priced(handmade("phase"), **PRICES, **STATIC)
    found = energy_facts(program, [EVENTS], time(10.0, ["time_per_barrier_ns"]), 1)
    assert found["static_uj"] == pytest.approx(1.044)
    assert found["unpriced"] == ["time_per_barrier_ns"]
    assert found["is_lower_bound"]


def test_events_that_did_not_happen_cost_nothing_but_are_priced():
    found = facts(1.0, LayerEvents("layer"), **PRICES, **STATIC)
    assert found["dynamic_uj"] == 0.0
    assert [row["layer"] for row in found["receipt"]] == [None]


def test_hops_have_two_prices_where_they_were_published_apart():
    some = {k: v for k, v in PRICES.items() if k != "energy_per_hop_pj"}
    found = facts(1.0, **some, energy_per_hop_east_west_pj=3.0, energy_per_hop_north_south_pj=4.0)
    hops = {row["event"]: row["fj"] for row in found["receipt"] if row["event"].startswith("hops")}
    assert hops == {"hops east-west": 45_000, "hops north-south": 20_000}
    assert "energy_per_hop_pj" not in found["unpriced"]


def test_membranes_and_weights_cost_only_where_somebody_priced_them():
    found = facts(1.0, **PRICES, energy_per_membrane_start_pj=10.0, energy_per_weight_read_pj=1.0)
    rows = {row["event"]: row["fj"] for row in found["receipt"]}
    assert (rows["membrane starts"], rows["weight reads"]) == (40_000, 1_000_000)
    assert facts(1.0, **PRICES, **STATIC)["unpriced"] == []


def test_what_a_price_contains_is_neither_priced_again_nor_missed():
    """A synaptic event that was measured with its routing and its updates."""
    others = tuple(key for key in PRICES if key != "energy_per_synop_pj")
    synop = figure(2.297, includes=others)
    found = facts(1.0, energy_per_synop_pj=synop, **STATIC)
    assert found["unpriced"] == []
    assert not found["is_lower_bound"]
    assert {entry["within"] for entry in found["included"]} == {"energy_per_synop_pj"}
    assert len(found["included"]) == 4
    assert found["run_fj"]["dynamic"] == 2_297_000


def test_an_average_price_contains_static_power():
    found = facts(1.0, **{**PRICES, "energy_per_synop_pj": figure(26.0, "average")}, **STATIC)
    assert found["static_uj"] is None
    assert found["included"] == [{"term": "static power", "within": "energy_per_synop_pj"}]
    assert found["unpriced"] == []
    assert {row["kind"] for row in found["receipt"]} == {"marginal", "average"}


def test_a_clock_costs_cycles_beside_the_power_at_rest():
    """27.3 µW and 1.78 µW/MHz at 75 MHz: 160.8 µW, so 160.8 pJ a µs."""
    found = facts(
        10.0,
        static_power_per_chip_mw=0.0273,
        clock_mhz=75.0,
        clock_power_per_chip_mhz_mw=0.00178,
        **PRICES,
    )
    assert found["run_fj"]["static"] == 1_608_000
    assert [row["event"] for row in found["receipt"] if row["layer"] is None] == [
        "static power, chip·µs",
        "clock, chip·cycles",
    ]


def test_cores_in_use_cost_power_beside_their_chip():
    """Two cores: 2 · 0.5 mW · 10 µs = 10 nJ, beside 20 nJ of the chip."""
    found = facts(10.0, static_power_per_chip_mw=2.0, static_power_per_core_mw=0.5, **PRICES)
    assert [row["fj"] for row in found["receipt"] if row["layer"] is None] == [20_000_000, 10_000_000]
    assert found["run_fj"]["static"] == 30_000_000


def run(program, x):
    """The energy of a run on samples, as ``run`` computes it, and the run."""
    result = Simulator(program).run(x)
    work = workload(program, result.spikes_per_neuron)
    layers = layer_events(program, work, result.samples, population_names(program))
    spent = time_facts(program, work, result.samples)
    return energy_facts(program, layers, spent, result.samples), result


def twice(x):
    return {name: np.concatenate([values, values]) for name, values in x.items()}


seeds, codes = st.integers(0, 30), st.sampled_from(["phase", "ttfs", "graded", "rate"])
prices = st.decimals(min_value="0.001", max_value="500", places=3).map(float)


@settings(max_examples=15, deadline=None)
@given(seeds, codes, st.fixed_dictionaries(dict.fromkeys((*PRICES, *STATIC), prices)))
def test_rows_layers_and_total_add_up_to_the_last_digit(seed, code, figures):
    program = priced(random_program(seed, code), step_us=1.25, **figures)
    found, _ = run(program, random_samples(program.golden.network, seed, 2))
    rows = found["receipt"]
    by_layer = [sum(row["fj"] for row in group) for _, group in groupby(rows, key=lambda row: row["layer"])]
    assert sum(by_layer) == sum(row["fj"] for row in reversed(rows)) == found["run_fj"]["total"]
    assert found["run_fj"]["dynamic"] + by_layer[-1] == found["run_fj"]["total"]
    assert by_layer[-1] == found["run_fj"]["static"] == rows[-1]["fj"]
    assert rows[-1]["layer"] is None
    assert found["total_uj"] * 2 * 1e9 == pytest.approx(found["run_fj"]["total"], rel=1e-15)


@settings(max_examples=10, deadline=None)
@given(seeds, codes)
def test_twice_the_samples_cost_twice_the_energy(seed, code):
    program = priced(random_program(seed, code), step_us=1.25, **PRICES, **STATIC)
    x = random_samples(program.golden.network, seed, 2)
    (once, _), (again, _) = run(program, x), run(program, twice(x))
    assert again["run_fj"] == {key: 2 * fj for key, fj in once["run_fj"].items()}
    assert again["total_uj"] == once["total_uj"]


@settings(max_examples=10, deadline=None)
@given(seeds, st.sampled_from(["phase", "ttfs", "graded"]))
def test_a_network_of_zeros_costs_static_power_and_idle_updates(seed, code):
    made = random_program(seed, code)
    start = made.arrays["theta"] // 2 + (made.fires_when == "gt")
    start = np.where(np.isin(np.arange(len(start)), _readout_entries(made)), start * 0, start)
    zeros = made.with_arrays(weights=made.arrays["weights"] * 0, v0=start)
    program = priced(zeros, step_us=1.25, **{**PRICES, "energy_per_hop_pj": 1e-3}, **STATIC)
    silent = {name: values * 0 for name, values in random_samples(made.golden.network, seed, 3).items()}
    found, result = run(program, silent)
    placed = np.repeat(program.column("core") >= 0, program.column("n"))
    assert not result.spikes_per_neuron[placed].any()
    neurons = int(placed.sum())
    idle = neurons * program.total_steps * 3 * 52_000
    static = round(104.4 * 1.25 * program.total_steps * 3 * 1e6)
    # What an input that stands for another zero than 0 sends still moves, and reaches its synapses.
    sent = sum(r["fj"] for r in found["receipt"] if r["event"] in ("synops", "hops"))
    assert found["run_fj"]["total"] == idle + static + sent
    assert {r["event"] for r in found["receipt"]} <= {
        "inactive updates",
        "static power, chip·µs",
        "synops",
        "hops",
    }
    if not result.spikes_per_neuron.any():
        assert sent == 0


def _readout_entries(program):
    mine = program.column("levels") == 0
    first, count = program.column("param0")[mine], program.column("param_n")[mine]
    return np.concatenate([np.arange(f, f + c) for f, c in zip(first, count, strict=True)])


@pytest.mark.parametrize("code", ["phase", "rate"])
def test_what_run_reports_is_the_receipt_of_its_own_counters(code):
    program = priced(random_program(4, code), step_us=2.0, **PRICES, **STATIC)
    samples = Samples(random_samples(program.golden.network, 4, 5), None)
    found = run_program(program, samples, batch=2).facts
    events = {}
    for row in found["energy"]["receipt"]:
        events[row["event"]] = events.get(row["event"], 0) + row["count"]
    assert events["synops"] == pytest.approx(found["synops_per_sample"] * 5)
    assert events["hops"] == pytest.approx(found["hops_per_sample"] * 5)
    neurons = int(program.column("n")[program.column("core") >= 0].sum())
    assert events["spikes"] == events["active updates"]
    assert events["spikes"] == pytest.approx(found["spikes_per_neuron"] * neurons * 5)
    updates = events["active updates"] + events["inactive updates"]
    assert updates == neurons * program.total_steps * 5
    assert found["latency_us"] == found["time"]["latency_us"] == pytest.approx(2.0 * program.total_steps)


@pytest.mark.parametrize("each", [1, 2, 3])
@pytest.mark.parametrize("code", ["phase", "rate"])
def test_the_receipt_counts_an_update_for_every_compartment(tmp_path, code, each):
    """Against the independent simulator, compartment by compartment of the program file."""
    made = random_program(4, code)
    target = replace(made.target, compartments_per_neuron=each)
    program = priced(replace(made, target=target), **PRICES, energy_per_membrane_start_pj=10.0)
    x = random_samples(program.golden.network, 4, 2)
    save(program, tmp_path / "p.nmc")
    read = oracle.read(tmp_path / "p.nmc")
    walked = [oracle.updates(read, events) for events in oracle.run(read, x).events]
    active, inactive = map(sum, zip(*walked, strict=True))
    found, result = run(program, x)
    events = Counter()
    for row in found["receipt"]:
        events[row["event"]] += row["count"]
    assert (events["active updates"], events["inactive updates"]) == (active, inactive)
    placed = np.repeat(program.column("core") >= 0, program.column("n"))
    assert events["spikes"] * each == active
    assert events["membrane starts"] == each * int(placed.sum()) * result.samples


def test_only_what_is_updated_or_started_grows_with_the_compartments():
    made = random_program(3, "phase")
    x = random_samples(made.golden.network, 3, 2)
    rows = []
    for each in (1, 2):
        program = replace(made, target=replace(made.target, compartments_per_neuron=each))
        found, _ = run(priced(program, step_us=1.0, **PRICES, **STATIC), x)
        rows.append({(row["layer"], row["event"]): row["fj"] for row in found["receipt"]})
    single, double = rows
    assert double == {key: fj * (2 if "updates" in key[1] else 1) for key, fj in single.items()}


def test_synops_belong_to_the_layer_whose_synapses_they_are():
    program = handmade("phase")
    work = workload(program, np.array([2, 1, 1, 0, 0]))
    layers = layer_events(program, work, 1, ["x", "hidden", "y"])
    assert [layer.synops for layer in layers] == [0, 6, 1]
    assert [layer.spikes for layer in layers] == [0, 1, 0]
    # the host's events cross one link to (0, 1); those of the hidden layer two east and two south
    assert [(layer.hops_east_west, layer.hops_north_south) for layer in layers] == [(3, 0), (2, 2), (0, 0)]
    assert [layer.inactive_updates for layer in layers] == [0, 2 * 5 - 1, 5]
    assert [layer.membrane_starts for layer in layers] == [0, 2, 1]
