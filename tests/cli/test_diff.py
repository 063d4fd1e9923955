"""``nmc diff`` end to end, on a small network."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from nmcompiler.report.schema import load_schema

CHIP = "generic-digital"
KINDS = {
    "a": ("--levels", "7"),
    "b": ("--levels", "7", "--coding", "ttfs"),
    "c": ("--levels", "15"),
}


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory, inputs: Path) -> Path:
    """A folder with three programs of the small network: two codes of one, and one of other levels."""
    from nmcompiler.cli.main import main

    folder = tmp_path_factory.mktemp("programs")
    for name, options in KINDS.items():
        given = ("compile", inputs / "net.onnx", "--target", CHIP, "--calibration", inputs / "few.npz")
        with pytest.raises(SystemExit) as done:
            main([str(part) for part in (*given, *options, "-o", folder / f"{name}.nmc", "--json")])
        assert done.value.code == 0
    return folder


@pytest.fixture(autouse=True)
def programs(compiled: Path, tmp_path: Path) -> None:
    for name in KINDS:
        shutil.copy(compiled / f"{name}.nmc", tmp_path)


def test_a_program_and_itself(nmc: Any) -> None:
    answer = nmc("diff", "a.nmc", "a.nmc", "--same-network", "--fail-above", "cores.used=0")
    assert (answer.code, answer.err) == (0, "")
    assert "every number of the placed program" in " ".join(answer.out.split())
    assert "change" not in answer.out
    assert "\x1b" not in answer.out  # colours are for terminals


def test_another_code_of_the_same_network(nmc: Any) -> None:
    answer = nmc("diff", "a.nmc", "b.nmc", "--same-network")
    assert (answer.code, answer.err) == (0, "")
    assert "the same integer network" in answer.out
    assert any(line.split()[:3] == ["code", "phase", "ttfs"] for line in answer.out.splitlines())
    facts = json.loads(nmc("diff", "a.nmc", "b.nmc", "--json").out)
    jsonschema.validate(facts, load_schema("diff"))
    assert facts["files"] == {"a": "a.nmc", "b": "b.nmc"}
    assert facts["network"]["same"] is True
    assert facts["program"]["same"] is False
    steps = [json.loads(nmc("inspect", f"{n}.nmc", "--json").out)["schedule"]["total_steps"] for n in "ab"]
    entry = facts["schedule"]["total_steps"]
    assert [entry["a"], entry["b"]] == steps
    assert entry["change"] == steps[1] - steps[0] > 0


def test_other_levels_are_another_network(nmc: Any) -> None:
    answer = nmc("diff", "a.nmc", "c.nmc", "--same-network")
    assert answer.code == 1
    assert "not the same integer network" in answer.out
    assert answer.err == "error: 'c.nmc' is not the integer network of 'a.nmc'\n"
    assert nmc("diff", "a.nmc", "c.nmc").code == 0  # differences alone are no failure


def test_a_broken_budget_is_one_sentence_and_exit_code_1(nmc: Any) -> None:
    budgets = ("--fail-above", "schedule.total_steps=5%", "--fail-above", "cores.used=0")
    answer = nmc("diff", "a.nmc", "b.nmc", *budgets)
    assert answer.code == 1
    assert answer.err.startswith("error: schedule.total_steps rose from ")
    assert answer.err.count("\n") == 1
    assert "BROKEN: schedule.total_steps" in answer.out
    assert "kept: cores.used" in answer.out
    shown = nmc("diff", "a.nmc", "b.nmc", *budgets, "--json")
    assert shown.code == 1
    facts = json.loads(shown.out)
    jsonschema.validate(facts, load_schema("diff"))
    assert [(entry["key"], entry["ok"]) for entry in facts["budget"]] == [
        ("schedule.total_steps", False),
        ("cores.used", True),
    ]
    assert nmc("diff", "b.nmc", "a.nmc", *budgets).code == 0
    fell = nmc("diff", "b.nmc", "a.nmc", "--fail-below", "schedule.total_steps=5%")
    assert (fell.code, fell.err[:34]) == (1, "error: schedule.total_steps fell f")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("a.nmc",), "missing argument 'B.nmc'"),
        (("a.nmc", "no.nmc"), "'no.nmc' does not exist"),
        (("a.nmc", "bad.nmc"), "'bad.nmc'"),
        (("a.nmc", "half.nmc"), "'half.nmc'"),
        (("a.nmc", "b.nmc", "--fail-above", "cores.usd=1"), "did you mean 'cores.used'"),
        (("a.nmc", "b.nmc", "--fail-above", "cores.used"), "allowed: KEY=N or KEY=N%"),
        (("a.nmc", "b.nmc", "--fail-above", "time.step_ns=1"), "not known in program A and in B"),
        (("a.nmc", "b.nmc", "--fail-abov", "x=1"), "did you mean '--fail-above'"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(
    nmc: Any, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    (tmp_path / "bad.nmc").write_bytes(b"no program")
    whole = (tmp_path / "a.nmc").read_bytes()
    (tmp_path / "half.nmc").write_bytes(whole[: len(whole) // 2])
    answer = nmc("diff", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: ")
    assert answer.err.count("\n") == 1
    assert words in answer.err


def test_programs_without_source_are_compared_by_what_is_placed(nmc: Any, inputs: Path) -> None:
    given = (
        "compile",
        inputs / "net.onnx",
        "--target",
        CHIP,
        "--calibration",
        inputs / "few.npz",
        "--no-source",
    )
    assert nmc(*given, "--levels", 7, "-o", "bare.nmc").code == 0
    assert json.loads(nmc("diff", "a.nmc", "bare.nmc", "--json").out)["network"]["same"] is True
