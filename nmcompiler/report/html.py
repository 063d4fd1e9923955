"""Facts of a program as one HTML file that needs nothing else: no scripts, no fonts, no links."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

from rich.text import Text

from nmcompiler.program.layout import Program
from nmcompiler.report.format import (
    DASH,
    core_fill,
    decibels,
    duration,
    kibibytes,
    number,
    percent,
    resource,
    resource_labels,
)
from nmcompiler.report.inside_text import at_least, binding, box, place, senders
from nmcompiler.report.mesh import layers_of_cores, mesh_svg
from nmcompiler.report.text import summary

__all__ = ["render_html"]

Facts = Mapping[str, Any]

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1a1a1a }
body { margin: 2rem auto; max-width: 70rem; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem }
table { border-collapse: collapse }
th, td { padding: .2rem .7rem; text-align: left; border-bottom: 1px solid #ddd }
th { font-weight: 600; color: #555 } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem }
dt { color: #555 } dd { margin: 0 }
.bar { background: #eee; width: 4.5rem; height: .3rem; display: block; margin: .1rem 0 .2rem }
p { color: #555; margin: .3rem 0 }
.bar i { display: block; height: 100%; background: #3b7dd8 } .bar i.full { background: #d8703b }
.ok { color: #137333 } .bad { color: #b3261e; font-weight: 600 } .wide { overflow-x: auto }
svg { max-width: 100%; height: auto }
"""


_MESH_NOTE = "A square is a core, the darker the fuller; arrows are the busiest links."

_CUTS_NOTE = (
    "A box is channels × rows × columns; * marks a core that other layers share; the fewest cores are those "
    "that one resource alone demands."
)
_HOTTEST_NOTE = "Expected in a sample, from the calibration samples."


def render_html(program: Program, facts: Facts) -> str:
    """Returns the report of a program.

    Args:
        program: Says where its cores stand.
        facts: The object of ``compile --json`` or ``inspect --json``.
    """
    title = f"{facts['model'] or 'network'} on {program.target.title}"
    sections = (
        _section("Summary", _summary(facts)),
        _section("Layers", _layers(facts)),
        *_inside(facts),
        _section("Mesh", _note(_MESH_NOTE) + mesh_svg(program, facts)),
        _section(
            "Cores", _note("The fullest first; orange is above 90 % of the limit.") + _cores(program, facts)
        ),
        *_hottest(facts),
        _section("Schedule", _schedule(facts)),
        _section("Versions", _terms((facts["versions"] or {}).items())),
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n"
        f"<body><h1>{escape(title)}</h1>\n{''.join(sections)}</body></html>\n"
    )


def _section(title: str, body: str) -> str:
    return f'<h2>{escape(title)}</h2>\n<div class="wide">{body}</div>\n'


def _terms(pairs: Iterable[tuple[str, str]]) -> str:
    """Returns a list of terms; a ``str`` is text, ``_Markup`` stands as it is."""
    return (
        "<dl>" + "".join(f"<dt>{escape(term)}</dt><dd>{_cell(said)}</dd>" for term, said in pairs) + "</dl>"
    )


class _Markup(str):
    """HTML that must not be escaped."""


