"""Counters of a run, from the spikes of each neuron: what a spike costs is known before the run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nmcompiler.sim.load import Loaded
from nmcompiler.sim.result import Int64Array

__all__ = ["Counters", "count"]


@dataclass(frozen=True, eq=False)
class Counters:
    """Totals over all samples; arrays are int64.

    Attributes:
        spikes: ``(populations,)``.
        spikes_per_block: ``(B,)``.
        synops_per_block: ``(B,)``.
        hops_per_block: ``(B,)``.
    """

    spikes: Int64Array
    spikes_per_block: Int64Array
    synops_per_block: Int64Array
    hops_per_block: Int64Array


def count(loaded: Loaded, counts: Int64Array) -> Counters:
    """Returns the counters for ``counts`` ``(M,)``, the spikes of each neuron."""
    starts = loaded.gid0.astype(np.int64)
    spikes, synops, hops = (
        np.add.reduceat(x, starts) for x in (counts, counts * loaded.fanout, counts * loaded.hops)
    )
    populations = np.zeros(len(loaded.population_sizes), np.int64)
    np.add.at(populations, [b.population for b in loaded.blocks], spikes)
    return Counters(populations, spikes, synops, hops)
