"""Measures placement against published mappers, and prints how far it is from bounds.

    python -m tests.benchmarks.bench_mapping [--section SECTION]…
                                             [--hysmap FOLDER] [--largest NEURONS] [--plot FILE.svg]
                                             [--json FILE]

Sections are:

- ``hysmap``: the networks of the repository amineux/HySMap, which ``--hysmap`` names a folder of: files
  ``n<neurons>_s<seed>.txt`` with a line ``source rate destination,destination,…`` for each neuron. Neurons
  are divided over the m × m cores of a mesh, about as many on each, and cores are placed at once; the cost is
  that of multicast. Published means are of their own machine.
- ``layers``: networks of layers of clusters, one cluster to a core, as in "Mapping Very Large Scale Spiking
  Neuron Network to Neuromorphic Hardware" (ASPLOS 2023), drawn anew from ten seeds; the cost is Σ weight ·
  distance. The bound is that of the capacity of neighbours.
- ``ideas``: what two more ways of placing these gain, and twenty times the moves (``placement_ideas.py``).
- ``optimal``: the examples on few cores: the multicast cost against the least that any placement has.
- ``cores``: cores used against the bound (``bench_partition.py``).
- ``light``: the nine large networks of the onnx package, each in a process of its own (``bench_light.py``).
- ``baselines``: compiled networks against METIS, KaHIP and the Hilbert curve; takes the extra ``bench`` and
  some minutes (``mapping_baselines.py``).
- ``scale``: 65,536 clusters in dense layers, and the seconds of mapping networks of 10⁴ neurons to
  ``--largest``, drawn as text and into ``--plot`` (``mapping_scale.py``).

Seconds are those of the placement alone, compiled code warm.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np

from nmcompiler.ir.kernels import Array
from nmcompiler.mapping import anneal
from nmcompiler.mapping.exact_place import least_cost
from nmcompiler.mapping.nets import Nets
from nmcompiler.mapping.place import Board, place, positions
from nmcompiler.mapping.placement_bounds import placement_bounds
from nmcompiler.mapping.route import tree_sizes, unicast_cost
from nmcompiler.sim.jit import jit
from nmcompiler.testing import tiny_target
from tests.benchmarks import bench_light, bench_partition
from tests.benchmarks.charts import chart, svg
from tests.benchmarks.mapping_baselines import MODELS, baselines, calibration, compiled, ours_of
from tests.benchmarks.mapping_scale import SIZES, dense_scale, growth, growth_series
from tests.benchmarks.neuron_graph import what_travels
from tests.benchmarks.placement_ideas import Neighbours, by_independent_sets, by_layers

Row = dict[str, Any]

SECTIONS = ("hysmap", "layers", "ideas", "optimal", "cores", "baselines", "light", "scale")
# Chips whose cores hold 8,192 neurons, and 512.
GROWN = ("loihi2", "loihi1")

# Neurons and side of the mesh: seeds, published mean cost.
PUBLISHED = {
    (80, 4): ((101, 118, 135), 3543),
    (80, 5): ((102, 119, 136), 4483),
    (80, 6): ((103, 120, 137), 5325),
    (108, 4): ((129, 146, 163), 5143),
    (108, 5): ((130, 147, 164), 7022),
    (108, 6): ((131, 148, 165), 7775),
}
# Moves, seconds and the reduction that is wanted of their mean.
BUDGETS = ((100_000, 0.25, 11.0), (2_000_000, 5.0, 17.0))
# Kind, side, moves and the cost to be reached.
LAYERED = (("conv", 32, 500_000, 4_396), ("conv", 64, 280_000, 18_706), ("dense", 32, 110_000, 99_318))


def read_neurons(path: Path) -> Nets:
    """Returns one net for each neuron that reaches any: its rate, and the neurons that it reaches."""
    lines = [line.split() for line in path.read_text().splitlines() if line.strip()]
    reached = [[int(d) for d in line[2].split(",")] for line in lines]
    return Nets(
        source=np.array([int(line[0]) for line in lines], np.int64),
        spikes=np.array([float(line[1]) for line in lines]),
        start=np.cumsum([0, *map(len, reached)]).astype(np.int64),
        cores=np.array([d for ds in reached for d in ds], np.int64),
        window=np.zeros(len(lines), np.int64),
    )


def nets_of(nets: Nets, items: int) -> tuple[Array, Array]:
    """Returns where the nets of each item begin, and the nets."""
    net = np.arange(len(nets.source))
    member = np.concatenate([nets.source, nets.cores])
    pairs = np.unique(member * len(net) + np.concatenate([net, np.repeat(net, nets.degrees)]))
    item, of = np.divmod(pairs, len(net))
    return np.searchsorted(item, np.arange(items + 1)), of


def divided(nets: Nets, n: int, side: int, moves: int, seed: int = 1) -> tuple[float, float]:
    """Divides n neurons over the k cores of a mesh; returns cost and seconds.

    A core has from ⌊0.85 n/k⌋ to ⌈1.15 n/k⌉ of them.
    """
    cores = side * side
    fewest, most = int(0.85 * n / cores), int(np.ceil(1.15 * n / cores))
    spot = np.arange(n) * cores // n
    row, column = np.divmod(np.arange(cores), side)
    began = time.perf_counter()
    state = (
        (nets.source, nets.start, nets.cores, nets.spikes, *nets_of(nets, n)),
        (np.append(row[spot], 0), np.append(column[spot], 0)),
        (np.arange(cores).reshape(side, side), row, column, np.zeros(cores, np.int64), np.arange(side * 1.0)),
        (nets.window, np.zeros((0, 4)), np.zeros((0, 4, 1, 1))),
        spot,
    )
    run = jit(anneal.anneal)
    _, change = run(*state, fewest, most, 256, 0.0, 0.0, 0.0, 2, 0.5, seed)
    cost, _ = run(*state, fewest, most, moves, change, 0.03 * change, 0.0, 2, 0.5, seed + 1)
    seconds = time.perf_counter() - began
    held = np.bincount(spot, minlength=cores)
    assert fewest <= held.min() <= held.max() <= most
    return cost, seconds


def hysmap(folder: Path) -> Iterator[Row]:
    """Yields, for each budget, the reduction of the published means."""
    nets = {
        key: [read_neurons(folder / f"n{key[0]}_s{s}.txt") for s in seeds]
        for key, (seeds, _) in PUBLISHED.items()
    }
    divided(nets[80, 4][0], 80, 4, 10)
    for moves, allowed, wanted in BUDGETS:
        reductions, longest = [], 0.0
        for (neurons, side), (_, published) in PUBLISHED.items():
            found = [divided(net, neurons, side, moves) for net in nets[neurons, side]]
            mean = fmean(cost for cost, _ in found)
            reductions.append(100 * (1 - mean / published))
            longest = max(longest, *(seconds for _, seconds in found))
            yield {
                "section": "hysmap", "what": f"{neurons} neurons, {side} × {side}, {moves:,} moves",
                "published": published, "ours": mean, "lower %": reductions[-1],
            }  # fmt: skip
        yield {
            "section": "hysmap", "what": f"mean of six, {moves:,} moves", "lower %": fmean(reductions),
            "wanted lower %": wanted, "longest s": longest, "wanted s": allowed,
        }  # fmt: skip


def layered(kind: str, side: int, seed: int) -> Nets:
    """Returns ``side`` clusters in each of ``side`` layers, those of the last but one reaching none.

    Each cluster reaches the four nearest of the next layer other than the one of its own number, or all of
    them, with weights uniform in (0, 1). So drawn there are 3,660, 15,500 and 30,720 weights, as published.
    """
    offsets = range(-side, side) if kind == "dense" else (-2, -1, 1, 2)
    edges = [
        (layer * side + k, (layer + 1) * side + k + offset)
        for layer in range(side - 2)
        for k in range(side)
        for offset in offsets
        if 0 <= k + offset < side
    ]
    source, target = np.array(edges, np.int64).T
    weights = np.random.default_rng(seed).random(len(edges))
    return Nets(source.copy(), weights, np.arange(len(edges) + 1), target.copy(), np.zeros_like(source))


def layers() -> Iterator[Row]:
    """Yields mean cost and seconds of networks in layers."""
    for kind, side, moves, wanted in LAYERED:
        board = Board(tiny_target(cores=side * side, rows=side, columns=side), 1)
        cores, costs, seconds, busy, bounds = side * side, [], [], [], []
        for seed in (1, *range(1, 11)):
            nets = layered(kind, side, seed)
            began, used = time.perf_counter(), time.process_time()
            placed = place(board, [0] * cores, nets, moves=moves, seed=seed)
            seconds.append(time.perf_counter() - began)
            busy.append(time.process_time() - used)
            costs.append(unicast_cost(positions(placed, board.target), nets))
            bounds.append(placement_bounds(nets, cores, side, side).unicast_cost)
        yield {
            "section": "layers", "what": f"{kind} {side} × {side}", "mean cost": fmean(costs[1:]),
            "wanted": wanted, "bound": fmean(bounds[1:]), "s": median(seconds[1:]), "cpu s": median(busy[1:]),
            "wanted s": 0.1,
        }  # fmt: skip


def ideas() -> Iterator[Row]:
    """Yields what placements in layers gain by other ways, and by more moves, mean of three seeds."""
    for kind, side, moves, _ in LAYERED:
        board, costs = Board(tiny_target(cores=side * side, rows=side, columns=side), 1), []
        for seed in (1, 2, 3):
            nets, kinds = layered(kind, side, seed), [0] * side * side
            at, more = (
                positions(place(board, kinds, nets, moves=times * moves, seed=seed), board.target)
                for times in (1, 20)
            )
            near = Neighbours.of(nets, side * side)
            found = (at, by_layers(at, near, side), by_independent_sets(at, near, side, seed), more)
            costs.append([unicast_cost(where, nets) for where in found])
        ours, *others = np.mean(costs, axis=0).tolist()
        names = ("layers %", "independent sets %", "20 times the moves %")
        yield {
            "section": "ideas", "what": f"{kind} {side} × {side}, less by", "cost": ours,
            **{name: 100 * (1 - other / ours) for name, other in zip(names, others, strict=True)},
        }  # fmt: skip


def optimal() -> Iterator[Row]:
    """Yields what the examples cost on few cores, beside the least that any placement of these costs."""
    samples = calibration()
    for network, path in MODELS.items():
        case = compiled(path, "loihi2", "phase", samples)
        ours, cores, mesh = ours_of(case), len(case.cores.cores), case.target.mesh
        found, _ = what_travels(case.graph, ours.owner, case.expected)
        cost = float(found.spikes @ tree_sizes(ours.at, found))
        began = time.perf_counter()
        least, proved = least_cost(found, cores, mesh.rows, mesh.columns, seconds=120.0)
        yield {
            "section": "optimal", "what": f"{network}, {cores} cores of loihi2", "cost": cost,
            "least": least, "above %": 100 * (cost / least - 1), "proved": proved,
            "s": time.perf_counter() - began,
        }  # fmt: skip


def cores() -> Iterator[Row]:
    """Yields the cores of the networks of ``bench_partition``."""
    networks = (*bench_partition.NETWORKS, *bench_partition.LARGE)
    for row in bench_partition.rows(("loihi1", "loihi2"), networks, ("rate", "phase")):
        yield {"section": "cores", **row, "what": f"{row['what']} on {row['target']}"}


def light() -> Iterator[Row]:
    """Yields the networks of ``bench_light``."""
    for name in bench_light.NETWORKS:
        facts = bench_light.in_a_process(name, "loihi2", "phase", samples=2, timeout=600)
        yield {"section": "light", "what": name, **{k: v for k, v in facts.items() if k != "network"}}


def text(row: Row) -> str:
    """Returns a row as one line."""
    figures = "; ".join(f"{k} {_figure(v)}" for k, v in row.items() if k not in ("section", "what"))
    return f"{row['section']:<9} {row['what']:<40} {figures}"


def _figure(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}"
    return f"{value:,}" if isinstance(value, int) else "none" if value is None else str(value)


def scale(largest: int, plot: Path | None) -> Iterator[Row]:
    """Yields how placement and mapping grow; draws the growth when all sizes are measured."""
    yield dense_scale()
    for chip, effort in product(GROWN, ("low", "normal")):
        rows = []
        for row in growth(largest, chip=chip, effort=effort):
            rows.append(row)
            yield row
        series = growth_series(rows)
        print(chart(series))
        if plot is not None:
            file = plot.with_name(f"{plot.stem}-{chip}-{effort}{plot.suffix}")
            axes = {"x_title": f"neurons on {chip}", "y_title": f"seconds of mapping, effort {effort}"}
            file.write_text(svg(series, **axes))


def main(arguments: Sequence[str]) -> None:
    """Prints all rows."""
    parser = argparse.ArgumentParser(description="Measures placement against published mappers.")
    parser.add_argument("--section", action="append", choices=SECTIONS, help="only this section")
    parser.add_argument("--hysmap", type=Path, metavar="FOLDER", help="where the networks of HySMap are")
    parser.add_argument(
        "--largest",
        type=int,
        default=SIZES[-1],
        metavar="N",
        help="neurons of the largest network of 'scale'",
    )
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="where 'scale' draws the growth")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where all rows are written")
    given = parser.parse_args(arguments)
    asked = given.section or ["layers", *(["hysmap"] if given.hysmap else [])]
    if "hysmap" in asked and given.hysmap is None:
        parser.error(
            "the networks of HySMap are not part of this repository: --hysmap FOLDER says where they are"
        )
    if "baselines" in asked and not all(find_spec(name) for name in ("kahip", "pymetis")):
        parser.error("kahip and pymetis are not installed: pip install 'nmcompiler[bench]' brings them")
    sections: dict[str, Callable[[], Iterator[Row]]] = {
        "layers": layers,
        "hysmap": lambda: hysmap(given.hysmap),
        "ideas": ideas,
        "optimal": optimal,
        "cores": cores,
        "light": light,
        "baselines": baselines,
        "scale": lambda: scale(given.largest, given.plot),
    }
    rows = []
    for section in asked:
        for row in sections[section]():
            print(text(row), flush=True)
            rows.append(row)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
