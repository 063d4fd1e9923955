"""The object of ``diff --json`` as text for a terminal of 80 columns; what is the same is only named."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from nmcompiler.report.diff import LAYER_KEYS
from nmcompiler.report.format import (
    DASH,
    counted,
    decibels,
    duration,
    kibibytes,
    number,
    percent,
    resource_labels,
)
from nmcompiler.report.text import heading, pairs, table

__all__ = ["broken_sentence", "diff_text"]

Facts = Mapping[str, Any]
Form = Callable[[Any], str]

_SHOWN_LAYER_ROWS = 16
_COUNTED = (("weights", "weights of synapses"), ("thresholds", "thresholds"), ("biases", "biases"))


@dataclass(frozen=True)
class _Row:
    """One line of a table: what it is called, the entry, and how a value is written."""

    label: tuple[str, ...]
    entry: Facts
    form: Form

    @property
    def known(self) -> bool:
        return self.entry["a"] is not None or self.entry["b"] is not None

    @property
    def weight(self) -> float:
        """How much changed, to choose among many rows."""
        relative, change = self.entry["relative"], self.entry["change"]
        if relative is not None:
            return abs(float(relative))
        return float("inf") if change is None or self.form is not decibels else abs(change) / 10


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {v}" for k, v in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return DASH if value is None else str(value)


def _microseconds(value: float | None) -> str:
    return DASH if value is None else duration(value * 1e3)


_COUNT: Form = number
_LINES: tuple[tuple[str, str, Form], ...] = (
    ("model", "model", _word),
    ("target", "target", _word),
    ("coding", "code", _word),
    ("levels", "levels", _COUNT),
    ("input_levels", "input levels", _COUNT),
    ("output_levels", "output levels", _COUNT),
    ("input_encoding", "input encoding", _word),
    ("weight_bits", "bits of a weight", _COUNT),
    ("timesteps", "steps of a window", _COUNT),
    ("settle", "steps to settle", _COUNT),
    ("windows", "windows", _COUNT),
    ("schedule.total_steps", "steps a sample", _COUNT),
    ("chips", "chips", _COUNT),
    ("cores.used", "cores used", _COUNT),
    ("cores.lower_bound", "lower bound of cores", _COUNT),
    ("cores.available", "cores available", _COUNT),
    ("passes.count", "passes", _COUNT),
    ("passes.reload_bytes", "bytes loaded", _COUNT),
    ("passes.reload_us", "time of loading", _microseconds),
    ("passes.spilled_spikes", "spikes kept by the host", _COUNT),
    ("neurons", "neurons", _COUNT),
    ("compartments_per_neuron", "compartments a neuron", _COUNT),
    ("synapses", "synapses", _COUNT),
    ("placement.cost", "multicast cost", _COUNT),
    ("placement.cost_lower_bound", "multicast lower bound", _COUNT),
    ("placement.unicast_cost", "unicast cost", _COUNT),
    ("placement.lower_bound", "unicast lower bound", _COUNT),
    ("placement.max_link_load", "busiest link", _COUNT),
    ("placement.max_link_load_lower_bound", "link lower bound", _COUNT),
    ("placement.off_chip_spikes", "spikes to other chips", _COUNT),
    ("time.step_ns", "time of a step", duration),
    ("time.latency_us", "time of a sample", _microseconds),
    ("time.samples_per_second", "samples a second", _COUNT),
    ("time.bottleneck", "bottleneck", _word),
    ("host_macs_share", "MACs on the host", percent),
    ("host_ops", "on the host", _word),
    ("certificate.proved", "blocks not saturating", _COUNT),
    ("certificate.blocks", "blocks", _COUNT),
    ("static_check.ok", "proof holds", _word),
    ("seed", "seed", _word),
    ("placement_effort", "placement effort", _word),
    ("versions", "versions", _word),
)
_BOUNDED = {"time.step_ns": " (≥)", "time.latency_us": " (≥)", "time.samples_per_second": " (≤)"}
_LAYER_FORMS: Mapping[str, tuple[str, Form]] = {
    "neurons": ("neurons", _COUNT),
    "cores": ("cores", _COUNT),
    "fan_in": ("fan-in", _COUNT),
    "synapse_bits": ("synapse mem.", kibibytes),
    "sqnr_db": ("SQNR", decibels),
}


def diff_text(facts: Facts, *, every: bool = False) -> Group:
    """Returns what ``nmc diff`` prints.

    Args:
        facts: The object of ``diff --json``.
        every: Whether all rows of layers are shown, not only those that changed most.
    """
    rows = [_Row((label + _bound(facts, key),), _at(facts, key), form) for key, label, form in _LINES]
    return Group(
        *_title(facts),
        "",
        pairs([("network", _network(facts)), *_budget(facts["budget"])]),
        *_section(rows, ("",), ""),
        *_section(_resource_rows(facts), ("resource",), "Fullest core (used of limit, where both have one)"),
        *_layers(facts["layers"], every),
        *_warnings(facts["warnings"]),
    )


def broken_sentence(entry: Facts) -> str:
    """Returns what is wrong with an entry of ``budget`` that is not kept."""
    moved = "rose" if entry["side"] == "above" else "fell"
    a, b = (_plain(entry[side]) for side in "ab")
    return f"{entry['key']} {moved} from {a} to {b}, by more than the {entry['allowed']} allowed"


def _at(facts: Facts, key: str) -> Facts:
    found = facts
    for part in key.split("."):
        found = found[part]
    return found


def _bound(facts: Facts, key: str) -> str:
    """Returns a mark where a time is a bound, since nobody published what its other parts take."""
    bound = facts["time"]["is_lower_bound"]
    return _BOUNDED.get(key, "") if bound["a"] or bound["b"] else ""


def _plain(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"


def _title(facts: Facts) -> Iterator[Text]:
    for side in "ab":
        name = facts["files"][side]
        model, target, coding = (facts[key][side] for key in ("model", "target", "coding"))
        yield Text(f"{side.upper()}  {name}", "bold") + Text(
            f": {model or 'network'} on {target}, code {coding}", ""
        )


def _network(facts: Facts) -> Text:
    network = facts["network"]
    if network["same"] is None:
        return Text(f"not known to be the same: {network['reason']}", "yellow")
    if not network["same"]:
        return Text(f"not the same integer network: {_why(network)}", "yellow")
    said = "the same integer network: every weight, threshold and bias is equal"
    if facts["program"]["same"]:
        return Text(f"{said}, and so is every number of the placed program", "green")
    if not network["same_ports"]:
        return Text(f"{said}, but inputs or outputs are scaled or ordered otherwise", "yellow")
    return Text(f"{said}; code, chip or placement differ", "green")


def _why(network: Facts) -> str:
    differing = network["differing"]
    if not differing:
        return str(network["reason"])
    sums = {what: sum(entry[key] for entry in differing) for key, what in _COUNTED}
    parts = [f"{number(count)} {what}" for what, count in sums.items() if count]
    if any(entry["levels"] for entry in differing):
        parts.append("levels or signs")
    where = differing[0]["name"]
    name = where["a"] if where["a"] == where["b"] else f"{where['a']}' and '{where['b']}"
    layers = f"in {counted(len(differing), 'population')}, the first '{name}'"
    return f"{', '.join(parts)} differ {layers}"


def _budget(budget: Sequence[Facts]) -> Iterator[tuple[str, Text]]:
    for entry in budget:
        way = "more" if entry["side"] == "above" else "less"
        said = f"{entry['key']} {_plain(entry['a'])} → {_plain(entry['b'])}, {entry['allowed']} {way} allowed"
        yield "budget", Text(f"kept: {said}", "green") if entry["ok"] else Text(f"BROKEN: {said}", "bold red")


def _section(rows: Sequence[_Row], titles: tuple[str, ...], title: str) -> Iterator[RenderableType]:
    """Yields the rows that changed as a table, and the names of the others in one sentence."""
    changed = [row for row in rows if not row.entry["same"]]
    same = [row.label[0] for row in rows if row.entry["same"] and row.known]
    if title and not changed and not same:
        return
    yield ""
    if title:
        yield heading(title)
    if changed:
        yield _table(changed, titles)
    if same:
        yield Text(f"the same: {', '.join(same)}", "dim")


def _table(rows: Iterable[_Row], titles: tuple[str, ...]) -> Table:
    made = table(*titles, ">A", ">B", ">change", ">")
    for column in made.columns[len(titles) : len(titles) + 2]:
        column.no_wrap = False  # words may be long
    for row in rows:
        a, b = (row.form(row.entry[side]) for side in "ab")
        made.add_row(*row.label, a, b, _change(row), _signed(row.entry.get("relative"), percent))
    return made


def _change(row: _Row) -> str:
    change = row.entry.get("change")
    if row.form is not percent or change is None:
        return _signed(change, row.form)
    return f"{_signed(100 * change, lambda value: number(value, 1))} points"


def _signed(value: float | None, form: Form) -> str:
    if value is None:
        return ""
    return f"{'+' if value > 0 else '−'}{form(abs(value))}" if value else "0"


def _resource_rows(facts: Facts) -> list[_Row]:
    """Returns a row for every resource: its utilisation, or the amount where a chip sets no limit."""
    sizes = facts["compartments_per_neuron"]
    labels = resource_labels(sizes["a"] if sizes["same"] else 1)
    rows = []
    for name, label in labels.items():
        entry = facts["resources"][name]
        limited = None not in (entry["utilisation"]["a"], entry["utilisation"]["b"])
        amount: Form = kibibytes if name.endswith("_bits") else number
        rows.append(
            _Row((label,), entry["utilisation"], percent)
            if limited
            else _Row((label,), entry["used"], amount)
        )
    return rows


def _layers(layers: Sequence[Facts], every: bool) -> Iterator[RenderableType]:
    both = [layer for layer in layers if layer["only"] is None]
    rows = [
        _Row((layer["name"], _LAYER_FORMS[key][0]), layer[key], _LAYER_FORMS[key][1])
        for layer in both
        for key in LAYER_KEYS
        if not layer[key]["same"]
    ]
    yield ""
    yield heading("Layers")
    shown = rows if every else _largest(rows)
    if shown:
        yield _table(shown, ("layer", ""))
    if len(shown) < len(rows):
        yield Text(f"{counted(len(rows) - len(shown), 'smaller change')}: --all", "dim")
    for side in "ab":
        alone = [layer for layer in layers if layer["only"] == side]
        if alone:
            yield Text(f"only in {side.upper()}: {', '.join(_alone(layer, side) for layer in alone)}")
    changed = {row.label[0] for row in rows}
    equal = sum(layer["name"] not in changed for layer in both)
    if equal:
        yield Text(f"the same: {equal} of {counted(len(layers), 'layer')}", "dim")


def _largest(rows: Sequence[_Row]) -> list[_Row]:
    """Returns the rows that changed most, in the order in which they stand."""
    ranked = sorted(range(len(rows)), key=lambda k: (-rows[k].weight, k))[:_SHOWN_LAYER_ROWS]
    return [rows[k] for k in sorted(ranked)]


def _alone(layer: Facts, side: str) -> str:
    cores, neurons = (layer[key][side] for key in ("cores", "neurons"))
    return f"{layer['name']} ({counted(neurons, 'neuron')}, {counted(cores, 'core')})"


def _warnings(warnings: Facts) -> Iterator[RenderableType]:
    told = [(side, sentence) for side in "ab" for sentence in warnings[f"only_{side}"]]
    if told:
        yield ""
    yield from (Text(f"warning only of {side.upper()}: {sentence}", "yellow") for side, sentence in told)
