"""Small faults planted in a program: what checks of a program must see.

Whether a fault leaves an equivalent program is decided here on its own, by following single axons through
runs and segments one by one; nothing is shared with ``nmcompiler.program.lift``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import numpy as np

from nmcompiler.ir.kernels import Array
from nmcompiler.program.layout import BLOCK_COLUMNS, RUN_COLUMNS, BlockKind, Program

__all__ = ["MUTATIONS", "Mutation", "mutations"]


@dataclass(frozen=True, eq=False)
class Mutation:
    """A program with one fault.

    Attributes:
        kind: One of ``MUTATIONS``.
        description: What was changed, for people.
        program: The changed program.
        equivalent: Whether it still is the same network (a weight that no synapse reads, two equal
            neurons): nothing has to see it.
    """

    kind: str
    description: str
    program: Program
    equivalent: bool


def mutations(program: Program, seed: int, *, each: int = 1) -> Iterator[Mutation]:
    """Yields ``each`` mutations of every kind; a kind that the program offers no place for is left out.

    Args:
        program: Left as it is.
        seed: Equal seeds give equal mutations.
        each: Mutations of every kind.
    """
    for number, kind in enumerate(MUTATIONS):
        rng = np.random.default_rng([seed, number])
        for _ in range(each):
            mutation = MUTATIONS[kind](kind, program, rng)
            if mutation is not None:
                yield mutation


# --- following axons ------------------------------------------------------------------------------------


def _rows(program: Program, array: str, names: tuple[str, ...]) -> list[dict[str, int]]:
    return [dict(zip(names, row, strict=True)) for row in program.arrays[array].tolist()]


def _segments(program: Program, pattern: int) -> list[list[int]]:
    first, end = program.arrays["patterns"][pattern : pattern + 2].tolist()
    rows: list[list[int]] = program.arrays["segments"][first:end].tolist()
    return rows


def _contribution(program: Program, core: int, axon: int) -> Counter[int]:
    """Returns what one unit on an axon adds to each neuron, by number, zeros left out."""
    total: Counter[int] = Counter()
    weights = program.arrays["weights"]
    for block in _rows(program, "blocks", BLOCK_COLUMNS):
        if block["core"] != core:
            continue
        table = program.arrays["runs"][block["run0"] : block["run0"] + block["run_n"]]
        for row in table[(table[:, 0] <= axon) & (axon < table[:, 0] + table[:, 1])].tolist():
            run = dict(zip(RUN_COLUMNS, row, strict=True))
            j = axon - run["axon0"]
            for weight, target, length in _segments(program, run["pattern"]):
                first = block["weight0"] + run["weight0"] + j * run["weight_stride"] + weight
                neuron = block["gid0"] + run["target0"] + j * run["target_stride"] + target
                for i in range(length):
                    total[neuron + i] += int(weights[first + i])
    return Counter({neuron: w for neuron, w in total.items() if w})


def _sent(program: Program, gid: int) -> Counter[tuple[int, int]]:
    """Returns what one spike of a neuron adds to each neuron, by (delay, number)."""
    total: Counter[tuple[int, int]] = Counter()
    for gid0, n, core, axon0, delay in program.arrays["routes"].tolist():
        if gid0 <= gid < gid0 + n:
            for neuron, weight in _contribution(program, core, axon0 + gid - gid0).items():
                total[delay, neuron] += weight
    return Counter({key: w for key, w in total.items() if w})


def _is_read(program: Program, index: int) -> bool:
    """Returns whether a synapse on an axon that a route feeds reads the weight at an index."""
    routes = program.arrays["routes"].astype(np.int64)
    for block in _rows(program, "blocks", BLOCK_COLUMNS):
        if not block["weight0"] <= index < block["weight0"] + block["weight_n"]:
            continue
        here = routes[routes[:, 2] == block["core"]]
        for row in program.arrays["runs"][block["run0"] : block["run0"] + block["run_n"]].tolist():
            run = dict(zip(RUN_COLUMNS, row, strict=True))
            j = np.arange(run["n"])
            first = block["weight0"] + run["weight0"] + j * run["weight_stride"]
            reading = np.zeros(len(j), np.bool_)
            for weight, _, length in _segments(program, run["pattern"]):
                reading |= (first + weight <= index) & (index < first + weight + length)
            axons = run["axon0"] + j[reading]
            if ((here[:, 3:4] <= axons) & (axons < here[:, 3:4] + here[:, 1:2])).any():
                return True
    return False


# --- weights --------------------------------------------------------------------------------------------


def _changed(array: Array, index: int, value: int) -> Array:
    copy = array.copy()
    copy[index] = value
    return copy


def _weight_step(kind: str, program: Program, rng: np.random.Generator) -> Mutation | None:
    weights = program.arrays["weights"]
    if not len(weights):
        return None
    index, step = int(rng.integers(len(weights))), int(rng.choice((-1, 1)))
    if abs(int(weights[index]) + step) > np.iinfo(np.int16).max:
        step = -step
    changed = program.with_arrays(weights=_changed(weights, index, int(weights[index]) + step))
    return Mutation(kind, f"weight {index} {step:+d}", changed, not _is_read(program, index))


def _weight_zeroed(kind: str, program: Program, rng: np.random.Generator) -> Mutation | None:
    weights = program.arrays["weights"]
    if not len(weights):
        return None
    index = int(rng.integers(len(weights)))
    equivalent = not weights[index] or not _is_read(program, index)
    changed = program.with_arrays(weights=_changed(weights, index, 0))
    return Mutation(kind, f"weight {index} zeroed", changed, bool(equivalent))


# --- routes ---------------------------------------------------------------------------------------------


def _split(program: Program, rng: np.random.Generator) -> tuple[Array, Array] | None:
    """Returns the routes without one of them, and that one: a whole route or one neuron's part of it."""
    routes = program.arrays["routes"]
    if not len(routes):
        return None
    row = int(rng.integers(len(routes)))
    gid0, n, core, axon0, delay = routes[row].tolist()
    if rng.random() < 0.5:
        return np.delete(routes, row, axis=0), routes[row]
    k = int(rng.integers(n))
    parts = [(gid0, k, core, axon0, delay), (gid0 + k + 1, n - k - 1, core, axon0 + k + 1, delay)]
    kept = np.array([p for p in parts if p[1]], routes.dtype).reshape(-1, 5)
    rest = np.concatenate([routes[:row], kept, routes[row + 1 :]])
    return rest, np.array((gid0 + k, 1, core, axon0 + k, delay), routes.dtype)


