"""Files that people write by hand: what is wrong is named with its key, its line and what is allowed."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from nmcompiler.codings import CODINGS
from nmcompiler.errors import TargetFileError
from nmcompiler.target import target_from_toml, target_to_toml
from nmcompiler.testing import tiny_target

TEXT = """\
name = "mine"
title = "My chip"
backend = "digital"
codings = ["phase", "graded"]
input_encodings = [
    "spikes",
    "graded",
]
max_chips = 2
weight_bits = 8
weight_sharing = true
membrane_bits = 24
graded_payload_bits = 8
bias = { mantissa_bits = 12 }

[threshold]
bits = 20  # of them none for the sign

[mesh]
rows = 2
columns = 2

[[core_types]]
count = 1
limits = { neurons = 64, fan_in = 32 }

[[core_types]]
count = 3
limits = { neurons = 64, synapse_bits = 4096 }

[figures.energy_per_synop_pj]
value = 5
source = "Somebody 2020, Table 1"
evidence = "measured"
kind = "marginal"

[figures.static_power_per_chip_mw]
value = 2
source = "Somebody 2020, Table 2"
evidence = "vendor"
kind = "marginal"
"""

WRONG = {
    "a wrong type": ("weight_bits = 8", "weight_bits = 8.5", 10, "'weight_bits' is 8.5; allowed: a whole"),
    "a list for a number": ("weight_bits = 8", "weight_bits = [8]", 10, "is a list; allowed: a whole number"),
    "a text for a choice": ("weight_sharing = true", 'weight_sharing = "yes"', 11, "allowed: true or false"),
    "a missing table": (
        "[threshold]",
        "[tresholds]",
        16,
        "'tresholds' is not a known key; did you mean 'thr",
    ),
    "a missing entry": ("weight_bits = 8\n", "", None, "'weight_bits' is missing; allowed: a whole number"),
    "a missing entry of a table": ("rows = 2\n", "", 19, "'mesh.rows' is missing; allowed: a whole number"),
    "a misspelt key in a table": ("bits = 20", "bit = 20", 17, "'threshold.bit' is not a known key; did you"),
    "a misspelt key in a list of tables": (
        "synapse_bits",
        "synaps_bits",
        29,
        "'core_types[1].limits.synaps_bits' is not a known key; did you mean 'synapse_bits'",
    ),
    "a key of another table": (
        "rows = 2",
        "rows = 2\nneurons = 9",
        21,
        "'neurons' is an entry of the table 'core_types.limits'",
    ),
    "an entry below a table": (
        '"vendor"',
        '"vendor"\nsigned_spikes = true',
        41,
        "'signed_spikes' is an entry of the chip itself: it must stand above the first table",
    ),
    "entries that slipped into a table": (
        "max_chips = 2",
        "[network_limits]\nmax_chips = 2",
        None,
        "'max_chips' stands below the head of 'network_limits', and so in that table",
    ),
    "a key twice": (
        "weight_bits = 8",
        "weight_bits = 8\nweight_bits = 4",
        11,
        "'weight_bits' is given twice",
    ),
    "a key twice in a line": (
        "neurons = 64, f",
        "neurons = 64, neurons = 1, f",
        25,
        "'neurons' is given twice",
    ),
    "a table twice": ("[mesh]", "[threshold]", 19, "'threshold' is given twice"),
    "one table where there may be many": (
        TEXT[TEXT.index("[[core") : TEXT.index("[figures.e")],
        "[core_types]\ncount = 1\n",
        23,
        "'core_types' is a table; allowed: a list of tables, each headed [[core_types]]",
    ),
    "a negative count": (
        "count = 3",
        "count = -3",
        28,
        "'core_types[1].count' is -3; allowed: 1 to 1,000,000",
    ),
    "a limit of 0": (
        "fan_in = 32",
        "fan_in = 0",
        25,
        "'core_types[0].limits.fan_in' is 0; allowed: 1 or more",
    ),
    "no compartments": (
        "weight_bits = 8",
        "weight_bits = 8\ncompartments_per_neuron = 0",
        11,
        "'compartments_per_neuron' is 0; allowed: 1 to 64",
    ),
    "half a compartment": (
        "weight_bits = 8",
        "weight_bits = 8\ncompartments_per_neuron = 1.5",
        11,
        "'compartments_per_neuron' is 1.5; allowed: a whole number",
    ),
    "compartments of another name": (
        "weight_bits = 8",
        "weight_bits = 8\ncompartment_per_neuron = 2",
        11,
        "did you mean 'compartments_per_neuron'",
    ),
    "too few places": ("rows = 2", "rows = 1", 19, "'mesh' has 2 places for 4 cores"),
    "negative bits": (
        "mantissa_bits = 12",
        "mantissa_bits = -1",
        14,
        "'bias.mantissa_bits' is -1; allowed: 2 to",
    ),
    "a code that is none": ('"phase"', '"phases"', 4, "'codings[0]' is 'phases'; allowed: phase, rate-sync"),
    "a code twice": ('"phase"', '"graded"', 4, "'codings[1]' is 'graded' again; allowed: each once"),
    "an encoding that is none": (
        '"spikes",',
        '"spike",',
        5,
        "is 'spike'; allowed: spikes, current, graded, ho",
    ),
    "no name": ('name = "mine"', 'name = " "', 1, "'name' is ' '; allowed: any other text"),
    "a reserved name": ('name = "mine"', 'name = "auto"', 1, "'auto' stands for the smallest chip"),
    "a text without quotes": ('"My chip"', "mine", 2, "in 'title = mine'; texts stand in double quotes"),
    "a table that does not end": ("[mesh]", "[mesh", 19, "not valid TOML"),
    "an unknown unit": (
        "energy_per_synop_pj",
        "energy_per_synop_nj",
        31,
        "'figures.energy_per_synop_nj' is not a known figure; its unit is pJ: 'energy_per_synop_pj'",
    ),
    "an unknown figure": ("per_synop_pj", "per_synapse_pj", 31, "did you mean 'energy_per_synop_pj'"),
    "a figure without a source": (
        'source = "Somebody 2020, Table 2"\n',
        "",
        37,
        "chip_mw.source' is missing",
    ),
    "an empty source": (
        '"Somebody 2020, Table 2"',
        '""',
        39,
        "source' is empty; allowed: where the figure was",
    ),
    "evidence that is none": (
        '"vendor"',
        '"heard"',
        40,
        "evidence' is 'heard'; allowed: measured, simulated",
    ),
    "a figure of 0": ("value = 2", "value = 0", 38, "value' is 0; allowed: a number above 0, in mW"),
    "a figure that is no number": ("value = 2", "value = nan", 38, "value' is nan; allowed: a number"),
    "a figure without end": ("value = 2", "value = inf", 38, "value' is inf; allowed: a number"),
    "a figure with its unit": ("value = 2", 'value = "2 mW"', 38, "value' is '2 mW'; allowed: a number"),
    "a bare number as a figure": (
        "max_chips = 2",
        "max_chips = 2\nstep_us = 1",
        10,
        "'step_us' is 1; allowed: a table",
    ),
    "rules without a part": (
        "[mesh]",
        "[layer_rules]\ngroups = true\n\n[mesh]",
        19,
        "'layer_rules.first' is missing; allowed: a table",
    ),
}


def error(text: str) -> str:
    with pytest.raises(TargetFileError) as caught:
        target_from_toml(text, "mine.toml", tuple(CODINGS))
    return str(caught.value)


def test_the_file_itself_is_right() -> None:
    target = target_from_toml(TEXT, "mine.toml", tuple(CODINGS))
    assert target_from_toml(target_to_toml(target), "again") == target


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_named_with_its_line(case: str) -> None:
    old, new, line, sentence = WRONG[case]
    assert TEXT.count(old) >= 1
    said = error(TEXT.replace(old, new, 1))
    assert sentence in said
    found = re.match(r"mine\.toml(?:, line (\d+))?:", said)
    assert found is not None
    assert found[1] == (None if line is None else str(line))


def test_the_same_key_in_two_tables_is_found_in_the_right_one() -> None:
    second = TEXT.rindex('kind = "marginal"')
    said = error(TEXT[:second] + 'kind = "mean"\n')
    assert said.startswith("mine.toml, line 41: 'figures.static_power_per_chip_mw.kind' is 'mean'")


def test_a_core_without_room_for_all_compartments_of_a_neuron_is_named() -> None:
    text = TEXT.replace("weight_bits = 8", "weight_bits = 8\ncompartments_per_neuron = 3")
    assert target_from_toml(text, "mine.toml").neurons == 4 * 21
    said = error(text.replace("neurons = 64, synapse", "neurons = 2, synapse"))
    assert said.startswith("mine.toml, line 30: 'core_types[1].limits.neurons' is 2 where a neuron takes 3")
    assert "allowed: 3 or more; with compartments_per_neuron it counts compartments, not neurons" in said


def test_compartments_are_written_and_read() -> None:
    target = tiny_target(compartments_per_neuron=2)
    assert "\ncompartments_per_neuron = 2\n" in target_to_toml(target)
    assert target_from_toml(target_to_toml(target), "again") == target
    assert target_from_toml(TEXT, "mine.toml").compartments_per_neuron == 1


def test_a_chip_without_a_bias_can_be_written_and_read() -> None:
    target = target_from_toml(TEXT.replace("bias = { mantissa_bits = 12 }\n", ""), "mine.toml")
    assert target.bias is None
    assert target_from_toml(target_to_toml(target), "again") == target


@pytest.mark.parametrize("note", ["\x7f\x00\x1b", 'quo"te\\', "µ ≥ 語 🜁", "line\nbreak", "x " * 1500])
def test_any_text_survives_writing_and_reading(note: str) -> None:
    target = replace(tiny_target(), notes=(note, "b"), title=note[:50])
    assert target_from_toml(target_to_toml(target), "again") == target
