"""``nmc debug`` on networks whose outputs are read from spikes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nmcompiler.compiler import Inputs, compile_model, read_inputs
from nmcompiler.diagnose.advice import proposals
from nmcompiler.diagnose.session import Recipe, debug_program, options_of
from nmcompiler.plan import CompileOptions, plan_of
from nmcompiler.registry import targets
from tests.diagnose.networks import CHIP, subject


@pytest.mark.parametrize("signed", [True, False])
def test_few_levels_of_the_outputs_are_named_and_more_of_them_help(signed: bool) -> None:
    given = subject("perceptron", 0)
    target = replace(targets()[CHIP][1], signed_spikes=signed)
    options = CompileOptions(levels=63, output_levels=2)
    made = compile_model(given.source, target, "phase", given.calibration, options).program
    assert options_of(made).output_levels == 2
    inputs: Inputs = read_inputs(given.source, given.calibration)
    facts = debug_program(made, given.samples, recipe=Recipe(inputs, target, "phase", options_of(made)))
    assert facts["verdict"]["layer"] == "fc3"
    assert facts["verdict"]["cause"] in ("output-levels", "output-range")
    assert facts["verdict"]["kind"] == "limit"
    assert [(p["try"], p["helps"]) for p in facts["advice"]] == [("--output-levels 11", True)]


def test_more_steps_of_rate_are_more_levels_of_its_outputs() -> None:
    chip = targets()[CHIP][1]
    options = CompileOptions(timesteps=8, output_levels=8)
    more = proposals("levels", options, plan_of(options, "rate", chip), chip, again=False)
    plans = [plan_of(p.options, p.code, chip) for p in more]
    assert [p.output_levels for p in plans if p.timesteps is not None] == [16, 32]
