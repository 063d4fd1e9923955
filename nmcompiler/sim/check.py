"""Checks that no index of a program leaves its array: the kernels do not look."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from nmcompiler.errors import InputFileError
from nmcompiler.program.crossbar_check import crossbar_faults
from nmcompiler.program.layout import RUN_COLUMNS, BlockKind, Program
from nmcompiler.sim.result import Array, Int64Array

__all__ = ["check", "require", "runs_of_blocks"]

# Twice a register plus what arrives must stay within the int64 that the simulator computes with.
_MOST_BITS = 60


def check(program: Program) -> None:
    """Raises ``InputFileError`` where an entry of the program points outside what it must stay in."""
    arrays = program.arrays
    column = program.column
    gid0, n = column("gid0"), column("n")
    require(
        2 <= program.membrane_bits <= _MOST_BITS,
        f"registers of {program.membrane_bits} bits, not 2 to {_MOST_BITS}",
    )
    require(len(n) > 0 and bool((n > 0).all()), "a block has no neurons")
    require(bool((gid0 == np.cumsum(n) - n).all()), "neurons are not numbered block after block")
    filled = np.where(column("kind") == BlockKind.TYPED_CROSSBAR, program.boxed <= n, program.boxed == n)
    require(bool(filled.all()), "a block's neurons do not fill its box")
    origin = np.stack([column(c) for c in ("y0", "x0", "c0", "population", "levels", "steps", "shift")])
    require(bool((origin >= 0).all()) and bool((column("shift") < 32).all()), "a block has a negative entry")
    require(bool((column("levels") < 2**31).all()), "a block has more than 31 bits of levels")
    require(bool((column("steps") <= program.total_steps).all()), "a block fires for longer than a sample")
    on_chip = column("kind") != BlockKind.INPUT
    cores = len(arrays["cores"])
    core = column("core")
    require(_inside(core[on_chip], 0, cores) and bool((core[~on_chip] == -1).all()), "a block has no core")
    require(_spans(column("run0"), column("run_n"), len(arrays["runs"])), "a block's runs do not exist")
    weights = len(arrays["weights"])
    require(_spans(column("weight0"), column("weight_n"), weights), "a block's weights do not exist")
    require(bool((column("param_n")[on_chip] > 0).all()), "a block has no parameters")
    for name in ("theta", "v0", "current"):
        values = np.asarray(arrays[name], np.int64)
        require(bool((np.abs(values) < 2**_MOST_BITS).all()), f"a {name} of more than {_MOST_BITS} bits")
        require(_spans(column("param0"), column("param_n"), len(arrays[name])), f"a block has no {name}")
    routes = np.asarray(arrays["routes"], np.int64)
    require(_spans(routes[:, 0], routes[:, 1], program.neurons), "a route's source does not exist")
    require(_inside(routes[:, 2], 0, cores) and bool((routes[:, 3] >= 0).all()), "a route leads nowhere")
    require(bool((routes[:, 4] >= 1).all()), "a route has a delay below 1")
    _check_runs(program)
    for problem in crossbar_faults(program):
        require(False, problem)
    _check_ports(program)


def _check_runs(program: Program) -> None:
    """Checks that no synapse leaves its block or the block's weights."""
    runs, block = runs_of_blocks(program)
    patterns = np.asarray(program.arrays["patterns"], np.int64)
    segments = np.asarray(program.arrays["segments"], np.int64)
    rising = len(patterns) > 0 and bool((np.diff(patterns) >= 0).all())
    require(rising and patterns[0] >= 0 and patterns[-1] <= len(segments), "patterns are out of order")
    require(bool((segments[:, 2] >= 0).all()), "a segment has a negative length")
    require(_inside(runs[:, 2], 0, len(patterns) - 1), "a run has no pattern")
    require(bool((runs[:, :2] >= 0).all()), "a run has no axons")
    busy = (patterns[runs[:, 2] + 1] > patterns[runs[:, 2]]) & (runs[:, 1] > 0)
    runs, block = runs[busy], block[busy]
    # Bounds of offset and offset + length over the segments of each pattern that is in use.
    for offset, start, stride, limit in ((1, 3, 6, "n"), (0, 4, 5, "weight_n")):
        low, high = _pattern_bounds(patterns, segments, offset)
        travel = (runs[:, 1] - 1) * runs[:, stride]
        first = runs[:, start] + np.minimum(travel, 0) + low[runs[:, 2]]
        last = runs[:, start] + np.maximum(travel, 0) + high[runs[:, 2]]
        inside = bool((first >= 0).all()) and bool((last <= program.column(limit)[block]).all())
        require(inside, "a run leaves its block")


def _pattern_bounds(patterns: Int64Array, segments: Int64Array, offset: int) -> tuple[Int64Array, Int64Array]:
    low, high = np.zeros(len(patterns) - 1, np.int64), np.zeros(len(patterns) - 1, np.int64)
    for p, (first, end) in enumerate(pairwise(patterns)):
        if end > first:
            part = segments[first:end]
            low[p], high[p] = part[:, offset].min(), (part[:, offset] + part[:, 2]).max()
    return low, high


def _check_ports(program: Program) -> None:
    kind, population, n = program.column("kind"), program.column("population"), program.boxed
    for port in program.inputs:
        mine = np.flatnonzero(population == port.population)
        whole = len(mine) == 1 and kind[mine[0]] == BlockKind.INPUT and n[mine[0]] == len(port.order)
        require(bool(whole), f"input '{port.name}' is not fed into one block")
        flat = int(np.prod(port.shape))
        require(_inside(port.order, 0, flat), f"input '{port.name}' reads outside its samples")
    for out in program.outputs:
        size = int(n[population == out.population].sum())
        for order in (out.order, out.off):
            inside = order is None or _inside(order, 0, size)
            require(inside, f"output '{out.name}' reads outside its population")
    fed = {p.population for p in program.inputs}
    require(fed == set(population[kind == BlockKind.INPUT].tolist()), "an input population has no port")


def _inside(values: Array, first: int, end: int) -> bool:
    return bool(((values >= first) & (values < end)).all())


def _spans(first: Array, count: Array, end: int) -> bool:
    return bool(((first >= 0) & (count >= 0) & (first + count <= end))[count != 0].all())


def require(holds: bool, problem: str) -> None:
    """Raises ``InputFileError`` with the problem where a condition does not hold."""
    if not holds:
        raise InputFileError(f"the program is damaged: {problem}", hint="compile it again")


def runs_of_blocks(program: Program) -> tuple[Int64Array, Int64Array]:
    """Returns the runs of all blocks, block after block, and the block of each."""
    first, count = program.column("run0"), program.column("run_n")
    rows = np.concatenate([np.arange(f, f + n) for f, n in zip(first, count, strict=True)])
    runs = np.asarray(program.arrays["runs"], np.int64).reshape(-1, len(RUN_COLUMNS))
    return runs[rows.astype(np.int64)], np.repeat(np.arange(len(first)), count)
