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

from .onnx_suite import SMALL, Outcome, per_operator, run_suite

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
    known = [o for o in outcomes if o.known]
    passed = [o for o in known if o.kind == "passed"]
    with capsys.disabled():
        print(f"\nonnx.backend.test: {len(outcomes)} cases, {dict(Counter(o.kind for o in outcomes))}")
        print(f"{len(passed)} of the {len(known)} cases whose operators are known pass")
    found = per_operator(outcomes)
    recorded = json.loads(RECORD.read_text())["passed"]
    fewer = {op: (found.get(op, 0), count) for op, count in recorded.items() if found.get(op, 0) < count}
    assert not fewer, f"operators with fewer passed cases than recorded: {fewer}"


@pytest.mark.long
@pytest.mark.parametrize("path", LIGHT, ids=lambda path: path.stem.removeprefix("light_"))
def test_well_known_architectures_are_refused_for_local_normalisation_only(path, capsys):
    facts = check_model(path)
    chips = [row["name"] for row in facts["targets"] if row["ok"]]
    with capsys.disabled():
        print(f"\n{path.stem}: fits {chips or 'nowhere'}, refused {facts['nodes']}")
    assert {node["op"] for node in facts["nodes"]} <= {"LRN"}
