"""How placement and mapping grow: 65,536 clusters in dense layers, and networks of 10⁴ to 10⁷ neurons."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from resource import RUSAGE_SELF, getrusage
from typing import Any
from unittest import mock

import numpy as np

from nmcompiler.codings import coding
from nmcompiler.ir.cores import Traffic
from nmcompiler.ir.graph import Graph
from nmcompiler.ir.kernels import Conv
from nmcompiler.ir.network import Network, Population, PopulationGraph, Projection
from nmcompiler.ir.spiking import Spiking
from nmcompiler.mapping import mapper
from nmcompiler.mapping.mapper import EFFORTS, MapOptions, map_network
from nmcompiler.mapping.nets import Nets
from nmcompiler.mapping.place import Board, place, positions
from nmcompiler.mapping.route import Positions, unicast_cost
from nmcompiler.registry import find_target
from nmcompiler.target import Target
from nmcompiler.testing import tiny_target

__all__ = ["SIZES", "convolutions", "dense_layers", "dense_scale", "growth", "growth_series", "slope"]

Row = dict[str, Any]

SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
# Parts of the mapping, and what is called in it for them.
_PARTS = {
    "needs": ("network_needs",),
    "partition": ("candidates", "partition", "best", "best_to_refine"),
    "refinement": ("refined",),
    "nets": ("nets",),
    "placement": ("place",),
    "figures": ("_figures", "lower_bound"),
}
_CHANNELS, _LAYERS = 16, 3
_MOST_CHIPS = 100_000
_SHORT = 2.0  # a measurement that takes fewer seconds is taken three times


def dense_layers(side: int, seed: int) -> Nets:
    """Returns what ``layered("dense", side, seed)`` of ``bench_mapping`` does, without a list of edges."""
    first, all_of_one = np.arange((side - 2) * side), np.arange(side)
    source = np.repeat(first, side)
    target = ((first // side + 1)[:, None] * side + all_of_one).reshape(-1)
    weights = np.random.default_rng(seed).random(len(source))
    return Nets(source, weights, np.arange(len(source) + 1), target, np.zeros_like(source))


def dense_scale(side: int = 256, moves: int = 400_000) -> Row:
    """Returns cost and seconds of side² clusters in dense layers; the board is laid out in this time."""

    def run(nets: Nets, side: int, moves: int) -> Positions:
        board = Board(tiny_target(cores=side * side, rows=side, columns=side), 1)
        return positions(place(board, [0] * side * side, nets, moves=moves, seed=1), board.target)

    run(dense_layers(8, 1), 8, 1000)
    drawn = dense_layers(side, 1)
    began, busy = time.perf_counter(), time.process_time()
    at = run(drawn, side, moves)
    seconds, busy = time.perf_counter() - began, time.process_time() - busy
    peak = getrusage(RUSAGE_SELF).ru_maxrss / 2**20
    return {
        "section": "scale", "what": f"{side * side:,} clusters, dense, {moves:,} moves",
        "cost": unicast_cost(at, drawn), "wanted": 1.669e8 if side == 256 else None,
        "s": seconds, "cpu s": busy, "wanted s": 14.0, "GiB": peak,
    }  # fmt: skip


def convolutions(neurons: int, target: Target) -> tuple[Spiking, Traffic]:
    """Returns a network of about so many neurons, and spikes drawn at random.

    Three layers of 3 × 3 kernels and 16 channels, and a read-out of one neuron a pixel.
    """
    side = max(4, round(math.sqrt(neurons / (_CHANNELS * _LAYERS + 1))))
    rng, graph = np.random.default_rng(neurons), Graph[Population, Projection]()
    channels = [3, *[_CHANNELS] * _LAYERS, 1]
    roles = ["input", *["hidden"] * _LAYERS, "readout"]
    for k, (c, role) in enumerate(zip(channels, roles, strict=True)):
        graph.add(_population(f"p{k}", (side, side, c), role))
        if k:
            size = 1 if role == "readout" else 3
            weight = rng.integers(-99, 100, (size, size, channels[k - 1], c))
            _connect(graph, k, Conv(weight, padding=(size // 2, size // 2)))
    network = Network("grown", graph, (), ())
    code = coding("phase")
    spiking = code.convert(network, target, input_encoding=code.input_encodings[0])
    return spiking, Traffic({p.name: rng.random(p.shape) * bool(p.levels) for p in graph})


def _population(name: str, shape: tuple[int, int, int], role: Any) -> Population:
    one, channels = np.ones((1, 1, 1), np.int64), np.ones(shape[2])
    levels = 0 if role == "readout" else 15
    theta = one if role == "readout" else one * 200
    return Population(
        name, shape, role, 0 * one, one if role == "input" else theta, levels, False, channels, 0 * channels
    )


def _connect(graph: PopulationGraph, k: int, kernel: Conv) -> None:
    graph.connect(f"p{k - 1}", f"p{k}", Projection(kernel))


@contextmanager
def _parts_timed() -> Iterator[dict[str, float]]:
    """Adds up the seconds that ``map_network`` spends in each of its parts, while it lasts."""
    seconds = dict.fromkeys(_PARTS, 0.0)

    def timed(part: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            began = time.perf_counter()
            try:
                return work(*arguments, **options)
            finally:
                seconds[part] += time.perf_counter() - began

        return run

    with ExitStack() as stack:
        for part, names in _PARTS.items():
            for name in names:
                changed = mock.patch.object(mapper, name, timed(part, getattr(mapper, name)))
                stack.enter_context(changed)
        yield seconds


def _map(neurons: int, target: Target, effort: str) -> tuple[dict[str, float], float, int, int]:
    """Maps a network; returns the seconds of each part and of all, and its cores and neurons."""
    spiking, traffic = convolutions(neurons, target)
    target, options = replace(target, max_chips=_MOST_CHIPS), MapOptions(**EFFORTS[effort]._asdict())
    with _parts_timed() as seconds:
        began = time.perf_counter()
        cores = map_network(spiking, target, traffic, options).cores
        whole = time.perf_counter() - began
    return seconds, whole, len(cores), spiking.network.neurons


def growth(
    largest: int, sizes: Sequence[int] = SIZES, chip: str = "loihi2", effort: str = "normal"
) -> Iterator[Row]:
    """Yields the seconds of each part of mapping for growing networks, then the exponents of their growth."""
    _, target = find_target(chip)
    _map(1000, target, effort)
    rows: list[Row] = []
    for size in (s for s in sizes if s <= largest):
        runs = [_map(size, target, effort)]
        while len(runs) < 3 and runs[0][1] < _SHORT:
            runs.append(_map(size, target, effort))
        seconds, whole, cores, neurons = min(runs, key=lambda run: run[1])
        rows.append(
            {
                "section": "scale", "what": f"{neurons:,} neurons, {effort}", "neurons": neurons,
                "cores": cores, **{f"{part} s": s for part, s in seconds.items()}, "s": whole,
                "ns per n·log2 n": whole / (neurons * math.log2(neurons)) * 1e9,
                "GiB": getrusage(RUSAGE_SELF).ru_maxrss / 2**20,
            }
        )  # fmt: skip
        yield rows[-1]
    if len(rows) > 1:
        yield from _growth_of(rows)


def _growth_of(rows: Sequence[Row]) -> Iterator[Row]:
    """Yields the exponents of all parts, and the one that n·log n would have, in all sizes and at the end."""
    for what, some in (("over all sizes", rows), ("over the last two sizes", rows[-2:])):
        n = [row["neurons"] for row in some]
        found = {part: slope(n, [max(row[f"{part} s"], 1e-6) for row in some]) for part in _PARTS}
        yield {
            "section": "scale", "what": f"exponent {what}", "n·log n": slope(n, [x * math.log(x) for x in n]),
            "all": slope(n, [row["s"] for row in some]), **found,
        }  # fmt: skip


def growth_series(rows: Sequence[Row]) -> dict[str, list[tuple[float, float]]]:
    """Returns the points of a chart: seconds of all and of each part, and n·log n from the first of all."""
    measured = [row for row in rows if "neurons" in row]
    n = [row["neurons"] for row in measured]
    unit = measured[0]["s"] / (n[0] * math.log(n[0]))
    series = {"all": [(row["neurons"], row["s"]) for row in measured]}
    series["log-linear, n·log n"] = [(x, unit * x * math.log(x)) for x in n]
    for part in _PARTS:
        series[part] = [(row["neurons"], max(row[f"{part} s"], 1e-6)) for row in measured]
    return series


def slope(n: Sequence[float], seconds: Sequence[float]) -> float:
    """Returns the exponent k of ``seconds ~ n^k`` that fits best (least squares of logarithms)."""
    return float(np.polyfit(np.log(n), np.log(seconds), 1)[0])
