"""Facts of a program and of a run as text for a terminal of 80 columns.

Every function takes the object that ``--json`` prints, so that text and JSON cannot disagree.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from nmcompiler.report.cost_lines import cost_lines, pass_line, step_line
from nmcompiler.report.format import (
    DASH,
    core_fill,
    counted,
    decibels,
    kibibytes,
    millions,
    number,
    percent,
    resource,
    resource_labels,
    seconds,
    used_of,
)
from nmcompiler.report.variation_lines import variation_lines

__all__ = [
    "compile_text",
    "demo_text",
    "heading",
    "inspect_text",
    "pairs",
    "run_text",
    "summary",
    "table",
    "uncut",
    "written_text",
]

Facts = Mapping[str, Any]

_FULLEST = 8


def compile_text(facts: Facts) -> Group:
    """Returns what ``nmc compile`` prints; its warnings go to stderr and are left out."""
    return Group(_title(facts), "", _layers(facts), "", pairs(summary(facts)))


def inspect_text(facts: Facts, *, every: bool = False) -> Group:
    """Returns what ``nmc inspect`` prints; ``every`` core instead of the fullest only."""
    return Group(
        _title(facts),
        "",
        _layers(facts),
        "",
        pairs(summary(facts)),
        "",
        heading("Schedule"),
        _schedule(facts),
        *_passes(facts.get("passes")),
        "",
        heading("Resources of a core"),
        _resources(facts),
        "",
        *_cores(facts, every),
        *_warned(facts),
    )


def run_text(facts: Facts) -> Group:
    """Returns what ``nmc run`` prints."""
    return Group(*_answers(facts), pairs(_proof_of_run(facts)), "", pairs(_activity(facts)))


def demo_text(compiled: Facts, run: Facts) -> Group:
    """Returns what ``nmc demo`` prints."""
    return Group(
        heading("1  Compiled and proved"),
        compile_text(compiled),
        "",
        heading("2  Run on the simulated chip"),
        run_text(run),
    )


def written_text(paths: Iterable[Path]) -> Text:
    """Returns a line that names the files that were written, with their sizes."""
    files = ", ".join(f"{p} ({p.stat().st_size / 1024:,.0f} KiB)" for p in paths)
    return uncut(f"Wrote {files}", "green")


def uncut(text: str, style: str = "") -> Text:
    """Returns a line that is never broken, since a reader may copy a path or a command from it."""
    return Text(text, style, no_wrap=True, overflow="ignore")


def heading(text: str) -> Text:
    """Returns a heading."""
    return Text(text, "bold")


def table(*columns: str) -> Table:
    """Returns a plain table; columns whose title starts with ``>`` hold numbers and stand to the right."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for title in columns:
        right = title.startswith(">")
        made.add_column(
            title.lstrip(">"), justify="right" if right else "left", overflow="fold", no_wrap=right
        )
    return made


