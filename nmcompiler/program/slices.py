"""Passes over the chips in a program, its slices in time: what is loaded together, when, what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from nmcompiler.program.layout import Program

__all__ = ["block_steps", "block_turns", "chip_steps", "turn_faults", "turn_spans"]

Ints: TypeAlias = npt.NDArray[np.int64]


def block_turns(program: Program) -> Ints:
    """Returns the pass of each block, ``(blocks,)``; −1 of inputs, which the host feeds in every pass."""
    core = program.column("core")
    found: Ints = np.where(core < 0, -1, np.append(program.turns, -1)[core])
    return found


def turn_spans(program: Program) -> list[tuple[int, int]]:
    """Returns for each pass the first step of the sample that it computes, and the first that it does not.

    A pass begins when the first of its neurons may fire, or the first of those that the host replays to it,
    and ends when the last of its neurons has fired. Steps in which the host replays spikes of an earlier
    pass belong to both. A single pass is the whole sample.
    """
    if program.passes == 1:
        return [(0, program.total_steps)]
    turns, first = block_turns(program), program.column("fire_start")
    last = first + program.column("steps")
    routes = program.arrays["routes"].astype(np.int64)
    sent, reached = _of_sources(program, routes, first, np.minimum), program.turns[routes[:, 2]]
    spans = []
    for turn in range(program.passes):
        begins = [*first[turns == turn], *sent[reached == turn]]
        start = int(min(begins, default=0))
        spans.append((start, max(start + 1, int(last[turns == turn].max(initial=0)))))
    return spans


def chip_steps(program: Program) -> int:
    """Returns the steps that a sample takes on the chips, those of all passes together."""
    return sum(end - start for start, end in turn_spans(program))


def block_steps(program: Program) -> Ints:
    """Returns the steps in which the neurons of each block are updated, ``(blocks,)``; those of its pass."""
    steps = np.array([end - start for start, end in turn_spans(program)], np.int64)
    turns = block_turns(program)
    found: Ints = np.where(turns < 0, 0, steps[turns])
    return found


def turn_faults(program: Program) -> Iterator[str]:
    """Yields what is wrong in the passes of cores; blocks and routes must be right."""
    if "passes" not in program.arrays:
        return
    turns, cores = program.turns, program.arrays["cores"].astype(np.int64)
    if turns.shape != (len(cores),):
        yield f"passes has {turns.size} entries where there are {len(cores)} cores"
        return
    known = np.unique(turns)
    if not np.array_equal(known, np.arange(len(known))):
        yield "the passes are not numbered from 0"
        return
    places = np.column_stack([turns, cores])
    _, first, count = np.unique(places, axis=0, return_index=True, return_counts=True)
    for core in first[count > 1].tolist():
        other = int(np.flatnonzero((places == places[core]).all(axis=1))[1])
        yield f"cores {core} and {other} stand at one place in pass {turns[core]}"
    routes = program.arrays["routes"].astype(np.int64)
    sources = _of_sources(program, routes, block_turns(program), np.maximum)
    for route in np.flatnonzero(sources > turns[routes[:, 2]]).tolist():
        yield f"route {route} leads from pass {sources[route]} back to pass {turns[routes[route, 2]]}"


def _of_sources(program: Program, routes: Ints, values: Ints, best: np.ufunc) -> Ints:
    """Returns the best value of the blocks that each route starts at, ``(routes,)``."""
    if not len(routes):
        return np.zeros(0, np.int64)
    gid0 = program.column("gid0")
    low = np.searchsorted(gid0, routes[:, 0], side="right") - 1
    end = np.searchsorted(gid0, routes[:, 0] + routes[:, 1], side="left")
    found: Ints = best.reduceat(np.append(values, values[-1]), np.stack([low, end], axis=1).ravel())[::2]
    return found
