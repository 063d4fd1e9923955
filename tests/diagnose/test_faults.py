"""``nmc debug`` names layer and cause of faults that were planted."""

from __future__ import annotations

from dataclasses import replace

import jsonschema
import pytest

from nmcompiler.diagnose.session import debug_program
from nmcompiler.report.schema import load_schema
from nmcompiler.testing.faults import NETWORK_FAULTS, network_fault, places
from nmcompiler.testing.program_faults import PROGRAM_FAULTS, program_fault
from tests.diagnose.networks import NETWORKS, subject

SEEDS = (0, 1)


@pytest.mark.parametrize("kind", NETWORK_FAULTS)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_fault_of_the_integers_is_named(name: str, kind: str) -> None:
    planted = 0
    for seed in SEEDS:
        given = subject(name, seed)
        layers = places(given.network)
        for layer in (layers[seed], layers[-1 - seed]):
            made = network_fault(kind, given.network, layer, seed)
            if made is None:
                continue
            network, fault = made
            verdict = debug_program(given.with_network(network), given.samples)["verdict"]
            found = (verdict["kind"], verdict["layer"], verdict["cause"])
            assert found == ("fault", layer, *fault.causes), (fault, verdict["sentence"])
            planted += 1
    assert planted >= 2 or (name, kind) == ("perceptron", "padding off by one")


@pytest.mark.parametrize("kind", PROGRAM_FAULTS)
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("code", ["phase", "rate"])
def test_a_fault_of_the_program_is_named(name: str, kind: str, code: str) -> None:
    if code == "rate" and kind == "window begins late":
        pytest.skip("the code has no windows")
    given = subject(name, 0, code)
    layers = places(given.network)
    layer = layers[0 if code == "phase" else -1]
    made = program_fault(kind, given.program, layer)
    assert made is not None
    program, fault = made
    verdict = debug_program(program, given.samples)["verdict"]
    found = (verdict["kind"], verdict["layer"], verdict["cause"])
    assert found == ("program", layer, *fault.causes), verdict["sentence"]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("code", ["phase", "rate-sync", "rate"])
def test_registers_that_are_too_narrow_are_named(name: str, code: str) -> None:
    given = subject(name, 0, code)
    narrow = replace(given.program.target, membrane_bits=11)
    program = replace(given.program, membrane_bits=11, target=narrow)
    facts = debug_program(program, given.samples)
    verdict = facts["verdict"]
    first = next(p.name for p in given.network.graph if p.role == "hidden")
    assert (verdict["kind"], verdict["layer"], verdict["cause"]) == ("chip", first, "saturation")


@pytest.mark.parametrize("name", NETWORKS)
def test_too_few_steps_of_the_rate_code_are_named(name: str) -> None:
    given = subject(name, 0, "rate", 3)
    verdict = debug_program(given.program, given.samples)["verdict"]
    assert verdict["cause"] in ("timesteps", "code"), verdict["sentence"]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_sound_program_has_no_fault(name: str, seed: int) -> None:
    given = subject(name, seed)
    facts = debug_program(given.program, given.samples)
    assert facts["verdict"]["kind"] == "limit", facts["verdict"]["sentence"]
    assert facts["verdict"]["cause"] in ("levels", "clipping")  # a scale trades one for the other
    jsonschema.validate(facts, load_schema("debug"))
    assert [s["stage"] for s in facts["ladder"]["stages"]] == ["float", "layer graph", "integer", "chip"]
