"""Worker processes for real: what they answer, and what becomes of it when they are killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from nmcompiler.errors import BackendFault
from nmcompiler.yields.pool import Pool, _Work, chunk_size
from nmcompiler.yields.study import Plan, Study

from .conftest import here

CHIPS = 120


def rows(answers: Iterator[tuple[int, dict[str, Any]]]) -> dict[int, dict[str, int]]:
    found: dict[int, dict[str, int]] = {}
    for number, said in answers:
        assert number not in found
        found[number] = said["row"]
    return found


@pytest.fixture(scope="module")
def expected(study: Study) -> dict[int, dict[str, int]]:
    return rows(here(study.setting, study.jobs(Plan(CHIPS))))


def test_chips_differ_and_rows_do_not_depend_on_who_computes_them(
    study: Study, expected: dict[int, dict[str, int]]
) -> None:
    assert len({row["agree"] for row in expected.values()}) > 2
    jobs = study.jobs(Plan(CHIPS))
    with Pool(1) as pool:
        assert rows(pool.answers(study.setting, jobs)) == expected
        # The same processes take further jobs of another setting.
        other = {**study.setting, "limit": 10, "integer": study.setting["integer"][:10]}
        found = rows(pool.answers(other, jobs[:5]))
        assert found == rows(here(other, jobs[:5]))
        assert rows(pool.answers(study.setting, [])) == {}


@pytest.mark.parametrize("victims", [1, 2])
def test_killed_workers_lose_no_chip_and_change_no_figure(
    study: Study, expected: dict[int, dict[str, int]], victims: int
) -> None:
    with Pool(2) as pool:
        before = [process._child.pid for process in pool._processes]
        answers = pool.answers(study.setting, study.jobs(Plan(CHIPS)))
        first = next(answers)  # all workers have jobs now
        for pid in before[:victims]:
            os.kill(pid, signal.SIGKILL)
        assert rows(answers) | {first[0]: first[1]["row"]} == expected
        after = [process._child.pid for process in pool._processes]
    assert [a != b for a, b in zip(before, after, strict=True)] == [k < victims for k in range(2)]


def test_workers_end_with_the_pool(study: Study) -> None:
    with Pool(2) as pool:
        children = [process._child for process in pool._processes]
        next(pool.answers(study.setting, study.jobs(Plan(CHIPS))))  # and no more is wanted
    assert all(child.poll() == -signal.SIGKILL for child in children)


class _Deadly:
    """A process that dies of every job."""

    def __init__(self) -> None:
        self.given: list[int] = []

    def answers(self, setting: object, jobs: list[tuple[int, object]]) -> Iterator[Any]:
        self.given += [number for number, _ in jobs]
        return iter(())

    def last_words(self) -> str:
        return "of signal 9"


def test_a_chip_that_kills_every_worker_ends_the_run(study: Study) -> None:
    jobs = study.jobs(Plan(2))
    work, process = _Work(study.setting, jobs, workers=1), _Deadly()
    work.serve(process)  # type: ignore[arg-type]
    found = work.done.get_nowait()
    assert isinstance(found, BackendFault)
    assert str(found).startswith("3 workers died at chip 0, the last one of signal 9; where memory ran out")
    assert process.given.count(0) == 3


def test_a_worker_that_cannot_start_says_why(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", ["/nowhere"])
    with Pool(1) as pool, pytest.raises(BackendFault, match=r"exit code 1 .*No module named"):
        list(pool.answers(study.setting, study.jobs(Plan(1))))


def test_all_workers_get_jobs_until_the_end() -> None:
    assert chunk_size(100, 2) == 8
    assert chunk_size(20, 2) == 2
    assert chunk_size(3, 4) == 1


def test_an_error_of_a_chip_comes_back_as_its_sentence(study: Study, tmp_path: Any) -> None:
    missing = tmp_path / "gone.nmc"
    files = {**study.setting["files"], "program": {"path": str(missing), "sha256": ""}}
    with Pool(1) as pool:
        ((_, said),) = pool.answers({**study.setting, "files": files}, study.jobs(Plan(1)))
    assert said["error"]["kind"] == "InputFileError"
    assert "gone.nmc' cannot be read" in said["error"]["sentence"]