def pairs(rows: Iterable[tuple[str, str | Text]]) -> Table:
    """Returns a list of terms and what is said of them."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for term, said in rows:
        made.add_row(term, said)
    return made


def _title(facts: Facts) -> Text:
    text = Text()
    text.append(str(facts["model"] or "network"), "bold")
    text.append(f" on {facts['target']}, code {facts['coding']}\n")
    text.append(
        f"levels {facts['levels']}, input levels {facts['input_levels']} ({facts['input_encoding']}), "
        f"{_output_levels(facts)}weights of {facts['weight_bits']} bits",
        "dim",
    )
    return text


def _output_levels(facts: Facts) -> str:
    """Returns the levels of outputs that are read from spikes, with a comma; nothing for membranes."""
    levels = facts["output_levels"]
    return "" if levels is None else f"output levels {levels}, "


def _layers(facts: Facts) -> Table:
    made = table("layer", "operator", ">neurons", ">cores", ">fan-in", ">synapse mem.", ">SQNR")
    for layer in facts["layers"]:
        made.add_row(
            layer["name"],
            layer["op"] or DASH,
            number(layer["neurons"]),
            number(layer["cores"]),
            number(layer["fan_in"]),
            kibibytes(layer["synapse_bits"]),
            decibels(layer["sqnr_db"]),
        )
    return made


def summary(facts: Facts) -> Iterator[tuple[str, str | Text]]:
    """Yields what is to be said of a program as a whole, as (term, sentence)."""
    cores, chips, passes = facts["cores"], facts["chips"], facts.get("passes")
    bound = cores["lower_bound"]
    several = passes if passes and passes["count"] > 1 else None
    over = "" if several is None else f" in {number(several['count'])} passes"
    yield (
        "cores",
        f"{number(cores['used'])} on {counted(chips, 'chip')}{over}"
        + ("" if bound is None else f", no partition needs fewer than {number(bound)}")
        + f"; {number(cores['available'])} available",
    )
    if several is not None:
        yield "passes", pass_line(several)
    yield "neurons", f"{number(facts['neurons'])}, synapses {number(facts['synapses'])}"
    yield "fullest core", _fullest(facts)
    if facts["placement"]:
        yield "placement", _placement(facts["placement"])
    total = (facts.get("schedule") or {}).get("total_steps")
    yield (
        "time",
        f"{counted(facts['windows'], 'window')} of at most {facts['timesteps']} steps"
        + (f", {number(total)} steps a sample" if total is not None else ""),
    )
    line = step_line(facts["time"]) if facts.get("time") else None
    if line is not None:
        yield "step", line
    yield "on the host", _host(facts)
    yield "proof", _static(facts["static_check"])
    certificate = facts["certificate"]
    if certificate:
        yield "saturation", _certificate(certificate)
    if facts.get("compile_seconds") is not None:
        yield "compiled in", seconds(facts["compile_seconds"])


def _host(facts: Facts) -> str:
    ops = facts.get("host_ops") or []
    return f"{percent(facts['host_macs_share'])} of the MACs" + (f"; {', '.join(ops)}" if ops else "")


def _fullest(facts: Facts) -> str:
    limited = [entry for entry in facts["limits"] if entry["limit"]]
    if not limited:
        return "no resource is limited"
    worst = max(limited, key=lambda e: e["used"] / e["limit"])
    name, labels = worst["resource"], resource_labels(facts["compartments_per_neuron"])
    return (
        f"core {worst['core']}: {resource(name, worst['used'])} of {resource(name, worst['limit'])} "
        f"{labels.get(name, name)} ({percent(worst['used'] / worst['limit'], 0)})"
    )


def _placement(placement: Facts) -> str:
    """Each figure with its bound; programs of older versions have fewer bounds."""

    def bounded(key: str, bound: str) -> str:
        known = placement.get(bound)
        return number(placement[key]) + ("" if known is None else f" (at least {number(known)})")

    apart = placement.get("off_chip_spikes")
    return (
        f"{bounded('cost', 'cost_lower_bound')} spikes × links a sample, multicast; unicast "
        f"{bounded('unicast_cost', 'lower_bound')}; busiest link "
        f"{bounded('max_link_load', 'max_link_load_lower_bound')} spikes"
        + (f"; {number(apart)} spikes to other chips" if apart else "")
    )


def _static(check: Facts | None) -> Text:
    if check is None:
        return Text("not possible: the program carries no golden network", "yellow")
    if not check["ok"]:
        return Text(f"FAILED: {check['message']}", "bold red")
    return Text(
        f"the placed program is the integer network ({number(check['populations'])} populations, "
        f"{number(check['synapses'])} synapses read back from cores and routes)",
        "green",
    )


def _certificate(certificate: Facts) -> str:
    proved, blocks = certificate["proved"], certificate["blocks"]
    if proved == blocks:
        return f"impossible in all {number(blocks)} blocks"
    return f"impossible in {number(proved)} of {number(blocks)} blocks; the others run step by step"


def _schedule(facts: Facts) -> Group:
    schedule = facts["schedule"]
    made = table("layer", ">window", ">fires from step", ">to", ">levels")
    for layer in facts["layers"]:
        last = layer["fire_start"] + layer["steps"] - 1
        levels = number(layer["levels"]) if layer["levels"] else "read-out"
        made.add_row(
            layer["name"], number(layer["window"]), number(layer["fire_start"]), number(last), levels
        )
    starts = ", ".join(map(str, schedule["window_starts"]))
    return Group(f"windows start at steps {starts}; {schedule['total_steps']} steps a sample", made)


def _passes(passes: Facts | None) -> Iterator[RenderableType]:
    """Yields a table of the passes over the chips, where there are several."""
    if not passes or passes["count"] < 2:
        return
    made = table("pass", "layers", ">cores", ">chips", ">from step", ">to", ">loads")
    for one in passes["each"]:
        first, last = one["first_step"], one["first_step"] + one["steps"] - 1
        made.add_row(
            str(one["pass"]),
            ", ".join(one["layers"]),
            *(number(n) for n in (one["cores"], one["chips"], first, last)),
            kibibytes(8 * one["reload_bytes"]),
        )
    yield ""
    yield heading("Passes over the chips")
    yield made


def _resources(facts: Facts) -> Table:
    made = table("resource", ">mean", ">fullest", ">limit", ">used", "core")
    labels = resource_labels(facts["compartments_per_neuron"])
    by_name: dict[str, list[Facts]] = {}
    for entry in facts["limits"]:
        by_name.setdefault(entry["resource"], []).append(entry)
    for name, entries in by_name.items():
        worst = max(entries, key=lambda e: (used_of(e["used"], e["limit"]) or 0.0, e["used"]))
        made.add_row(
            labels.get(name, name),
            resource(name, sum(e["used"] for e in entries) / len(entries)),
            resource(name, worst["used"]),
            "none" if worst["limit"] is None else resource(name, worst["limit"]),
            percent(used_of(worst["used"], worst["limit"]), 0),
            str(worst["core"]),
        )
    return made


def _cores(facts: Facts, every: bool) -> Iterator[RenderableType]:
    """Yields a table of cores, the fullest first: used / limit of each resource in percent."""
    fill = core_fill(facts["limits"])
    order = sorted(fill, key=lambda core: (-max(fill[core].values(), default=0.0), core))
    shown = order if every else order[:_FULLEST]
    labels = resource_labels(facts["compartments_per_neuron"], short=True)
    names = [name for name in labels if any(name in shares for shares in fill.values())]
    made = table("core", *(f">{labels[name]}" for name in names))
    for core in shown:
        made.add_row(str(core), *(percent(fill[core].get(name), 0) for name in names))
    yield heading("Cores, fullest first (used of limit)")
    yield made
    if len(shown) < len(order):
        yield Text(f"{len(order) - len(shown)} more cores: --all", "dim")


def _warned(facts: Facts) -> Iterator[RenderableType]:
    if facts["warnings"]:
        yield ""
        yield from (Text(f"warning: {sentence}", "yellow") for sentence in facts["warnings"])


def _answers(facts: Facts) -> Iterator[RenderableType]:
    accuracy = facts["accuracy"]
    known = any(value is not None for value in accuracy.values())
    what = "frames of one stream" if facts.get("stream") else "samples"
    yield Text(f"{number(facts['samples'])} {what}" + ("" if known else ", no labels"), "bold")
    if known:
        made = table("accuracy", ">float", ">integer", ">chip")
        made.add_row("", *(percent(accuracy[key]) for key in ("float", "integer", "chip")))
        yield made
    yield ""


def _proof_of_run(facts: Facts) -> Iterator[tuple[str, str | Text]]:
    agreement = facts["agreement"]
    yield (
        "same answer",
        (
            f"integer and float {percent(agreement['integer_float'])}, "
            f"chip and integer {percent(agreement['chip_integer'])}"
        ),
    )
    if facts.get("ideal_devices"):
        yield "chip", "ideal devices and converters; --chip-seed S draws one that varies"
    if facts.get("variation"):
        yield from variation_lines(facts)
        return
    wrong = [facts[f"mismatched_{what}"] for what in ("outputs", "activations", "membranes")]
    if all(count is None for count in wrong):
        yield "mismatches", "not compared: the code is not exact, or the program carries no golden network"
    else:
        yield (
            "mismatches",
            Text(
                "outputs {}, activations {}, membranes {}".format(*map(number, wrong)),
                "bold red" if any(wrong) else "green",
            ),
        )
    if facts["tied_answers"]:
        yield "ties", f"in {number(facts['tied_answers'])} samples several outputs are the largest"
    yield "saturations", number(facts["saturations"])
    yield "step by step", f"{number(facts['literal_samples'])} of {number(facts['samples'])} samples"


def _activity(facts: Facts) -> Iterator[tuple[str, str | Text]]:
    yield "spikes", f"{number(facts['spikes_per_neuron'], 3)} a neuron and sample"
    yield "synops", f"{number(facts['synops_per_sample'])} a sample"
    yield "hops", f"{number(facts['hops_per_sample'])} a sample"
    yield from cost_lines(facts)
    jit, simulating = facts["jit_seconds"], facts.get("simulation_seconds")
    yield (
        "wall time",
        f"{seconds(facts['wall_seconds'])}"
        + ("" if simulating is None else f", of it the simulator {seconds(simulating)}")
        + (f" with {seconds(jit)} to compile its kernels" if jit else "")
        + f"; {millions(facts['synops_per_second'])} synops a second",
    )
