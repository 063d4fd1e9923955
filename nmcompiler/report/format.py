"""Numbers as people read them; what is not known is a dash."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = [
    "DASH",
    "core_fill",
    "counted",
    "decibels",
    "duration",
    "energy",
    "kibibytes",
    "millions",
    "number",
    "percent",
    "resource",
    "resource_labels",
    "seconds",
    "used_of",
]

DASH = "–"

_LABELS: Mapping[str, str] = {
    "neurons": "neurons",
    "input_axons": "input axons",
    "output_axons": "output axons",
    "synapse_bits": "synapse memory",
    "state_bits": "state memory",
    "thresholds": "thresholds",
    "fan_in": "fan-in",
    "destinations": "destinations",
}

_SHORT_LABELS = {
    "neurons": "neur.",
    "input_axons": "in.ax.",
    "output_axons": "out.ax.",
    "synapse_bits": "syn.",
    "state_bits": "state",
    "thresholds": "thr.",
    "fan_in": "fan-in",
    "destinations": "dest.",
}


def resource_labels(compartments_per_neuron: int = 1, *, short: bool = False) -> Mapping[str, str]:
    """Returns what the resources of a core are called where a neuron takes so many compartments."""
    labels = _SHORT_LABELS if short else _LABELS
    if compartments_per_neuron == 1:
        return labels
    return {**labels, "neurons": "comp." if short else "compartments"}


def number(value: float | None, digits: int = 0) -> str:
    """Returns a number with thousands apart."""
    return DASH if value is None else f"{value:,.{digits}f}"


def millions(value: float) -> str:
    """Returns a number in millions, where it is that large."""
    return f"{value / 1e6:,.0f} million" if value >= 1e7 else number(value)


def counted(count: int, noun: str) -> str:
    """Returns a count with its noun, in the plural where it is not one."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def percent(share: float | None, digits: int = 1) -> str:
    """Returns a share of 1 in percent."""
    return DASH if share is None else f"{100 * share:.{digits}f} %"


def decibels(value: float | None) -> str:
    """Returns a ratio in dB."""
    return DASH if value is None else f"{value:.1f} dB"


def seconds(value: float | None) -> str:
    """Returns a duration."""
    return DASH if value is None else f"{value:.2f} s"


def duration(nanoseconds: float | None) -> str:
    """Returns a short time in the unit that suits it, from ns."""
    if nanoseconds is None:
        return DASH
    for factor, unit in ((1e-9, "s"), (1e-6, "ms"), (1e-3, "µs")):
        if abs(nanoseconds * factor) >= 1:
            return f"{nanoseconds * factor:,.2f} {unit}"
    return f"{nanoseconds:,.1f} ns"


def kibibytes(bits: float | None) -> str:
    """Returns an amount of memory, given in bits."""
    return DASH if bits is None else f"{bits / 8192:,.1f} KiB"


def energy(microjoules: float | None) -> str:
    """Returns an energy in the unit that suits it, from µJ."""
    if microjoules is None:
        return DASH
    for factor, unit in ((1e-3, "mJ"), (1.0, "µJ"), (1e3, "nJ")):
        if abs(microjoules * factor) >= 1:
            return f"{microjoules * factor:,.2f} {unit}"
    return f"{microjoules * 1e6:,.2f} pJ"


def resource(name: str, amount: float | None) -> str:
    """Returns an amount of a resource of a core: memory in KiB, all else counted."""
    return kibibytes(amount) if name.endswith("_bits") else number(amount)


def used_of(used: float, limit: float | None) -> float | None:
    """Returns used / limit, None where there is no limit."""
    return used / limit if limit else None


def core_fill(limits: Iterable[Mapping[str, Any]]) -> dict[int, dict[str, float]]:
    """Returns used / limit of every limited resource of every core: core → resource → share.

    Args:
        limits: Entries ``{core, resource, used, limit}`` of the facts.
    """
    fill: dict[int, dict[str, float]] = {}
    for entry in limits:
        shares = fill.setdefault(entry["core"], {})
        share = used_of(entry["used"], entry["limit"])
        if share is not None:
            shares[entry["resource"]] = share
    return fill
