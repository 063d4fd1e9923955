"""``nmc run --profile``: how long the simulator is at each layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from nmcompiler.program.layout import Program
from nmcompiler.report.energy import LayerEvents
from nmcompiler.sim import Profile

__all__ = ["profile_facts", "profile_text"]


def profile_facts(
    program: Program, profile: Profile, layers: Sequence[LayerEvents]
) -> list[dict[str, Any]] | None:
    """Returns a row for every layer, in the order of the network; None where nothing was timed.

    ``synops`` are those of the layer's own synapses, ``seconds`` of all threads together.
    """
    if not profile.seconds.any():
        return None
    population = program.column("population")
    seconds = np.bincount(population, profile.seconds, len(layers)).tolist()
    return [
        {
            "layer": layer.name,
            "synops": layer.synops,
            "seconds": round(spent, 6),
            "synops_per_second": layer.synops / spent if spent > 0 else 0.0,
        }
        for layer, spent in zip(layers, seconds, strict=True)
    ]


def profile_text(rows: Sequence[dict[str, Any]] | None) -> Iterator[str]:
    """Yields the lines of a profile."""
    if rows is None:
        yield "profile: this chip's simulator does not time its layers"
        return
    width = max(5, *(len(row["layer"]) for row in rows))
    total = sum(row["seconds"] for row in rows) or 1.0
    yield f"{'layer':<{width}} {'synops':>16} {'seconds':>9} {'share':>6} {'Gsynop/s':>9}"
    for row in rows:
        rate, share = row["synops_per_second"] / 1e9, row["seconds"] / total
        spent = f"{row['seconds']:>9.3f} {share:>6.1%}"
        yield f"{row['layer']:<{width}} {row['synops']:>16,} {spent} {rate:>9.2f}"
