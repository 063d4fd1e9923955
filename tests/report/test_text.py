from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console, RenderableType

from nmcompiler.report.text import compile_text, demo_text, inspect_text, run_text

Facts = dict[str, Any]


def plain(part: RenderableType) -> str:
    console = Console(file=io.StringIO(), width=80, markup=False, highlight=False)
    console.print(part)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def words(part: RenderableType) -> str:
    return " ".join(plain(part).split())


def test_compile_names_network_chip_code_and_cores(program_facts: Facts) -> None:
    said = words(compile_text(program_facts))
    assert "lenet on generic-digital, code phase" in said
    assert "2 on 1 chip, no partition needs fewer than 2; 128 available" in said
    assert "the placed program is the integer network" in said
    assert "impossible in all 2 blocks" in said


def test_names_with_brackets_are_no_markup(program_facts: Facts) -> None:
    assert "conv[1]" in plain(compile_text(program_facts))


def test_every_report_fits_80_columns(program_facts: Facts, run_facts: Facts) -> None:
    program_facts["warnings"] = ["a warning that is so long that it has to be broken somewhere " * 2]
    program_facts["layers"][0]["name"] = "a_very_long_name_of_a_layer/with/slashes/and_more_of_it"
    for part in (inspect_text(program_facts), demo_text(program_facts, run_facts)):
        assert max(map(len, plain(part).splitlines())) <= 80


def test_levels_of_outputs_and_ties_are_said_where_there_are_any(
    program_facts: Facts, run_facts: Facts
) -> None:
    assert "output levels" not in words(compile_text(program_facts))
    assert "ties" not in words(run_text(run_facts))
    program_facts["output_levels"], run_facts["tied_answers"] = 65_535, 12
    assert "input levels 255 (spikes), output levels 65535, weights of 8 bits" in words(
        compile_text(program_facts)
    )
    assert "in 12 samples several outputs are the largest" in words(run_text(run_facts))
    assert max(map(len, plain(inspect_text(program_facts)).splitlines())) <= 80


def test_the_fullest_core_is_that_with_the_largest_share_of_a_limit(program_facts: Facts) -> None:
    assert "core 0: 512 of 1,024 neurons (50 %)" in words(compile_text(program_facts))


def test_where_a_neuron_takes_several_compartments_those_are_counted_on_cores(program_facts: Facts) -> None:
    assert "compartments" not in words(inspect_text(program_facts))
    program_facts["compartments_per_neuron"] = 2
    said = words(inspect_text(program_facts))
    assert "neurons 522, synapses" in said
    assert "core 0: 512 of 1,024 compartments (50 %)" in said
    assert "compartments 261 512 1,024 50 % 0" in said
    assert "core comp." in said


def test_a_failed_static_check_is_shouted(program_facts: Facts) -> None:
    program_facts["static_check"] = {
        "ok": False,
        "message": "theta of 'conv'",
        "populations": 3,
        "synapses": 1,
    }
    assert "FAILED: theta of 'conv'" in words(compile_text(program_facts))


def test_unproved_blocks_are_said_to_run_step_by_step(program_facts: Facts) -> None:
    program_facts["certificate"] = {"proved": 1, "blocks": 2}
    assert "impossible in 1 of 2 blocks; the others run step by step" in words(compile_text(program_facts))


def test_inspect_shows_the_schedule(program_facts: Facts) -> None:
    said = words(inspect_text(program_facts))
    assert "windows start at steps 0, 8, 12; 13 steps a sample" in said
    assert "dense 2 12 12 read-out" in said


def test_inspect_shows_the_fullest_cores_first_and_all_on_request(program_facts: Facts) -> None:
    program_facts["limits"] = [
        {"core": core, "resource": "neurons", "used": core + 1, "limit": 100} for core in range(20)
    ]
    few, every = plain(inspect_text(program_facts)), plain(inspect_text(program_facts, every=True))
    assert "12 more cores: --all" in few
    assert few.index("\n19 ") < few.index("\n12 ")
    assert "\n0 " not in few
    assert "\n0 " in every
    assert "more cores" not in every


def test_a_program_without_golden_network_or_limits_can_be_shown(program_facts: Facts) -> None:
    program_facts.update(
        static_check=None, placement=None, host_macs_share=None, compile_seconds=None, limits=[]
    )
    said = words(inspect_text(program_facts))
    assert "no golden network" in said
    assert "no resource is limited" in said


def test_run_shows_accuracy_and_mismatches(run_facts: Facts) -> None:
    said = words(run_text(run_facts))
    assert "91.3 % 91.0 % 91.0 %" in said
    assert "outputs 0, activations 0, membranes 0" in said
    assert "250,000 a sample" in said


def test_run_without_labels_shows_no_accuracy(run_facts: Facts) -> None:
    run_facts["accuracy"] = {"float": None, "integer": None, "chip": None}
    said = words(run_text(run_facts))
    assert "1,000 samples, no labels" in said
    assert "accuracy" not in said


def test_run_of_an_inexact_code_says_why_nothing_was_compared(run_facts: Facts) -> None:
    run_facts.update(mismatched_outputs=None, mismatched_activations=None, mismatched_membranes=None)
    assert "not compared: the code is not exact" in words(run_text(run_facts))


@pytest.mark.parametrize(
    ("microjoules", "text"),
    [(2500.0, "2.50 mJ"), (3.25, "3.25 µJ"), (0.0125, "12.50 nJ"), (1e-5, "10.00 pJ")],
)
def test_energy_is_given_in_the_unit_that_suits_it(run_facts: Facts, microjoules: float, text: str) -> None:
    run_facts["energy"].update(total_uj=microjoules)
    assert f"at least {text} a sample" in words(run_text(run_facts))


def test_energy_that_nobody_published_is_no_zero(run_facts: Facts) -> None:
    assert "energy – (no figure of this chip is published)" in words(run_text(run_facts))


def test_a_rate_is_told_in_millions_only_where_it_is_that_large(run_facts: Facts) -> None:
    run_facts["synops_per_second"] = 123456
    assert "; 123,456 synops a second" in words(run_text(run_facts))
    run_facts["synops_per_second"] = 1.8e9
    assert "; 1,800 million synops a second" in words(run_text(run_facts))
