from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from nmcompiler.compiler import compile_model, run_program
from nmcompiler.errors import BackendFault, InputFileError, UsageError
from nmcompiler.journal import Journal
from nmcompiler.program.container import load, save
from nmcompiler.report.schema import load_schema
from nmcompiler.report.yield_text import yield_text
from nmcompiler.yields import study as study_module
from nmcompiler.yields.facts import Results, yield_facts
from nmcompiler.yields.study import Plan, Study, job_of, read_study, run_jobs

from .conftest import Files, here

TIMES = {"workers": 2, "scheduler": None, "from_journal": 0, "wall_seconds": 1.0, "cpu_seconds": 2.0}


def collected(study: Study, plan: Plan, journal: Journal | None = None) -> Results:
    results = Results()
    for job, row, _ in run_jobs(study, study.jobs(plan), journal or Journal(None), here):
        results.add(job, row)
    return results


def test_chips_are_those_of_nmc_run(study: Study) -> None:
    facts = yield_facts(study, Plan(3, first_seed=7), collected(study, Plan(3, first_seed=7)), [1.0])
    for chip in facts["chips"]:
        run = run_program(study.program, study.samples, chip_seed=chip["seed"]).facts
        assert chip["accuracy"] == run["accuracy"]["chip"]
        assert chip["agreement"] == run["agreement"]["chip_integer"]
    assert [chip["seed"] for chip in facts["chips"]] == [7, 8, 9]
    jsonschema.validate(facts | TIMES, load_schema("yield"))


def test_without_labels_chips_are_judged_by_the_integer_network(files: Files, tmp_path: Path) -> None:
    np.savez(tmp_path / "bare.npz", x=np.load(files.data)["x"])
    study = read_study(files.program, tmp_path / "bare.npz", limit=30)
    facts = yield_facts(study, Plan(4), collected(study, Plan(4)), [0.5])
    assert (facts["accuracy"], facts["judged_by"], facts["ideal"]["agreement"]) == (None, "agreement", 1.0)
    assert facts["loss"]["mean"] == pytest.approx(100 * (1 - facts["agreement"]["mean"]))
    assert facts["loss"]["mean"] > 0
    jsonschema.validate(facts | TIMES, load_schema("yield"))


def test_chips_that_do_not_vary_have_no_yield(files: Files, inputs: Path, tmp_path: Path) -> None:
    made = compile_model(inputs / "net.onnx", "generic-digital", "phase", files.calibration)
    save(made.program, tmp_path / "digital.nmc")
    with pytest.raises(UsageError, match="all chips of target 'generic-digital' are the same"):
        read_study(tmp_path / "digital.nmc", files.data)


def test_answers_that_nothing_can_judge_are_refused(files: Files, tmp_path: Path) -> None:
    save(load(files.program), tmp_path / "bare.nmc", include_source=False)
    np.save(tmp_path / "x.npy", np.load(files.data)["x"])
    with pytest.raises(UsageError, match="no labels 'y', and the program was saved without"):
        read_study(tmp_path / "bare.nmc", tmp_path / "x.npy")
    assert read_study(tmp_path / "bare.nmc", files.data, limit=5).judge == "correct"


def test_a_finished_chip_is_not_run_again(study: Study, tmp_path: Path) -> None:
    plan, asked = Plan(6), []

    def counting(setting: Any, jobs: Any) -> Iterator[Any]:
        asked.append([job["seed"] for job in jobs])
        return here(setting, jobs)

    def rows(journal: Journal, plan: Plan, study: Study = study) -> dict[int, Any]:
        return {j["seed"]: r for j, r, _ in run_jobs(study, study.jobs(plan), journal, counting)}

    path = tmp_path / "rows.jsonl"
    first = rows(Journal(path, "yield"), Plan(4))
    with path.open("ab") as file:  # a row that was cut off
        file.write(path.read_bytes().splitlines()[1][:30])
    assert rows(Journal(path, "yield"), plan).items() >= first.items()
    assert asked == [[0, 1, 2, 3], [4, 5]]
    # Batches change no row; other samples, methods or code are other rows.
    rows(Journal(path, "yield"), plan, replace(study, setting={**study.setting, "batch": 7}))
    other = {**study.setting, "code": {"nmcompiler": "older"}}
    for changed in (
        replace(study, setting=other),
        replace(study, samples=study.samples.first(5)),
        replace(study, setting={**study.setting, "files": {"program": {"sha256": "0"}}}),
    ):
        assert study.key(job_of(0)) != changed.key(job_of(0))
    assert study.key(job_of(0)) != study.key(job_of(0, ["output"]))
    assert study.key(job_of(0)) != study.key(job_of(0, source="read"))
    assert asked[2] == []


