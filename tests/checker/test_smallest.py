"""``--target auto``: the smallest chip that holds a network, and why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jsonschema
import numpy as np
import pytest

from nmcompiler import registry
from nmcompiler.checker import smallest
from nmcompiler.checker.smallest import compile_smallest
from nmcompiler.compiler import Inputs, read_inputs
from nmcompiler.errors import DoesNotFit, NmcError, UsageError
from nmcompiler.plan import CompileOptions
from nmcompiler.report.schema import load_schema
from nmcompiler.target import Target
from nmcompiler.testing import tiny_target

from ..frontend.models import model, node, weights


@pytest.fixture(scope="module")
def inputs() -> Inputs:
    nodes = [
        node("Gemm", ["x", "m"], "g", "fc1"),
        node("Relu", ["g"], "r", "relu1"),
        node("Gemm", ["r", "o"], "y", "fc2"),
    ]
    data = model(nodes, [20], {"m": weights(20, 12), "o": weights(12, 4, seed=2)})
    x = np.random.default_rng(0).random((8, 20)).astype(np.float32)
    return read_inputs(data, {"x": x})


def chip(name: str, bits: int, **changes: Any) -> Target:
    """Returns a chip of one core with so many bits of synapse memory."""
    fields = {k: changes.pop(k) for k in ("product",) if k in changes}
    return replace(tiny_target(rows=1, columns=1, synapse_bits=bits, **changes), name=name, **fields)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Any:
    def install(*chips: Target) -> None:
        table = {c.name: ("digital", c) for c in chips}
        monkeypatch.setattr(smallest, "targets", lambda names=None: table)
        made = {"digital": {c.name: c for c in chips}}
        monkeypatch.setattr(registry, "_chips", lambda backend: made.get(backend, {}))

    return install


def choice(inputs: Inputs, code: str | None = None, **options: Any) -> dict[str, Any]:
    facts = compile_smallest(inputs, code, CompileOptions(**options)).facts
    jsonschema.validate(facts, load_schema("compile"))
    taken: dict[str, Any] = facts["choice"]
    assert (facts["target"], facts["coding"]) == (taken["target"], taken["coding"])
    return taken


NEEDED = (20 * 12 + 12 * 4) * 8


def test_the_chip_with_the_least_memory_that_holds_it_is_taken(inputs: Inputs, known: Any) -> None:
    known(chip("large", 10 * NEEDED), chip("fits", NEEDED), chip("small", NEEDED - 1))
    taken = choice(inputs)
    assert taken["target"] == "fits"
    assert [over["target"] for over in taken["passed_over"]] == ["small"]
    assert "cores" in taken["passed_over"][0]["reason"]
    assert (
        "'fits' in 'phase' is the smallest that fits in an exact code: 1 chip, synapse memory"
        in taken["reason"]
    )


def test_one_chip_is_smaller_than_two(inputs: Inputs, known: Any) -> None:
    known(chip("two", NEEDED - 1, max_chips=2), chip("one", 100 * NEEDED))
    assert choice(inputs)["target"] == "one"
    known(chip("two", NEEDED - 1, max_chips=2), chip("none", NEEDED // 4, max_chips=3))
    taken = choice(inputs)
    assert taken["target"] == "two"
    assert "2 chips" in taken["reason"]
    with pytest.raises(NmcError, match="none of 2 chips holds"):
        choice(inputs, chips=1)


def test_what_cannot_be_had_is_taken_only_where_nothing_else_fits(inputs: Inputs, known: Any) -> None:
    model_chip = chip("model", NEEDED, product=False)
    known(model_chip, chip("real", 100 * NEEDED))
    assert choice(inputs)["target"] == "real"
    known(model_chip, chip("real", NEEDED // 4))
    assert choice(inputs)["target"] == "model"


def test_an_exact_code_comes_before_a_smaller_chip(inputs: Inputs, known: Any) -> None:
    small = chip("small", NEEDED, codings=("rate",))
    known(small, chip("large", 10 * NEEDED, codings=("rate", "phase")))
    taken = choice(inputs)
    assert (taken["target"], taken["coding"]) == ("large", "phase")
    assert taken["passed_over"] == [
        {"target": "small", "reason": "it has no exact code, and 'rate' approximates"}
    ]
    # Two chips in an exact code before one in rate; a chip that can be had before all others.
    known(small, chip("joined", NEEDED - 1, max_chips=2, codings=("phase",)))
    assert (choice(inputs)["target"], choice(inputs)["coding"]) == ("joined", "phase")
    known(small, chip("model", NEEDED, product=False))
    taken = choice(inputs)
    assert (taken["target"], taken["coding"]) == ("small", "rate")
    assert "is the smallest that fits, in a code that approximates the network: 1 chip" in taken["reason"]


def test_where_no_exact_code_fits_the_others_are_taken(inputs: Inputs, known: Any) -> None:
    known(chip("tiny", NEEDED // 4), chip("small", NEEDED, codings=("rate",)))
    taken = choice(inputs)
    assert (taken["target"], taken["coding"]) == ("small", "rate")
    assert [over["target"] for over in taken["passed_over"]] == ["tiny"]


def test_the_code_asked_for_is_run_by_the_chip(inputs: Inputs, known: Any) -> None:
    known(chip("small", NEEDED, codings=("rate",)), chip("large", 10 * NEEDED, codings=("phase", "ttfs")))
    assert choice(inputs, "rate")["target"] == "small"
    taken = choice(inputs, "ttfs")
    assert (taken["target"], taken["coding"], taken["passed_over"]) == ("large", "ttfs", [])
    with pytest.raises(UsageError, match="no target runs the coding 'graded'"):
        choice(inputs, "graded")


def test_options_that_a_chip_has_not_pass_it_over(inputs: Inputs, known: Any) -> None:
    known(chip("small", NEEDED, weight_bits=6), chip("large", 10 * NEEDED))
    assert choice(inputs)["target"] == "small"
    taken = choice(inputs, weight_bits=8)
    assert taken["target"] == "large"
    assert "--weight-bits 8 is out of range" in taken["passed_over"][0]["reason"]


def test_a_chip_that_fails_on_the_real_samples_is_passed_over(
    inputs: Inputs, known: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    known(chip("small", NEEDED), chip("large", 10 * NEEDED))
    compile_inputs = smallest.compile_inputs

    def failing(inputs: Inputs, target: str, *rest: Any) -> Any:
        if target == "small":
            raise DoesNotFit(layer="fc1", resource="state_bits", used=30, limit=24, target=target, hint="")
        return compile_inputs(inputs, target, *rest)

    monkeypatch.setattr(smallest, "compile_inputs", failing)
    taken = choice(inputs)
    assert taken["target"] == "large"
    assert "needs 30 state_bits" in taken["passed_over"][0]["reason"]


def test_where_nothing_fits_the_reasons_are_said(inputs: Inputs, known: Any) -> None:
    known(chip("small", NEEDED // 8), chip("narrow", NEEDED, input_axons=4))
    with pytest.raises(
        NmcError, match=r"none of 2 chips holds 'model' \(small: .*narrow: .*input_axons"
    ) as caught:
        choice(inputs)
    assert caught.value.exit_code == 1
