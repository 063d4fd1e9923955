"""Times of several functions, taken in turns: a machine that is busy is busy for all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import TypeAlias

__all__ = ["Times", "Work", "interleaved", "once"]

Work: TypeAlias = Callable[[], object]


@dataclass(frozen=True)
class Times:
    """Medians over some repetitions, in seconds.

    Attributes:
        cpu: Of the whole process, all threads together.
        wall: As a clock shows.
    """

    cpu: float
    wall: float

    def per(self, count: float) -> Times:
        """Returns the times of one of ``count`` equal parts."""
        return Times(self.cpu / count, self.wall / count)


def once(work: Work) -> Times:
    """Returns how long a function takes."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Times(time.process_time() - cpu, time.perf_counter() - wall)


def interleaved(works: Mapping[str, Work], repetitions: int, least_seconds: float = 0.0) -> dict[str, Times]:
    """Returns the times of each function, by name.

    Each is called once before the clock starts, so that nothing is compiled while it runs, and then in turns
    with the others. One that takes less than ``least_seconds`` is called several times in a row, and the
    time of one call is returned.
    """
    for work in works.values():
        work()
    rounds = {name: max(1, round(least_seconds / once(work).wall)) for name, work in works.items()}
    found: dict[str, list[Times]] = {name: [] for name in works}
    for _ in range(repetitions):
        for name, work in works.items():
            found[name].append(once(_several(work, rounds[name])).per(rounds[name]))
    return {
        name: Times(median(t.cpu for t in times), median(t.wall for t in times))
        for name, times in found.items()
    }


def _several(work: Work, count: int) -> Work:
    def run() -> None:
        for _ in range(count):
            work()

    return run
