"""Which chips are drawn and run: plans the jobs, and gets their rows from the journal or from workers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from nmcompiler.compensate import chosen
from nmcompiler.compiler import run_program
from nmcompiler.errors import BackendFault, InputFileError, NmcError, UsageError
from nmcompiler.frontend.data import Samples, read_samples
from nmcompiler.ir.progress import Progress, silent
from nmcompiler.journal import Journal
from nmcompiler.program.container import load
from nmcompiler.program.layout import Program
from nmcompiler.registry import backend as backend_of
from nmcompiler.report.format import counted
from nmcompiler.report.run import RunOutcome
from nmcompiler.yields.chips import check_alone, drawn_sources
from nmcompiler.yields.subject import Job, Row, Setting, setting_of

__all__ = ["Ask", "Plan", "Study", "job_of", "read_study", "run_jobs"]

_SENSITIVITY_CHIPS = 25
_KINDS: Mapping[str, type[NmcError]] = {
    kind.__name__: kind for kind in (UsageError, InputFileError, BackendFault)
}


@dataclass(frozen=True)
class Plan:
    """Which chips are drawn.

    Attributes:
        chips: How many.
        first_seed: Seed of the first; the others follow.
        sensitivity: Whether sources also vary alone, and methods are also tried one after the other.
    """

    chips: int
    first_seed: int = 0
    sensitivity: bool = False

    @property
    def seeds(self) -> range:
        """Seeds of all chips."""
        return range(self.first_seed, self.first_seed + self.chips)

    @property
    def probed(self) -> range:
        """Seeds of the chips on which sources vary alone."""
        return self.seeds[:_SENSITIVITY_CHIPS] if self.sensitivity else range(0)


def job_of(seed: int, methods: Sequence[str] = (), source: str | None = None) -> Job:
    """Returns the job of one chip; all sources vary where none is named."""
    return {"seed": seed, "sources": None if source is None else [source], "methods": list(methods)}


@dataclass(frozen=True, eq=False)
class Study:
    """A program, what it is judged by, and what its chips differ in.

    Attributes:
        program: The program.
        samples: What every chip runs.
        setting: What workers must know.
        sources: What varies.
        methods: What chips are compensated by, in order.
        calibration_samples: How many samples they are trimmed on.
        ideal: The run of a chip that does not vary.
        warnings: Sentences that a user should read.
    """

    program: Program
    samples: Samples
    setting: Setting
    sources: tuple[str, ...]
    methods: tuple[str, ...]
    calibration_samples: int | None
    ideal: RunOutcome
    warnings: tuple[str, ...] = ()

    @property
    def judge(self) -> str:
        """Which count of a row chips are judged by: ``correct`` with labels, else ``agree``."""
        return "agree" if self.samples.y is None else "correct"

    def jobs(self, plan: Plan) -> list[Job]:
        """Returns all jobs, those of all chips first, each of them once.

        Raises:
            UsageError: Sources should vary alone, and cannot.
        """
        if plan.sensitivity and len(self.sources) > 1:
            check_alone(self.program)
        found = [job_of(seed, methods) for seed in plan.seeds for methods in self._treatments()]
        for seed in plan.probed:
            found += [job_of(seed, self.methods[:k]) for k in range(1, len(self.methods))]
            if len(self.sources) > 1:
                found += [job_of(seed, m, s) for s in self.sources for m in self._treatments()]
        return found

    def _treatments(self) -> list[tuple[str, ...]]:
        return [(), self.methods] if self.methods else [()]

    def key(self, job: Job) -> str:
        """Returns the key of a job in the journal: equal exactly where its row would come out equal.

        Batches and numbers of workers take no part, since they change no result.
        """
        files = {
            role: file["sha256"]
            for role, file in self.setting["files"].items()
            if job["methods"] or role != "calibration"
        }
        identity = {"files": files, "samples": len(self.samples), "code": self.setting["code"], "job": job}
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


Ask: TypeAlias = Callable[[Setting, Sequence[Job]], Iterator[tuple[int, dict[str, Any]]]]
"""Has jobs done somewhere, and yields the number of each with its answer, as they come."""


def read_study(
    program: Path,
    data: Path,
    calibration: Path | None = None,
    compensate: str = "none",
    *,
    limit: int | None = None,
    batch: int = 250,
    threads: int = 1,
    progress: Progress = silent,
) -> Study:
    """Reads a program and its samples, and runs both on a chip that does not vary.

    Raises:
        InputFileError: A file cannot be read as what it should be, or a label is no class.
        UsageError: The chips do not vary, there is no such compensation, or the answers cannot be judged.
    """
    loaded = load(program)
    backend = backend_of(loaded.target.backend)
    sources = drawn_sources(loaded)
    methods = () if compensate == "none" else tuple(m.name for m in chosen(backend, loaded, compensate))
    samples = read_samples(data, loaded.inputs).first(limit)
    files = {"program": program, "data": data}
    trimming = None
    if calibration is not None and methods:
        files["calibration"] = calibration
        trimming = read_samples(calibration, loaded.inputs, labels=False)
    owner = type(backend).__module__.partition(".")[0]
    setting = setting_of(files, sorted({"nmcompiler", owner}), limit=limit, batch=batch)
    ideal = run_program(loaded, samples, threads=threads, batch=batch, progress=progress)
    _check_judge(loaded, samples, ideal)
    setting["integer"] = None if ideal.integer is None else ideal.integer.tolist()
    count = None if trimming is None else len(trimming)
    warnings = () if trimming is None else tuple(_both(trimming, samples))
    return Study(loaded, samples, setting, sources, methods, count, ideal, warnings)


def _both(trimming: Samples, scored: Samples) -> Iterator[str]:
    """Yields a warning where chips are judged by samples that they were trimmed on."""
    known = {_bytes(trimming, k) for k in range(len(trimming))}
    shared = sum(_bytes(scored, k) in known for k in range(len(scored)))
    if shared:
        yield (
            f"{counted(shared, 'sample')} of {len(scored):,} are calibration samples as well: "
            "figures after compensation flatter the chips"
        )


def _bytes(samples: Samples, k: int) -> bytes:
    return b"".join(np.ascontiguousarray(x[k], np.float64).tobytes() for x in samples.x.values())


def _check_judge(program: Program, samples: Samples, ideal: RunOutcome) -> None:
    """Raises where nothing says which answers are right."""
    name = program.outputs[0].name if program.outputs else ""
    if ideal.facts["tied_answers"] is None:
        raise UsageError(f"output '{name}' is one number, no scores of classes that could be right or wrong")
    if samples.y is None and ideal.integer is None:
        raise UsageError(
            "the data have no labels 'y', and the program was saved without its integer network",
            hint="give labels, or compile again without --no-source",
        )


def run_jobs(
    study: Study, jobs: Sequence[Job], journal: Journal, ask: Ask
) -> Iterator[tuple[Job, Row, float | None]]:
    """Yields every job with its row and the seconds of CPU time it took, None where it was finished before.

    Raises:
        NmcError: A job cannot be done; rows before it are in the journal.
    """
    open_jobs = []
    for job in jobs:
        known = journal.get(study.key(job))
        if known is None:
            open_jobs.append(job)
        else:
            yield job, dict(known), None
    for number, said in ask(study.setting, open_jobs):
        if "error" in said:
            error = said["error"]
            if error["kind"] == "MemoryError":
                raise MemoryError(error["sentence"])
            raise _KINDS.get(error["kind"], BackendFault)(error["sentence"])
        journal.add(study.key(open_jobs[number]), said["row"])
        yield open_jobs[number], said["row"], said["cpu_seconds"]
