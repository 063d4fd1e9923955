"""The published figures that a chip can have: their keys, each with its unit as ending, and what they mean.

What nobody published is absent, never 0. A figure is *marginal* where one event more costs so much, and
*average* where static power is in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["FIGURES", "UNITS", "Evidence", "Figure", "FigureKind", "unit_of"]

Evidence: TypeAlias = Literal["measured", "simulated", "derived", "vendor", "scaled", "modelled"]
FigureKind: TypeAlias = Literal["marginal", "average"]


@dataclass(frozen=True)
class Figure:
    """A published figure; what nobody published is absent, never 0.

    Attributes:
        value: In the unit that its key ends with, above 0.
        source: Where it was read.
        evidence: How it was obtained.
        kind: ``marginal`` (one event more) or ``average`` (static power included).
        includes: Keys of the figures that this one contains already, and that therefore nobody publishes:
            where a synaptic event is priced with its routing, hops cost nothing of their own.
    """

    value: float
    source: str
    evidence: Evidence
    kind: FigureKind
    includes: tuple[str, ...] = ()


UNITS: Mapping[str, str] = {
    "pj": "pJ",
    "nj": "nJ",
    "uj": "µJ",
    "ns": "ns",
    "us": "µs",
    "ms": "ms",
    "mw": "mW",
    "uw": "µW",
    "mhz": "MHz",
}
"""Endings of keys, and how people write the unit."""


FIGURES: Mapping[str, str] = {
    "energy_per_synop_pj": "one synaptic operation",
    "energy_per_weight_read_pj": "one weight read for a synaptic operation, where that is priced apart",
    "energy_per_neuron_update_active_pj": "one update of a neuron, in a step in which it spikes",
    "energy_per_neuron_update_inactive_pj": "one update of a neuron, in a step in which it does not spike",
    "energy_per_membrane_start_pj": "one membrane set at the start of a sample",
    "energy_per_spike_pj": "one spike that leaves its neuron",
    "energy_per_hop_pj": "one spike over one link of the mesh",
    "energy_per_hop_east_west_pj": "one spike over one link along a row of the mesh",
    "energy_per_hop_north_south_pj": "one spike over one link along a column of the mesh",
    "energy_per_loaded_byte_pj": "one byte written to a core as a pass is loaded",
    "static_power_per_chip_mw": "a chip that is on and does nothing",
    "static_power_per_core_mw": "a core in use that does nothing, beside the static power of its chip",
    "clock_power_per_chip_mhz_mw": "the clock of a chip, for every MHz",
    "clock_mhz": "the clock that the power of the clock is counted for",
    "time_per_synop_ns": "one synaptic operation of a core",
    "time_per_weight_read_ns": "one weight read for a synaptic operation of a core",
    "time_per_neuron_update_active_ns": "one update of a neuron, in a step in which it spikes",
    "time_per_neuron_update_inactive_ns": "one update of a neuron, in a step in which it does not spike",
    "time_per_spike_ns": "one spike that leaves its neuron",
    "time_per_hop_ns": "one spike over one link of the mesh",
    "time_per_hop_east_west_ns": "one spike over one link along a row of the mesh",
    "time_per_hop_north_south_ns": "one spike over one link along a column of the mesh",
    "time_per_barrier_ns": "what the cores wait for each other at the end of a step",
    "time_per_loaded_byte_ns": "one byte written to a core as a pass is loaded, all cores one after another",
    "shortest_step_ns": "the shortest step that the chip can make, however little there is to do",
}
"""All keys of the table ``figures``, each with its unit as ending, and the event or part that it prices."""


def unit_of(key: str) -> str:
    """Returns the unit of a key as people write it, ``pJ`` for ``energy_per_synop_pj``."""
    ending = key.rpartition("_")[2]
    return UNITS.get(ending, ending)
