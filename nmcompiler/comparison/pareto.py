"""Which rows of a comparison nobody would give away for another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Criterion", "criteria", "dominates", "mark_best"]

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Criterion:
    """One thing that is wanted of a row.

    Attributes:
        key: Where the value stands in a row, parts joined by dots.
        name: What people call it.
        higher: Whether more is better.
    """

    key: str
    name: str
    higher: bool = False

    def value(self, row: Row) -> float | None:
        """Returns the value of a row, None where it has none."""
        found: Any = row
        for part in self.key.split("."):
            found = None if found is None else found.get(part)
        return None if found is None else float(found)


_ACCURACY = Criterion("accuracy.chip", "accuracy", higher=True)
_AGREEMENT = Criterion("agreement.chip_float", "agreement with the float network", higher=True)
_CORES = Criterion("cores.used", "cores")
_TIME = Criterion("latency_us", "latency in time")
_STEPS = Criterion("latency_steps", "latency in steps")
_ENERGY = Criterion("energy.total_uj", "energy")
_SYNOPS = Criterion("synops_per_sample", "synops")


def criteria(rows: Sequence[Row]) -> tuple[Criterion, ...]:
    """Returns what rows are judged by: the same for all of them, so that no circle of better rows can arise.

    Answers come first: accuracy, or without labels the agreement with the float network. Costs are cores,
    latency in time and energy where every row has a figure that leaves out the same terms, else steps and
    synaptic operations.

    Returns:
        Nothing where a row has neither accuracy nor agreement: costs alone would praise the worst network.
    """

    def known(criterion: Criterion) -> bool:
        return all(criterion.value(row) is not None for row in rows)

    quality = _ACCURACY if known(_ACCURACY) else _AGREEMENT
    if not rows or not known(quality):
        return ()

    def alike(key: str) -> bool:
        return len({tuple((row.get(key) or {}).get("unpriced", ())) for row in rows}) == 1

    return (
        quality,
        _CORES,
        _TIME if alike("time") and known(_TIME) else _STEPS,
        _ENERGY if alike("energy") and known(_ENERGY) else _SYNOPS,
    )


def dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    """Returns whether a is nowhere worse than b and somewhere better; less is better in every place."""
    return all(x <= y for x, y in zip(a, b, strict=True)) and tuple(a) != tuple(b)


def mark_best(
    rows: Sequence[Row], choose: Callable[[Sequence[Row]], tuple[Criterion, ...]] = criteria
) -> tuple[list[dict[str, Any]], tuple[Criterion, ...]]:
    """Returns the rows with ``pareto`` filled in, and the criteria.

    A row is Pareto-best where no other row is at least as good in every criterion and better in one. Rows
    that could not run, or whose chip is not its network, take no part.
    """
    able = [k for k, row in enumerate(rows) if row["ok"] and row["exact"] is not False]
    chosen = choose([rows[k] for k in able])
    values = {k: tuple(_cost(c, rows[k]) for c in chosen) for k in able} if chosen else {}
    distinct = set(values.values())
    front = {v for v in distinct if not any(dominates(other, v) for other in distinct)}
    return [{**row, "pareto": values.get(k) in front} for k, row in enumerate(rows)], chosen


def _cost(criterion: Criterion, row: Row) -> float:
    value = criterion.value(row)
    assert value is not None  # criteria() chose only what every row has
    return -value if criterion.higher else value
