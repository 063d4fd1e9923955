"""Cuts a placed program into tiles: which weight stands where rows and columns cross.

A block's neurons are the columns of its core, the core's input axons its rows; every ``rows`` axons are one
tile of the stack. A crossing without a synapse is a device that was never formed, and conducts nothing; one
with a synapse of weight 0 is a pair of devices like any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from nmcompiler.errors import InputFileError
from nmcompiler.program.layout import BlockKind, Program
from nmcompiler.program.usage import block_stretches
from nmcompiler.sim.load import Block, Loaded
from nmcompiler.target import ConductanceTiles

__all__ = ["BlockTiles", "Differences", "cut_block", "differences"]

Ints: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class BlockTiles:
    """The part of a core's tiles that computes one block; R rows, n columns, T tiles, P driven rows.

    Attributes:
        block: Row of ``blocks``.
        weights: ``(R, n)`` int64: the program's weights, rows in the order of their first axons.
        wired: ``(R, n)`` bool: where there is a synapse.
        tile: ``(R,)`` int64: the tile of each row, from 0.
        sources: ``(P,)`` int64: a neuron that drives a row.
        rows: ``(P,)`` int64: the row that it drives, rising; several that drive one add up.
        signed: Whether any of them sends values below 0.
        copies: ``(T,)`` int64: how often each tile holds its rows.
        digit: Largest magnitude of a digit that drives a row.
        full: Largest weight that the devices of any column hold; None where each column of a tile has a scale
            of its own, its largest weight.
    """

    block: int
    weights: Ints
    wired: npt.NDArray[np.bool_]
    tile: Ints
    sources: Ints
    rows: Ints
    signed: bool
    copies: Ints
    digit: int = 1
    full: int | None = None

    @property
    def tiles(self) -> int:
        """T."""
        return int(self.tile.max(initial=-1)) + 1

    @cached_property
    def column_scale(self) -> Ints:
        """``(T, n)``: the weight that is the largest conductance, or current, in each tile's columns."""
        if self.full is not None:
            return np.full((self.tiles, self.weights.shape[1]), self.full, np.int64)
        largest = np.zeros((self.tiles, self.weights.shape[1]), np.int64)
        np.maximum.at(largest, self.tile, np.abs(self.weights))
        return largest


