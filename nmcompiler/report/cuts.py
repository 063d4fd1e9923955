"""Why each layer was cut as it was: its boxes, what is full where they lie, and the fewest cores it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from nmcompiler.program.layout import Program
from nmcompiler.program.usage import CoreUsage
from nmcompiler.report.needs import SHARED_OUT, Needs, fewest_cores, layer_blocks

__all__ = ["cut_facts", "network_rows"]

Ints: TypeAlias = npt.NDArray[np.int64]


def cut_facts(program: Program, names: Sequence[str], usage: CoreUsage, needs: Needs) -> list[dict[str, Any]]:
    """Returns how each layer was cut, under the keys of ``cuts`` in ``inspect --json``.

    Args:
        program: The program.
        names: Names of its populations by number.
        usage: What it uses of each core.
        needs: What its layers need.

    Returns:
        For each layer ``shape`` and ``largest_box`` (channels, rows, columns), ``boxes``, ``shared_cores``
        (cores that hold pieces of other layers too), ``binds`` (the fullest resource of its fullest core, of
        those that it has for itself if it has any; None where nothing is limited) and ``at_least`` (fewest
        cores for the whole layer by each limited resource alone).
    """
    layers = layer_blocks(program)
    held = [set(program.column("core")[blocks].tolist()) for blocks in layers.values()]
    holders = np.bincount([core for cores in held for core in cores], minlength=len(usage.limits))
    return [
        {
            "layer": names[number],
            "shape": _shape(program, blocks),
            "boxes": len(blocks),
            "shared_cores": sum(int(holders[core] > 1) for core in cores),
            "largest_box": _largest(program, blocks),
            "binds": _binds(usage, sorted(cores), holders),
            "at_least": _at_least(program, needs.layers[number]),
        }
        for (number, blocks), cores in zip(layers.items(), held, strict=True)
    ]


def network_rows(program: Program, usage: CoreUsage, needs: Needs) -> list[dict[str, Any]]:
    """Returns what the network needs of each limited resource, and on how many cores it is the fullest.

    These are the rows of ``needs`` in ``inspect --json``: ``resource``, ``need``, ``used`` (on all cores
    together: more than the need where pieces read the same sources or hold the same kernels), ``cores`` (the
    fewest by that resource alone) and ``fullest_on``. Of resources that fill a core alike the first counts.
    """
    fullest = [_fullest(usage, core) for core in range(len(usage.limits))]
    first = [None if found is None else found["resource"] for found in fullest]
    return [
        {
            "resource": name,
            "need": need,
            "used": int(usage.used[name].sum()),
            "cores": cores,
            "fullest_on": first.count(name),
        }
        for name, need in needs.network.items()
        if (cores := fewest_cores(program.target, name, need)) is not None
    ]


def _shape(program: Program, blocks: Ints) -> dict[str, int]:
    """Returns the shape of a layer, from the furthest corners of its boxes."""
    ends = {"channels": ("c0", "channels"), "rows": ("y0", "height"), "columns": ("x0", "width")}
    return {
        side: int((program.column(first)[blocks] + program.column(length)[blocks]).max())
        for side, (first, length) in ends.items()
    }


def _largest(program: Program, blocks: Ints) -> dict[str, int]:
    """Returns the shape of the layer's box with most neurons, the first of equal ones."""
    block = blocks[np.argmax(program.boxed[blocks])]
    sides = {"channels": "channels", "rows": "height", "columns": "width"}
    return {side: int(program.column(column)[block]) for side, column in sides.items()}


def _binds(usage: CoreUsage, cores: Sequence[int], holders: Ints) -> dict[str, Any] | None:
    """Returns the fullest resource of a layer's fullest core, of its own cores where it has any."""
    own = [core for core in cores if holders[core] == 1]
    found = [full for core in own or cores if (full := _fullest(usage, core)) is not None]
    most = max(found, key=lambda full: full["used"] / full["limit"], default=None)
    return None if most is None else {**most, "shared": not own}


def _fullest(usage: CoreUsage, core: int) -> dict[str, Any] | None:
    """Returns the resource of a core of which most of the limit is used, None where nothing is limited."""
    rows = [
        {"core": core, "resource": name, "used": int(usage.used[name][core]), "limit": limit}
        for name in SHARED_OUT
        if (limit := getattr(usage.limits[core], name))
    ]
    return max(rows, key=lambda row: row["used"] / row["limit"], default=None)


def _at_least(program: Program, needs: Mapping[str, int]) -> dict[str, int]:
    """Returns the fewest cores by each resource that is limited."""
    counts = {name: fewest_cores(program.target, name, need) for name, need in needs.items()}
    return {name: cores for name, cores in counts.items() if cores is not None}