def _with_routes(program: Program, *parts: Array) -> Program:
    return program.with_arrays(routes=np.concatenate([p.reshape(-1, 5) for p in parts]))


def _is_mute(program: Program, route: Array) -> bool:
    _, n, core, axon0, _ = route.tolist()
    return not any(_contribution(program, core, axon0 + j) for j in range(n))


def _route_sent(times: int, kind: str, program: Program, rng: np.random.Generator) -> Mutation | None:
    """A route stands ``times`` times in the table instead of once."""
    split = _split(program, rng)
    if split is None:
        return None
    rest, route = split
    changed = _with_routes(program, rest, *(route,) * times)
    what = kind.removeprefix("route ")
    return Mutation(kind, f"route {route.tolist()} {what}", changed, _is_mute(program, route))


def _route_redirected(kind: str, program: Program, rng: np.random.Generator) -> Mutation | None:
    split = _split(program, rng)
    if split is None:
        return None
    rest, route = split
    other = route.copy()
    cores = len(program.arrays["cores"])
    if cores > 1 and rng.random() < 0.5:
        other[2] = (route[2] + rng.integers(1, cores)) % cores
    else:
        # The core's axons may end here: then the spikes reach nothing.
        other[3] += 1 if not route[3] or rng.random() < 0.5 else -1
    changed = _with_routes(program, rest, other)
    same = all(
        _contribution(program, int(route[2]), int(route[3]) + j)
        == _contribution(program, int(other[2]), int(other[3]) + j)
        for j in range(int(route[1]))
    )
    return Mutation(kind, f"route {route.tolist()} becomes {other.tolist()}", changed, same)


# --- neurons --------------------------------------------------------------------------------------------


def _pick_block(program: Program, rng: np.random.Generator, allowed: Array) -> int | None:
    rows = np.flatnonzero(allowed & (program.column("kind") != BlockKind.INPUT))
    return int(rng.choice(rows)) if len(rows) else None


def _set_block(program: Program, row: int, values: Mapping[str, int]) -> Array:
    blocks = program.arrays["blocks"].copy()
    for name, value in values.items():
        blocks[row, BLOCK_COLUMNS.index(name)] = value
    return blocks


def _parameters_swapped(kind: str, program: Program, rng: np.random.Generator) -> Mutation | None:
    """Two neurons of a block exchange threshold, start and current."""
    row = _pick_block(program, rng, (program.column("n") > 1) & (program.column("levels") > 0))
    if row is None:
        return None
    n, start = int(program.column("n")[row]), len(program.arrays["theta"])
    entry = program.column("param0")[row] + np.arange(n) % program.column("param_n")[row]
    a, b = rng.choice(n, 2, replace=False).tolist()
    swapped = entry.copy()
    swapped[[a, b]] = entry[[b, a]]
    names = ("theta", "v0", "current")
    arrays: dict[str, Any] = {
        name: np.concatenate([program.arrays[name], program.arrays[name][swapped]]) for name in names
    }
    blocks = _set_block(program, row, {"param0": start, "param_n": n})
    equal = all(program.arrays[name][entry[a]] == program.arrays[name][entry[b]] for name in names)
    changed = program.with_arrays(blocks=blocks, **arrays)
    return Mutation(kind, f"neurons {a} and {b} of block {row} exchange parameters", changed, bool(equal))


