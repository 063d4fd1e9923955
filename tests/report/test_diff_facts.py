"""Facts of what changed: every entry is the two values of ``inspect``, and the mirror of the other way."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace
from functools import cache
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.codings import CODINGS
from nmcompiler.program.layout import Program
from nmcompiler.report.diff import LAYER_KEYS, compared, diff_facts, leaves
from nmcompiler.report.facts import program_facts as facts_of
from nmcompiler.report.schema import load_schema
from nmcompiler.testing.programs import random_program

Facts = dict[str, Any]
FILES = ("before.nmc", "after.nmc")
CODES = tuple(CODINGS)


@cache
def made(seed: int) -> Program:
    report = {
        "model": f"net{seed}",
        "cores_lower_bound": seed,
        "warnings": [f"beware of {seed}", "beware"],
        "placement": {"cost": 1.5 * seed, "unicast_cost": "none", "lower_bound": None},
        "host_macs_share": 0.0,
    }
    return replace(random_program(seed, CODES[seed % len(CODES)]), report=report)


SEEDS = st.integers(0, 9)


@settings(deadline=None, max_examples=20)
@given(seed=SEEDS)
def test_a_program_does_not_differ_from_itself(seed: int) -> None:
    facts = diff_facts(made(seed), made(seed), files=FILES)
    assert all(entry["same"] for _, entry in leaves(facts))
    assert all(
        not entry["change"] and not entry["relative"] for _, entry in leaves(facts) if "change" in entry
    )
    assert all(layer["only"] is None for layer in facts["layers"])
    assert facts["warnings"] == {"only_a": [], "only_b": []}
    assert facts["program"] == {"same": True}
    assert facts["network"] == {"same": True, "same_ports": True, "reason": None, "differing": []}


@settings(deadline=None, max_examples=20)
@given(one=SEEDS, other=SEEDS)
def test_the_other_way_is_the_mirror(one: int, other: int) -> None:
    there = diff_facts(made(one), made(other), files=FILES)
    back = diff_facts(made(other), made(one), files=FILES)
    forward, backward = dict(leaves(there)), dict(leaves(back))
    assert forward.keys() == backward.keys()
    for key, entry in forward.items():
        mirror = backward[key]
        assert (entry["a"], entry["b"], entry["same"]) == (mirror["b"], mirror["a"], mirror["same"])
        if entry.get("change") is not None:
            assert entry["change"] == -mirror["change"] == entry["b"] - entry["a"]
    swapped = {"a": "b", "b": "a", None: None}
    sides = {layer["name"]: layer["only"] for layer in back["layers"]}
    assert {layer["name"]: swapped[layer["only"]] for layer in there["layers"]} == sides
    assert there["warnings"]["only_a"] == back["warnings"]["only_b"]
    assert there["network"]["same"] == back["network"]["same"]
    assert there["program"] == back["program"]


@pytest.mark.parametrize("pair", [(0, 1), (2, 3), (4, 4)])
def test_the_object_matches_its_schema_and_inspect(pair: tuple[int, int]) -> None:
    programs = [made(seed) for seed in pair]
    facts = json.loads(json.dumps(diff_facts(*programs, files=FILES), allow_nan=False))
    jsonschema.validate(facts, load_schema("diff"))
    for side, program in zip("ab", programs, strict=True):
        inspected = facts_of(program)
        assert facts["files"][side] == FILES["ab".index(side)]
        for key in ("target", "coding", "levels", "timesteps", "windows", "chips", "neurons", "synapses"):
            assert facts[key][side] == inspected[key]
        for key in ("used", "lower_bound", "available"):
            assert facts["cores"][key][side] == inspected["cores"][key]
        for layer in inspected["layers"]:
            row = next(r for r in facts["layers"] if r["name"] == layer["name"])
            assert {key: row[key][side] for key in LAYER_KEYS} == {key: layer[key] for key in LAYER_KEYS}


def test_changes_are_absolute_and_relative(program_facts: Facts) -> None:
    other = deepcopy(program_facts)
    other["cores"]["used"] = 3
    other["placement"]["cost"] = 60.25
    other["output_levels"] = 4
    other["layers"][0]["sqnr_db"] = 30.0
    facts = compared({**program_facts, "time": None}, {**other, "time": None})
    assert facts["cores"]["used"] == {"a": 2, "b": 3, "same": False, "change": 1, "relative": 0.5}
    assert facts["placement"]["cost"]["change"] == -60.25
    assert facts["placement"]["cost"]["relative"] == -0.5
    unknown = {"a": None, "b": 4, "same": False, "change": None, "relative": None}
    assert facts["output_levels"] == unknown
    noise = facts["layers"][0]["sqnr_db"]
    assert (noise["change"], noise["relative"]) == (-1.25, None)
    assert {key for key, entry in leaves(facts) if not entry["same"]} == {
        "cores.used",
        "placement.cost",
        "output_levels",
        "layers.conv[1].sqnr_db",
    }


def test_layers_are_matched_by_name(program_facts: Facts) -> None:
    other = deepcopy(program_facts)
    other["layers"] = [{**other["layers"][1], "name": "new"}, other["layers"][0]]
    rows = compared(program_facts, other)["layers"]
    assert [(row["name"], row["only"]) for row in rows] == [("conv[1]", None), ("dense", "a"), ("new", "b")]
    assert rows[1]["neurons"] == {"a": 10, "b": None, "same": False, "change": None, "relative": None}


def test_the_fullest_core_of_a_resource_is_that_with_the_largest_share(program_facts: Facts) -> None:
    other = deepcopy(program_facts)
    other["limits"][2] = {"core": 1, "resource": "neurons", "used": 60, "limit": 64}  # a smaller core
    resources = compared(program_facts, other)["resources"]
    assert [resources["neurons"][key]["a"] for key in ("used", "limit", "utilisation")] == [512, 1024, 0.5]
    assert [resources["neurons"][key]["b"] for key in ("used", "limit", "utilisation")] == [60, 64, 0.9375]
    assert resources["synapse_bits"]["used"]["a"] == 40960
    assert resources["synapse_bits"]["utilisation"]["a"] is None
    assert resources["fan_in"]["used"]["a"] is None


@pytest.mark.parametrize("value", [10**400, -(10**400), float("nan"), float("inf"), True, "3", [1]])
def test_a_damaged_report_is_no_number(program_facts: Facts, value: Any) -> None:
    other = {**program_facts, "placement": {**program_facts["placement"], "cost": value}}
    assert compared(program_facts, other)["placement"]["cost"]["b"] is None


def test_numbers_that_are_none_are_not_known() -> None:
    facts = diff_facts(made(1), made(2), files=FILES)
    assert facts["placement"]["unicast_cost"]["a"] is None
    assert facts["placement"]["max_link_load"]["b"] is None
    assert facts["placement"]["cost"]["b"] == 3.0
