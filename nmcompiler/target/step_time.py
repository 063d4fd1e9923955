"""What the work of a step costs in time, from the published figures of a chip.

The cores and the links of a chip work at the same time, so a step lasts as long as the longest of these
parts; which model this is, ``nmcompiler.report.timing`` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from nmcompiler.target.model import Target

__all__ = ["core_times_ns", "hop_times_ns", "whole_chip_times_ns"]

Array: TypeAlias = npt.NDArray[Any]

_ALONG = ("east_west", "east_west", "north_south", "north_south")


def core_times_ns(
    target: Target, synops: Array, neurons: Array, spikes: Array
) -> Mapping[str, tuple[Array, Array | None]]:
    """Returns, for each part of the work of cores, what is counted on each core and how long it takes.

    Args:
        target: The chip.
        synops: ``(…, C)`` synaptic operations of a step.
        neurons: ``(C,)`` neurons.
        spikes: ``(…, C)`` events sent in a step.

    Returns:
        Counts and nanoseconds by part, both like ``synops``; None for nanoseconds that nobody published.
    """
    counts = {"synops": synops}
    times = {"synops": _times(target, "time_per_synop_ns", synops)}
    if "time_per_weight_read_ns" in target.figures:
        counts["weight reads"] = synops
        times["weight reads"] = _times(target, "time_per_weight_read_ns", synops)
    # Every compartment of a core is updated in every step: actively where its neuron spikes.
    active = spikes * target.compartments_per_neuron
    counts["neuron updates"] = np.broadcast_to(neurons * target.compartments_per_neuron, active.shape)
    prices = [_ns(target, f"time_per_neuron_update_{kind}_ns") for kind in ("active", "inactive")]
    times["neuron updates"] = None
    if prices != [None, None]:
        idle = counts["neuron updates"] - active
        times["neuron updates"] = active * (prices[0] or 0.0) + idle * (prices[1] or 0.0)
    counts["spikes sent"] = spikes
    times["spikes sent"] = _times(target, "time_per_spike_ns", spikes)
    return {what: (counts[what], times[what]) for what in counts}


def hop_times_ns(target: Target) -> Array | None:
    """Returns how long a spike occupies a link to the east, west, south and north, ``(4,)`` float64.

    0 where only the other direction is known, and None where nobody published any.
    """
    found = [_ns(target, f"time_per_hop_{along}_ns", "time_per_hop_ns") for along in _ALONG]
    if all(value is None for value in found):
        return None
    return np.array([value or 0.0 for value in found])


def whole_chip_times_ns(target: Target) -> Mapping[str, float]:
    """Returns the parts of a step that do not depend on its work, as far as they are published."""
    keys = {"barrier": "time_per_barrier_ns", "shortest step": "shortest_step_ns"}
    return {what: target.figures[key].value for what, key in keys.items() if key in target.figures}


def _ns(target: Target, *keys: str) -> float | None:
    return next((target.figures[key].value for key in keys if key in target.figures), None)


def _times(target: Target, key: str, counts: Array) -> Array | None:
    each = _ns(target, key)
    return None if each is None else counts * each
