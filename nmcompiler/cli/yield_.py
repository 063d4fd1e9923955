"""``nmc yield``: a program on many chips that differ."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nmcompiler.cli.compare import spread
from nmcompiler.cli.options import (
    COUNT,
    FILE,
    OUTPUT,
    SEED,
    batch_option,
    data_option,
    json_option,
    limit_option,
)
from nmcompiler.cli.output import check_output, progress, say, say_json, warn
from nmcompiler.cli.run import available_cores, verdict
from nmcompiler.errors import UsageError

if TYPE_CHECKING:
    from nmcompiler.ir.progress import Progress
    from nmcompiler.journal import Journal
    from nmcompiler.yields.cluster import Cluster
    from nmcompiler.yields.facts import Results
    from nmcompiler.yields.pool import Pool
    from nmcompiler.yields.study import Plan, Study

__all__ = ["command"]

_INTERRUPTED = 130
_POINTS = (0.5, 1.0, 2.0)
_LOG_SECONDS = 10.0


class _ListCommand(click.Command):
    """A command of which an option may take several values in a row."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, spread(args, ("--lose",)))


@click.command(
    "yield",
    cls=_ListCommand,
    short_help="Run a program on many chips that differ.",
    epilog="""\b
PROGRAM.nmc stands first. For example:
  nmc yield net.nmc --input test.npz --chips 100 --calibration data.npz""",
)
@click.argument("program", type=FILE, metavar="PROGRAM.nmc")
@data_option
@click.option("--chips", type=COUNT, default=100, show_default=True, metavar="N", help="Chips to draw.")
@click.option(
    "--first-seed",
    type=SEED,
    default=0,
    show_default=True,
    metavar="S",
    help="Seed of the first chip, as in nmc run --chip-seed; the others follow.",
)
@limit_option
@click.option(
    "--calibration",
    type=FILE,
    metavar="DATA",
    help="Samples on which chips are trimmed; labels are not read.",
)
@click.option(
    "--compensate",
    metavar="all|none|NAMES",
    help="Methods that trim them, with commas between them.  [all, with --calibration]",
)
@click.option(
    "--lose",
    type=float,
    multiple=True,
    metavar="POINTS…",
    help="Count the chips that lose less than so many points.  [0.5 1 2]",
)
@click.option("--sensitivity", is_flag=True, help="Also what each source costs alone, and each method gains.")
@click.option(
    "--journal", type=OUTPUT, metavar="FILE.jsonl", help="Keep finished chips there, and go on from them."
)
@click.option("--workers", type=COUNT, metavar="N", help="Processes.  [the cores available]")
@click.option("--scheduler", metavar="tcp://HOST:PORT", help="Use the workers of this Dask cluster instead.")
@batch_option
@json_option
def command(
    program: Path,
    data: Path,
    chips: int,
    first_seed: int,
    limit: int | None,
    calibration: Path | None,
    compensate: str | None,
    lose: tuple[float, ...],
    sensitivity: bool,
    journal: Path | None,
    workers: int | None,
    scheduler: str | None,
    batch: int,
    as_json: bool,
) -> int:
    """Run PROGRAM.nmc on many chips, each with variations of its own, and say how good they are.

    Chips are drawn by their seeds and judged by labels, or without labels by the integer network's answers.
    No figure depends on the number of workers. The exit code is 1 where a chip that does not vary differs
    from the integer network.
    """
    began, spent = time.perf_counter(), time.process_time()
    for path in (program, data, calibration):
        check_output(journal, () if path is None else (path,), option="--journal")
    _check(chips, first_seed, calibration, compensate, lose, workers, scheduler)
    with _workers(workers, scheduler, chips) as hands:
        from nmcompiler.journal import Journal
        from nmcompiler.yields.facts import yield_facts
        from nmcompiler.yields.study import Plan, read_study

        kept = Journal(journal, "yield", "--journal")
        with progress(left=True) as show:
            study = read_study(
                program,
                data,
                calibration,
                compensate or ("none" if calibration is None else "all"),
                limit=limit,
                batch=batch,
                threads=available_cores(),
                progress=show,
            )
            plan = Plan(chips, first_seed, sensitivity)
            results, cpu_seconds, known, interrupted = _run(study, plan, kept, hands, show)
    facts = yield_facts(study, plan, results, lose or _POINTS)
    facts |= {
        "workers": hands.workers,
        "scheduler": scheduler,
        "from_journal": known,
        "wall_seconds": round(time.perf_counter() - began, 4),
        "cpu_seconds": round(cpu_seconds + time.process_time() - spent, 4),
    }
    _show(facts, as_json)
    if interrupted:
        goes_on = "" if journal is None else f"; the same command goes on from there ('{journal}')"
        warn(f"interrupted with {facts['finished']} of {chips:,} chips finished{goes_on}")
        return _INTERRUPTED
    return verdict(study.ideal.facts)


