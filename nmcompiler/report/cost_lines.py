"""What is said of time and energy in the lists of ``run``, ``compile`` and ``inspect``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nmcompiler.report.format import DASH, duration, energy, kibibytes, number

__all__ = ["cost_lines", "pass_line", "step_line"]

Facts = Mapping[str, Any]


def pass_line(passes: Facts) -> str:
    """Returns what several passes over the chips load, and what the host keeps between them."""
    loaded, spilled = passes["reload_us"], passes["spilled_spikes"]
    return (
        f"{number(passes['count'])}, which load {kibibytes(8 * passes['reload_bytes'])} ("
        + ("no time of loading is published" if loaded is None else duration(loaded * 1e3))
        + f"); the host keeps {DASH if spilled is None else number(spilled)} spikes a sample"
    )


def step_line(time: Facts) -> str | None:
    """Returns the time of a step with its bottleneck and the second one; None where nothing is priced."""
    named = [_part(time["parts"], name) for name in (time["bottleneck"], time["second"]) if name]
    if time["step_ns"] is None:
        return None
    bound = "at least " if time["is_lower_bound"] else ""
    said = f"{bound}{duration(time['step_ns'])}"
    if time.get("fixed_step"):
        said += ", the chip's tick"
    return said + (f"; the longest part is {', then '.join(named)}" if named else "")


def _part(parts: Sequence[Facts], name: str) -> str:
    part = next(p for p in parts if p["what"] == name)
    where = "" if part["where"] is None else f" on {part['where']}"
    return f"{name}{where} ({duration(part['ns'])})"


def cost_lines(facts: Facts) -> Iterator[tuple[str, str]]:
    """Yields latency, time of a step, throughput, energy, and the same network as an ANN, as (term, text)."""
    time = facts.get("time")
    latency = facts["latency_us"]
    bound = "at least " if time and time["is_lower_bound"] else ""
    yield (
        "latency",
        f"{number(facts['latency_steps'])} steps"
        + (" (the chip's step time is not published)" if latency is None else "")
        + ("" if latency is None else f", {bound}{duration(latency * 1e3)}")
        + (" (modelled)" if time and latency is not None and not time["fixed_step"] else ""),
    )
    line = None if time is None else step_line(time)
    if time is not None and line is not None:
        yield "step", line
        yield "throughput", _throughput(time)
    yield "energy", _energy(facts["energy"])
    ann = facts.get("ann")
    if ann is not None:
        yield (
            "as an ANN",
            f"{energy(ann['energy_uj'])} a sample; spiking {energy(ann['snn_uj'])}, both from {ann['table']}",
        )
        yield (
            "break-even",
            f"{_break_even(ann['break_even'])}; measured {number(ann['spikes_per_synapse'], 2)}",
        )


def _throughput(time: Facts) -> str:
    most = "at most " if time["is_lower_bound"] else ""
    said = f"{most}{number(time['samples_per_second'])} samples a second"
    pipelined = time.get("pipelined")
    if not pipelined:
        return said
    one, two = (number(p["samples_per_second"]) for p in pipelined)
    return f"{said}; {one} in a pipeline" + ("" if one == two else f", {two} with two membranes a neuron")


def _break_even(value: float | None) -> str:
    return "none: the updates alone cost more" if value is None else f"{number(value, 2)} spikes a synapse"


def _energy(facts: Facts) -> str:
    if facts["total_uj"] is None:
        return f"{DASH} (no figure of this chip is published)"
    text = (
        f"{'at least ' if facts['is_lower_bound'] else ''}{energy(facts['total_uj'])} a sample "
        f"(dynamic {energy(facts['dynamic_uj'])}, static {energy(facts['static_uj'])})"
    )
    return text + (f"; unpriced: {', '.join(facts['unpriced'])}" if facts["unpriced"] else "")
