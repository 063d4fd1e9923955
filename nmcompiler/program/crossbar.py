"""From synapses with weights of their own to crossbars of bits: axon types, type weights and copies.

The arrays of a program in which every source has one axon on a core, and every synapse its weight, become
those of the same network on cores whose crossbars hold bits: a source takes an axon of each type that its
weights are made of, and a neuron that would have to reach more axons than it can is built several times,
each copy with the same synapses and parameters and with routes of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from nmcompiler.ir.kernels import Array
from nmcompiler.ir.typed import TypeCode, bits_of
from nmcompiler.program.layout import ARRAYS, BLOCK_COLUMNS, CROSSBAR_ARRAYS, PASS_ARRAYS, BlockKind

__all__ = ["typed_crossbars"]


def typed_crossbars(
    arrays: Mapping[str, Array], codes: Sequence[TypeCode | None], fan_out: int | None
) -> dict[str, Array]:
    """Returns the arrays of a program with typed crossbars, those of ``CROSSBAR_ARRAYS`` included.

    Args:
        arrays: The arrays of ``ARRAYS``; no axon is fed by two neurons.
        codes: How the weights of each population are made of typed weights; None for inputs.
        fan_out: Axons that a neuron reaches; None where nothing limits it.
    """
    routes = arrays["routes"].astype(np.int64)
    axons = np.zeros(len(arrays["cores"]), np.int64)
    np.maximum.at(axons, routes[:, 2], routes[:, 3] + routes[:, 1])
    blocks = [_Block.of(arrays, row, codes, axons) for row in arrays["blocks"].tolist()]
    on_core: list[list[_Block]] = [[] for _ in axons]
    for block in blocks:
        if not block.is_input:
            on_core[block.row["core"]].append(block)
    cores = [_CoreAxons.of(mine) for mine in on_core]
    entries = _entries(routes, cores)
    return _Builder(arrays, blocks, cores).build(entries, fan_out)


@dataclass(frozen=True, eq=False)
class _Block:
    """One block before and after: its columns by name, its neurons' base and unit, and its bits.

    Attributes:
        row: Columns of ``blocks``.
        base: Weights of the types in units of the neurons; empty for inputs.
        unit: ``(n,)`` int64.
        bits: ``(types, axons of the core, n)`` bool.
    """

    row: Mapping[str, int]
    base: tuple[int, ...]
    unit: Array
    bits: Array

    @classmethod
    def of(
        cls, arrays: Mapping[str, Array], columns: list[int], codes: Sequence[TypeCode | None], axons: Array
    ) -> _Block:
        row = dict(zip(BLOCK_COLUMNS, columns, strict=True))
        code = codes[row["population"]]
        if code is None:
            return cls(row, (), np.ones(row["n"], np.int64), np.zeros((0, 0, row["n"]), np.bool_))
        unit = _of_box(code.unit, row)
        weights = _weights(arrays, row, int(axons[row["core"]]))
        return cls(row, code.base, unit, bits_of(weights // unit, code.base))

    @property
    def is_input(self) -> bool:
        return self.row["kind"] == BlockKind.INPUT


def _of_box(unit: Array, row: Mapping[str, int]) -> Array:
    """Returns the units of a block's neurons ``(n,)`` from those of its population."""
    sides = (("y0", "height"), ("x0", "width"), ("c0", "channels"))
    place = tuple(
        slice(row[a], row[a] + row[b]) if n > 1 else slice(None)
        for (a, b), n in zip(sides, unit.shape, strict=True)
    )
    shape = (row["height"], row["width"], row["channels"])
    return np.broadcast_to(unit[place], shape).reshape(-1)


def _weights(arrays: Mapping[str, Array], row: Mapping[str, int], axons: int) -> Array:
    """Returns the summed weights of a block, ``(axons of the core, n)`` int64."""
    weight = np.zeros(axons * row["n"], np.int64)
    runs = arrays["runs"][row["run0"] : row["run0"] + row["run_n"]].astype(np.int64)
    for pattern in np.unique(runs[:, 2]).tolist():
        mine = runs[runs[:, 2] == pattern]
        run, j = _counted(mine[:, 1])
        axon0, _, _, target0, weight0, weight_stride, target_stride = mine[run].T
        place = (axon0 + j) * row["n"] + target0 + j * target_stride
        read = row["weight0"] + weight0 + j * weight_stride
        first, end = arrays["patterns"][pattern : pattern + 2].tolist()
        for offset, target, length in arrays["segments"][first:end].astype(np.int64).tolist():
            i = np.arange(length)
            stored = arrays["weights"][(read[:, None] + offset + i).ravel()]
            np.add.at(weight, (place[:, None] + target + i).ravel(), stored.astype(np.int64))
    return weight.reshape(axons, row["n"])


def _counted(counts: Array) -> tuple[Array, Array]:
    """Returns, for rows that stand for ``counts`` entries each, the row and the position of every entry."""
    row = np.repeat(np.arange(len(counts)), counts)
    return row, np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)


