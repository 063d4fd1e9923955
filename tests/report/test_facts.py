"""Facts of a program: the keys on which others rely, each counted in the program."""

from __future__ import annotations

import json
from dataclasses import replace

import jsonschema
import pytest

from nmcompiler.program.container import load, save
from nmcompiler.report.facts import population_names, program_facts
from nmcompiler.report.schema import load_schema
from nmcompiler.testing import mutations, random_network, tiny_target
from nmcompiler.testing.chain import placed_program

KEYS = [
    "schema",
    "model",
    "target",
    "coding",
    "levels",
    "input_levels",
    "input_encoding",
    "timesteps",
    "windows",
    "weight_bits",
    "chips",
    "cores",
    "neurons",
    "synapses",
    "placement",
    "layers",
    "limits",
    "static_check",
    "certificate",
    "host_macs_share",
    "warnings",
    "seed",
    "versions",
    "compile_seconds",
]
LAYER_KEYS = ["name", "op", "onnx_nodes", "neurons", "cores", "fan_in", "synapse_bits", "sqnr_db"]
REPORT = {
    "model": "net",
    "levels": 7,
    "weight_bits": 6,
    "input_levels": 255,
    "cores_lower_bound": 1,
    "cores_available": 256,
    "placement": {"cost": 1.0, "unicast_cost": 2.0, "lower_bound": 1.0, "max_link_load": 1.0},
    "host_macs_share": 0.0,
    "host_ops": [],
    "seed": 3,
    "versions": {"nmcompiler": "0"},
    "warnings": ["beware"],
}


@pytest.fixture(scope="module")
def made():
    program, spiking = placed_program(random_network(4, levels=7), tiny_target(neurons=12), "phase")
    return replace(program, report=REPORT), spiking


def test_every_key_of_the_contract_is_there_and_the_schema_holds(made):
    facts = program_facts(made[0])
    assert set(KEYS) <= set(facts)
    assert all(set(LAYER_KEYS) <= set(layer) for layer in facts["layers"])
    assert set(facts["cores"]) == {"used", "lower_bound", "available"}
    assert {"core", "resource", "used", "limit"} == set(facts["limits"][0])
    plain = json.loads(json.dumps(facts, allow_nan=False))
    jsonschema.validate({**plain, "schema": "nmcompiler.inspect/1"}, load_schema("inspect"))
    jsonschema.validate({**plain, "compile_seconds": 0.1}, load_schema("compile"))


def test_the_facts_are_those_of_the_network(made):
    program, spiking = made
    facts, graph = program_facts(program), spiking.network.graph
    placed = [p for p in graph if p.role != "input"]
    assert facts["neurons"] == sum(p.size for p in placed) == spiking.network.neurons
    assert [layer["name"] for layer in facts["layers"]] == [p.name for p in placed]
    assert [layer["neurons"] for layer in facts["layers"]] == [p.size for p in placed]
    assert [layer["levels"] for layer in facts["layers"]] == [p.levels for p in placed]
    assert facts["windows"] == spiking.schedule.windows
    assert facts["timesteps"] == spiking.schedule.window_steps
    assert facts["cores"]["used"] == len(program.arrays["cores"])
    assert facts["static_check"]["ok"]
    assert 0 < facts["static_check"]["synapses"] <= facts["synapses"]  # zeros are none to the network
    assert facts["certificate"]["proved"] == facts["certificate"]["blocks"]


def test_neurons_stay_neurons_where_each_takes_several_compartments(made):
    network = random_network(4, levels=7)
    program, _ = placed_program(network, tiny_target(neurons=24, compartments_per_neuron=2), "phase")
    facts, single = program_facts(program), program_facts(made[0])
    assert (facts["compartments_per_neuron"], single["compartments_per_neuron"]) == (2, 1)
    assert [facts[key] for key in ("neurons", "synapses")] == [single[key] for key in ("neurons", "synapses")]
    assert [layer["neurons"] for layer in facts["layers"]] == [layer["neurons"] for layer in single["layers"]]
    held = sum(entry["used"] for entry in facts["limits"] if entry["resource"] == "neurons")
    assert held == 2 * facts["neurons"]
    assert facts["cores"]["used"] == single["cores"]["used"]


def test_what_cannot_be_counted_comes_from_the_compilation(made):
    facts = program_facts(made[0])
    for key in ("model", "levels", "weight_bits", "placement", "seed", "versions", "warnings"):
        assert facts[key] == REPORT[key]
    assert facts["cores"]["lower_bound"] == 1


def test_a_program_without_report_and_names_has_all_keys(made, tmp_path):
    bare = replace(made[0], report={}, names=None, golden=None)
    save(bare, tmp_path / "bare.nmc")
    facts = program_facts(load(tmp_path / "bare.nmc"))
    assert set(KEYS) <= set(facts)
    assert facts["static_check"] is facts["model"] is facts["placement"] is None
    assert facts["layers"][0]["name"] == population_names(bare)[-len(facts["layers"])]
    assert facts["layers"][0]["name"].startswith("population ")


def test_facts_of_a_damaged_program_say_so(made):
    program, _ = made
    mutation = next(m for m in mutations(program, 0) if not m.equivalent)
    check = program_facts(mutation.program)["static_check"]
    assert not check["ok"]
    assert check["message"]
