"""Partitions of several kinds, of which the best is kept: cores first, then the busiest core, then traffic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from nmcompiler.errors import DoesNotFit
from nmcompiler.ir.progress import Progress, silent
from nmcompiler.mapping.areas import union_size
from nmcompiler.mapping.bounds import lower_bound
from nmcompiler.mapping.filled import Filled, Style, static_shares
from nmcompiler.mapping.needs import NetworkNeeds
from nmcompiler.mapping.pack import OpenCore
from nmcompiler.mapping.partition import OutOfCores, Partition, TooSpread, partition

__all__ = ["Quality", "best_partition", "quality"]

_CAPS = (0.98, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7)
_WORK = 2400  # cores that all kinds together may fill, but for two of them


@dataclass(frozen=True, order=True)
class Quality:
    """What decides between partitions, the first before the second and third.

    Attributes:
        cores: Number of cores.
        busiest: Expected synaptic operations of one sample on the busiest core.
        traffic: Expected spikes of one sample, each counted once for every core that reads it.
    """

    cores: int
    busiest: float
    traffic: float


def quality(parted: Partition) -> Quality:
    """Returns the quality of a partition; spikes of a population count as their mean over its neurons."""
    needs = parted.needs
    busiest = max((_operations(core, needs) for core in parted.cores), default=0.0)
    traffic = 0.0
    for core in parted.cores:
        for (source, _, _), areas, shape in core.read():
            traffic += needs.rate(source) * union_size(areas, shape, pixels=False)
    return Quality(len(parted.cores), busiest, traffic)


def _operations(core: OpenCore, needs: NetworkNeeds) -> float:
    return sum(
        needs.rate(wire.key[0]) * piece.costs.synapses(number, piece.box)
        for piece in core.pieces
        for number, wire in enumerate(piece.needs.wires)
    )


def best_partition(needs: NetworkNeeds, chips: int | None, progress: Progress = silent) -> Partition:
    """Returns the best of several partitions of a network.

    The first has regular boxes and says why a network does not fit. The others fill cores with unequal boxes;
    with few cores many kinds are tried, with many a few.

    Args:
        needs: The network on a chip.
        chips: Number of chips, or None for cores without end.
        progress: Told after each population of the first.

    Raises:
        DoesNotFit: A single neuron of a layer breaks a limit.
        OutOfCores: The chips have fewer cores than are needed.
    """
    best: Partition | None = None
    error: DoesNotFit | OutOfCores | None = None
    try:
        best = partition(needs, chips, progress)
    except (DoesNotFit, OutOfCores) as refusal:
        error = refusal
    least = lower_bound(needs, needs.target, chips or needs.target.max_chips)
    found = None if best is None else quality(best)
    shares, work = static_shares(needs), 0
    for number, style in enumerate(_styles(shares)):
        few = found is not None and found.cores <= least
        if (few and style.cap < 1) or (number > 1 and work > _WORK):
            continue
        filled = Filled(
            needs, chips, style=style, shares=shares, most=None if found is None else found.cores
        )
        tried = _filled(filled)
        work += len(filled.cores)
        if tried and (found is None or quality(filled) < found):
            best, found = filled, quality(filled)
    if best is None and error is not None:
        raise error
    assert best is not None
    return best


def _styles(shares: Mapping[str, Mapping[str, float]]) -> Iterator[Style]:
    """Yields the kinds of partitions, the most promising first.

    Where some populations need most of one resource and some of another, the first must leave room.
    """
    mixed = len({max(of, key=lambda r: of[r]) for of in shares.values() if any(of.values())}) > 1
    caps = _CAPS if mixed else ()
    yield Style()
    yield from (Style(cap=cap) for cap in caps)
    yield Style(beside=0.0)
    yield Style(depth=2)
    yield Style(depth=2, beside=0.0)
    yield Style(depth=1)
    yield Style(depth=1, beside=0.0)


def _filled(filled: Filled) -> bool:
    try:
        for population in reversed(list(filled.needs.populations.values())):
            filled.add(population)
    except (DoesNotFit, OutOfCores, TooSpread):
        return False
    for core in filled.cores:
        core.settle()
    return True
