"""What is printed of time and energy, from the facts of real runs of a small program."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from rich.console import Console, Group

from nmcompiler.compiler import run_program
from nmcompiler.frontend.data import Samples
from nmcompiler.report.cost_lines import step_line
from nmcompiler.report.energy_text import energy_text, expected_parts
from nmcompiler.report.schema import load_schema
from nmcompiler.report.text import run_text
from nmcompiler.target import Figure
from nmcompiler.testing import random_samples
from nmcompiler.testing.programs import random_program

Facts = dict[str, Any]

FIGURES = {
    "energy_per_synop_pj": 23.6,
    "energy_per_neuron_update_inactive_pj": 52.0,
    "static_power_per_chip_mw": 30.0,
    "time_per_synop_ns": 3.5,
    "time_per_barrier_ns": 113.0,
}
ANN = [
    {
        "name": "fc",
        "macs": 1000,
        "additions": 0,
        "weights": 1000,
        "reads": 100,
        "writes": 10,
        "from_input": True,
    }
]


def facts(figures=FIGURES, step_us=None) -> Facts:
    made = {key: Figure(value, f"paper of {key}", "measured", "marginal") for key, value in figures.items()}
    program = random_program(5)
    tick = None if step_us is None else Figure(step_us, "a paper", "measured", "marginal")
    target = replace(program.target, figures=made, step_us=tick)
    samples = Samples(random_samples(program.golden.network, 5, 4), None)
    return run_program(replace(program, target=target, report={"ann": ANN}), samples).facts


@pytest.fixture(scope="module")
def run_of_a_bound() -> Facts:
    return facts()


def plain(*parts: Any) -> str:
    console = Console(file=io.StringIO(), width=80, markup=False, highlight=False)
    console.print(Group(*parts))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def words(*parts: Any) -> str:
    return " ".join(plain(*parts).split())


def test_the_facts_are_those_of_the_schema(run_of_a_bound: Facts) -> None:
    for found in (run_of_a_bound, facts({}), facts({}, step_us=1.0)):
        jsonschema.validate(found, load_schema("run"))


def test_a_run_names_time_bottleneck_throughput_energy_and_break_even(run_of_a_bound: Facts) -> None:
    said = words(run_text(run_of_a_bound))
    time = run_of_a_bound["time"]
    assert f"the longest part is {time['bottleneck']}" in said
    assert f"then {time['second']}" in said
    assert "latency" in said
    assert "(modelled)" in said
    assert "throughput at most" in said
    assert "energy at least" in said
    assert "break-even" in said


def test_a_fixed_tick_is_not_called_a_model() -> None:
    found = facts({**FIGURES}, step_us=1000.0)
    said = words(run_text(found))
    assert "(modelled)" not in said
    assert "step 1.00 ms, the chip's tick" in said


def test_a_chip_without_figures_is_told_so() -> None:
    found = facts({})
    assert step_line(found["time"]) is None
    said = words(*energy_text(found))
    assert "nothing is priced: no figure of this chip is published" in said
    assert "the chip's step time is not published" in words(run_text(found))


def test_the_receipt_shows_every_row_its_source_and_what_is_missing(run_of_a_bound: Facts) -> None:
    said = words(*energy_text(run_of_a_bound))
    for row in run_of_a_bound["energy"]["receipt"]:
        assert row["event"] in said
        assert row["source"] in said
        assert f"{row['pj']:g}" in said
    assert "so that the total is a lower bound: energy_per_spike_pj" in said
    assert "Parts of a step" in said
    assert "synops over these MACs" in said


def test_terms_within_others_are_named(run_of_a_bound: Facts) -> None:
    energy = {**run_of_a_bound["energy"], "included": [{"term": "hops", "within": "energy_per_synop_pj"}]}
    assert "hops: within energy_per_synop_pj" in words(*energy_text({**run_of_a_bound, "energy": energy}))


def test_everything_fits_80_columns(run_of_a_bound: Facts) -> None:
    rows = [dict(row) for row in run_of_a_bound["energy"]["receipt"]]
    for row in rows:
        row.update(layer="a_very_long_name_of_a_layer/with/slashes/and_more", count=row["count"] * 1e9)
    long = {**run_of_a_bound, "energy": {**run_of_a_bound["energy"], "receipt": rows}}
    assert max(map(len, plain(*energy_text(long)).splitlines())) <= 80
    assert "…" not in plain(*energy_text(long))


def test_inspect_shows_the_expected_parts_where_a_program_holds_them(program_facts: Facts) -> None:
    assert list(expected_parts(program_facts)) == []
    program_facts["time"] = facts()["time"]
    said = words(*expected_parts(program_facts))
    assert "Parts of a step, expected from the calibration samples" in said
    assert "13 steps" in said
