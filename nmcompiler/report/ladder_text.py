"""The loss ladder as text: layers, the worst first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from nmcompiler.report.format import decibels, number, percent
from nmcompiler.report.text import heading, table

__all__ = ["ladder_text"]

Facts = Mapping[str, Any]

_SHOWN = 12
_LOUD = 1e9  # stands for layers without noise when layers are sorted


def ladder_text(ladder: Facts) -> Iterator[RenderableType]:
    """Yields the layers of a ladder, the worst first; nothing where none were compared."""
    if ladder["skipped"]:
        yield Text(f"layers not compared: {ladder['skipped']}", "yellow")
        return
    if not ladder["layers"]:
        return
    rows = sorted(ladder["layers"], key=_ratio)
    own = any("own_db" in row for row in rows)
    chip = any(row.get("chip_sqnr_db") is not None for row in rows)
    on = "calibration" if ladder["samples"] is None else f"{number(ladder['samples'])} samples"
    yield heading(f"Layers on {on}, the worst first")
    extra = [*([">on chip"] if chip else []), *([">alone", ">possible"] if own else [])]
    made = table("layer", ">SQNR", *extra, ">saturated", "silent channels")
    made.columns[0].no_wrap = True
    for row in rows[:_SHOWN]:
        more = [row.get("chip_sqnr_db")] if chip else []
        more += [row.get("own_db"), row.get("achievable_db")] if own else []
        made.add_row(
            row["name"],
            decibels(row["sqnr_db"]),
            *map(decibels, more),
            percent(row["saturated_share"]),
            _silent(row),
        )
    yield made
    if len(rows) > _SHOWN:
        yield Text(f"{len(rows) - _SHOWN} more layers: --json", "dim")


def _ratio(row: Facts) -> float:
    ratios = [row[key] for key in ("sqnr_db", "chip_sqnr_db") if row.get(key) is not None]
    return float(min(ratios, default=_LOUD))


def _silent(row: Facts) -> str:
    if not row["silent_channels"]:
        return ""
    if "silent" not in row:
        return f"{number(row['silent_channels'])} in all"
    lost = f"; lost: {_listed(row['lost'])}" if row["lost"] else ""
    return _listed(row["silent"]) + lost


def _listed(channels: Sequence[int]) -> str:
    return ", ".join(map(str, channels[:8])) + (" …" if len(channels) > 8 else "")
