"""Energy of a run with its receipt: counted events times published figures, and static power times time.

    E = Σ_layers [synops · e_synop + spikes · e_spike + hops · e_hop
                  + active updates · e_active + inactive updates · e_inactive] + P_static · T

Marginal figures price one event more, and static power stands in a row of its own; an ``average`` figure
contains it already, so there is no such row then. Every row is a whole number of femtojoules for the whole
run, so that rows, layers and totals add up to the last digit in any order. A term whose figure nobody
published is listed as unpriced, and the total is then a lower bound; a term that another figure contains is
listed as included.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from nmcompiler.program.layout import BlockKind, Program
from nmcompiler.program.slices import block_steps, turn_spans
from nmcompiler.report.figures import exact, figure, within
from nmcompiler.report.reload import LOAD_ENERGY, reload_bytes
from nmcompiler.report.workload import Workload
from nmcompiler.target import Figure, Target

__all__ = ["LayerEvents", "Row", "energy_facts", "layer_events", "receipt"]

_FJ_PER_PJ = 1_000
_PJ_PER_US_AND_MW = 1_000
_FJ_PER_UJ = 10**9


@dataclass(frozen=True)
class LayerEvents:
    """Events of one layer in a whole run.

    Attributes:
        name: Its population.
        synops: Operations of the layer's own synapses.
        spikes: Events that its neurons send; 0 for inputs, whose events the host makes.
        hops_east_west: Mesh links along rows that its events cross.
        hops_north_south: Mesh links along columns.
        active_updates: Updates of compartments in steps in which their neuron sends.
        inactive_updates: All other updates: every compartment of every neuron is updated in every step.
        membrane_starts: Membranes set to their start, once a sample each; every compartment has one.
    """

    name: str
    synops: int = 0
    spikes: int = 0
    hops_east_west: int = 0
    hops_north_south: int = 0
    active_updates: int = 0
    inactive_updates: int = 0
    membrane_starts: int = 0


@dataclass(frozen=True)
class Row:
    """One row of a receipt, for the whole run.

    Attributes:
        layer: Name of the layer; None for the chip as a whole.
        event: What is counted.
        count: How often: a whole number, but for chip- or core-microseconds of static power.
        figure: Key of the price.
        pj: Price of one in pJ.
        fj: ``count · pj`` in femtojoules, rounded once.
        source: Where the price was read.
        evidence: How it was obtained.
        kind: ``marginal`` or ``average``.
    """

    layer: str | None
    event: str
    count: float
    figure: str
    pj: float
    fj: int
    source: str
    evidence: str
    kind: str


@dataclass(frozen=True)
class _Event:
    """A kind of event: how it is called, which figures price it, and what of a layer is counted.

    ``wanted`` is False where it is priced if somebody published a figure, and not missed otherwise.
    """

    name: str
    keys: tuple[str, ...]
    fields: tuple[str, ...]
    wanted: bool = True

    def count(self, layer: LayerEvents) -> int:
        return sum(getattr(layer, name) for name in self.fields)


_HOPS = _Event("hops", ("energy_per_hop_pj",), ("hops_east_west", "hops_north_south"))
_DIRECTED = (
    _Event("hops east-west", ("energy_per_hop_east_west_pj",), ("hops_east_west",)),
    _Event("hops north-south", ("energy_per_hop_north_south_pj",), ("hops_north_south",)),
)
_EVENTS = (
    _Event("synops", ("energy_per_synop_pj",), ("synops",)),
    _Event("weight reads", ("energy_per_weight_read_pj",), ("synops",), wanted=False),
    _Event("spikes", ("energy_per_spike_pj",), ("spikes",)),
    _Event("active updates", ("energy_per_neuron_update_active_pj",), ("active_updates",)),
    _Event("inactive updates", ("energy_per_neuron_update_inactive_pj",), ("inactive_updates",)),
    _Event("membrane starts", ("energy_per_membrane_start_pj",), ("membrane_starts",), wanted=False),
)


def layer_events(program: Program, work: Workload, samples: int, names: Sequence[str]) -> list[LayerEvents]:
    """Returns the events of every layer in a run, by population number.

    Args:
        program: The program.
        work: What the samples caused together.
        samples: How many they were.
        names: Names of the populations by number.
    """
    population, n, kind = (program.column(k) for k in ("population", "n", "kind"))
    each, steps = program.target.compartments_per_neuron, block_steps(program)
    found = []
    for number, name in enumerate(names):
        mine = population == number
        along, across = (int(k) for k in np.rint(work.block_links[mine].sum(axis=0)))
        if (kind[mine] == BlockKind.INPUT).all():
            found.append(LayerEvents(name, hops_east_west=along, hops_north_south=across))
            continue
        compartments = int(n[mine].sum()) * each * samples
        spikes = round(float(work.block_spikes[mine].sum()))
        found.append(
            LayerEvents(
                name=name,
                synops=round(float(work.block_synops[mine].sum())),
                spikes=spikes,
                hops_east_west=along,
                hops_north_south=across,
                active_updates=each * spikes,
                inactive_updates=int(n[mine] @ steps[mine]) * each * samples - each * spikes,
                membrane_starts=compartments,
            )
        )
    return found


def _events(target: Target) -> tuple[_Event, ...]:
    """Returns what is counted: hops by direction where the chip's figures are."""
    directed = all(event.keys[0] in target.figures for event in _DIRECTED)
    return (*_EVENTS, *(_DIRECTED if directed else (_HOPS,)))


