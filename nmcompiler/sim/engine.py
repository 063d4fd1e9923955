"""The simulator: runs samples through a program, on the path that the program allows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from nmcompiler.errors import NotVerified, UsageError
from nmcompiler.ir.progress import Progress, silent
from nmcompiler.program.layout import Program
from nmcompiler.sim.certificate import Bounds, Certificate, bounds, prove
from nmcompiler.sim.columns import LANES
from nmcompiler.sim.counters import count
from nmcompiler.sim.groups import Groups, run_grouped, tables
from nmcompiler.sim.jit import compile_seconds
from nmcompiler.sim.literal import firing, run_literally
from nmcompiler.sim.load import Loaded, load
from nmcompiler.sim.ports import as_samples, encode
from nmcompiler.sim.profile import Profile
from nmcompiler.sim.result import Array, Int64Array, Record, RunResult
from nmcompiler.sim.steptables import Steps, steps_of
from nmcompiler.sim.stepwise import run_steps
from nmcompiler.sim.stream import Stream
from nmcompiler.sim.tile import Store, TileCounters
from nmcompiler.sim.windowed import Windows, prepare, run_windowed

__all__ = ["Job", "Simulator", "TileRunner"]

# A tile is long enough to share the cost of a call, short enough to stay in the cache and for Ctrl-C.
_TILE_SAMPLES = 25
_TILE_NEURONS = 500_000
_MOST_TILE_NEURONS = 16 * _TILE_NEURONS  # of all samples; about 40 bytes each
_BLOCK_NEURONS = 4096  # of an average block, all samples of a tile together
_TILE_STEPS = 16
_GROUPED_SAMPLES = 64
_MOST_SENT = 2**26  # bytes that hold what the samples of a tile send
_CHECKED_SAMPLES = 2
_FEW_SAMPLES = 4  # for which lanes, most of them empty, cost more than plain loops

_RunTile = Callable[[slice], TileCounters]
_RunWindows = Callable[[slice, Store, Stream | None], TileCounters]


@dataclass(frozen=True, eq=False)
class Job:
    """What a run is asked for, as far as it matters to a tile of samples.

    Attributes:
        encoded: Values of the input neurons, ``(N, n)`` for each port.
        store: Where every tile puts what it reads, in the rows of its samples.
        stream: The stream that the samples go on with, or None.
        literal: Run everything step by step.
        check: Compare both paths on the first samples.
        profile: Counts the time of each block, where anybody wants to know it.
    """

    encoded: Sequence[Int64Array]
    store: Store
    stream: Stream | None = None
    literal: bool = False
    check: bool = True
    profile: Profile | None = None

    @property
    def samples(self) -> int:
        """N."""
        return len(self.encoded[0]) if self.encoded else 0


@dataclass(frozen=True, eq=False)
class TileRunner:
    """How the tiles of one job are run.

    Attributes:
        run: Runs the samples of a slice, by any thread.
        windowed: Whether it leaves out the steps.
        literal_samples: Samples that are run step by step, those that were compared among them.
        tile: Most samples of a tile; None for as many as suit plain loops.
        group: Samples that are run together; tiles hold whole groups.
    """

    run: _RunTile
    windowed: bool
    literal_samples: int
    tile: int | None = None
    group: int = 1


@dataclass(frozen=True, eq=False)
class Simulator:
    """Runs a program.

    A program whose certificate holds runs window by window, and the first samples of each run are executed
    step by step as well and compared. All others run step by step.

    Attributes:
        program: What is run.
    """

    program: Program

    def run(
        self,
        x: Mapping[str, Array] | Array,
        *,
        record: Record | None = None,
        threads: int = 1,
        progress: Progress = silent,
        literal: bool = False,
        check: bool = True,
        stream: Stream | bool = False,
        profile: Profile | None = None,
    ) -> RunResult:
        """Runs samples; the result does not depend on the number of threads.

        Args:
            x: Samples ``(N, *shape)`` by input port, or those of the only port.
            record: What to keep beside outputs and counters; None for nothing.
            threads: Threads over samples.
            progress: Told how far the run is, between tiles of samples, by the thread that called.
            literal: Run everything step by step.
            check: Compare both paths on the first samples; only later parts of one run may leave it out.
            stream: Run the samples as consecutive frames of one stream, one after the other: neurons send
                only what changes. A stream of ``start_stream`` goes on from run to run.
            profile: Counts the time of each block; simulators of chips that vary leave it as it is.

        Raises:
            InputFileError: Where the samples do not suit the program, or the program is damaged.
            NotVerified: Where the two paths differ.
            UsageError: Where code or chip cannot run a stream.
        """
        if threads < 1:
            raise UsageError(f"a run with {threads} threads", allowed="1 or more")
        frames = self.start_stream() if stream is True else stream or None
        start, compiled = time.perf_counter(), compile_seconds()
        encoded = encode(self.program, as_samples(self.program, x))
        samples = len(encoded[0]) if encoded else 0
        store = Store(self._loaded, samples, record or Record())
        job = Job(encoded, store, frames, literal or store.trains is not None, check, profile)
        runner = self._runner(job)
        threads = threads if frames is None else 1
        size = runner.tile or self._tile_samples(samples, threads)
        tiles = _shared_out(samples, size, runner.group, threads)
        counters = list(_run_tiles(runner.run, tiles, threads, progress))
        total = sum((c.counts for c in counters), np.zeros(self._loaded.neurons, np.int64))
        counted = count(self._loaded, total)
        return RunResult(
            outputs=store.outputs,
            values=store.values,
            membranes=store.membranes,
            trains=store.trains,
            spikes=counted.spikes,
            spikes_per_neuron=total,
            spikes_per_block=counted.spikes_per_block,
            synops=int(counted.synops_per_block.sum()),
            synops_per_block=counted.synops_per_block,
            hops=int(counted.hops_per_block.sum()),
            hops_per_block=counted.hops_per_block,
            saturations=sum(c.saturations for c in counters),
            samples=samples,
            literal_samples=runner.literal_samples,
            windowed=runner.windowed,
            jit_seconds=compile_seconds() - compiled,
            wall_seconds=time.perf_counter() - start,
        )

    @property
    def drawn(self) -> Mapping[str, Any] | None:
        """What makes this chip another than its program, as JSON values by name.

        None where every value is exactly the program's, as here. Where it is not None, deviations from the
        integer network are what is measured, not a fault.
        """
        return None

    def start_stream(self) -> Stream:
        """Returns a stream before its first frame, or raises ``UsageError`` where there can be none."""
        return Stream.start(self._loaded)

    @cached_property
    def certificate(self) -> Certificate:
        """Which blocks cannot saturate."""
        return prove(self._loaded, self._reach)

    @cached_property
    def _loaded(self) -> Loaded:
        return load(self.program)

    @cached_property
    def _reach(self) -> tuple[Bounds, ...]:
        return bounds(self._loaded)

    @cached_property
    def _windows(self) -> Windows:
        return prepare(self._loaded, self._reach)

    @cached_property
    def _groups(self) -> Groups | None:
        return tables(self._loaded, self._reach)

    @cached_property
    def _steps(self) -> Steps | None:
        return steps_of(self._loaded, self._reach, firing(self._loaded))

    def _tile_samples(self, samples: int, threads: int) -> int:
        """Returns the samples of a tile of so many, which so many threads share; no result depends on it."""
        # The literal path holds what inputs send in all of their steps.
        trains = sum(b.n * b.slot.steps for b in self._loaded.blocks if b.is_input)
        held = max(self._loaded.neurons, trains // _TILE_STEPS, 1)
        # Thousands of small blocks: a call must have more to do than it takes to call.
        worth = _BLOCK_NEURONS * len(self._loaded.blocks) // max(self._loaded.neurons, 1)
        fitting = max(_TILE_NEURONS // held, min(worth, _MOST_TILE_NEURONS // held))
        return max(1, min(_TILE_SAMPLES, fitting))

    def _runner(self, job: Job) -> TileRunner:
        """Returns how the tiles of a job are run: all that a simulator of another kind of chip overrides.

        Called once a run, before any thread: what tiles share is made here.
        """
        if job.literal or not self.certificate.windowed:
            return self._stepping(job)
        windowed = self._by_windows(job)
        checked = min(job.samples, _CHECKED_SAMPLES) if job.check else 0
        if checked:
            self._check_first(job, checked, windowed)
        in_lanes = self._in_lanes(job) and self._groups is not None
        return TileRunner(
            lambda rows: windowed(rows, job.store, job.stream),
            windowed=True,
            literal_samples=checked,
            tile=_GROUPED_SAMPLES if in_lanes else None,
            group=LANES if in_lanes else 1,
        )

    def _by_windows(self, job: Job) -> _RunWindows:
        """Returns how samples are run window by window: by lanes where these suffice."""
        encoded = job.encoded
        if self._in_lanes(job) and self._groups is not None:
            groups = self._groups
            return lambda rows, store, _: run_grouped(groups, encoded, rows, store, job.profile)
        windows = self._windows
        return lambda rows, store, stream: run_windowed(windows, encoded, rows, store, stream, job.profile)

    def _in_lanes(self, job: Job) -> bool:
        """Returns whether the samples of a job are many, and none waits for another."""
        return job.stream is None and job.samples > _FEW_SAMPLES

    def _stepping(self, job: Job) -> TileRunner:
        """Returns how tiles are run step by step: block after block where that is the same."""
        loaded, steps = self._loaded, self._steps
        if steps is None or job.stream is not None:
            return TileRunner(
                lambda rows: run_literally(loaded, job.encoded, rows, job.store, job.stream, job.profile),
                windowed=False,
                literal_samples=job.samples,
            )
        return TileRunner(
            lambda rows: run_steps(steps, job.encoded, rows, job.store, job.profile),
            windowed=False,
            literal_samples=job.samples,
            tile=max(1, min(_GROUPED_SAMPLES, _MOST_SENT // max(steps.bytes_per_sample, 1))),
        )

    def _check_first(self, job: Job, samples: int, run_windows: _RunWindows) -> None:
        """Compares both paths on the first samples: outputs, values, membranes and every counter."""
        rows = slice(0, samples)
        record = Record(values=True, membranes=True)
        stores = [Store(self._loaded, samples, record) for _ in range(2)]
        first, second = (None if job.stream is None else job.stream.copy() for _ in range(2))
        by_steps = self._stepping(replace(job, store=stores[0], stream=first, profile=None)).run
        literal = by_steps(rows)
        windowed = run_windows(rows, stores[1], second)
        differing = _difference(stores[0], stores[1], literal, windowed)
        if differing:
            raise NotVerified(
                f"the windowed path and the steps of the program differ in {differing}",
                asked="check of the first samples",
                hint="run it step by step, and report this as a fault of the simulator",
            )


def _difference(a: Store, b: Store, counted_a: TileCounters, counted_b: TileCounters) -> str:
    """Returns what differs between two executions of the same samples, empty where nothing does."""
    pairs: list[tuple[str, Sequence[object], Sequence[object]]] = [
        ("saturations", [counted_a.saturations], [counted_b.saturations]),
        ("spikes", [counted_a.counts], [counted_b.counts]),
        ("outputs", a.outputs, b.outputs),
        ("values", a.values or (), b.values or ()),
        ("membranes", a.membranes or (), b.membranes or ()),
    ]
    for name, left, right in pairs:
        if not all(np.array_equal(np.asarray(x), np.asarray(y)) for x, y in zip(left, right, strict=True)):
            return name
    return ""


def _shared_out(samples: int, size: int, group: int, threads: int) -> list[slice]:
    """Returns the tiles of a run: of about equal size, and as many for each thread.

    Args:
        samples: All of them.
        size: Most samples of a tile.
        group: Tiles hold whole groups of so many, but for the last.
        threads: Those who share the tiles.
    """
    groups = -(-samples // group)
    tiles = -(-groups // max(size // group, 1))
    tiles = min(groups, -(-tiles // threads) * threads)
    ends = [min(samples, group * (groups * k // tiles)) for k in range(tiles + 1)] if tiles else [0]
    return [slice(low, high) for low, high in pairwise(ends)]


def _run_tiles(
    run_tile: _RunTile, tiles: Sequence[slice], threads: int, progress: Progress
) -> Iterator[TileCounters]:
    """Runs all tiles and yields their counters, in order."""
    samples = tiles[-1].stop if tiles else 0
    if threads == 1 or len(tiles) <= 1:
        for rows in tiles:
            yield run_tile(rows)
            progress("running", rows.stop, samples)
        return
    pool = ThreadPoolExecutor(threads, thread_name_prefix="simulator")
    try:
        for rows, counters in zip(tiles, pool.map(run_tile, tiles), strict=True):
            yield counters
            progress("running", rows.stop, samples)
    finally:
        # After Ctrl-C or an error: tiles that have not begun never do.
        pool.shutdown(wait=True, cancel_futures=True)