@lru_cache(maxsize=512)
def cut_block(program: Program, block: int, kind: ConductanceTiles) -> BlockTiles:
    """Returns the tiles of one block, not an input; kept for the next chip with the same program.

    Args:
        program: The program.
        block: Row of ``blocks``.
        kind: The tiles of the target.

    Raises:
        InputFileError: The block holds weights that its tiles cannot: shared or typed ones.
    """
    stored = BlockKind(int(program.column("kind")[block]))
    if stored not in (BlockKind.DENSE, BlockKind.SPARSE):
        raise InputFileError(
            f"block {block} of the program stores its weights as {stored.name}",
            allowed="a weight of its own for every synapse, as conductances are",
            hint="compile it again for this chip",
        )
    axon, target, weight = _synapses(program, block)
    core = int(program.column("core")[block])
    axons, row = _core_rows(program, core, kind)
    place = row[np.searchsorted(axons, axon)]
    used, at = np.unique(place, return_inverse=True)
    lead = np.full(len(used), np.iinfo(np.int64).max)
    np.minimum.at(lead, at, axon)
    held = axon == lead[at]  # axons that share a row have the same weights: those of the first
    weights = np.zeros((len(used), int(program.column("n")[block])), np.int64)
    wired = np.zeros(weights.shape, bool)
    wired[at[held], target[held]] = True
    np.add.at(weights, (at[held], target[held]), weight[held])
    driven = np.unique(axon)
    sources, position = _drivers(program, core, driven)
    rows = np.searchsorted(used, row[np.searchsorted(axons, driven)])[position]
    order = np.lexsort((sources, rows))
    driving = np.searchsorted(program.column("gid0"), sources, side="right") - 1
    signed = bool((program.column("signed")[driving] == 1).any())
    numbers, tile = np.unique(used // kind.rows, return_inverse=True)
    taken = np.bincount(np.unique(row) // kind.rows)[numbers]
    copies = np.clip(kind.rows // taken, 1, kind.row_copies)
    reach = np.bincount(rows, weights=program.column("levels")[driving]).max(initial=1)
    return BlockTiles(
        block,
        weights,
        wired,
        tile,
        sources[order],
        rows[order],
        signed,
        copies,
        digit=min(2**kind.input_bits - 1, int(reach)),
        full=None if kind.scales_columns else 2 ** (program.target.weight_bits - 1) - 1,
    )


@lru_cache(maxsize=512)
def _core_rows(program: Program, core: int, kind: ConductanceTiles) -> tuple[Ints, Ints]:
    """Returns the axons of a core that have synapses, rising, and the row of its stack that each drives.

    Where the periphery adds whole numbers, axons with the same weights in every column share a row: it is
    driven by the sum of what they bring, as the terms of a max pool that add up to the maximum.
    """
    parts = []
    first = 0
    for block in np.flatnonzero(program.column("core") == core).tolist():
        axon, target, weight = _synapses(program, block)
        parts.append((axon, target + first, weight))
        first += int(program.column("n")[block])
    axon, column, weight = (np.concatenate([part[k] for part in parts]) for k in range(3))
    axons, at = np.unique(axon, return_inverse=True)
    if kind.digital_terms < 2:
        return axons, axons
    held = np.zeros((len(axons), first), np.int64)
    np.add.at(held, (at, column), weight)
    busy = held.any(axis=1)
    held = 2 * held
    held[at, column] |= 1  # a synapse of weight 0 is a pair of devices, no synapse is none
    group = np.unique(held, axis=0, return_inverse=True)[1].reshape(-1)
    group = np.where(busy, group, len(axons) + np.arange(len(axons)))
    order = np.argsort(group, kind="stable")
    ranked = group[order]
    within = np.empty(len(axons), np.int64)
    within[order] = np.arange(len(axons)) - np.searchsorted(ranked, ranked)
    key = group * len(axons) + within // kind.digital_terms
    _, leads, shared = np.unique(key, return_index=True, return_inverse=True)
    row = np.argsort(np.argsort(leads))[shared.reshape(-1)]
    return axons, row


def _drivers(program: Program, core: int, axons: Ints) -> tuple[Ints, Ints]:
    """Returns the neurons whose spikes reach some axons of a core, and the position of the axon of each."""
    routes = program.routes_by_core[core]
    row = np.repeat(np.arange(len(routes)), routes[:, 1])
    step = np.arange(len(row)) - np.repeat(np.cumsum(routes[:, 1]) - routes[:, 1], routes[:, 1])
    gid, axon = routes[row, 0] + step, routes[row, 3] + step
    mine = np.isin(axon, axons)
    gid, position = gid[mine], np.searchsorted(axons, axon[mine])
    order = np.lexsort((gid, position))
    return gid[order], position[order]


@dataclass(frozen=True, eq=False)
class Differences:
    """The synapses of a block whose sums digital periphery makes; K synapses.

    Attributes:
        sources: ``(K,)`` int64: the neuron that each reads.
        targets: ``(K,)`` int64: the neuron of the block that it belongs to.
        weights: ``(K,)`` int64: 1 or −1.
    """

    sources: Ints
    targets: Ints
    weights: Ints


def differences(loaded: Loaded, block: Block, terms: int) -> Differences | None:
    """Returns the synapses of a block that only adds and subtracts whole numbers, None for any other.

    Such are max pools, ``b + relu(a − b)``, and copies: every weight is 1 or −1, every threshold 1, every
    bias 0, and no neuron has more than ``terms`` synapses.
    """
    program, mine = loaded.program, slice(block.gid0, block.gid0 + block.n)
    kind = BlockKind(int(program.column("kind")[block.index]))
    plain = (loaded.theta[mine] == 1).all() and (loaded.v0[mine] == loaded.above).all()
    stored = kind in (BlockKind.DENSE, BlockKind.SPARSE)
    if terms == 0 or block.is_readout or not plain or not stored:
        return None
    axon, targets, weights = _synapses(program, block.index)
    if not (np.abs(weights) == 1).all() or np.bincount(targets).max(initial=0) > terms:
        return None
    axons, position = np.unique(axon, return_inverse=True)
    sources, rows = _drivers(program, int(program.column("core")[block.index]), axons)
    order = np.argsort(position, kind="stable")
    first = np.searchsorted(position[order], rows)
    count = np.searchsorted(position[order], rows, side="right") - first
    driver = np.repeat(np.arange(len(rows)), count)
    at = order[first[driver] + np.arange(len(driver)) - np.repeat(np.cumsum(count) - count, count)]
    return Differences(sources[driver], targets[at], weights[at])


def _synapses(program: Program, block: int) -> tuple[Ints, Ints, Ints]:
    """Returns the axon, the neuron of the block and the weight of each of a block's synapses."""
    stretches = block_stretches(program, block)
    each = np.repeat(np.arange(len(stretches.length)), stretches.length)
    step = np.arange(len(each)) - np.repeat(np.cumsum(stretches.length) - stretches.length, stretches.length)
    first, shift = int(program.column("weight0")[block]), int(program.column("shift")[block])
    weights = program.arrays["weights"][first + stretches.weight[each] + step].astype(np.int64) << shift
    return stretches.axon[each], stretches.target[each] + step, weights