def receipt(target: Target, layers: Sequence[LayerEvents]) -> list[Row]:
    """Returns the rows of a run's dynamic energy, layer by layer; what did not happen has no row."""
    rows = []
    for layer in layers:
        for event in _events(target):
            found, count = figure(target, *event.keys), event.count(layer)
            if found is not None and count:
                rows.append(_row(layer.name, event.name, count, *found))
    return rows


def _row(layer: str | None, event: str, count: float, key: str, price: Figure, unit: int = 1) -> Row:
    """Returns a row; a figure counts ``unit`` pJ."""
    pj = exact(price.value) * unit
    fj = round(exact(count) * pj * _FJ_PER_PJ) if isinstance(count, float) else round(count * pj * _FJ_PER_PJ)
    return Row(layer, event, count, key, float(pj), fj, price.source, price.evidence, price.kind)


def energy_facts(
    program: Program, layers: Sequence[LayerEvents], time: Mapping[str, Any], samples: int
) -> dict[str, Any]:
    """Returns the energy under the keys of ``run --json``.

    Args:
        program: The program.
        layers: Events of the whole run.
        time: What ``time_facts`` says of it.
        samples: Samples of the run.

    Returns:
        ``total_uj``, ``static_uj`` and ``dynamic_uj`` of one sample on average (None where nothing of it is
        priced), ``is_lower_bound``, ``unpriced``, ``included``, and for the whole run ``run_fj`` and the
        ``receipt`` that adds up to it.
    """
    target = program.target
    events = _events(target)
    rows = [*receipt(target, layers), *_loading(program, samples)]
    included, unpriced = _apart(target, events)
    static: list[Row] = []
    if program.passes > 1 and figure(target, LOAD_ENERGY) is None:
        unpriced.append(LOAD_ENERGY)
    average = _average_figure(target, events)
    if average is not None:
        included.append({"term": "static power", "within": average})
    else:
        static = list(_static(program, time["latency_us"], samples))
        unpriced += _unpriced_static(target, time)
    priced = any(figure(target, *event.keys) for event in events)
    dynamic_fj = sum(row.fj for row in rows) if priced else None
    static_fj = sum(row.fj for row in static) if static else None
    known = [fj for fj in (dynamic_fj, static_fj) if fj is not None]
    total_fj = sum(known) if known else None
    return {
        "total_uj": _each(total_fj, samples),
        "static_uj": _each(static_fj, samples),
        "dynamic_uj": _each(dynamic_fj, samples),
        "is_lower_bound": bool(unpriced),
        "unpriced": unpriced,
        "included": included,
        "run_fj": {"total": total_fj, "static": static_fj, "dynamic": dynamic_fj},
        "receipt": [asdict(row) for row in (*rows, *static)],
    }


def _apart(target: Target, events: Sequence[_Event]) -> tuple[list[dict[str, str]], list[str]]:
    """Returns the events that another figure contains, and the figures that nobody published."""
    included, unpriced = [], []
    for event in events:
        if figure(target, *event.keys) is not None:
            continue
        key = within(target, *event.keys)
        if key is not None:
            included.append({"term": event.name, "within": key})
        elif event.wanted:
            unpriced.append(event.keys[0])
    return included, unpriced


def _each(fj: int | None, samples: int) -> float | None:
    return None if fj is None else fj / (samples * _FJ_PER_UJ)


def _average_figure(target: Target, events: Sequence[_Event]) -> str | None:
    """Returns a price that contains static power already."""
    found = (figure(target, *event.keys) for event in events)
    return next((pair[0] for pair in found if pair is not None and pair[1].kind == "average"), None)


def _static(program: Program, latency_us: float | None, samples: int) -> Iterator[Row]:
    """Yields static power times the time of the run, and the power of the clock where that is apart."""
    target = program.target
    if latency_us is None:
        return
    chips = int(program.arrays["cores"][:, 0].max(initial=-1)) + 1
    run_us = latency_us * samples
    for key, what, parts in (
        ("static_power_per_chip_mw", "static power, chip·µs", chips),
        ("static_power_per_core_mw", "static power, core·µs", _cores_on(program)),
    ):
        if key in target.figures:
            yield _row(None, what, run_us * parts, key, target.figures[key], _PJ_PER_US_AND_MW)
    clock = figure(target, "clock_mhz")
    power = figure(target, "clock_power_per_chip_mhz_mw")
    if clock and power:
        cycles = run_us * chips * clock[1].value
        yield _row(None, "clock, chip·cycles", cycles, *power, _PJ_PER_US_AND_MW)


def _cores_on(program: Program) -> int | float:
    """Returns the cores that are in use, over several passes on average."""
    cores, spans = np.bincount(program.turns), turn_spans(program)
    if len(spans) == 1:
        return len(program.turns)
    steps = [end - start for start, end in spans]
    return float(cores @ steps) / sum(steps)


def _loading(program: Program, samples: int) -> Iterator[Row]:
    """Yields what loading all passes costs in every sample by itself, where that is published."""
    loaded, price = sum(reload_bytes(program)), figure(program.target, LOAD_ENERGY)
    if loaded and price is not None:
        yield _row(None, "bytes loaded", loaded * samples, *price)


def _unpriced_static(target: Target, time: Mapping[str, Any]) -> list[str]:
    """Returns what static energy lacks: the power, the time, or parts of the time."""
    if figure(target, "static_power_per_chip_mw", "static_power_per_core_mw") is None:
        return [] if within(target, "static_power_per_chip_mw") else ["static_power_per_chip_mw"]
    return ["step_us"] if time["latency_us"] is None else list(time["unpriced"])