def _targets_swapped(kind: str, program: Program, rng: np.random.Generator) -> Mutation | None:
    """Two neurons of a block exchange their routes."""
    row = _pick_block(program, rng, (program.column("n") > 1) & (program.column("levels") > 0))
    if row is None:
        return None
    gid0 = int(program.column("gid0")[row])
    a, b = (gid0 + rng.choice(int(program.column("n")[row]), 2, replace=False)).tolist()
    exchange = {a: b, b: a}
    parts = []
    for first, n, core, axon0, delay in program.arrays["routes"].tolist():
        cuts = sorted({first, first + n} | {c for g in (a, b) for c in (g, g + 1) if first < c < first + n})
        for low, high in pairwise(cuts):
            parts.append((exchange.get(low, low), high - low, core, axon0 + low - first, delay))
    routes = np.array(parts, program.arrays["routes"].dtype).reshape(-1, 5)
    changed = program.with_arrays(routes=routes)
    equal = _sent(program, a) == _sent(program, b)
    return Mutation(kind, f"neurons {a} and {b} exchange their routes", changed, equal)


def _threshold(kind: str, program: Program, rng: np.random.Generator) -> Mutation | None:
    row = _pick_block(program, rng, program.column("levels") > 0)
    if row is None:
        return None
    index = int(program.column("param0")[row] + rng.integers(program.column("param_n")[row]))
    theta = program.arrays["theta"]
    step = 1 if theta[index] == 1 else int(rng.choice((-1, 1)))
    changed = program.with_arrays(theta=_changed(theta, index, int(theta[index]) + step))
    return Mutation(kind, f"theta {index} {step:+d}", changed, False)


def _start(kind: str, program: Program, rng: np.random.Generator) -> Mutation | None:
    row = _pick_block(program, rng, program.column("n") > 0)
    if row is None:
        return None
    index = int(program.column("param0")[row] + rng.integers(program.column("param_n")[row]))
    v0, step = program.arrays["v0"], int(rng.choice((-1, 1)))
    changed = program.with_arrays(v0=_changed(v0, index, int(v0[index]) + step))
    return Mutation(kind, f"v0 {index} {step:+d}", changed, False)


# --- time -----------------------------------------------------------------------------------------------


def _fire_start(kind: str, program: Program, rng: np.random.Generator) -> Mutation | None:
    """A block fires one step earlier or later."""
    last = program.total_steps - program.column("steps")
    start = program.column("fire_start")
    row = _pick_block(program, rng, (start > 0) | (start < last))
    if row is None:
        return None
    steps = [s for s in (-1, 1) if 0 <= start[row] + s <= last[row]]
    step = int(rng.choice(steps))
    changed = program.with_arrays(blocks=_set_block(program, row, {"fire_start": int(start[row]) + step}))
    return Mutation(kind, f"fire_start of block {row} {step:+d}", changed, False)


def _window_start(kind: str, program: Program, rng: np.random.Generator) -> Mutation | None:
    """A window of the common clock starts one step earlier or later; codes without windows have none."""
    starts = list(program.window_starts)
    places = [
        (k, step)
        for k in range(1, len(starts))
        for step in (-1, 1)
        if starts[k - 1] < starts[k] + step < [*starts, program.total_steps][k + 1]
    ]
    if not places:
        return None
    k, step = places[int(rng.integers(len(places)))]
    starts[k] += step
    changed = replace(program, window_starts=tuple(starts))
    return Mutation(kind, f"start of window {k} {step:+d}", changed, False)


MUTATIONS: Mapping[str, Callable[[str, Program, np.random.Generator], Mutation | None]] = MappingProxyType(
    {
        "weight ±1": _weight_step,
        "weight zeroed": _weight_zeroed,
        "route dropped": partial(_route_sent, 0),
        "route doubled": partial(_route_sent, 2),
        "route redirected": _route_redirected,
        "parameters swapped": _parameters_swapped,
        "targets swapped": _targets_swapped,
        "theta ±1": _threshold,
        "v0 ±1": _start,
        "fire_start ±1": _fire_start,
        "window start ±1": _window_start,
    }
)
