"""What is known before anything runs, as facts and as text: chips, backends, and what a network may use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from nmcompiler.report.array_lines import array_lines
from nmcompiler.report.format import DASH, counted, number, resource, resource_labels
from nmcompiler.report.text import heading, pairs, table
from nmcompiler.target import FIGURES, Figure, Target, target_to_document, unit_of

__all__ = ["backends_text", "check_text", "target_text", "targets_facts", "targets_text"]

Facts = Mapping[str, Any]

_READ_FROM = {"membrane": "membranes", "spikes": "spikes"}


def targets_facts(found: Mapping[str, tuple[str, Target]]) -> dict[str, Any]:
    """Returns the object of ``targets --json``.

    Args:
        found: Name of the chip → (name of its backend, chip).
    """
    return {
        "schema": "nmcompiler.targets/1",
        "targets": [_target_facts(backend, target) for backend, target in found.values()],
    }


def _target_facts(backend: str, target: Target) -> dict[str, Any]:
    figures = dict(target.figures)
    if target.step_us is not None:
        figures["step_us"] = target.step_us
    return {
        "name": target.name,
        "title": target.title,
        "backend": backend,
        "codings": list(target.codings),
        "input_encodings": list(target.input_encodings),
        "readout": list(target.readout),
        "cores": target.cores_per_chip,
        "neurons": target.neurons,
        "max_chips": target.max_chips,
        "core_types": [{"count": t.count, "limits": asdict(t.limits)} for t in target.core_types],
        "figures": [_figure(key, figure) for key, figure in figures.items()],
        "notes": list(target.notes),
        "description": target_to_document(target),
    }


def _figure(key: str, figure: Figure) -> dict[str, Any]:
    name = key.rpartition("_")[0].replace("_", " ")
    meaning = FIGURES.get(key, "")
    facts = {**asdict(figure), "includes": list(figure.includes)}
    return {"key": key, "name": name, "unit": unit_of(key), "meaning": meaning, **facts}


def targets_text(facts: Facts) -> Group:
    """Returns the list of chips."""
    made = table("target", "chip", ">cores", ">neurons", ">chips", "codes")
    for target in facts["targets"]:
        made.add_row(
            Text(target["name"], "bold"),
            target["title"],
            number(target["cores"]),
            number(target["neurons"]),
            f"≤ {number(target['max_chips'])}",
            ", ".join(target["codings"]),
        )
    return Group(made, "", Text("All that is known of one chip: nmc targets CHIP", "dim"))


def target_text(target: Facts) -> Group:
    """Returns all that is known of one chip."""
    return Group(
        Text.assemble((target["name"], "bold"), f"  {target['title']}"),
        "",
        pairs(_properties(target)),
        *_limits(target),
        "",
        heading("Published figures"),
        *_figures(target),
        pairs(("•", note) for note in target["notes"]),
    )


def _properties(target: Facts) -> Iterator[tuple[str, str]]:
    chip = target["description"]
    yield "backend", target["backend"]
    yield "codes", ", ".join(target["codings"])
    yield "samples enter as", ", ".join(target["input_encodings"])
    yield "outputs are read from", ", ".join(_READ_FROM[way] for way in target["readout"])
    mesh = chip["mesh"]
    yield (
        "cores",
        f"{number(target['cores'])} a chip on a mesh of {mesh['rows']} × {mesh['columns']}, "
        f"at most {counted(target['max_chips'], 'chip')}",
    )
    shared = "stored once for a convolution" if chip["weight_sharing"] else "one for each synapse"
    crossbar = chip.get("crossbar")
    if crossbar is not None:
        shared = (
            f"sums of {crossbar['axon_types']} typed weights of a neuron, {crossbar['weight_bits']} bits each"
        )
    tiles = chip.get("conductance_tiles")
    if tiles is not None:
        shared = "pairs of conductances, one for each synapse"
        if tiles["device"] == "synapse":
            shared = "pairs of rows, one for each sign"
    yield "weights", f"{chip['weight_bits']} bits, {shared}"
    if tiles is not None:
        yield "tiles of a core", _tiles(tiles)
    if "neuron_array" in chip:
        yield from array_lines(chip["neuron_array"])
    fan_out = chip.get("axon_fan_out")
    if fan_out is not None:
        yield "a neuron feeds", f"{number(fan_out)} axon{'s' if fan_out > 1 else ''}; copies feed the others"
    threshold, bias = chip["threshold"], chip.get("bias")
    yield "thresholds", f"{threshold['bits']} bits, one per {threshold['per']}"
    yield "biases", "none" if bias is None else _bias(bias)
    relation = ">" if chip["fires_when"] == "gt" else "≥"
    yield (
        "membranes",
        f"{chip['membrane_bits']} bits; fire when v {relation} θ, reset by "
        + {"subtract": "subtraction", "zero": "setting to zero"}[chip["reset"]]
        + ("" if chip.get("membrane_floor") is None else f", never below {chip['membrane_floor']}"),
    )
    if chip["compares"] == "event":
        yield "comparing", "after every event, in the order of the sources"
    payload = chip.get("graded_payload_bits")
    carried = "" if payload is None else f", and values of {payload} bits with their sign in graded events"
    yield "spikes", ("carry a sign" if chip["signed_spikes"] else "carry no sign") + carried
    if chip["events_per_step"] > 1:
        yield "in one step", f"a neuron may send {chip['events_per_step']} spikes (the simulator sends one)"
    each = chip["axons_per_source"]
    yield (
        "an input axon is",
        f"one {chip['axon_unit']}" if each == 1 else f"one of {each} of a {chip['axon_unit']}",
    )
    if chip["compartments_per_neuron"] > 1:
        yield "a neuron takes", f"{chip['compartments_per_neuron']} compartments of a core"
    if "populations_per_core" in chip:
        yield "a core holds", f"neurons of {chip['populations_per_core']} populations at most"
    if chip["kernel_memory"] == "power_of_two":
        yield "a kernel takes", "a power of two of weights for every channel that it reads"
    limits = chip.get("network_limits")
    if limits is not None:
        yield "a network has at most", ", ".join(f"{number(n)} {_ROLES[role]}" for role, n in limits.items())
    if "layer_rules" in chip:
        yield from _layer_rules(chip["layer_rules"])


_ROLES = {"inputs": "inputs", "hidden": "hidden neurons", "outputs": "outputs"}


def _layer_rules(rules: Facts) -> Iterator[tuple[str, str]]:
    """Yields the layers that a chip computes."""
    for place, name in (("first", "convolutions of an input"), ("inner", "convolutions of a layer")):
        one = rules[place]
        kernels, strides = (", ".join(map(str, one[key])) for key in ("kernels", "strides"))
        strided = one.get("strided_kernels")
        above = f" (above 1 with {', '.join(map(str, strided))})" if strided else ""
        channels = one.get("channels")
        of = f", of {' or '.join(map(str, channels))} channels" if channels else ""
        padding = " or ".join(one["padding"])
        yield (
            name,
            f"side {kernels}; stride {strides}{above}; padding {padding}; values to {one['levels']}{of}",
        )
    after = "" if rules["dense"]["after_pool"] else ", not after a max pool"
    yield "dense layers", f"values to {rules['dense']['levels']}{after}"
    yield "max pools", "side " + (", ".join(map(str, rules.get("max_pools", ()))) or "none")
    lacking = [noun for key, noun in (("groups", "groups"), ("joins", "joins of layers")) if not rules[key]]
    if lacking:
        yield "not computed", ", ".join(lacking)


_DEVICES = {
    "pcm": "phase-change memory",
    "rram": "resistive memory",
    "synapse": "synapses with digital weights",
}


def _tiles(tiles: Facts) -> str:
    after = tiles.get("read_after_s")
    varies = [f"{name[:-3]} {tiles[name]:g}" for name in ("weight_cv", "gain_cv") if name in tiles]
    return (
        f"{tiles['tiles_per_core']} of {tiles['rows']} × {tiles['columns']}, {_DEVICES[tiles['device']]} "
        + ("" if after is None else f"{after:g} s after programming, ")
        + (f"driven by {tiles['input_bits']} bits at once, " if tiles["input_bits"] > 1 else "")
        + (f"deviation over mean: {', '.join(varies)}, " if varies else "")
        + f"read by ADCs of {tiles['adc_bits']} bits ({tiles['evidence']}: {tiles['source']})"
    )


def _bias(bias: Facts) -> str:
    exponent = bias["exponent_max"]
    return f"{bias['mantissa_bits']} bits" + (f" times up to 2^{exponent}" if exponent else "")


def _limits(target: Facts) -> Iterator[RenderableType]:
    labels = resource_labels(target["description"]["compartments_per_neuron"])
    for kind in target["core_types"]:
        yield ""
        yield heading(f"Limits of a core ({number(kind['count'])} cores of this kind)")
        made = table("resource", ">limit")
        for name, limit in kind["limits"].items():
            made.add_row(labels.get(name, name), "none" if limit is None else resource(name, limit))
        yield made


def _figures(target: Facts) -> Iterator[RenderableType]:
    if not target["figures"]:
        yield "none"
    else:
        made = table("figure", ">value", "unit", "evidence", "kind", "source")
        for figure in target["figures"]:
            made.add_row(
                figure["name"],
                f"{figure['value']:g}",
                figure["unit"],
                figure["evidence"],
                figure["kind"],
                figure["source"],
            )
        yield made
    if target["notes"]:
        yield ""
        yield heading("Notes")


def backends_text(facts: Facts) -> Group:
    """Returns the list of backends; one that cannot be used comes with the reason."""
    parts: list[RenderableType] = []
    for backend in facts["backends"]:
        version = f" ({backend['package']} {backend['version']})" if backend["package"] else ""
        parts.append(Text.assemble((backend["name"], "bold"), version))
        rows: list[tuple[str, str | Text]] = [("  entry point", backend["entry_point"])]
        if backend["ok"]:
            rows.append(("  targets", ", ".join(backend["targets"]) or "none"))
        else:
            rows.append(("  cannot be used", Text(backend["fault"], "red")))
        parts.append(pairs(rows))
    return Group(*(parts or ["no backend is installed"]))


def check_text(facts: Facts) -> Group:
    """Returns what ``nmc check`` prints."""
    parts: list[RenderableType] = [Text(str(facts["model"]), "bold")]
    if facts["nodes"]:
        parts.append(Text(f"{counted(len(facts['nodes']), 'node')} cannot be compiled:", "red"))
        made = table("operator", "node", "reason")
        for node in facts["nodes"]:
            reason = node["reason"] + (f" ({node['hint']})" if node["hint"] else "")
            made.add_row(node["op"], node["name"], reason)
        parts.append(made)
    else:
        parts.append(Text("every node can be compiled", "green"))
    if facts["targets"]:
        parts += ["", _fits(facts)]
        if len(facts["targets"]) == 1:
            parts += _against(facts["targets"][0])
        elif not all(target["ok"] for target in facts["targets"]):
            say = (
                "All that stands against one chip, and what was placed instead: nmc check MODEL --target CHIP"
            )
            parts += ["", Text(say, "dim")]
    if facts.get("advisories"):
        parts += ["", heading("Worth changing"), *_advice(facts["advisories"])]
    return Group(*parts)


def _fits(facts: Facts) -> RenderableType:
    made = table("target", "fits", ">cores", ">at least", "codes that fit, or what stands against the chip")
    for target in facts["targets"]:
        codes = [c["coding"] for c in target.get("codings", ()) if c["ok"]]
        made.add_row(
            target["name"],
            Text("yes", "green") if target["ok"] else Text("no", "red"),
            number(target["cores"]),
            number(target.get("cores_lower_bound")),
            ", ".join(codes) or _first_obstacle(target) or DASH,
        )
    return made


def _first_obstacle(target: Facts) -> str:
    """Returns what stands against the preferred code first."""
    more = len(target["obstacles"]) - 1
    return "".join(target["obstacles"][:1]) + (f" (and {more} more)" if more > 0 else "")


def _against(target: Facts) -> Iterator[RenderableType]:
    """Yields what keeps a chip from a network, code by code, and what would help."""
    reasons: dict[str, list[str]] = {}
    for code in target.get("codings", ()):
        for obstacle in code["obstacles"]:
            reasons.setdefault(obstacle["reason"], []).append(code["coding"])
    proposals = target.get("proposals", ())
    if not reasons and not target["obstacles"]:
        return
    yield ""
    yield heading(f"Against {target['name']}")
    if reasons:
        every = len(target["codings"])
        yield pairs(
            ("•", reason + (f" ({', '.join(codes)})" if len(codes) < every else ""))
            for reason, codes in reasons.items()
        )
    else:
        yield pairs(("•", obstacle) for obstacle in target["obstacles"])
    if proposals:
        yield Text("with each of these it was placed:")
        made = table("change", ">cores", ">chips")
        for proposal in proposals:
            made.add_row(proposal["change"], number(proposal["cores"]), number(proposal["chips"]))
        yield made
    elif not target["ok"]:
        yield Text("no option and no single layer that was tried makes it fit", "dim")


_ADVICE_SHOWN = 2  # of one kind; the rest is counted


def _advice(advisories: Sequence[Facts]) -> Iterator[RenderableType]:
    """Yields the worst advisories of each kind."""
    for kind in dict.fromkeys(a["kind"] for a in advisories):
        found = sorted((a for a in advisories if a["kind"] == kind), key=lambda a: -a["value"])
        yield pairs(("•", f"'{a['layer']}': {a['text']}") for a in found[:_ADVICE_SHOWN])
        if len(found) > _ADVICE_SHOWN:
            more = counted(len(found) - _ADVICE_SHOWN, "more layer")
            yield Text(f"  and {more} of this kind (--json lists all)", "dim")