@dataclass(frozen=True, eq=False)
class _CoreAxons:
    """The axons of a core, by type and then as before.

    Attributes:
        types: ``(axons,)`` type of each axon.
        before: ``(axons,)`` the axon that it was, or one of those that it was made from.
        number: ``(types, axons before)`` number of an axon, −1 where none is needed.
    """

    types: Array
    before: Array
    number: Array

    @classmethod
    def of(cls, mine: Sequence[_Block]) -> _CoreAxons:
        need = np.zeros((max(len(b.base) for b in mine), mine[0].bits.shape[1]), np.bool_)
        for block in mine:
            need[: len(block.base)] |= block.bits.any(axis=2)
        types, before = np.nonzero(need)
        number = np.full(need.shape, -1, np.int64)
        number[types, before] = np.arange(len(types))
        return cls(types, before, number)


def _entries(routes: Array, cores: Sequence[_CoreAxons]) -> Array:
    """Returns what every neuron must reach, ``(k, 4)``: neuron, core, axon, delay, sorted."""
    route, step = _counted(routes[:, 1])
    gid0, _, core, axon0, delay = routes[route].T
    # The axons of all cores one after another: of each type those of a core, −1 where it has none.
    widths = np.array([axons.number.shape[1] for axons in cores], np.int64)
    place = (np.cumsum(widths) - widths)[core] + axon0 + step
    parts = [np.zeros((0, 4), np.int64)]
    for kind in range(max((len(axons.number) for axons in cores), default=0)):
        none = [np.full(width, -1, np.int64) for width in widths.tolist()]
        of_kind = [c.number[kind] if kind < len(c.number) else n for c, n in zip(cores, none, strict=True)]
        axon = np.concatenate(of_kind)[place]
        fed = axon >= 0
        parts.append(np.stack([(gid0 + step)[fed], core[fed], axon[fed], delay[fed]], axis=1))
    entries = np.concatenate(parts)
    ordered: Array = entries[np.lexsort((entries[:, 2], entries[:, 1], entries[:, 0]))]
    return ordered


@dataclass
class _Builder:
    """Puts the arrays together, block after block."""

    arrays: Mapping[str, Array]
    blocks: Sequence[_Block]
    cores: Sequence[_CoreAxons]
    rows: list[list[int]] = field(default_factory=list)
    runs: list[tuple[int, ...]] = field(default_factory=list)
    bits: list[Array] = field(default_factory=list)
    parameters: list[Array] = field(default_factory=list)
    crossbars: list[tuple[int, int, int]] = field(default_factory=list)
    type_weights: list[Array] = field(default_factory=list)
    copies: list[tuple[int, int]] = field(default_factory=list)
    patterns: dict[int, int] = field(default_factory=dict)
    gid: int = 0
    stored: int = 0  # bits so far
    entry: int = 0  # parameters so far
    typed: int = 0  # type weights so far

    def build(self, entries: Array, fan_out: int | None) -> dict[str, Array]:
        """Returns the arrays for what every neuron must reach."""
        new = np.empty(len(entries), np.int64)  # the copy, by its new number, that serves each entry
        for index, block in enumerate(self.blocks):
            first = block.row["gid0"]
            low, high = np.searchsorted(entries[:, 0], [first, first + block.row["n"]])
            mine = entries[low:high]
            served = np.zeros(len(mine), np.int64)
            if fan_out is not None and not block.is_input:
                served = self._before(block, mine) // fan_out
            originals, new[low:high] = _number_copies(mine, served, first, block.row["n"], self.gid)
            self._add(index, block, originals)
        routes = _routes(np.column_stack([new, entries[:, 1:]]))
        return self._arrays(routes)

    def _before(self, block: _Block, mine: Array) -> Array:
        """Returns how many axons a neuron reaches before each of its entries.

        Axons of later passes come last, on the cores with the largest numbers, and are one: the host's.
        """
        turns = self.arrays.get("passes", np.zeros(len(self.cores), np.int64))
        now = turns[mine[:, 1]] == turns[block.row["core"]]
        before = np.cumsum(now) - now
        reached: Array = before - before[np.searchsorted(mine[:, 0], mine[:, 0])]
        return reached

    def _add(self, index: int, block: _Block, originals: Array) -> None:
        """Adds a block whose neurons are followed by copies of ``originals``, positions in its box."""
        column = np.concatenate([np.arange(block.row["n"]), originals])
        run0, weight0, parameter0 = len(self.runs), self.stored, self.entry
        parameters = self._parameters(block, column)
        if not block.is_input:
            self._store(block, column)
            self.crossbars.append((index, len(block.base), self.typed))
            self.type_weights.append((block.unit[column, None] * np.array(block.base)).ravel())
            self.typed += len(column) * len(block.base)
        self.parameters.append(parameters)
        self.entry += parameters.shape[1]
        self.copies += [(self.gid + block.row["n"] + j, self.gid + int(k)) for j, k in enumerate(originals)]
        changed = {
            "kind": block.row["kind"] if block.is_input else int(BlockKind.TYPED_CROSSBAR),
            "gid0": self.gid,
            "n": len(column),
            "param0": parameter0,
            "param_n": parameters.shape[1],
            "weight0": weight0,
            "weight_n": self.stored - weight0,
            "run0": run0,
            "run_n": len(self.runs) - run0,
        }
        self.rows.append([(dict(block.row) | changed)[name] for name in BLOCK_COLUMNS])
        self.gid += len(column)

    def _parameters(self, block: _Block, column: Array) -> Array:
        """Returns θ, v0 and current ``(3, 1)``, or of every neuron ``(3, n)``."""
        first, count = block.row["param0"], block.row["param_n"]
        entry = first + column % count if count > 1 else np.array([first])
        return np.stack([self.arrays[name][entry] for name in ("theta", "v0", "current")])

    def _store(self, block: _Block, column: Array) -> None:
        """Stores the bits of the axons that the block reads, a run for each stretch of them."""
        axons = self.cores[block.row["core"]]
        known = axons.types < len(block.base)
        bits = np.zeros((len(axons.types), len(column)), np.bool_)
        bits[known] = block.bits[axons.types[known], axons.before[known]][:, column]
        read = np.flatnonzero(bits.any(axis=1))
        offset = 0
        for stretch in np.split(read, np.flatnonzero(np.diff(read) != 1) + 1):
            if len(stretch):
                pattern = self.patterns.setdefault(len(column), len(self.patterns))
                self.runs.append((int(stretch[0]), len(stretch), pattern, 0, offset, len(column), 0))
                self.bits.append(bits[stretch].ravel())
                offset += len(stretch) * len(column)
        self.stored += offset

    def _arrays(self, routes: Array) -> dict[str, Array]:
        theta, v0, current = np.concatenate(self.parameters, axis=1)
        found = {
            "cores": self.arrays["cores"],
            "blocks": np.array(self.rows, np.int64),
            "runs": np.array(self.runs, np.int64).reshape(-1, 7),
            "patterns": np.arange(len(self.patterns) + 1),
            "segments": np.array([(0, 0, n) for n in self.patterns], np.int64).reshape(-1, 3),
            "weights": np.concatenate([np.zeros(0, np.bool_), *self.bits]),
            "theta": theta,
            "v0": v0,
            "current": current,
            "routes": routes,
            "axon_types": _stretches_of_types(self.cores),
            "crossbars": np.array(self.crossbars, np.int64).reshape(-1, 3),
            "type_weights": np.concatenate([np.zeros(0, np.int64), *self.type_weights]),
            "copies": np.array(self.copies, np.int64).reshape(-1, 2),
        }
        found |= {name: self.arrays[name] for name in PASS_ARRAYS if name in self.arrays}
        tables = {**ARRAYS, **CROSSBAR_ARRAYS, **PASS_ARRAYS}
        return {name: np.ascontiguousarray(array, tables[name][0]) for name, array in found.items()}


