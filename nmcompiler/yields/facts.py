"""The object of ``yield --json``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from nmcompiler.yields.intervals import mean_interval
from nmcompiler.yields.study import Plan, Study, job_of
from nmcompiler.yields.subject import Job, Row
from nmcompiler.yields.summary import histogram, losses, spread, survivors

__all__ = ["Results", "yield_facts"]

_NAMES = {"accuracy": "correct", "agreement": "agree"}


class Results:
    """Rows of finished jobs."""

    def __init__(self) -> None:
        self._rows: dict[tuple[Any, ...], Row] = {}

    def add(self, job: Job, row: Row) -> None:
        """Takes a row."""
        self._rows[_identity(job)] = row

    def get(self, job: Job) -> Row | None:
        """Returns the row of a job, None where it is not finished."""
        return self._rows.get(_identity(job))

    def all_of(self, jobs: Sequence[Job]) -> list[Row] | None:
        """Returns the rows of several jobs, None where one is not finished."""
        rows = [row for row in map(self.get, jobs) if row is not None]
        return rows if len(rows) == len(jobs) else None


def _identity(job: Job) -> tuple[Any, ...]:
    sources = job["sources"]
    return job["seed"], None if sources is None else tuple(sources), tuple(job["methods"])


def yield_facts(study: Study, plan: Plan, results: Results, lose: Sequence[float]) -> dict[str, Any]:
    """Returns all that is known of the chips that are finished; seconds are the caller's to add."""
    ways = [study.methods, ()] if study.methods else [()]
    chips = []
    for seed in plan.seeds:
        rows = results.all_of([job_of(seed, methods) for methods in ways])
        if rows is not None:
            chips.append((seed, rows))
    described = [_described(study, [rows[k] for _, rows in chips], lose) for k in range(len(ways))]
    ideal = study.ideal.facts
    return {
        "schema": "nmcompiler.yield/1",
        "model": study.program.report.get("model"),
        "target": study.program.target.name,
        "coding": study.program.coding,
        "samples": len(study.samples),
        "calibration_samples": study.calibration_samples,
        "first_seed": plan.first_seed,
        "planned": plan.chips,
        "finished": len(chips),
        "complete": len(chips) == plan.chips,
        "sources": list(study.sources),
        "methods": list(study.methods),
        "judged_by": "accuracy" if study.judge == "correct" else "agreement",
        "float_accuracy": ideal["accuracy"]["float"],
        "integer_accuracy": ideal["accuracy"]["integer"],
        "ideal": {"accuracy": ideal["accuracy"]["chip"], "agreement": ideal["agreement"]["chip_integer"]},
        **described[0],
        "uncompensated": described[1] if study.methods else None,
        "histogram": _bins(study, [[row[study.judge] for row in rows] for _, rows in chips], len(ways)),
        "chips": [_chip(study, seed, rows) for seed, rows in chips],
        "sensitivity": _sensitivity(study, plan, results) if plan.sensitivity else None,
        "gains": _gains(study, plan, results) if plan.sensitivity and study.methods else None,
        "warnings": list(study.warnings),
    }


def _described(study: Study, rows: Sequence[Row], lose: Sequence[float]) -> dict[str, Any]:
    """Returns accuracy, agreement and losses of chips that were treated alike."""
    samples = len(study.samples)
    shares = {
        name: [row[key] / samples for row in rows if row[key] is not None] for name, key in _NAMES.items()
    }
    hits = [row[study.judge] for row in rows]
    return {
        **{name: spread(values) for name, values in shares.items()},
        "loss": losses(hits, _ideal(study), samples),
        "lose_less_than": [survivors(hits, _ideal(study), samples, points) for points in lose],
    }


def _ideal(study: Study) -> int:
    """Returns the right answers of the chip that does not vary."""
    facts = study.ideal.facts
    correct = study.judge == "correct"
    share: float = facts["accuracy"]["chip"] if correct else facts["agreement"]["chip_integer"]
    return round(share * len(study.samples))


def _chip(study: Study, seed: int, rows: Sequence[Row]) -> dict[str, Any]:
    samples = len(study.samples)
    shares = [
        {name: None if row[key] is None else row[key] / samples for name, key in _NAMES.items()}
        for row in rows
    ]
    return {"seed": seed, **shares[0], "uncompensated": shares[1] if len(shares) > 1 else None}


def _bins(study: Study, hits: Sequence[Sequence[int]], ways: int) -> list[dict[str, Any]]:
    groups = [[chip[k] for chip in hits] for k in range(ways)]
    bins = []
    for entry in histogram(groups, len(study.samples)):
        counts = entry.pop("counts")
        bins.append({**entry, "chips": counts[0], "uncompensated": counts[1] if ways > 1 else None})
    return bins


def _sensitivity(study: Study, plan: Plan, results: Results) -> dict[str, Any]:
    """Returns what each source costs where it varies alone; a single source is all that varies."""
    alone = study.sources if len(study.sources) > 1 else ()

    def entry(source: str | None) -> dict[str, Any]:
        ways = [study.methods, ()] if study.methods else [()]
        lost = [_lost(study, results, (job_of(s, m, source) for s in plan.probed)) for m in ways]
        return {"loss": lost[0], "uncompensated": lost[1] if study.methods else None}

    return {
        "chips": len(plan.probed),
        "all": entry(None),
        "sources": [{"source": source, **entry(source)} for source in alone],
    }


def _gains(study: Study, plan: Plan, results: Results) -> dict[str, Any]:
    """Returns what each method gains when it joins those before it, on the same chips."""
    methods, samples = study.methods, len(study.samples)
    found = []
    for k, method in enumerate(methods, 1):
        pairs = [results.all_of([job_of(s, methods[: k - 1]), job_of(s, methods[:k])]) for s in plan.probed]
        points = [100 * (p[1][study.judge] - p[0][study.judge]) / samples for p in pairs if p is not None]
        found.append(
            {
                "method": method,
                "gain": sum(points) / len(points) if points else None,
                "interval_95": list(mean_interval(points)),
                "loss": _lost(study, results, (job_of(s, methods[:k]) for s in plan.probed)),
            }
        )
    return {"chips": len(plan.probed), "methods": found}


def _lost(study: Study, results: Results, jobs: Iterable[Job]) -> dict[str, Any] | None:
    rows = [row for row in map(results.get, jobs) if row is not None]
    return losses([row[study.judge] for row in rows], _ideal(study), len(study.samples))
