"""Facts of what changed between two programs: the object that ``diff --json`` prints.

Every entry that is compared is an object with ``a``, ``b`` and ``same``; numbers also have ``change`` (b − a)
and ``relative`` (change / |a|), null where a side does not know the number; ``relative`` also where a is 0,
and for decibels. Entries stand under the keys that they have in ``inspect --json``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nmcompiler.program.layout import Program
from nmcompiler.program.same_network import compare_networks, same_arrays, same_ports
from nmcompiler.report.facts import population_names, program_facts
from nmcompiler.report.format import used_of
from nmcompiler.target.model import RESOURCES

__all__ = ["LAYER_KEYS", "compared", "diff_facts", "leaves"]

Facts = Mapping[str, Any]

_WORDS = ("model", "target", "coding", "input_encoding", "seed", "placement_effort", "host_ops", "versions")
_NUMBERS = (
    *("levels", "input_levels", "output_levels", "weight_bits", "timesteps", "settle", "windows"),
    *("chips", "neurons", "compartments_per_neuron", "synapses", "host_macs_share"),
)
_GROUPS: Mapping[str, tuple[str, ...]] = {
    "cores": ("used", "lower_bound", "available"),
    "passes": ("count", "reload_bytes", "reload_us", "spilled_spikes"),
    "placement": (
        *("cost", "cost_lower_bound", "unicast_cost", "lower_bound"),
        *("max_link_load", "max_link_load_lower_bound", "off_chip_spikes"),
    ),
    "schedule": ("total_steps",),
    "time": ("step_ns", "latency_us", "samples_per_second"),
    "certificate": ("proved", "blocks"),
}
_JUDGED = ("files", "program", "network", "warnings")  # what is no pair of values
_LARGEST = 1e300  # a damaged report may hold anything; NaN is not below it either
LAYER_KEYS = ("neurons", "cores", "fan_in", "synapse_bits", "sqnr_db")
"""What is compared of every layer."""


def diff_facts(a: Program, b: Program, *, files: tuple[str, str]) -> dict[str, Any]:
    """Returns what changed from one program to another; the list of budgets is empty.

    Args:
        a: The program before.
        b: The program after.
        files: What the two are called.
    """
    facts = (program_facts(a), program_facts(b))
    return {
        "schema": "nmcompiler.diff/1",
        "files": {"a": files[0], "b": files[1]},
        **compared(*facts),
        "program": {"same": same_arrays(a, b)},
        "network": _network(a, b, facts),
        "budget": [],
    }


def compared(a: Facts, b: Facts) -> dict[str, Any]:
    """Returns the comparison of two objects of ``inspect --json``, entry by entry."""
    made: dict[str, Any] = {key: _words(a.get(key), b.get(key)) for key in _WORDS}
    made |= {key: _numbers(a[key], b[key]) for key in _NUMBERS}
    for group, keys in _GROUPS.items():
        sides = [side.get(group) or {} for side in (a, b)]
        made[group] = {key: _numbers(sides[0].get(key), sides[1].get(key)) for key in keys}
    parts = [(side.get("time") or {}).get("bottleneck") for side in (a, b)]
    made["time"]["bottleneck"] = _words(*parts)
    bounds = [(side.get("time") or {}).get("is_lower_bound") for side in (a, b)]
    made["time"]["is_lower_bound"] = _words(*bounds)
    made["static_check"] = {"ok": _words(*((side["static_check"] or {}).get("ok") for side in (a, b)))}
    made["resources"] = _resources(a["limits"], b["limits"])
    made["layers"] = _layers(a["layers"], b["layers"])
    made["warnings"] = {
        "only_a": [w for w in a["warnings"] if w not in b["warnings"]],
        "only_b": [w for w in b["warnings"] if w not in a["warnings"]],
    }
    return made


def leaves(facts: Facts) -> Iterator[tuple[str, Facts]]:
    """Yields every compared entry with its key, parts joined by dots: ``layers.conv1.cores``."""
    for key, value in facts.items():
        if key == "layers":
            for layer in value:
                yield from ((f"layers.{layer['name']}.{k}", layer[k]) for k in LAYER_KEYS)
        elif isinstance(value, Mapping) and key not in _JUDGED:
            if "same" in value:
                yield key, value
            else:
                yield from ((f"{key}.{k}", leaf) for k, leaf in leaves(value))


def _words(a: Any, b: Any) -> dict[str, Any]:
    return {"a": a, "b": b, "same": a == b}


def _numbers(a: Any, b: Any) -> dict[str, Any]:
    """Returns the comparison of two numbers; what is none, or not finite, is not known."""
    one, other = _number(a), _number(b)
    change = None if one is None or other is None else other - one
    relative = None if change is None or not one else _number(change / abs(one))
    return {"a": one, "b": other, "same": one == other, "change": change, "relative": relative}


def _number(value: Any) -> float | None:
    known = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST
    return value if known else None


def _resources(a: Sequence[Facts], b: Sequence[Facts]) -> dict[str, Any]:
    """Returns of every resource the core that uses most of it, by share where there is a limit."""
    made = {}
    for name in RESOURCES:
        sides = [_fullest([entry for entry in limits if entry["resource"] == name]) for limits in (a, b)]
        made[name] = {key: _numbers(sides[0][key], sides[1][key]) for key in ("used", "limit", "utilisation")}
    return made


def _fullest(entries: Sequence[Facts]) -> dict[str, float | None]:
    if not entries:
        return dict.fromkeys(("used", "limit", "utilisation"))
    worst = max(entries, key=lambda e: (used_of(e["used"], e["limit"]) or 0.0, e["used"]))
    share = used_of(worst["used"], worst["limit"])
    return {"used": worst["used"], "limit": worst["limit"], "utilisation": share}


def _layers(a: Sequence[Facts], b: Sequence[Facts]) -> list[dict[str, Any]]:
    """Returns the layers by name: those of A in its order, then those that only B has."""
    sides = [{layer["name"]: layer for layer in layers} for layers in (a, b)]
    rows = []
    for name in dict.fromkeys((*sides[0], *sides[1])):
        one, other = (side.get(name) for side in sides)
        only = "b" if one is None else "a" if other is None else None
        values = {key: _numbers((one or {}).get(key), (other or {}).get(key)) for key in LAYER_KEYS}
        values["sqnr_db"]["relative"] = None  # a share of a ratio in dB means nothing
        rows.append({"name": name, "only": only, **values})
    return rows


def _network(a: Program, b: Program, facts: tuple[Facts, Facts]) -> dict[str, Any]:
    """Returns whether the integer networks are equal, and which populations differ in how many numbers."""
    checks = [side["static_check"] for side in facts]
    one, other = (check is not None and bool(check["ok"]) for check in checks)
    verdict = compare_networks(a, b, proved=(one, other))
    names = [population_names(program) for program in (a, b)]
    return {
        "same": verdict.same,
        "same_ports": same_ports(a, b),
        "reason": verdict.reason or None,
        "differing": [
            {
                "population": d.number,
                "name": {"a": names[0][d.number], "b": names[1][d.number]},
                "weights": d.weights,
                "thresholds": d.thresholds,
                "biases": d.biases,
                "levels": d.levels,
            }
            for d in verdict.differing
        ],
    }
