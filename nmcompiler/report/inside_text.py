"""Why a program takes the cores it takes, and where its work is, for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from rich.console import RenderableType
from rich.text import Text

from nmcompiler.report.core_map_text import CoreMap, fits_by_default
from nmcompiler.report.format import DASH, counted, duration, number, percent, resource, resource_labels
from nmcompiler.report.text import heading, pairs, table

__all__ = ["at_least", "binding", "box", "first_of", "inside_text", "place", "senders"]

Facts: TypeAlias = Mapping[str, Any]

_NAMED = 2  # layers of a core or a link


def inside_text(facts: Facts, *, whole_map: bool = False) -> Iterator[RenderableType]:
    """Yields the cuts, what would help, the map of cores and what is busiest.

    Args:
        facts: The object of ``inspect --json``.
        whole_map: Whether the map is drawn however large it is.
    """
    yield from ("", heading("How layers were cut (boxes of channels × rows × columns)"), *_cuts(facts))
    if facts["help"]:
        yield from ("", heading("What would help"), pairs(("•", sentence) for sentence in facts["help"]))
    yield from ("", heading("Map of cores"), *_map(facts, whole_map))
    if facts.get("hottest"):
        yield from ("", heading("Busiest cores, expected a sample"), _hottest_cores(facts))
        if facts["hottest"]["links"]:
            yield from ("", heading("Busiest links, expected a sample"), _hottest_links(facts))


def _cuts(facts: Facts) -> Iterator[RenderableType]:
    """Yields a table of the layers that were cut, and the names of those that were not."""
    cut = [layer for layer in facts["cuts"] if layer["boxes"] > 1]
    whole = [layer["layer"] for layer in facts["cuts"] if layer["boxes"] == 1]
    if not cut:
        one = facts["cores"]["used"] == 1
        yield Text("the whole network fits one core" if one else "no layer: each fits one core")
        return
    made = table("layer", ">boxes", "largest", "fullest core", ">at least")
    for layer in cut:
        made.add_row(
            layer["layer"],
            number(layer["boxes"]),
            box(layer["largest_box"]).replace(" ", ""),
            _short(binding(layer, facts["compartments_per_neuron"])),
            _short(at_least(layer, facts["compartments_per_neuron"])),
        )
    yield made
    if any(layer["binds"] and layer["binds"]["shared"] for layer in cut):
        yield Text("* shared with other layers", "dim")
    used = facts["cores"]["used"]
    if used > 1 and all(layer["cores"] == used for layer in facts["layers"]):
        yield Text("every layer is spread over all cores, so that none waits for another")
    if whole:
        yield Text(f"whole on one core: {', '.join(whole)}")


def _short(text: str) -> str:
    """Returns a text that leaves room for the other columns."""
    return text.replace("synapse memory", "syn. memory")


def box(sides: Facts) -> str:
    """Returns the shape of a box: channels × rows × columns."""
    return " × ".join(number(sides[side]) for side in ("channels", "rows", "columns"))


def binding(layer: Facts, compartments_per_neuron: int) -> str:
    """Returns the fullest resource where a layer lies, with a star where other layers lie there too."""
    binds = layer["binds"]
    if binds is None:
        return DASH
    name = binds["resource"]
    used = resource(name, binds["used"]).removesuffix(" KiB")
    label = resource_labels(compartments_per_neuron)[name]
    return f"{label} {used} of {resource(name, binds['limit'])}" + (" *" if binds["shared"] else "")


def at_least(layer: Facts, compartments_per_neuron: int) -> str:
    """Returns the fewest cores of a layer, and the resource that demands them."""
    counts = layer["at_least"]
    if not counts:
        return DASH
    most = max(counts, key=lambda name: counts[name])
    return f"{number(counts[most])} by {resource_labels(compartments_per_neuron)[most]}"


def _map(facts: Facts, whole: bool) -> Iterator[RenderableType]:
    if whole or fits_by_default(facts):
        yield CoreMap(facts)
    else:
        yield Text(f"{counted(facts['cores']['used'], 'core')}, too many to be drawn here: --map", "dim")


def _hottest_cores(facts: Facts) -> RenderableType:
    timed = facts["hottest"]["by"] == "time"
    made = table("core", "place", ">neurons", ">synops", ">spikes", *([">time"] if timed else []), "layers")
    for core in facts["hottest"]["cores"]:
        made.add_row(
            str(core["core"]),
            place(core, facts),
            number(core["neurons"]),
            number(core["synops"]),
            number(core["spikes"]),
            *([duration(core["ns"])] if timed else []),
            first_of(core["layers"]),
        )
    return made


def _hottest_links(facts: Facts) -> RenderableType:
    made = table("from", "to the", ">spikes", ">of all", "sent by")
    for row in facts["hottest"]["links"]:
        made.add_row(
            place(row, facts),
            row["direction"],
            number(row["spikes"]),
            percent(row["share"]),
            senders(row),
        )
    return made


def place(row: Facts, facts: Facts) -> str:
    """Returns the row and the column of a place, and its chip and pass where there are several."""
    several = (("chip", facts["chips"]), ("pass", (facts.get("passes") or {}).get("count", 1)))
    more = [f"{noun} {row[noun]}" for noun, count in several if count > 1]
    return " ".join([f"({row['row']}, {row['column']})", *more])


def senders(row: Facts) -> str:
    """Returns the layers that send most over a link, with their shares of it."""
    return first_of(
        [
            f"{layer['name']} {percent(layer['spikes'] / row['spikes'] if row['spikes'] else None, 0)}"
            for layer in row["layers"]
        ]
    )


def first_of(layers: Sequence[str]) -> str:
    """Returns the first of some layers, and how many more there are."""
    more = len(layers) - _NAMED
    return ", ".join(layers[:_NAMED]) + (f" and {number(more)} more" if more > 0 else "")