def _number_copies(entries: Array, served: Array, first: int, n: int, gid0: int) -> tuple[Array, Array]:
    """Returns the position that each copy is one of, and the new number of what serves each entry.

    Copies stand in the order of the first axon that they reach, so that routes become long.
    """
    position = entries[:, 0] - first
    number = gid0 + position
    more = np.flatnonzero(served > 0)
    # Entries of one copy stand together: those of a neuron are sorted, and so are the copies.
    starts = np.zeros(len(entries), np.bool_)
    if len(more):
        same = (position[more][1:] == position[more][:-1]) & (served[more][1:] == served[more][:-1])
        starts[more[np.concatenate([[True], ~same])]] = True
    leads = np.flatnonzero(starts)
    order = np.lexsort((entries[leads, 2], entries[leads, 1]))
    place = np.empty(len(leads), np.int64)
    place[order] = np.arange(len(leads))
    which = np.cumsum(starts)[more] - 1
    number[more] = gid0 + n + place[which]
    return position[leads[order]], number


def _routes(entries: Array) -> Array:
    """Returns routes ``(k, 5)``, merged where neurons and axons are consecutive."""
    gid, core, axon, delay = entries[np.lexsort((entries[:, 2], entries[:, 1]))].T
    new = np.ones(len(gid), np.bool_)
    new[1:] = (np.diff(gid) != 1) | (np.diff(axon) != 1) | (np.diff(core) != 0) | (np.diff(delay) != 0)
    starts = np.flatnonzero(new)
    counts = np.diff(np.append(starts, len(gid)))
    routes = np.stack([gid[starts], counts, core[starts], axon[starts], delay[starts]], axis=1)
    ordered: Array = routes[np.lexsort((routes[:, 3], routes[:, 2], routes[:, 0]))]
    return ordered


def _stretches_of_types(cores: Sequence[_CoreAxons]) -> Array:
    rows = []
    for core, axons in enumerate(cores):
        types, first, count = np.unique(axons.types, return_index=True, return_counts=True)
        rows += [
            (core, f, n, t) for t, f, n in zip(types.tolist(), first.tolist(), count.tolist(), strict=True)
        ]
    return np.array(rows, np.int64).reshape(-1, 4)
