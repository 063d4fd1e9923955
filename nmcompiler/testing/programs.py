"""Programs of random networks on random cores, without any mapping.

A partition that no mapper would choose finds faults that a good one hides.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from nmcompiler.codings import coding
from nmcompiler.ir.cores import Box, Core, CoreGraph, Piece
from nmcompiler.ir.graph import Graph
from nmcompiler.ir.kernels import Array
from nmcompiler.ir.spiking import Spiking
from nmcompiler.program.assemble import assemble
from nmcompiler.program.layout import Program
from nmcompiler.testing.networks import random_network
from nmcompiler.testing.targets import tiny_target

__all__ = ["random_cores", "random_program"]


def random_cores(spiking: Spiking, seed: int) -> CoreGraph:
    """Returns all populations but the inputs cut into random boxes, scattered over random cores."""
    rng = np.random.default_rng(seed)
    pieces = [
        Piece(p.name, Box(*y, *x, *c))
        for p in spiking.network.graph
        if p.role != "input"
        for y in _intervals(rng, p.shape[0])
        for x in _intervals(rng, p.shape[1])
        for c in _intervals(rng, p.shape[2])
    ]
    at = rng.integers(0, int(rng.integers(1, len(pieces) + 1)), len(pieces))
    graph: Graph[Core, Any] = Graph()
    for index, number in enumerate(np.unique(at)):
        on_core = tuple(p for p, a in zip(pieces, at, strict=True) if a == number)
        graph.add(Core(index, 0, index // 16, index % 16, 0, on_core))
    return CoreGraph(graph)


def random_program(seed: int, code: str = "phase") -> Program:
    """Returns the program of a random network on random cores.

    Every other seed shares the weights of convolutions, every third fires on v > θ.

    Args:
        seed: Seed of the network and of the cuts.
        code: Name of the spike code.
    """
    target = tiny_target(weight_sharing=bool(seed % 2), fires_when="gt" if seed % 3 == 0 else "ge")
    chosen = coding(code)
    encoding = chosen.input_encodings[0]
    spiking = chosen.convert(random_network(seed), target, input_encoding=encoding)
    return assemble(spiking, random_cores(spiking, seed), target)


def _intervals(rng: np.random.Generator, length: int) -> list[tuple[int, int]]:
    count = int(rng.integers(1, min(length, 4) + 1))
    inner: Array = (
        rng.choice(np.arange(1, length), count - 1, replace=False) if length > 1 else np.zeros(0, np.int64)
    )
    cuts = [0, *sorted(int(i) for i in inner), length]
    return list(pairwise(cuts))
