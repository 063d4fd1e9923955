"""Reads many damaged files in several processes and says how that ended.

Usage: ``python -m tests.benchmarks.fuzz_files --files 100000 --processes 2``. Every process may hold 2 GiB.
Exits with 1 where a file ended in anything but success or a sentence, took over
10 s of processor time, or took the memory.
"""

from __future__ import annotations

import argparse
import faulthandler
import itertools
import multiprocessing
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from tests.hostile import KINDS, Verdict, judge

_MEMORY = 2 * 2**30
_CHUNK = 50
_MEMORY_DISK = "/dev/shm" if Path("/dev/shm").is_dir() else None


def main() -> int:
    """Runs the files that the arguments ask for and prints how they ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--first", type=int, default=0, help="seed of the first file")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after this time")
    parser.add_argument("--kind", choices=KINDS, action="append", help="only this kind (may be repeated)")
    options = parser.parse_args()
    start = time.perf_counter()
    counts: Counter[tuple[str, str]] = Counter()
    slowest: dict[str, Verdict] = {}
    failures: list[Verdict] = []
    peak = 0
    spawn = multiprocessing.get_context("spawn")
    with (
        tempfile.TemporaryDirectory(dir=_MEMORY_DISK) as scratch,
        # Unlike multiprocessing.Pool it raises BrokenProcessPool where a file kills its process.
        ProcessPoolExecutor(options.processes, mp_context=spawn, initializer=_limit) as pool,
    ):
        chunks = _chunks(options.kind or KINDS, options.first, options.files, Path(scratch))
        for done in as_completed([pool.submit(_judged, chunk) for chunk in chunks]):
            verdicts, used = done.result()
            peak = max(peak, used)
            for verdict in verdicts:
                counts[verdict.kind, verdict.outcome] += 1
                if (
                    verdict.seconds > slowest.get(verdict.kind, verdict).seconds
                    or verdict.kind not in slowest
                ):
                    slowest[verdict.kind] = verdict
                if verdict.outcome == "failed":
                    failures.append(verdict)
                    print(f"FAILED {verdict.kind} {verdict.seed}: {verdict.detail[-2000:]}", flush=True)
            if time.perf_counter() - start > options.seconds:
                pool.shutdown(wait=False, cancel_futures=True)
                break
    for (kind, outcome), count in sorted(counts.items()):
        print(f"{kind:15s} {outcome:8s} {count:7d}")
    for kind, verdict in slowest.items():
        print(f"slowest {kind}: seed {verdict.seed}, {verdict.seconds:.2f} s, {verdict.outcome}")
    seconds = time.perf_counter() - start
    print(f"{counts.total()} files in {seconds:.0f} s, peak memory of a process {peak / 2**20:.0f} MiB")
    return 1 if failures else 0


def _chunks(kinds: tuple[str, ...], first: int, files: int, scratch: Path) -> Iterator[tuple[object, ...]]:
    every = itertools.count(first)
    for start in range(0, files, _CHUNK * len(kinds)):
        seeds = list(itertools.islice(every, min(_CHUNK, -(-(files - start) // len(kinds)))))
        for kind in kinds:
            yield kind, seeds, scratch


def _limit() -> None:
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))


def _judged(chunk: tuple[str, list[int], Path]) -> tuple[list[Verdict], int]:
    kind, seeds, scratch = chunk
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        verdicts = [judge(kind, seed, Path(folder)) for seed in seeds]
    return verdicts, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    sys.exit(main())
