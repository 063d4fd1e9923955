"""Whether the numbers of a program point at things that exist: what must hold before anything reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from nmcompiler.program.crossbar_check import crossbar_faults
from nmcompiler.program.layout import (
    BLOCK_COLUMNS,
    ROUTE_COLUMNS,
    RUN_COLUMNS,
    SEGMENT_COLUMNS,
    BlockKind,
    IntArray,
    Program,
)
from nmcompiler.program.slices import turn_faults
from nmcompiler.target.model import USUAL

__all__ = ["fault"]

# Bounds that no real program comes near; they keep a hostile file from asking for all memory or time.
_MAX_NEURONS = 2**26
_MAX_STEPS = 2**20
_MAX_ROUTED = 2**30
_MAX_VALUE = 2**40


def fault(program: Program) -> str | None:
    """Returns the first thing in a program that cannot be read, as a clause; None where all can."""
    for check in _CHECKS:
        for message in check(program):
            return message
    return None


def _columns(program: Program, array: str, names: tuple[str, ...]) -> dict[str, npt.NDArray[np.int64]]:
    table = program.arrays[array].astype(np.int64)
    return {name: table[:, i] for i, name in enumerate(names)}


def _first(wrong: npt.NDArray[np.bool_]) -> int | None:
    """Returns the first index that is wrong, or None."""
    return int(np.argmax(wrong)) if wrong.any() else None


def _rows(kind: str, rules: dict[str, npt.NDArray[np.bool_]]) -> Iterator[str]:
    """Yields a message for the first row that breaks one of the rules."""
    for sentence, right in rules.items():
        row = _first(~right)
        if row is not None:
            yield f"{kind} {row} {sentence}"


def _header(program: Program) -> Iterator[str]:
    starts = program.window_starts
    if not 1 <= program.total_steps <= _MAX_STEPS:
        yield f"total_steps is {program.total_steps}, not 1 to {_MAX_STEPS}"
    if not starts or starts[0] != 0 or any(b <= a for a, b in pairwise(starts)):
        yield "window_starts does not ascend from 0"
    elif starts[-1] >= program.total_steps:
        yield "window_starts reaches beyond total_steps"
    if not 2 <= program.membrane_bits <= 62:
        yield f"membrane_bits is {program.membrane_bits}, not 2 to 62"
    if program.dynamics != USUAL:
        yield from _dynamics(program)


def _dynamics(program: Program) -> Iterator[str]:
    """Neurons that do more than subtract, compared once a step, keep no exact sum."""
    floor = program.dynamics.floor
    if program.coding != "rate":
        yield f"the coding '{program.coding}' needs neurons that subtract θ and compare once a step"
    if floor is not None and not abs(floor) < 2 ** (min(program.membrane_bits, 40) - 1):
        yield f"membrane_floor is {floor}, outside its {program.membrane_bits} bits"
    if program.dynamics.compares == "event":
        if (program.column("signed") != 0).any():
            yield "spikes carry a sign where every event is compared"
        if any(port.encoding != "spikes" for port in program.inputs):
            yield "an input sends values where every event is compared"


def _blocks(program: Program) -> Iterator[str]:
    b = _columns(program, "blocks", BLOCK_COLUMNS)
    count = {name: len(program.arrays[name]) for name in ("cores", "theta", "weights", "runs")}
    if not len(b["n"]):
        yield "there are no blocks"
        return
    table = program.arrays["blocks"]
    yield from _rows("block", {"has a number out of range": np.all(abs(table) < _MAX_VALUE, axis=1)})
    sides = np.stack([b["height"], b["width"], b["channels"]])
    yield from _rows(
        "block", {"has a box that is too large": np.all((sides >= 1) & (sides <= _MAX_NEURONS), axis=0)}
    )
    host = b["kind"] == BlockKind.INPUT
    rules = {
        "is of no known kind": (b["kind"] >= 0) & (b["kind"] <= max(BlockKind)),
        "lies on a core that does not exist": np.where(
            host, b["core"] == -1, (b["core"] >= 0) & (b["core"] < count["cores"])
        ),
        "has another number of neurons than its box": np.where(
            b["kind"] == BlockKind.TYPED_CROSSBAR,
            sides.astype(np.float64).prod(axis=0) <= b["n"],
            sides.astype(np.float64).prod(axis=0) == b["n"],
        ),
        "has a negative place": (b["y0"] >= 0) & (b["x0"] >= 0) & (b["c0"] >= 0),
        "does not continue the numbers of the neurons": b["gid0"] == np.cumsum(b["n"]) - b["n"],
        "has a wrong number of levels": (b["levels"] >= host) & (b["levels"] < 2**31),
        "has a wrong sign": (b["signed"] >= 0) & (b["signed"] <= 2),
        "has a negative window": b["window"] >= 0,
        "fires outside the sample": (b["fire_start"] >= 0)
        & (b["steps"] >= 1)
        & (b["fire_start"] + b["steps"] <= program.total_steps),
        "has parameters that do not exist": (b["param0"] >= 0)
        & (b["param_n"] >= 1)
        & (b["param0"] + b["param_n"] <= count["theta"]),
        "has weights that do not exist": (b["weight0"] >= 0)
        & (b["weight_n"] >= 0)
        & (b["weight0"] + b["weight_n"] <= count["weights"]),
        "has runs that do not exist": (b["run0"] >= 0)
        & (b["run_n"] >= 0)
        & (b["run0"] + b["run_n"] <= count["runs"]),
        "has a wrong shift": (b["shift"] >= 0) & (b["shift"] < 32),
        "stands after a block of a later window": np.diff(b["window"], prepend=0) >= 0,
    }
    yield from _rows("block", rules)
    if b["n"].sum() > _MAX_NEURONS:
        yield f"there are {b['n'].sum()} neurons, more than {_MAX_NEURONS}"
    if b["run_n"].sum() > count["runs"]:
        yield "blocks share runs"
    if len({len(program.arrays[name]) for name in ("theta", "v0", "current")}) != 1:
        yield "theta, v0 and current differ in length"
    elif (program.arrays["theta"] < 1).any():
        yield "a threshold is below 1"
    elif any((abs(program.arrays[name]) >= 2**62).any() for name in ("theta", "v0", "current")):
        yield "a parameter of a neuron is out of range"
    numbers = np.unique(b["population"])
    if numbers[0] != 0 or numbers[-1] != len(numbers) - 1:
        yield "the populations are not numbered from 0"


def _synapses(program: Program) -> Iterator[str]:
    starts = program.arrays["patterns"].astype(np.int64)
    segments = _columns(program, "segments", SEGMENT_COLUMNS)
    if not len(starts) or starts[0] != 0 or starts[-1] != len(segments["length"]):
        yield "patterns do not cover the segments"
        return
    yield from _rows("pattern", {"is empty": np.diff(starts) > 0})
    yield from _rows(
        "segment",
        {"has a negative offset": (segments["weight"] >= 0) & (segments["target"] >= 0),
         "has no length": segments["length"] >= 1},
    )  # fmt: skip
    r = _columns(program, "runs", RUN_COLUMNS)
    rules = {
        "has a negative number": np.stack(list(r.values())).min(axis=0, initial=0) >= 0,
        "has no axons": r["n"] >= 1,
        "has a pattern that does not exist": r["pattern"] < len(starts) - 1,
    }
    yield from _rows("run", rules)
    if not len(r["n"]):
        return
    run_n = program.column("run_n")
    run = np.repeat(program.column("run0") - np.cumsum(run_n) + run_n, run_n) + np.arange(run_n.sum())
    for what, stride in (("weight", "weight_stride"), ("target", "target_stride")):
        reach = np.maximum.reduceat(segments[what] + segments["length"], starts[:-1])
        end = r[f"{what}0"][run] + (r["n"][run] - 1) * r[stride][run] + reach[r["pattern"][run]]
        limit = program.column("weight_n" if what == "weight" else "n")
        wrong = _first(end > np.repeat(limit, run_n))
        if wrong is not None:
            yield f"run {run[wrong]} reaches a {what} outside its block"


def _routes(program: Program) -> Iterator[str]:
    r = _columns(program, "routes", ROUTE_COLUMNS)
    rules = {
        "starts at neurons that do not exist": (r["gid0"] >= 0)
        & (r["n"] >= 1)
        & (r["gid0"] + r["n"] <= program.neurons),
        "leads to a core that does not exist": (r["core"] >= 0) & (r["core"] < len(program.arrays["cores"])),
        "leads to an axon that does not exist": (r["axon0"] >= 0) & (r["axon0"] + r["n"] < 2**31),
        "has a wrong delay": (r["delay"] >= 1) & (r["delay"] <= _MAX_STEPS),
    }
    yield from _rows("route", rules)
    if r["n"].sum() > _MAX_ROUTED:
        yield "there are more axons than any chip has"


def _ports(program: Program) -> Iterator[str]:
    population, kind, n = program.column("population"), program.column("kind"), program.boxed
    for port in program.inputs:
        rows = np.flatnonzero(population == port.population)
        if len(rows) != 1 or kind[rows[0]] != BlockKind.INPUT:
            yield f"input '{port.name}' feeds no input block"
            continue
        channels = int(program.column("channels")[rows[0]])
        if port.scale.shape != (channels,) or port.offset.shape != (channels,):
            yield f"input '{port.name}' has tables of another length than its channels"
        elif not (np.isfinite(port.scale).all() and np.isfinite(port.offset).all() and port.scale.all()):
            yield f"input '{port.name}' has a scale of zero or a number that is not finite"
        yield from _shape(port.name, port.shape, int(n[rows[0]]))
        yield from _order(port.name, port.order, int(n[rows[0]]), _size(port.shape))
    for output in program.outputs:
        rows = population == output.population
        levels = program.column("levels")[rows]
        if not rows.any() or (kind[rows] == BlockKind.INPUT).any() or (levels != levels[0]).any():
            yield f"output '{output.name}' reads no read-out"
        elif len(np.unique(program.column("shift")[rows])) > 1:
            yield f"output '{output.name}' reads blocks of different shifts"
        yield from _shape(output.name, output.shape, int(n[rows].sum()))
        for order in (output.order, output.off):
            if order is not None:
                yield from _order(output.name, order, _size(output.shape), int(n[rows].sum()))
        if output.off is not None and not levels.all():
            yield f"output '{output.name}' has off halves, and reads membranes"
        if not np.isfinite(output.scale):
            yield f"output '{output.name}' has a scale that is not finite"
    fed = {port.population for port in program.inputs}
    for number in np.unique(population[kind == BlockKind.INPUT]).tolist():
        if number not in fed:
            yield f"input population {number} is fed by no port"


def _shape(name: str, shape: tuple[int, ...], neurons: int) -> Iterator[str]:
    """Samples and answers of this shape are made, so it may not be larger than what stands behind it."""
    if any(side < 1 for side in shape) or _size(shape) > neurons:
        yield f"port '{name}' has the shape {list(shape)}, and there are {neurons} neurons behind it"


def _order(name: str, order: IntArray, length: int, below: int) -> Iterator[str]:
    if order.shape != (length,):
        yield f"the order of port '{name}' has {order.size} entries where {length} are needed"
    elif ((order < 0) | (order >= below)).any():
        yield f"the order of port '{name}' has an entry outside 0 to {below - 1}"


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for side in shape:
        size *= side
    return size


_CHECKS: tuple[Callable[[Program], Iterator[str]], ...] = (
    _header,
    _blocks,
    _synapses,
    _routes,
    turn_faults,
    _ports,
    crossbar_faults,
)
