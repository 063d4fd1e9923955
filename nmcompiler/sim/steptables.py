"""A program as the step kernels take it: tables of blocks, of what they receive, and of links."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from nmcompiler.codings import StepFunction
from nmcompiler.sim import kernels
from nmcompiler.sim.certificate import Bounds, is_regular, prove
from nmcompiler.sim.columns import (
    GROUP_IS_NARROW,
    IS_WIDE,
    LINK_IS_NARROW,
    OTHER_VALUES,
    SIGNED_UNITS,
    UNITS,
)
from nmcompiler.sim.groups import KEPT
from nmcompiler.sim.jit import jit, pointer
from nmcompiler.sim.load import Block, Loaded
from nmcompiler.sim.result import Array, Int64Array

__all__ = ["Steps", "steps_of"]

_WIDEST = np.iinfo(np.int16).max
# What registers and thresholds may reach: doubled, or with an arrival added, they still have 32 bits.
_REACH = 2**28
# Weights, each of them twice and paddings, whose places have 31 bits.
_MOST_WEIGHTS = 2**29
_KEPT = KEPT[1:]


@dataclass(frozen=True, eq=False)
class Steps:
    """A program as ``rows.run_steps`` takes it, whose columns are described there; M neurons, B blocks.

    Attributes:
        loaded: The program.
        blocks: ``(B, 24)`` uint64; membranes that are kept are given their place by each run.
        received: ``(R, 10)`` uint64.
        links: ``(E, 7)`` uint64.
        patterns: ``(2 P + 2,)`` uint64: those of the program, one without a segment, and those of the program
            once more, with segments of one target, where targets move with the axon.
        segments: ``(Q, 3)`` uint64.
        weights: ``(W + 64,)`` int16; where spikes of −1 are sent, what these add as often behind them.
        registers: Thresholds, currents and starts, ``(3, M)`` int32.
        boundaries: ``(total steps,)`` int8.
        tables: ``(T, 2 L + 1)`` int16: what inputs send in each of their steps for each value from −L on.
        numbers: ``(6,)`` uint64.
        limits: ``(6,)`` int64.
        fire: What the code's neurons do on this chip.
    """

    loaded: Loaded
    blocks: Array
    received: Array
    links: Array
    patterns: Array
    segments: Array
    weights: Array
    registers: Array
    boundaries: Array
    tables: Array
    numbers: Array
    limits: Int64Array
    fire: StepFunction

    @property
    def bytes_per_sample(self) -> int:
        """Bytes in which is kept what the blocks send for one sample."""
        _, _, bits, values, events, _ = self.numbers.tolist()
        return int(8 * bits + 2 * values + 4 * events)

    @cached_property
    def code(self) -> tuple[Any, Any, Any]:
        """What arrives, what neurons do with it, and when they fire, as machine code."""
        from nmcompiler.sim import rows

        integrate = pointer(self.loaded.coding.integrate, rows.signature(True))
        fire = pointer(self.fire, rows.signature(False))
        return pointer(rows.arrive, rows.arriving_signature()), integrate, fire


def steps_of(loaded: Loaded, reach: Sequence[Bounds], fire: StepFunction) -> Steps | None:
    """Returns a program ready to be stepped through, None where it needs over 32 bits or other steps."""
    forward = bool((loaded.links[:, kernels.SOURCE] < loaded.links[:, kernels.TARGET]).all())
    regular = all(is_regular(loaded, b) for b in loaded.blocks)
    if loaded.by_event or not (forward and regular and _fits(loaded, reach)):
        return None
    most = _most_sent(loaded)
    if int(most.max(initial=0)) > _WIDEST:
        return None
    received, links = _links(loaded, most)
    patterns, segments = _patterns(loaded)
    tables, places = _tables(loaded)
    kinds = [_kind(b, int(most[b.index])) for b in loaded.blocks]
    blocks, sent = _blocks(loaded, kinds, received, places, _bounded(loaded, reach))
    weights, total = loaded.padded_weights, loaded.program.total_steps
    signs = SIGNED_UNITS in kinds
    boundaries = np.zeros(total, np.int8)
    boundaries[[t for t in loaded.program.window_starts if 0 < t < total]] = 1
    return Steps(
        loaded=loaded,
        blocks=blocks,
        received=received[:, 1:].astype(np.uint64),
        links=links,
        patterns=patterns,
        segments=segments,
        weights=np.concatenate([weights, -weights]) if signs else weights,
        registers=np.stack([loaded.theta, loaded.current, loaded.v0]).astype(np.int32),
        boundaries=boundaries,
        tables=tables,
        numbers=np.array([total, len(weights), *sent, 0], np.uint64),
        limits=_limits(loaded),
        fire=fire,
    )


def _limits(loaded: Loaded) -> Int64Array:
    """Returns what holds for all blocks and may be below 0, as ``rows`` takes it."""
    # Registers of 32 bits are never near the lowest, which a floor may lie below.
    lowest = -_REACH * 4 + 1
    floor = lowest if loaded.floor is None else max(loaded.floor, lowest)
    low = max(loaded.minimum, -(2**31)) if loaded.floor is None else lowest
    high = min(loaded.maximum, 2**31 - 1)
    keeps = loaded.coding.keeps
    return np.array([loaded.above, loaded.floor is not None, floor, low, high, keeps], np.int64)


def _fits(loaded: Loaded, reach: Sequence[Bounds]) -> bool:
    """Returns whether values have 16 bits, and thresholds and registers 32 of which some are left."""
    theta = np.repeat([b.levels + 2 for b in loaded.blocks], [b.n for b in loaded.blocks]) * loaded.theta
    levels = max((b.levels for b in loaded.blocks), default=0)
    extremes = (theta, loaded.v0, loaded.current)
    small = all(int(np.abs(a).max(initial=0)) < _REACH for a in extremes) and levels <= _WIDEST
    small = small and int(loaded.weights.min(initial=0)) >= -_WIDEST and len(loaded.weights) <= _MOST_WEIGHTS
    fits = all(r.fits(-_REACH, _REACH) and r.arrivals_fit(-_REACH, _REACH) for r in reach)
    # What blocks can reach holds where spikes come in time; elsewhere only their width limits registers.
    return small and fits and (loaded.maximum < _REACH or all(prove(loaded, reach).proved))


def _most_sent(loaded: Loaded) -> Int64Array:
    """Returns ``(B,)``: the largest magnitude of what a neuron of each block sends in one step.

    Neurons that send values may send a change of all their levels.
    """
    most = np.zeros(len(loaded.blocks), np.int64)
    for block in loaded.blocks:
        if not block.is_readout:
            sent = loaded.coding.encode(np.arange(block.levels + 1), block.slot)
            peak = int(np.abs(sent).max(initial=1))
            most[block.index] = peak if peak == 1 or block.is_input else 2 * peak
    return most


def _links(loaded: Loaded, most: Int64Array) -> tuple[Int64Array, Array]:
    """Returns what each block receives from which other, and the links in the columns of ``rows``."""
    received, links, count = [], [np.zeros((0, len(_KEPT)), np.uint64)], 0
    for block in loaded.blocks:
        largest = loaded.largest_weight(block)
        sums = _Groups(loaded, most, block)
        for group in loaded.groups[block.index]:
            for source in sorted(group.sources):
                resting, moving = (a[a[:, kernels.SOURCE] == source] for a in (group.resting, group.moving))
                chunk = _WIDEST // max(largest * int(most[source]), 1)
                number, width = sums.add(np.concatenate([resting, moving]), chunk)
                if width == IS_WIDE:
                    parts = np.concatenate([resting, moving]), moving[:0], moving[:0], moving[:0]
                else:
                    resting = _split(resting, chunk) if width else resting
                    parts = *_alone(resting, len(loaded.patterns) - 1), *_straight(loaded, moving)
                first = int(parts[1][0, kernels.FIRST]) if len(parts[1]) else 0
                ends = np.cumsum([count, *map(len, parts)]).tolist()
                received.append((block.index, source, group.delay, *ends, first, number, width))
                links += [a[:, _KEPT] for a in parts]
                count = ends[-1]
    return np.array(received, np.int64).reshape(-1, 11), np.ascontiguousarray(np.concatenate(links))


class _Groups:
    """Numbers what a block receives from others so that each group of them adds up in 16 bits."""

    def __init__(self, loaded: Loaded, most: Int64Array, block: Block) -> None:
        below = [b.signed != 0 or (most[b.index] > 1 and not b.is_input) for b in loaded.blocks]
        self._loaded, self._most, self._least = loaded, most.astype(np.float64), np.where(below, -most, 0.0)
        self._gain = 2.0 ** loaded.program.column("shift")[block.index]
        self._reach, self._number = np.zeros((2, block.n)), 0

    def add(self, links: Array, chunk: int) -> tuple[int, int]:
        """Returns the number of the group of some links, and how wide what they bring is.

        In 16 bits fits what ``chunk`` axons add to a neuron.
        """
        loaded, reach = self._loaded, np.zeros_like(self._reach)
        jit(kernels.extremes)(
            links, loaded.patterns, loaded.segments, loaded.weights, np.zeros_like(loaded.gid0),
            self._least, self._most, *reach,
        )  # fmt: skip
        wide, both = chunk < 1 or self._exceeds(reach), self._reach + reach
        if wide or self._exceeds(both):
            self._number += 1
            both = reach
        # The links that follow wide ones are a group of their own.
        self._reach = np.full_like(reach, np.inf) if wide else both
        return self._number, IS_WIDE if chunk < 1 else LINK_IS_NARROW if wide else GROUP_IS_NARROW

    def _exceeds(self, reach: npt.NDArray[np.float64]) -> bool:
        return bool(np.abs(reach).max(initial=0) / self._gain > _WIDEST)


def _split(links: Array, most: int) -> Array:
    """Returns links of at most so many axons each."""
    count = -(-links[:, kernels.AXONS].astype(np.int64) // most)
    split = np.repeat(links, count, axis=0)
    done = (most * (np.arange(len(split)) - np.repeat(np.cumsum(count) - count, count))).astype(np.uint64)
    split[:, kernels.FIRST] += done
    split[:, kernels.WEIGHT] += done * split[:, kernels.WEIGHT_STRIDE]
    split[:, kernels.AXONS] = np.minimum(split[:, kernels.AXONS] - done, np.uint64(most))
    return split


def _alone(links: Array, nothing: int) -> tuple[Array, Array]:
    """Returns links without those of one axon, and these: one for each source from the first to the last.

    Sources between them that have none are given a link of a pattern that reaches ``nothing``; a second one
    of the same source stays with the others.
    """
    places = np.flatnonzero(links[:, kernels.AXONS] == 1)
    sources, found = np.unique(links[places, kernels.FIRST].astype(np.int64), return_index=True)
    if not len(sources) or 2 * len(sources) <= np.ptp(sources):
        return links, links[:0]
    places = places[found]
    alone = np.zeros((int(np.ptp(sources)) + 1, links.shape[1]), np.uint64)
    alone[:, kernels.PATTERN] = nothing
    alone[:, kernels.FIRST] = sources[0] + np.arange(len(alone))
    alone[sources - sources[0]] = links[places]
    return np.delete(links, places, axis=0), alone


def _straight(loaded: Loaded, links: Array) -> tuple[Array, Array]:
    """Returns the links whose axons have one target each, next to each other, and the other ones."""
    first = loaded.patterns[links[:, kernels.PATTERN]]
    alone = loaded.patterns[links[:, kernels.PATTERN] + np.uint64(1)] - first == 1
    moves = (links[:, kernels.WEIGHT_STRIDE] == 1) & (links[:, kernels.TARGET_STRIDE] == 1)
    mine = np.flatnonzero(moves & alone)
    mine = mine[loaded.segments[first[mine], 2] == 1]
    straight, segments = links[mine], loaded.segments[first[mine]]
    straight[:, kernels.WEIGHT] += segments[:, 0]
    straight[:, kernels.INTO] += segments[:, 1]
    other = np.delete(links, mine, axis=0)
    other[:, kernels.PATTERN] += np.uint64(len(loaded.patterns))
    return straight, other


def _patterns(loaded: Loaded) -> tuple[Array, Array]:
    """Returns patterns and segments as ``Steps`` has them."""
    first = loaded.patterns.astype(np.int64)
    moving = np.zeros(len(first) - 1, bool)
    moving[loaded.links[loaded.links[:, kernels.TARGET_STRIDE] != 0, kernels.PATTERN].astype(np.int64)] = True
    of = np.repeat(moving, np.diff(first))
    pattern = np.repeat(np.arange(len(moving)), np.diff(first))[of]
    segments = loaded.segments[of]
    count = segments[:, 2].astype(np.int64)
    units = np.repeat(segments, count, axis=0)
    step = (np.arange(len(units)) - np.repeat(np.cumsum(count) - count, count)).astype(np.uint64)
    units[:, :2] += step[:, None]
    units[:, 2] = 1
    sizes = np.zeros(len(moving), np.int64)
    np.add.at(sizes, pattern, count)
    ends = first[-1] + np.cumsum(sizes)
    patterns = np.concatenate([first, first[-1:], ends]).astype(np.uint64)
    return patterns, np.concatenate([loaded.segments, units])


def _tables(loaded: Loaded) -> tuple[Array, dict[int, int]]:
    """Returns what inputs send in each of their steps, and where the steps of each begin."""
    inputs = [b for b in loaded.blocks if b.is_input]
    most = max((b.levels for b in inputs), default=0)
    tables, places, count = [np.zeros((0, 2 * most + 1), np.int16)], {}, 0
    for block in inputs:
        q = np.clip(np.arange(-most, most + 1), -block.levels, block.levels)
        tables.append(loaded.coding.encode(q, block.slot).astype(np.int16))
        places[block.index] = count
        count += block.slot.steps
    return np.ascontiguousarray(np.concatenate(tables)), places


def _kind(block: Block, most: int) -> int:
    """Returns what a block sends in one step, whose magnitude is ``most`` at most."""
    if most > 1:
        return OTHER_VALUES
    return SIGNED_UNITS if block.signed and not block.is_readout else UNITS


def _bounded(loaded: Loaded, reach: Sequence[Bounds]) -> list[bool]:
    """Returns for each block whether neither a limit nor a floor ever moves a membrane."""
    proved = iter(prove(loaded, reach).proved)
    free = loaded.floor is None and loaded.coding.keeps
    return [not b.is_input and next(proved) and free for b in loaded.blocks]


def _arrivals(loaded: Loaded, received: Int64Array) -> Int64Array:
    """Returns for each block the first step in which anything arrives and that after the last, ``(2, B)``."""
    steps = np.zeros((2, len(loaded.blocks)), np.int64)
    steps[0] = loaded.program.total_steps
    starts = np.array([b.slot.fire_start for b in loaded.blocks])[received[:, 1]] + received[:, 2]
    lengths = np.array([b.slot.steps for b in loaded.blocks])[received[:, 1]]
    np.minimum.at(steps[0], received[:, 0], starts)
    np.maximum.at(steps[1], received[:, 0], starts + lengths)
    return steps


def _blocks(
    loaded: Loaded,
    kinds: Sequence[int],
    received: Int64Array,
    places: dict[int, int],
    bounded: Sequence[bool],
) -> tuple[Array, tuple[int, int, int]]:
    """Returns the table of blocks, and how many words, values and events are kept of what they send."""
    first = np.searchsorted(received[:, 0], np.arange(len(loaded.blocks) + 1))
    # All that arrives stays in 16 bits where it is in one group.
    wide = np.zeros(len(loaded.blocks), bool)
    wide[received[(received[:, -2] > 0) | (received[:, -1] > 0), 0]] = True
    gain = np.left_shift(1, loaded.program.column("shift"))
    arriving, arrived = _arrivals(loaded, received)
    words = values = events = fed = 0
    table = []
    for block in loaded.blocks:
        k, slot = block.index, block.slot
        kind = kinds[k]
        table.append(
            (
                block.is_input, block.gid0, block.n, first[k], first[k + 1], slot.steps, slot.fire_start,
                block.levels, block.signed, block.read_step, block.is_readout, gain[k], wide[k], kind,
                words, values, events, places.get(k, 0), fed if block.is_input else 0, 0,
                arriving[k], arrived[k], bounded[k], bool(loaded.current[block.gid0 :][: block.n].any()),
            )
        )  # fmt: skip
        sends = 0 if block.is_readout else slot.steps
        words += sends * (1 if kind == UNITS else 2) * (-(-block.n // 64) + 1)
        values += sends * block.n if kind == OTHER_VALUES else 0
        events += 3 * sends
        fed += block.n if block.is_input else 0
    return np.array(table, np.uint64).reshape(-1, 24), (words, values, events)
