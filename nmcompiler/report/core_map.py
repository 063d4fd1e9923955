"""Which core stands where, what lies on it and how full it is: the data of the maps of cores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nmcompiler.program.layout import Program
from nmcompiler.program.usage import CoreUsage
from nmcompiler.report.needs import layer_blocks

__all__ = ["core_map_facts"]


def core_map_facts(program: Program, names: Sequence[str], usage: CoreUsage) -> dict[str, Any]:
    """Returns the places of all cores, under the keys of ``core_map`` in ``inspect --json``.

    Args:
        program: The program.
        names: Names of its populations by number.
        usage: What it uses of each core.

    Returns:
        ``rows`` and ``columns`` of the mesh of one chip, and ``cores``: their number, ``pass``, ``chip``,
        ``row``, ``column``, ``layers`` (the one with most neurons there first) and ``fill`` (used over limit
        of the fullest resource, None where nothing is limited).
    """
    held: list[dict[str, int]] = [{} for _ in usage.limits]
    core, n = program.column("core"), program.column("n")
    for number, blocks in layer_blocks(program).items():
        for block in blocks:
            mine = held[core[block]]
            mine[names[number]] = mine.get(names[number], 0) + int(n[block])
    fill = _fill(usage)
    mesh = program.target.mesh
    return {
        "rows": mesh.rows,
        "columns": mesh.columns,
        "cores": [
            {
                "core": k,
                "pass": int(program.turns[k]),
                "chip": chip,
                "row": row,
                "column": column,
                "layers": sorted(held[k], key=lambda name: -held[k][name]),
                "fill": fill[k],
            }
            for k, (chip, row, column) in enumerate(np.asarray(program.arrays["cores"]).tolist())
        ],
    }


def _fill(usage: CoreUsage) -> list[float | None]:
    """Returns the largest used over limit of each core."""
    fill: list[float | None] = [None for _ in usage.limits]
    for core, _, used, limit in usage.rows():
        if limit:
            fill[core] = max(fill[core] or 0.0, used / limit)
    return fill
