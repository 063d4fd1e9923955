"""The cores and the links of a placed program that have most to do, from the events that are expected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nmcompiler.program.layout import Program
from nmcompiler.program.slices import turn_spans
from nmcompiler.report.needs import layer_blocks
from nmcompiler.report.workload import DIRECTIONS, Array, Workload, multicasts
from nmcompiler.target.step_time import core_times_ns

__all__ = ["SHOWN", "hottest_facts", "stored_hottest"]

SHOWN = 5  # cores, and links


def hottest_facts(
    program: Program, names: Sequence[str], work: Workload, sent: Array, samples: int
) -> dict[str, Any]:
    """Returns the busiest cores and links, under the keys of ``hottest`` in ``inspect --json``.

    Args:
        program: The program.
        names: Names of its populations by number.
        work: What ``samples`` samples caused together.
        sent: ``(neurons,)`` the events from which that was counted.
        samples: How many they are.

    Returns:
        ``by`` (``time`` where the chip prices the work of a core, else ``synops``), ``cores`` (number, place,
        ``layers``, ``neurons``, and of a sample ``synops``, ``spikes`` sent and ``ns``) and ``links`` (the
        place they leave from, ``direction``, ``spikes``, their ``share`` of all crossings of links, and the
        ``layers`` that send them, most first), each the busiest first.
    """
    ns = _core_ns(program, work, samples)
    return {
        "by": "synops" if ns is None else "time",
        "cores": _cores(program, names, work, samples, ns),
        "links": _links(program, names, work, sent, samples),
    }


def _core_ns(program: Program, work: Workload, samples: int) -> Array | None:
    """Returns how long each core works for a sample, ``(C,)`` in ns: the longest of its parts, which overlap.

    Its work is spread evenly over the steps of its pass. None where nothing of it is priced.
    """
    spans = np.array([end - start for start, end in turn_spans(program)], np.int64)
    steps = spans[program.turns]
    per_step = samples * steps
    times = core_times_ns(
        program.target, work.synops.sum(axis=0) / per_step, work.neurons, work.spikes.sum(axis=0) / per_step
    )
    priced = [ns for _, ns in times.values() if ns is not None]
    return np.max(priced, axis=0) * steps if priced else None


def _cores(
    program: Program, names: Sequence[str], work: Workload, samples: int, ns: Array | None
) -> list[dict[str, Any]]:
    synops, spikes = (counts.sum(axis=0) / samples for counts in (work.synops, work.spikes))
    order = np.argsort(-(synops if ns is None else ns), kind="stable")[:SHOWN]
    core = program.column("core")
    layers = layer_blocks(program)
    return [
        {
            "core": int(k),
            **_place(int(program.turns[k]), *program.arrays["cores"][k].tolist()),
            "layers": [names[number] for number, blocks in layers.items() if (core[blocks] == k).any()],
            "neurons": int(work.neurons[k]),
            "synops": float(synops[k]),
            "spikes": float(spikes[k]),
            "ns": None if ns is None else float(ns[k]),
        }
        for k in order
    ]


def _links(
    program: Program, names: Sequence[str], work: Workload, sent: Array, samples: int
) -> list[dict[str, Any]]:
    loads = np.stack([work.links[work.turns == turn].sum(axis=0) for turn in range(program.passes)])
    # The first of equal links: by pass, by direction, then row by row.
    order = np.argsort(-loads, axis=None, kind="stable")[:SHOWN]
    links = [tuple(map(int, np.unravel_index(k, loads.shape))) for k in order if loads.flat[k] > 0]
    total, columns = loads.sum(), program.target.mesh.columns
    by_layer = _senders(program, links, sent)
    return [
        {
            **_place(turn, column // columns, row, column % columns),
            "direction": DIRECTIONS[direction],
            "spikes": float(loads[turn, direction, row, column]) / samples,
            "share": float(loads[turn, direction, row, column] / total),
            "layers": [
                {"name": names[number], "spikes": count / samples}
                for number, count in sorted(mine.items(), key=lambda entry: (-entry[1], entry[0]))
            ],
        }
        for (turn, direction, row, column), mine in zip(links, by_layer, strict=True)
    ]


def _senders(program: Program, links: Sequence[tuple[int, ...]], sent: Array) -> list[dict[int, float]]:
    """Returns the events that each population sends over each of some links."""
    population = program.column("population").tolist()
    found: list[dict[int, float]] = [{} for _ in links]
    for block, turn, tree, count in multicasts(program, sent):
        for mine, (when, direction, row, column) in zip(found, links, strict=True):
            if turn == when and tree.crosses(DIRECTIONS[direction], row, column):
                mine[population[block]] = mine.get(population[block], 0.0) + count
    return found


def _place(turn: int, chip: int, row: int, column: int) -> dict[str, int]:
    """Returns where something stands, and in which pass; a link to the next chip leaves the last column."""
    return {"pass": turn, "chip": chip, "row": row, "column": column}


_NUMBER = (int, float)
_CORE: Mapping[str, Any] = {
    **dict.fromkeys(("core", "pass", "chip", "row", "column", "neurons"), int),
    **dict.fromkeys(("synops", "spikes"), _NUMBER),
    "ns": (*_NUMBER, type(None)),
    "layers": list,
}
_LINK: Mapping[str, Any] = {
    **dict.fromkeys(("pass", "chip", "row", "column"), int),
    **dict.fromkeys(("spikes", "share"), _NUMBER),
    "direction": str,
    "layers": list,
}
_SENDER: Mapping[str, Any] = {"name": str, "spikes": _NUMBER}


def stored_hottest(stored: Any) -> dict[str, Any] | None:
    """Returns what was found when the program was compiled, None where it holds nothing like it."""
    if not isinstance(stored, Mapping) or stored.get("by") not in ("time", "synops"):
        return None
    cores, links = _rows(stored.get("cores"), _CORE), _rows(stored.get("links"), _LINK)
    if cores is None or links is None:
        return None
    good = (
        all(isinstance(name, str) for row in cores for name in row["layers"])
        and all(_rows(row["layers"], _SENDER) is not None for row in links)
        and all(row["direction"] in DIRECTIONS for row in links)
    )
    return dict(stored) if good else None


def _rows(rows: Any, kinds: Mapping[str, Any]) -> list[Mapping[str, Any]] | None:
    """Returns rows whose entries are of the kinds that they should be, None where any is not."""
    good = isinstance(rows, list) and all(
        isinstance(row, Mapping)
        and row.keys() >= kinds.keys()
        and all(isinstance(row[k], kind) and not isinstance(row[k], bool) for k, kind in kinds.items())
        for row in rows
    )
    return rows if good else None
