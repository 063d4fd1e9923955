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

__all__ = ["CROSSBAR_MUTATIONS", "MUTATIONS", "Mutation", "mutations"]


@dataclass(frozen=True, eq=False)
class Mutation:
    """A program with one fault.

    Attributes:
        kind: One of ``MUTATIONS`` or ``CROSSBAR_MUTATIONS``.
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
    for number, (kind, plant) in enumerate({**MUTATIONS, **CROSSBAR_MUTATIONS}.items()):
        rng = np.random.default_rng([seed, number])
        for _ in range(each):
            mutation = plant(kind, program, rng)
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
    crossbars = {row[0]: row[1:] for row in program.table("crossbars").tolist()}
    for index, block in enumerate(_rows(program, "blocks", BLOCK_COLUMNS)):
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
                    one = 1
                    if index in crossbars:
                        one = _typed(program, crossbars[index], core, axon, neuron + i - block["gid0"])
                    total[neuron + i] += one * int(weights[first + i])
    return Counter({neuron: w for neuron, w in total.items() if w})


def _typed(program: Program, crossbar: list[int], core: int, axon: int, neuron: int) -> int:
    """Returns the weight of a neuron of a typed crossbar for the type of an axon."""
    types, first = crossbar
    kind = 0
    for where, axon0, n, value in program.table("axon_types").tolist():
        if where == core and axon0 <= axon < axon0 + n:
            kind = value
    return int(program.table("type_weights")[first + neuron * types + kind]) if kind < types else 0


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
    original = dict(program.table("copies").tolist())
    # Copies of one neuron may take each other's axons.
    equal = original.get(a, a) == original.get(b, b) or _sent(program, a) == _sent(program, b)
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


# --- typed crossbars ------------------------------------------------------------------------------------


def _bit_flipped(kind: str, program: Program, rng: np.random.Generator) -> Mutation | None:
    typed = np.flatnonzero(program.column("kind") == BlockKind.TYPED_CROSSBAR)
    typed = typed[program.column("weight_n")[typed] > 0]
    if not len(typed):
        return None
    block = int(rng.choice(typed))
    index = int(program.column("weight0")[block] + rng.integers(program.column("weight_n")[block]))
    weights = program.arrays["weights"]
    changed = program.with_arrays(weights=_changed(weights, index, 1 - int(weights[index])))
    return Mutation(kind, f"bit {index} of block {block} flipped", changed, not _is_read(program, index))


def _set_types(program: Program) -> Iterator[tuple[int, int, int]]:
    """Yields (index of a type weight, block, type) of those that some bit that is set lets count."""
    for block, types, first in program.table("crossbars").tolist():
        core, gid0, n = (int(program.column(k)[block]) for k in ("core", "gid0", "n"))
        fed = program.arrays["routes"][program.arrays["routes"][:, 2] == core]
        axons = sorted({a for _, m, _, axon0, _ in fed.tolist() for a in range(axon0, axon0 + m)})
        kinds = {a: row[3] for row in program.table("axon_types").tolist() if row[0] == core
                 for a in range(row[1], row[1] + row[2])}  # fmt: skip
        counts = {(g - gid0, kinds.get(a, 0)) for a in axons for g in _contribution(program, core, a)}
        for neuron, kind in sorted(counts):
            if 0 <= neuron < n:
                yield first + neuron * types + kind, block, kind


def _type_weight(kind: str, program: Program, rng: np.random.Generator) -> Mutation | None:
    places = list(_set_types(program))
    if not places:
        return None
    index, block, axon_type = places[int(rng.integers(len(places)))]
    held, step = program.arrays["type_weights"], int(rng.choice((-1, 1)))
    changed = program.with_arrays(type_weights=_changed(held, index, int(held[index]) + step))
    return Mutation(kind, f"weight {index} of block {block} for type {axon_type} {step:+d}", changed, False)


def _axon_type(kind: str, program: Program, rng: np.random.Generator) -> Mutation | None:
    """One axon gets another type."""
    table = program.table("axon_types")
    if not len(table):
        return None
    core, axon0, n, before = table[int(rng.integers(len(table)))].tolist()
    row = int(np.flatnonzero((table[:, 0] == core) & (table[:, 1] == axon0))[0])
    axon, after = axon0 + int(rng.integers(n)), before + (1 if before == 0 or rng.random() < 0.5 else -1)
    parts = [
        (core, axon0, axon - axon0, before),
        (core, axon, 1, after),
        (core, axon + 1, axon0 + n - axon - 1, before),
    ]
    rows = np.concatenate([np.delete(table, row, axis=0), [p for p in parts if p[2]]])
    changed = program.with_arrays(axon_types=rows.astype(program.arrays["axon_types"].dtype))
    equal = _contribution(program, core, axon) == _contribution(changed, core, axon)
    return Mutation(kind, f"axon {axon} of core {core} is of type {after}, not {before}", changed, equal)


def _copy_relabelled(kind: str, program: Program, rng: np.random.Generator) -> Mutation | None:
    """A copy is said to be one of another neuron of its block."""
    copies = program.table("copies")
    if not len(copies):
        return None
    row = int(rng.integers(len(copies)))
    gid, original = copies[row].tolist()
    block = int(np.searchsorted(program.column("gid0"), gid, side="right")) - 1
    size, gid0 = int(program.boxed[block]), int(program.column("gid0")[block])
    if size < 2:
        return None
    other = gid0 + (original - gid0 + int(rng.integers(1, size))) % size
    table = program.arrays["copies"].copy()
    table[row, 1] = other
    # Then it stands for the wrong neuron in what it receives and in what it sends, unless both are alike.
    silent = not _sent(program, gid) and _received(program, gid) == _received(program, other)
    return Mutation(
        kind, f"copy {gid} is one of {other}, not {original}", program.with_arrays(copies=table), silent
    )


def _received(program: Program, gid: int) -> Counter[tuple[int, int]]:
    """Returns what reaches a neuron, by core and axon."""
    block = int(np.searchsorted(program.column("gid0"), gid, side="right")) - 1
    core = int(program.column("core")[block])
    fed = program.arrays["routes"][program.arrays["routes"][:, 2] == core]
    axons = sorted({a for _, m, _, axon0, _ in fed.tolist() for a in range(axon0, axon0 + m)})
    return Counter({(core, a): w for a in axons if (w := _contribution(program, core, a)[gid])})


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
# Of programs with typed crossbars alone.
CROSSBAR_MUTATIONS: Mapping[str, Callable[[str, Program, np.random.Generator], Mutation | None]] = (
    MappingProxyType(
        {
            "bit flipped": _bit_flipped,
            "type weight ±1": _type_weight,
            "axon type changed": _axon_type,
            "copy relabelled": _copy_relabelled,
        }
    )
)