def _cell(value: str) -> str:
    return value if isinstance(value, _Markup) else escape(value)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a table; columns whose title starts with ``>`` hold numbers."""
    marks = [' class="n"' if title.startswith(">") else "" for title in columns]
    head = "".join(f"<th{m}>{escape(t.lstrip('>'))}</th>" for m, t in zip(marks, columns, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{m}>{_cell(v)}</td>" for m, v in zip(marks, row, strict=True)) + "</tr>\n"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>"


def _summary(facts: Facts) -> str:
    """Returns the same terms as the text for a terminal."""
    target = (
        ("target", facts["target"]),
        ("code", facts["coding"]),
        ("weights", f"{facts['weight_bits']} bits"),
    )
    levels = f"{facts['levels']}; input {facts['input_levels']} ({facts['input_encoding']})"
    if facts["output_levels"] is not None:
        levels += f"; output {facts['output_levels']}"
    terms = ((term, _said(said)) for term, said in summary(facts))
    warnings = (("warning", sentence) for sentence in facts["warnings"])
    return _terms((*target, ("levels", levels), *terms, *warnings))


def _said(said: str | Text) -> str:
    if isinstance(said, str):
        return said
    mark = "bad" if "red" in str(said.style) else "ok"
    return _Markup(f'<span class="{mark}">{escape(said.plain)}</span>')


def _layers(facts: Facts) -> str:
    columns = ("layer", "operator", "ONNX nodes", ">neurons", ">cores", ">fan-in", ">synapse memory", ">SQNR")
    return _table(
        columns,
        (
            (
                layer["name"],
                layer["op"] or DASH,
                ", ".join(layer["onnx_nodes"]),
                number(layer["neurons"]),
                number(layer["cores"]),
                number(layer["fan_in"]),
                kibibytes(layer["synapse_bits"]),
                decibels(layer["sqnr_db"]),
            )
            for layer in facts["layers"]
        ),
    )


def _note(text: str) -> str:
    return f"<p>{escape(text)}</p>\n"


def _cores(program: Program, facts: Facts) -> str:
    """Returns a table of cores, the fullest first, with a bar for every limited resource."""
    fill, layers = core_fill(facts["limits"]), layers_of_cores(program, facts)
    used = {(e["core"], e["resource"]): e for e in facts["limits"]}
    labels = resource_labels(facts["compartments_per_neuron"])
    names = [name for name in labels if any(e["resource"] == name for e in facts["limits"])]
    order = sorted(fill, key=lambda core: (-max(fill[core].values(), default=0.0), core))
    return _table(
        ("core", "layers", *(labels[name] for name in names)),
        (
            (str(core), ", ".join(layers.get(core, ())), *(_bar(used.get((core, name))) for name in names))
            for core in order
        ),
    )


def _bar(entry: Facts | None) -> str:
    if entry is None:
        return DASH
    amount = resource(entry["resource"], entry["used"])
    if not entry["limit"]:
        return amount
    share = entry["used"] / entry["limit"]
    said = f"{amount} of {resource(entry['resource'], entry['limit'])}"
    full = ' class="full"' if share > 0.9 else ""
    bar = f'<i{full} style="width:{100 * min(share, 1):.0f}%"></i>'
    return _Markup(f'{amount}<span class="bar" title="{said}">{bar}</span>')


def _inside(facts: Facts) -> Iterator[str]:
    """Yields why layers were cut as they were, and what would help."""
    if facts.get("cuts"):
        each = facts["compartments_per_neuron"]
        columns = ("layer", ">boxes", ">shared cores", "largest box", "fullest core", ">fewest cores")
        rows = (
            (
                layer["layer"],
                number(layer["boxes"]),
                number(layer["shared_cores"]),
                box(layer["largest_box"]),
                binding(layer, each),
                at_least(layer, each),
            )
            for layer in facts["cuts"]
        )
        yield _section("Cuts", _note(_CUTS_NOTE) + _table(columns, rows))
    if facts.get("help"):
        yield _section("What would help", "".join(map(_note, facts["help"])))


def _hottest(facts: Facts) -> Iterator[str]:
    """Yields the busiest cores and links."""
    hottest = facts.get("hottest")
    if not hottest:
        return
    cores = (
        (
            str(core["core"]),
            place(core, facts),
            number(core["neurons"]),
            number(core["synops"]),
            number(core["spikes"]),
            duration(core["ns"]),
            ", ".join(core["layers"]),
        )
        for core in hottest["cores"]
    )
    columns = ("core", "place", ">neurons", ">synops", ">spikes", ">time", "layers")
    yield _section("Busiest cores", _note(_HOTTEST_NOTE) + _table(columns, cores))
    links = (
        (
            place(link, facts),
            link["direction"],
            number(link["spikes"]),
            percent(link["share"]),
            senders(link),
        )
        for link in hottest["links"]
    )
    yield _section(
        "Busiest links",
        _note(_HOTTEST_NOTE) + _table(("from", "to the", ">spikes", ">of all", "sent by"), links),
    )


def _schedule(facts: Facts) -> str:
    starts = ", ".join(map(str, facts["schedule"]["window_starts"]))
    rows = (
        (
            layer["name"],
            number(layer["window"]),
            number(layer["fire_start"]),
            number(layer["steps"]),
            number(layer["levels"]) if layer["levels"] else "read-out",
        )
        for layer in facts["layers"]
    )
    text = f"<p>Windows start at steps {starts}; a sample takes {facts['schedule']['total_steps']} steps.</p>"
    return text + _table(("layer", ">window", ">fires from step", ">for steps", ">levels"), rows)
