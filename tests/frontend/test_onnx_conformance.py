"""ONNX's own test-suite: the right answer or an honest refusal, and never less than last time.

``tests/data/onnx_conformance.json`` holds the passed cases per operator;
``python -m tests.frontend.onnx_suite`` writes it anew.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import onnx
import pytest

from nmcompiler.checker import check_model

from .onnx_suite import SMALL, Outcome, counted, per_operator, run_suite

RECORD = Path(__file__).parent.parent / "data" / "onnx_conformance.json"
LIGHT = sorted((Path(onnx.__file__).parent / "backend" / "test" / "data" / "light").glob("light_*.onnx"))


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        return run_suite(tmp_path_factory.mktemp("onnx"), patch, SMALL)


def listed(outcomes: list[Outcome]) -> str:
    return "\n".join(f"{o.case} {sorted(o.operators)}: {o.sentence[:200]}" for o in outcomes)


def test_no_case_of_the_suite_gets_a_wrong_answer(outcomes):
    wrong = [o for o in outcomes if o.kind == "wrong"]
    assert not wrong, listed(wrong)


def test_no_case_of_the_suite_ends_with_an_unexpected_exception(outcomes):
    unexpected = [o for o in outcomes if o.kind == "unexpected"]
    assert not unexpected, listed(unexpected)


def test_the_passed_cases_of_each_operator_only_grow(outcomes, capsys):
    with capsys.disabled():
        print(f"\nonnx.backend.test: {dict(Counter(o.kind for o in outcomes))}")
        for name, (passed, count) in counted(outcomes).items():
            print(f"{passed} of {count} {name} pass ({passed / count:.1%})")
    found = per_operator(outcomes)
    recorded = json.loads(RECORD.read_text())["passed"]
    fewer = {op: (found.get(op, 0), count) for op, count in recorded.items() if found.get(op, 0) < count}
    assert not fewer, f"operators with fewer passed cases than recorded: {fewer}"


def test_no_case_of_another_form_passes(outcomes):
    """Else the table promises too little."""
    more = [o for o in outcomes if o.kind == "passed" and o.known and not o.formed]
    assert not more, listed(more)


def test_nearly_all_cases_of_known_operators_pass(outcomes):
    """By names alone fewer do: products of two signals and training, for instance, are other forms."""
    shares = {name: passed / count for name, (passed, count) in counted(outcomes).items()}
    assert shares["operators in the table"] >= 0.95, shares
    assert shares["forms in the table"] >= 0.99, shares


@pytest.mark.long
@pytest.mark.parametrize("path", LIGHT, ids=lambda path: path.stem.removeprefix("light_"))
def test_no_node_of_a_well_known_architecture_is_refused(path, capsys):
    facts = check_model(path)
    chips = [row["name"] for row in facts["targets"] if row["ok"]]
    with capsys.disabled():
        print(f"\n{path.stem}: fits {chips or 'nowhere'}, refused {facts['nodes']}")
    assert facts["nodes"] == []