def test_calibration_samples_are_part_of_the_key_of_compensated_chips_alone(study: Study) -> None:
    files = {**study.setting["files"], "calibration": {"path": "c.npz", "sha256": "1"}}
    trimmed = replace(study, setting={**study.setting, "files": files})
    assert trimmed.key(job_of(0)) == study.key(job_of(0))
    assert trimmed.key(job_of(0, ["output"])) != study.key(job_of(0, ["output"]))


@pytest.mark.parametrize(
    ("kind", "error"),
    [("InputFileError", InputFileError), ("Unheard", BackendFault), ("MemoryError", MemoryError)],
)
def test_an_error_of_a_worker_is_that_of_the_command(study: Study, kind: str, error: type[Exception]) -> None:
    def failing(setting: Any, jobs: Any) -> Iterator[Any]:
        yield 0, {"error": {"kind": kind, "sentence": "no luck"}}

    with pytest.raises(error, match="no luck"):
        list(run_jobs(study, [job_of(0)], Journal(None), failing))


@pytest.fixture
def rich(study: Study, monkeypatch: pytest.MonkeyPatch) -> Study:
    """The study, had its chips three sources and two methods."""
    monkeypatch.setattr(study_module, "check_alone", lambda program: None)
    return replace(
        study,
        sources=("theta", "weight", "gain"),
        methods=("threshold", "output"),
        calibration_samples=16,
        samples=replace(study.samples, y=None, x={"x": np.zeros((1000, 1, 8, 8))}),
    )


def _agree(job: dict[str, Any]) -> int:
    """Chips lose by source and seed, and keep half of it with each method."""
    cost = {None: 64, ("theta",): 32, ("weight",): 16, ("gain",): 0}
    sources = None if job["sources"] is None else tuple(job["sources"])
    return 1000 - ((cost[sources] + 8 * (job["seed"] % 2)) >> len(job["methods"]))


def test_sources_and_methods_are_told_apart(rich: Study) -> None:
    plan, results = Plan(40, sensitivity=True), Results()
    jobs = rich.jobs(plan)
    assert len({json.dumps(job) for job in jobs}) == len(jobs) == 2 * 40 + 25 * (1 + 3 * 2)
    for job in jobs:
        results.add(job, {"correct": None, "agree": _agree(job)})
    facts = yield_facts(rich, plan, results, [0.5, 2]) | TIMES
    jsonschema.validate(facts, load_schema("yield"))
    assert facts["agreement"]["mean"] == pytest.approx(1 - 0.017)
    assert facts["uncompensated"]["agreement"]["mean"] == pytest.approx(1 - 0.068)
    assert [e["share"] for e in facts["lose_less_than"]] == [0, 1]
    assert [e["share"] for e in facts["uncompensated"]["lose_less_than"]] == [0, 0]
    alone = facts["sensitivity"]
    odd = 12 / 25  # of the seeds 0 to 24
    assert alone["chips"] == 25
    assert {e["source"]: e["uncompensated"]["mean"] for e in alone["sources"]} == pytest.approx(
        {"theta": 3.2 + 0.8 * odd, "weight": 1.6 + 0.8 * odd, "gain": 0.8 * odd}
    )
    assert {e["source"]: e["loss"]["worst"] for e in alone["sources"]} == pytest.approx(
        {"theta": 1.0, "weight": 0.6, "gain": 0.2}
    )
    assert alone["all"]["uncompensated"]["worst"] == pytest.approx(7.2)
    gains = facts["gains"]["methods"]
    assert [g["method"] for g in gains] == ["threshold", "output"]
    assert [g["gain"] for g in gains] == pytest.approx([3.2 + 0.4 * odd, 1.6 + 0.2 * odd])
    assert gains[1]["loss"]["mean"] == pytest.approx(1.6 + 0.2 * odd)
    assert (
        sum(b["chips"] for b in facts["histogram"])
        == sum(b["uncompensated"] for b in facts["histogram"])
        == 40
    )


def test_the_text_fits_80_columns_whatever_is_known(rich: Study) -> None:
    from rich.console import Console

    plan, results = Plan(40, sensitivity=True), Results()
    for done, job in enumerate(rich.jobs(plan)):
        results.add(job, {"correct": None, "agree": _agree(job)})
        if done not in (0, 1, 3, 100):
            continue
        facts = yield_facts(rich, plan, results, [0.5]) | TIMES
        jsonschema.validate(facts, load_schema("yield"))
        console = Console(width=80, markup=False, color_system=None)
        with console.capture() as captured:
            console.print(yield_text(facts))
        text = captured.get()
        assert all(len(line.rstrip()) <= 80 for line in text.splitlines()), text
        assert "…" not in text
        assert "as programmed" in text or not facts["finished"]
        assert "theta" in text
