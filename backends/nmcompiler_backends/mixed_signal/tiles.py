"""Cuts a placed program into tiles: which weight stands where rows and columns cross.

A block's neurons are the columns of its core, the core's input axons its rows; every ``rows`` axons are one
tile of the stack. A crossing without a synapse is a device that was never formed, and conducts nothing; one
with a synapse of weight 0 is a pair of devices like any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from nmcompiler.errors import InputFileError
from nmcompiler.program.layout import BlockKind, Program
from nmcompiler.program.usage import block_stretches

__all__ = ["BlockTiles", "cut_block"]

Ints: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class BlockTiles:
    """The part of a core's tiles that computes one block; R rows, n columns, T tiles, P driven rows.

    Attributes:
        block: Row of ``blocks``.
        weights: ``(R, n)`` int64: the program's weights, rows in the order of their axons.
        wired: ``(R, n)`` bool: where there is a synapse.
        tile: ``(R,)`` int64: the tile of each row, from 0.
        sources: ``(P,)`` int64: a neuron that drives a row.
        rows: ``(P,)`` int64: the row that it drives, rising.
        signed: Whether any of them sends values below 0.
    """

    block: int
    weights: Ints
    wired: npt.NDArray[np.bool_]
    tile: Ints
    sources: Ints
    rows: Ints
    signed: bool

    @property
    def tiles(self) -> int:
        """T."""
        return int(self.tile.max(initial=-1)) + 1

    @property
    def column_scale(self) -> Ints:
        """``(T, n)``: largest magnitude of each tile's columns, which becomes the largest conductance."""
        largest = np.zeros((self.tiles, self.weights.shape[1]), np.int64)
        np.maximum.at(largest, self.tile, np.abs(self.weights))
        return largest


def cut_block(program: Program, block: int, tile_rows: int) -> BlockTiles:
    """Returns the tiles of one block, not an input.

    Raises:
        InputFileError: The block holds weights that its tiles cannot: shared or typed ones.
    """
    kind = BlockKind(int(program.column("kind")[block]))
    if kind not in (BlockKind.DENSE, BlockKind.SPARSE):
        raise InputFileError(
            f"block {block} of the program stores its weights as {kind.name}",
            allowed="a weight of its own for every synapse, as conductances are",
            hint="compile it again for this chip",
        )
    stretches = block_stretches(program, block)
    first, n = int(program.column("weight0")[block]), int(program.column("n")[block])
    used, row = np.unique(stretches.axon, return_inverse=True)
    weights = np.zeros((len(used), n), np.int64)
    each = np.repeat(np.arange(len(row)), stretches.length)
    step = np.arange(len(each)) - np.repeat(np.cumsum(stretches.length) - stretches.length, stretches.length)
    held = program.arrays["weights"][first + stretches.weight[each] + step].astype(np.int64)
    held <<= int(program.column("shift")[block])
    wired = np.zeros(weights.shape, bool)
    wired[row[each], stretches.target[each] + step] = True
    np.add.at(weights, (row[each], stretches.target[each] + step), held)
    tile = used // tile_rows
    sources, rows = _drivers(program, int(program.column("core")[block]), used)
    driving = np.searchsorted(program.column("gid0"), sources, side="right") - 1
    signed = bool((program.column("signed")[driving] == 1).any())
    dense = np.unique(tile, return_inverse=True)[1]
    return BlockTiles(block, weights, wired, dense, sources, rows, signed)


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
