"""What ``nmc debug`` prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from nmcompiler.report.format import decibels, number, percent
from nmcompiler.report.ladder_text import ladder_text
from nmcompiler.report.text import heading, table

__all__ = ["debug_text"]

Facts = Mapping[str, Any]

_SHOWN = 6  # removals, those that restore most; --json has all


def debug_text(facts: Facts) -> Group:
    """Returns what ``nmc debug`` prints."""
    verdict = facts["verdict"]
    title = Text(str(facts["model"] or "network"), "bold")
    title.append(f" on {facts['target']}, code {facts['coding']}, {number(facts['samples'])} samples")
    colour = "yellow" if verdict["kind"] == "limit" else "bold red"
    return Group(
        title,
        "",
        _stages(facts["ladder"]["stages"]),
        "",
        *ladder_text(facts["ladder"]),
        "",
        heading("Layer and cause"),
        Text(verdict["sentence"], colour),
        *_removals(facts["removals"]),
        *_advice(facts["advice"]),
    )


def _stages(stages: Sequence[Facts]) -> Table:
    made = table("stage", ">accuracy", ">answers as float")
    for rung in stages:
        made.add_row(rung["stage"], percent(rung["accuracy"]), percent(rung["agreement"]))
    return made


def _removals(rows: Sequence[Facts]) -> Iterator[RenderableType]:
    if not rows:
        return
    yield ""
    yield heading("This layer with one thing removed")
    wrong = "wrong" in rows[0]
    made = table("cause", ">restores", ">wrong values" if wrong else ">alone", "instead")
    for row in sorted(rows, key=lambda r: -r["restored"])[:_SHOWN]:
        left = percent(row["wrong"]) if wrong else decibels(row["sqnr_db"])
        made.add_row(row["cause"], percent(max(row["restored"], 0.0), 0), left, row["removed"])
    yield made


def _advice(rows: Sequence[Facts]) -> Iterator[RenderableType]:
    if not rows:
        return
    yield ""
    yield heading("Tried on these samples")
    made = table("with", ">accuracy", ">as float", ">output SQNR", "")
    made.columns[0].no_wrap = True
    before = rows[0]["before"]
    made.add_row("as it is", *_measures(before), "")
    for row in rows:
        said = row["error"] or ("helps" if row["helps"] else "does not help")
        made.add_row(row["try"], *_measures(row["after"]), Text(said, "green" if row["helps"] else "dim"))
    yield made


def _measures(measured: Facts) -> tuple[str, str, str]:
    return percent(measured["accuracy"]), percent(measured["agreement"]), decibels(measured["sqnr_db"])
