"""The receipt of a run's energy as tables for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from nmcompiler.report.format import DASH, duration, energy, number, percent
from nmcompiler.report.text import heading, pairs, table

__all__ = ["energy_text", "expected_parts"]

Facts = Mapping[str, Any]


def energy_text(facts: Facts) -> Iterator[RenderableType]:
    """Yields the receipt, the parts of a step, and the same network as an ANN; facts as of ``run --json``."""
    yield heading("Energy of a sample")
    yield from _receipt(facts["energy"], facts["samples"])
    yield ""
    yield heading("Parts of a step")
    yield _parts(facts["time"], facts["latency_steps"])
    if facts.get("ann") is not None:
        yield ""
        yield heading(f"The same network as an integer ANN ({facts['ann']['table']})")
        yield _ann(facts["ann"])


def _receipt(facts: Facts, samples: int) -> Iterator[RenderableType]:
    rows = facts["receipt"]
    if not rows:
        yield "nothing is priced: no figure of this chip is published"
        return
    sources = list(dict.fromkeys((row["source"], row["evidence"], row["kind"]) for row in rows))
    made = table("layer", "event", ">count", ">pJ each", ">energy", ">share", ">source")
    total = facts["run_fj"]["total"]
    for layer, group in groupby(rows, key=lambda row: row["layer"]):
        mine: Sequence[Facts] = list(group)
        for k, row in enumerate(mine):
            source = 1 + sources.index((row["source"], row["evidence"], row["kind"]))
            made.add_row(
                (layer or "chip") if k == 0 else "",
                row["event"],
                number(row["count"] / samples, 1),
                f"{row['pj']:g}",
                energy(row["fj"] / samples * 1e-9),
                percent(row["fj"] / total if total else None),
                f"[{source}]",
            )
    made.add_row(Text("total", "bold"), "", "", "", energy(total / samples * 1e-9), "", "")
    yield made
    for k, (source, evidence, kind) in enumerate(sources, 1):
        yield Text(f"[{k}] {source} ({evidence}, {kind})", "dim")
    for entry in facts["included"]:
        yield Text(f"{entry['term']}: within {entry['within']}", "dim")
    if facts["unpriced"]:
        yield Text(f"unpriced, so that the total is a lower bound: {', '.join(facts['unpriced'])}", "yellow")


def expected_parts(facts: Facts) -> Iterator[RenderableType]:
    """Yields the parts of a step as calibration lets expect them; facts as of ``inspect --json``."""
    if facts.get("time") is not None:
        yield ""
        yield heading("Parts of a step, expected from the calibration samples")
        yield _parts(facts["time"], facts["schedule"]["total_steps"])


def _parts(time: Facts, steps: int) -> RenderableType:
    """Returns the parts of a step, the longest first."""
    made = table("part", "busiest", ">a step", ">time", ">longest in")
    for part in time["parts"]:
        made.add_row(
            part["what"],
            part["where"] or DASH,
            number(part["count"], 1),
            DASH if part["ns"] is None else duration(part["ns"]),
            DASH if part["ns"] is None else f"{part['steps']} of {number(steps)} steps",
        )
    return made


def _ann(ann: Facts) -> RenderableType:
    parts = ", ".join(f"{key} {energy(uj)}" for key, uj in ann["snn_parts_uj"].items())
    skipping = DASH
    if ann["zero_skipping_uj"] is not None:
        skipping = f"{energy(ann['zero_skipping_uj'])} with {percent(ann['density'])} of its values not zero"
    rows = [
        ("spiking network", f"{energy(ann['snn_uj'])}: {parts}"),
        ("ANN", f"{energy(ann['energy_uj'])} for {number(ann['macs'])} MACs{_even(ann['break_even'])}"),
        ("ANN, zeros skipped", skipping + _even(ann["break_even_zero_skipping"])),
        (
            "ANN, all reused",
            f"{energy(ann['reused_uj'])}, weights read once{_even(ann['break_even_reused'])}",
        ),
        ("measured", f"{number(ann['spikes_per_synapse'], 3)} spikes a synapse (synops over these MACs)"),
    ]
    return pairs(rows)


def _even(value: float | None) -> str:
    return "" if value is None else f"; break-even {number(value, 3)}"
