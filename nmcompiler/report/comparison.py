"""The object of ``compare --json`` as a table for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from nmcompiler.report.format import DASH, counted, number, percent
from nmcompiler.report.text import pairs

__all__ = ["comparison_text", "row_line"]

Facts = Mapping[str, Any]

_GAP = " "  # more would not fit 80 columns
_UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True)
class _Column:
    """A column of numbers: its title, and what a row shows there."""

    title: str
    cell: Callable[[Facts], str]


def comparison_text(facts: Facts) -> Group:
    """Returns what ``nmc compare`` prints: a line for every row under its target, and what the marks mean."""
    rows = facts["rows"]
    return Group(*_title(facts), "", *_lines(rows), "", *_legend(facts))


def row_line(row: Facts) -> str:
    """Returns one finished row as a line for a log."""
    what = f"{row['target']} {row['coding']} {row['size']}"
    if not row["ok"]:
        return f"{what}: {row['refused']['short']}"
    quality = percent(_quality(row), 2)
    return f"{what}: {quality}, {counted(row['cores']['used'], 'core')}, {_equal(row)}"


def _title(facts: Facts) -> Iterator[Text]:
    text = Text(str(facts["model"] or "network"), "bold")
    text.append(f" on {counted(facts['samples'], 'sample')}", "")
    if facts["float_accuracy"] is not None:
        text.append(f", float accuracy {percent(facts['float_accuracy'], 2)}")
    yield text
    if not facts["complete"]:
        yield Text(f"interrupted: {len(facts['rows'])} of {counted(facts['planned'], 'row')}", "yellow")


def _lines(rows: Sequence[Facts]) -> Iterator[Text]:
    """Yields the table; a row that cannot run has its reason in place of numbers."""
    columns = _columns([row for row in rows if row["ok"]])
    names = [_name(row) for row in rows]
    left = max(map(len, names), default=0)
    cells = [[c.cell(row) for c in columns] if row["ok"] else [] for row in rows]
    filled = [row for row in cells if row]
    widths = [max(len(c.title), *(len(r[k]) for r in filled)) for k, c in enumerate(columns)]
    titles = [c.title.rjust(w) for c, w in zip(columns, widths, strict=True)]
    if titles:
        yield _line(Text(_GAP.join([" " * left, *titles]), "dim"))
    numbered = list(enumerate(rows))
    for target, group in groupby(numbered, key=lambda pair: str(pair[1]["target"])):
        yield _line(Text(target, "bold"))
        for k, row in group:
            name = Text(names[k].ljust(left), "bold green" if row["pareto"] else "")
            if row["ok"]:
                shown = _GAP.join(c.rjust(w) for c, w in zip(cells[k], widths, strict=True))
                yield _line(name + Text(_GAP + shown, "red" if row["exact"] is False else ""))
            else:
                yield _line(name + Text(f"{_GAP}{row['refused']['short']}", "yellow"))


def _columns(rows: Sequence[Facts]) -> list[_Column]:
    """Returns the columns in which some row has something to say."""
    if not rows:
        return []
    labelled = all(row["accuracy"]["chip"] is not None for row in rows)
    columns = [
        _Column("acc. %" if labelled else "same %", _points),
        _Column("cores", _cores),
        _Column("steps", lambda row: number(row["latency_steps"])),
        _Column("time", _time),
        _Column("spk/n", lambda row: number(row["spikes_per_neuron"], 2)),
        _Column("synops", _synops),
        _Column("energy", _energy),
        _Column("equal", _equal),
    ]
    return [c for c in columns if any(c.cell(row) != DASH for row in rows)]


def _line(text: Text) -> Text:
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _name(row: Facts) -> str:
    return f"{'*' if row['pareto'] else ' '} {row['coding']} {row['size']}"


def _quality(row: Facts) -> float | None:
    accuracy: float | None = row["accuracy"]["chip"]
    return row["agreement"]["chip_float"] if accuracy is None else accuracy


def _points(row: Facts) -> str:
    quality = _quality(row)
    return DASH if quality is None else number(100 * quality, 2)


def _cores(row: Facts) -> str:
    bound = row["cores"]["lower_bound"]
    return str(row["cores"]["used"]) + ("" if bound is None else f"/{bound}")


def _time(row: Facts) -> str:
    micros = row["latency_us"]
    if micros is None:
        return DASH
    said = f"{_short(micros / 1e3)} ms" if micros >= 1e3 else f"{_short(micros)} µs"
    return ("≥" if _is_bound(row.get("time")) else "") + said


def _is_bound(part: Facts | None) -> bool:
    return part is not None and bool(part["is_lower_bound"])


def _synops(row: Facts) -> str:
    synops = row["synops_per_sample"]
    factor, unit = next((pair for pair in _UNITS if synops >= pair[0]), (1.0, ""))
    return f"{_short(synops / factor)}{unit}" if unit else number(synops)


def _energy(row: Facts) -> str:
    micros = row["energy"]["total_uj"]
    if micros is None:
        return DASH
    value, unit = next(
        ((micros * f, u) for f, u in ((1e-3, "mJ"), (1.0, "µJ"), (1e3, "nJ")) if micros * f >= 1),
        (micros * 1e6, "pJ"),
    )
    return ("≥" if row["energy"]["is_lower_bound"] else "") + f"{_short(value)} {unit}"


def _short(value: float) -> str:
    """Returns three significant digits, and all digits before the point."""
    return f"{value:.{max(0, 2 - len(f'{value:.0f}') + 1)}f}"


def _equal(row: Facts) -> str:
    if row["exact"] is None:
        return "≈"
    if row["exact"] and row.get("ideal_devices"):
        return "ideal"
    return "exact" if row["exact"] else "WRONG"


def _legend(facts: Facts) -> Iterator[RenderableType]:
    rows = [row for row in facts["rows"] if row["ok"]]
    for row in rows:
        if row["exact"] is False:
            yield Text(
                f"WRONG: {row['target']}{_name(row)[1:]} differs from its network in {_counts(row)}", "red"
            )
    if rows:
        yield pairs(_terms(facts, rows))


def _counts(row: Facts) -> str:
    kinds = ("outputs", "activations", "membranes")
    return ", ".join(f"{number(row[f'mismatched_{what}'])} {what}" for what in kinds)


def _terms(facts: Facts, rows: Sequence[Facts]) -> Iterator[tuple[str, str | Text]]:
    if facts["pareto"]:
        quality, *costs = (c["name"] for c in facts["pareto"])
        said = f"{', '.join(costs[:-1])} and {costs[-1]}"
        yield (
            "*",
            f"Pareto-best: no other row is as good in all of {quality} (higher), {said} (lower) "
            "and better in one",
        )
    else:
        yield "*", "no row is marked: the network gives no classes that could be judged"
    if any(row["accuracy"]["chip"] is None for row in rows):
        yield "same %", "samples with the float network's answer; there are no labels"
    yield "cores", "used/bound: no partition needs fewer than the bound"
    yield "spk/n", "spikes a neuron and sample; synops are those of a sample"
    yield (
        "exact",
        "every output, activation and membrane is the integer network's; ≈ the code approximates it",
    )
    if any(row.get("ideal_devices") for row in rows):
        yield "ideal", "exact with devices and converters that do not vary; nmc run --chip-seed draws a chip"
    shown = [row["energy"] for row in rows if row["energy"]["total_uj"] is not None]
    shown += [row.get("time") for row in rows if row["latency_us"] is not None]
    if any(map(_is_bound, shown)):
        yield "≥", "a lower bound: nobody published the other terms"
