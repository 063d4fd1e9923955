"""ONNX's own test-suite: the right answer or an honest refusal, and never less than last time.

``tests/data/onnx_conformance.json`` holds the passed cases per operator. Where there are more, the test says
so; ``NMC_WRITE_CONFORMANCE=1`` writes the file anew.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from pathlib import Path

import onnx
import pytest

from nmcompiler.checker import check_model

from .onnx_suite import Outcome, per_operator, run_suite

RECORD = Path(__file__).parent.parent / "data" / "onnx_conformance.json"
SMALL = frozenset({"test_squeezenet", "test_shufflenet"})
LIGHT = sorted((Path(onnx.__file__).parent / "backend" / "test" / "data" / "light").glob("light_*.onnx"))
SHARE = 0.95


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


def test_most_cases_whose_operators_are_known_pass(outcomes, capsys):
    known = [o for o in outcomes if o.known]
    asked = [o for o in known if o.beyond is None]
    passed = [o for o in asked if o.kind == "passed"]
    with capsys.disabled():
        print(f"\nonnx.backend.test: {len(outcomes)} cases, {dict(Counter(o.kind for o in outcomes))}")
        print(f"operators known: {len(known)}; of these beyond a spiking network:")
        for why, count in Counter(o.beyond for o in known if o.beyond).items():
            print(f"  {count:4d} {why}")
        print(f"{len(passed)} of {len(asked)} others pass ({len(passed) / len(asked):.1%})")
        print(listed([o for o in asked if o.kind != "passed"]))
    assert len(passed) >= SHARE * len(asked)


def test_the_passed_cases_of_each_operator_only_grow(outcomes):
    found = per_operator(outcomes)
    if os.environ.get("NMC_WRITE_CONFORMANCE"):
        RECORD.write_text(json.dumps({"passed": found}, indent=1) + "\n")
    recorded = json.loads(RECORD.read_text())["passed"]
    fewer = {op: (found.get(op, 0), count) for op, count in recorded.items() if found.get(op, 0) < count}
    assert not fewer, f"operators with fewer passed cases than recorded: {fewer}"


@pytest.mark.long
@pytest.mark.parametrize("path", LIGHT, ids=lambda path: path.stem.removeprefix("light_"))
def test_well_known_architectures_are_checked_in_time(path, capsys):
    start = time.perf_counter()
    facts = check_model(path)
    seconds = time.perf_counter() - start
    chips = [row["name"] for row in facts["targets"] if row["ok"]]
    with capsys.disabled():
        print(f"\n{path.stem}: {seconds:.1f} s, fits {chips or 'nowhere'}, refused {facts['nodes']}")
    assert seconds < 60
    assert {node["op"] for node in facts["nodes"]} <= {"LRN"}