def _check(
    chips: int,
    first_seed: int,
    calibration: Path | None,
    compensate: str | None,
    lose: tuple[float, ...],
    workers: int | None,
    scheduler: str | None,
) -> None:
    """Raises where options contradict each other."""
    if first_seed + chips > 2**63:
        raise UsageError(f"{chips:,} chips from seed {first_seed} on", allowed=f"seeds up to {2**63 - 1}")
    if calibration is None and compensate not in (None, "none"):
        raise UsageError(f"--compensate {compensate} needs samples", hint="add --calibration DATA.npz")
    for points in lose:
        if not math.isfinite(points):
            raise UsageError(f"--lose {points}", allowed="numbers of points")
    if workers is not None and scheduler is not None:
        raise UsageError("--workers with --scheduler", hint="a Dask cluster has its own workers")


@contextmanager
def _workers(workers: int | None, scheduler: str | None, chips: int) -> Iterator[Pool | Cluster]:
    """Gives the workers of this machine or of a cluster."""
    hands: Pool | Cluster
    if scheduler is None:
        from nmcompiler.yields.pool import Pool

        hands = Pool(min(workers or available_cores(), chips))
    else:
        from nmcompiler.yields.cluster import Cluster

        hands = Cluster(scheduler)
    with hands:
        yield hands


def _run(
    study: Study, plan: Plan, journal: Journal, hands: Pool | Cluster, show: Progress
) -> tuple[Results, float, int, bool]:
    """Returns the rows, the seconds that workers spent, how many were known, and whether Ctrl-C came."""
    from nmcompiler.yields.facts import Results
    from nmcompiler.yields.study import run_jobs

    results, seconds, known = Results(), 0.0, 0
    jobs = study.jobs(plan)
    log = _Log(len(jobs))
    try:
        show("chips", 0, len(jobs))
        for done, (job, row, took) in enumerate(run_jobs(study, jobs, journal, hands.answers), 1):
            results.add(job, row)
            seconds += took or 0.0
            known += took is None
            show("chips", done, len(jobs))
            log.show(done, known)
    except KeyboardInterrupt:
        return results, seconds, known, True  # what is finished is worth showing
    return results, seconds, known, False


class _Log:
    """Lines on stderr where it is no terminal, which has its bar."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._said = self._first = 0.0
        self._before: int | None = None

    def show(self, done: int, known: int) -> None:
        """Says now and then how much is done, and how long the rest will take.

        Time is counted from the first run that came back: before it, workers were still starting.
        """
        now = time.monotonic()
        if done == known:
            return
        if self._before is None:
            self._before, self._first, self._said = done, now, now
        if sys.stderr.isatty() or now - self._said < _LOG_SECONDS or done == self._total:
            return
        self._said = now
        left = (now - self._first) / (done - self._before) * (self._total - done)
        click.echo(f"{done:,}/{self._total:,} runs, about {math.ceil(left):,} s left", err=True)


def _show(facts: dict[str, Any], as_json: bool) -> None:
    for sentence in facts["warnings"]:
        warn(sentence)
    if as_json:
        say_json(facts)
        return
    from nmcompiler.report.yield_text import yield_text

    say(yield_text(facts))
