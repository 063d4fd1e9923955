"""How long the links of a chip make a sample last, beside its cores.

In each window cores and links work at the same time, so the window lasts as long as the busiest of them
(the model of ``nmcompiler.report.timing``). Where nobody published how long a spike occupies a link, only
the spikes on the busiest link of the whole sample are known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nmcompiler.ir.kernels import Array
from nmcompiler.mapping.nets import Nets
from nmcompiler.target.model import Target
from nmcompiler.target.step_time import hop_times_ns

__all__ = ["LinkTimes", "link_times"]

# Where the time of a link is not known, an emptier busiest link may cost this share of the multicast cost.
_WORTH = 0.02
# A spike beyond the limit of a link costs as many links where the load is twice the limit.
_DETOUR = 20.0


@dataclass(frozen=True, eq=False)
class LinkTimes:
    """What links take in K slots, each a window or the whole sample.

    Attributes:
        slot: ``(E,)`` int64 slot of each net.
        core_ns: ``(K,)`` float64: what cores take.
        hop_ns: ``(4,)`` float64: what one spike takes on a link to the east, west, south and north.
        worth: Share of the multicast cost that a shorter time may cost more.
    """

    slot: Array
    core_ns: Array
    hop_ns: Array
    worth: float

    def busiest(self, loads: Array) -> Array:
        """Returns how long the busiest link takes in each slot, ``(K,)``, for ``(K, 4, rows, columns)``."""
        longest: Array = (loads.max(axis=(2, 3)) * self.hop_ns).max(axis=1)
        return longest

    def total(self, loads: Array) -> float:
        """Returns how long cores and links take together."""
        return float(np.maximum(self.core_ns, self.busiest(loads)).sum())

    def limit(self, ns: Array) -> Array:
        """Returns the spikes that links carry in so many nanoseconds of each slot, ``(K, 4)``."""
        with np.errstate(divide="ignore"):
            spikes: Array = np.where(self.hop_ns > 0, ns[:, None] / self.hop_ns, np.inf)
        return spikes

    def price(self, ns: Array) -> float:
        """Returns what (spikes beyond a limit)² shall cost where the busiest links take ``ns``, ``(K,)``.

        Some slot must have a busy link; those in which nothing travels do not count.
        """
        spikes = self.limit(ns)
        return _DETOUR / float(spikes[spikes > 0].min())


def link_times(target: Target, core_ns: Array, nets: Nets) -> LinkTimes:
    """Returns the times of a placement's links.

    Args:
        target: The chip.
        core_ns: ``(windows,)`` what its cores take.
        nets: What travels.
    """
    hop_ns = hop_times_ns(target)
    if hop_ns is not None:
        return LinkTimes(nets.window, core_ns, hop_ns, np.inf)
    return LinkTimes(np.zeros_like(nets.window), np.zeros(1), np.ones(4), _WORTH)
