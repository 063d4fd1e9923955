"""Time and energy of a sample: counted events times published figures, and static power times time.

A term whose figure nobody published is listed as unpriced, and the total is then a lower bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nmcompiler.target.model import Target

__all__ = ["Events", "energy", "latency_us"]


@dataclass(frozen=True)
class Events:
    """What happens in one sample, on average.

    Attributes:
        synops: Synaptic operations.
        spikes: Spikes of neurons on the chip.
        hops: Mesh links crossed.
        active_updates: Neuron updates in steps in which the neuron spikes.
        inactive_updates: All other neuron updates.
        steps: Steps.
        chips: Chips.
    """

    synops: float
    spikes: float
    hops: float
    active_updates: float
    inactive_updates: float
    steps: int
    chips: int


def latency_us(target: Target, steps: int) -> float | None:
    """Returns the duration of a sample in microseconds; None where the step time is not known."""
    return None if target.step_us is None else steps * target.step_us.value


def energy(target: Target, events: Events) -> dict[str, Any]:
    """Returns the energy of one sample in microjoules, with the terms that nobody has priced."""
    terms = (
        ("energy_per_synop_pj", events.synops),
        ("energy_per_spike_pj", events.spikes),
        ("energy_per_hop_pj", events.hops),
        ("energy_per_neuron_update_active_pj", events.active_updates),
        ("energy_per_neuron_update_inactive_pj", events.inactive_updates),
    )
    unpriced = [key for key, _ in terms if key not in target.figures]
    priced = [target.figures[key].value * count for key, count in terms if key in target.figures]
    dynamic_uj = sum(priced) * 1e-6 if priced else None
    time_us = latency_us(target, events.steps)
    power = target.figures.get("static_power_per_chip_mw")
    static_uj = None
    if power is not None and time_us is not None:
        static_uj = power.value * events.chips * time_us * 1e-3
    else:
        unpriced.append("static_power_per_chip_mw" if power is None else "step_us")
    known = [e for e in (dynamic_uj, static_uj) if e is not None]
    return {
        "total_uj": sum(known) if known else None,
        "static_uj": static_uj,
        "dynamic_uj": dynamic_uj,
        "is_lower_bound": bool(unpriced),
        "unpriced": unpriced,
    }
