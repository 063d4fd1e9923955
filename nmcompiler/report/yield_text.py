"""The object of ``yield --json`` as text for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from nmcompiler.report.format import DASH, counted, number, percent, seconds
from nmcompiler.report.text import heading, pairs

__all__ = ["yield_text"]

Facts = Mapping[str, Any]

_BAR = 24


def yield_text(facts: Facts) -> Group:
    """Returns what ``nmc yield`` prints; its warnings go to stderr and are left out."""
    parts: list[RenderableType] = [*_title(facts), ""]
    if facts["finished"]:
        parts += [_table(facts), "", *_histogram(facts), ""]
    parts += [*_sensitivity(facts), *_gains(facts), pairs(_terms(facts))]
    return Group(*parts)


def _title(facts: Facts) -> Iterator[Text]:
    text = Text(str(facts["model"] or "network"), "bold")
    chips, samples = counted(facts["finished"], "chip"), counted(facts["samples"], "sample")
    text.append(f" on {chips} of {facts['target']}, code {facts['coding']}, {samples}", "")
    yield text
    if not facts["complete"]:
        yield Text(f"interrupted: {facts['finished']} of {counted(facts['planned'], 'chip')}", "yellow")


def _ways(facts: Facts) -> list[tuple[str, Facts]]:
    """Returns how chips were treated: the title and the figures of each way, uncompensated first."""
    if facts["uncompensated"] is None:
        return [("as programmed", facts)]
    return [("as programmed", facts["uncompensated"]), ("compensated", facts)]


def _table(facts: Facts) -> Table:
    """Returns figures of the chips, a column for each way they were treated."""
    name, ways = facts["judged_by"], _ways(facts)
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    grid.add_column(name, no_wrap=True)
    for title, _ in ways:
        grid.add_column(title, justify="right", no_wrap=True)
    for label, key in (("mean", "mean"), ("5 % of chips below", "quantile_05"), ("median", "median")):
        grid.add_row(label, *(_with_interval(way[name], key) for _, way in ways))
    for label, key in (("worst", "worst"), ("best", "best")):
        grid.add_row(label, *(percent(way[name][key], 2) for _, way in ways))
    deviations = (way[name]["standard_deviation"] for _, way in ways)
    grid.add_row("standard deviation", *(_points(None if d is None else 100 * d) for d in deviations))
    grid.add_row("mean loss", *(_loss_with_interval(way["loss"]) for _, way in ways))
    grid.add_row("worst loss", *(_points(way["loss"]["worst"]) for _, way in ways))
    for k, entry in enumerate(facts["lose_less_than"]):
        found = (_share(way["lose_less_than"][k]) for _, way in ways)
        grid.add_row(f"lose less than {entry['points']:g}", *found)
    return grid


def _with_interval(figures: Facts, key: str) -> str:
    low, high = (percent(v, 2).removesuffix(" %") for v in figures["interval_95"][key])
    return f"{percent(figures[key], 2)} [{low}, {high}]"


def _loss_with_interval(loss: Facts) -> str:
    low, high = (number(v, 2) for v in loss["interval_95"])
    return f"{_points(loss['mean'])} [{low}, {high}]"


def _share(entry: Facts) -> str:
    low, high = (percent(v, 0).removesuffix(" %") for v in entry["interval_95"])
    return f"{percent(entry['share'], 0)} of chips [{low}, {high}]"


def _points(value: float | None) -> str:
    return DASH if value is None else f"{number(value, 2)} points"


def _histogram(facts: Facts) -> Iterator[RenderableType]:
    """Yields a line for every bin; bars of one column have one scale."""
    ways, bins = _ways(facts), facts["histogram"]
    keys = ["chips"] if len(ways) == 1 else ["uncompensated", "chips"]
    most = max(entry[key] for entry in bins for key in keys)
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    grid.add_column(f"{facts['judged_by']} in %", justify="right", no_wrap=True)
    for title, _ in ways:
        grid.add_column(title, no_wrap=True, min_width=_BAR)
    digits = _digits(100 * (bins[0]["to"] - bins[0]["from"]))
    for entry in reversed(bins):
        edges = f"{100 * entry['from']:.{digits}f} – {100 * entry['to']:.{digits}f}"
        grid.add_row(edges, *(_bar(entry[key], most) for key in keys))
    yield grid


def _digits(width: float) -> int:
    return next(k for k in range(9) if round(width * 10**k, 6) >= 1)


def _bar(count: int, most: int) -> Text:
    length = max(1, round(count / most * (_BAR - 5))) if count else 0
    return Text("█" * length, "green") + Text(f" {count}" if count else "")


def _sensitivity(facts: Facts) -> Iterator[RenderableType]:
    found = facts["sensitivity"]
    if found is None:
        return
    compensated = facts["uncompensated"] is not None
    yield heading(f"What varies alone, {counted(found['chips'], 'chip')}")
    grid = _losses_table("source", ["as programmed"] + ["compensated"] * compensated)
    for name, entry in [*((e["source"], e) for e in found["sources"]), ("all together", found["all"])]:
        ways = [entry["uncompensated"], entry["loss"]] if compensated else [entry["loss"]]
        grid.add_row(name, *map(_mean_and_worst, ways))
    yield grid
    yield ""


def _gains(facts: Facts) -> Iterator[RenderableType]:
    found = facts["gains"]
    if found is None:
        return
    yield heading(f"What each method adds to those before it, {counted(found['chips'], 'chip')}")
    grid = _losses_table("method", ["gain", "loss then"])
    for entry in found["methods"]:
        low, high = (number(v, 2) for v in entry["interval_95"])
        gain = DASH if entry["gain"] is None else f"{_points(entry['gain'])} [{low}, {high}]"
        grid.add_row(entry["method"], gain, _mean_and_worst(entry["loss"]))
    yield grid
    yield ""


def _losses_table(first: str, titles: Sequence[str]) -> Table:
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    grid.add_column(first, no_wrap=True)
    for title in titles:
        grid.add_column(title, justify="right", no_wrap=True)
    return grid


def _mean_and_worst(loss: Facts | None) -> str:
    return DASH if loss is None else f"{number(loss['mean'], 2)}, worst {number(loss['worst'], 2)}"


def _terms(facts: Facts) -> Iterator[tuple[str, str | Text]]:
    name, ideal = facts["judged_by"], facts["ideal"]
    if name == "agreement":
        yield "agreement", "samples with the integer network's answer; there are no labels"
    said = f"{percent(ideal[name], 2)} of a chip that does not vary, which losses are counted from"
    if facts["float_accuracy"] is not None:
        said += f"; float network {percent(facts['float_accuracy'], 2)}"
    yield "ideal", said
    yield "varies", ", ".join(facts["sources"])
    if facts["methods"]:
        samples = counted(facts["calibration_samples"], "calibration sample")
        yield "compensated", f"{', '.join(facts['methods'])}; on {samples}"
    if facts["finished"]:
        share = percent(facts[name]["share_worse_than_worst_95"], 1)
        yield "worst", f"at most {share} of all chips are worse, with 95 % confidence"
        yield "[a, b]", "holds the value of all chips with 95 % confidence, for these samples"
    where = f"{counted(facts['workers'], 'worker')}"
    yield "took", f"{seconds(facts['wall_seconds'])}, {seconds(facts['cpu_seconds'])} of CPU time, {where}"
    if facts["from_journal"]:
        yield "journal", f"{counted(facts['from_journal'], 'run')} were finished before"
