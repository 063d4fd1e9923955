"""Measures how the seconds and the memory of the mapping grow with the neurons, placement left out.

    python -m tests.benchmarks.bench_partition [--target generic-digital] [--neurons 10000 100000 … 10000000]

A chain of convolutions of 3 × 3 over 32 channels, each read by the one after the next too, on as many chips
as it takes; its maps grow with the neurons asked for. Seconds are CPU seconds: of the cut into cores, and of
the nets that these make. Memory is the largest that the process took up to then: give small networks first.
"""

from __future__ import annotations

import argparse
import math
import resource
import time

import numpy as np

from nmcompiler.codings import CODINGS
from nmcompiler.ir.cores import Traffic
from nmcompiler.ir.graph import Graph
from nmcompiler.ir.kernels import Conv, Shape
from nmcompiler.ir.network import Network, Population, PopulationGraph, Projection
from nmcompiler.mapping.needs import network_needs
from nmcompiler.mapping.nets import nets
from nmcompiler.mapping.partition import partition
from nmcompiler.registry import find_target

CHANNELS, LAYERS = 32, 6
SIZES = (10_000, 100_000, 1_000_000, 10_000_000)


def network(side: int) -> Network:
    """Returns the chain for maps of so many rows and columns."""
    graph: PopulationGraph = Graph()
    shape = side, side, CHANNELS
    names = [f"layer{i}" for i in range(LAYERS + 1)]
    for name in names:
        graph.add(population(name, shape, "input" if name == names[0] else "hidden"))
    for size, skipped in ((3, 1), (1, 2)):
        weight = np.ones((size, size, CHANNELS, CHANNELS), np.int64)
        for source, target in zip(names, names[skipped:], strict=False):
            graph.connect(source, target, Projection(Conv(weight, (1, 1), (size // 2, size // 2))))
    return Network("chain", graph, (), ())


def population(name: str, shape: Shape, role: str) -> Population:
    """Returns a population of 15 levels without biases."""
    ones = np.ones((1, 1, 1), np.int64)
    scale = np.ones(shape[2])
    return Population(name, shape, role, ones * 0, ones, 15, False, scale, scale * 0)  # type: ignore[arg-type]


def main() -> None:
    """Prints a line for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", default="generic-digital")
    parser.add_argument("--neurons", type=int, nargs="*", default=SIZES)
    given = parser.parse_args()
    chip = find_target(given.target)[1]
    titles = ("neurons", "cores", "nets", "partition s", "nets s", "MiB")
    print("".join(f"{title:>13}" for title in titles))
    for neurons in given.neurons:
        made = network(max(1, round(math.sqrt(neurons / CHANNELS / LAYERS))))
        spiking = CODINGS["phase"].convert(made, chip, input_encoding=chip.input_encodings[0])
        traffic = Traffic({p.name: np.ones((1, 1, 1)) for p in made.graph})
        needs, began = network_needs(spiking, chip), time.process_time()
        parted, cut = partition(needs, None), time.process_time()
        found, ended = nets(parted, range(len(parted.cores)), traffic), time.process_time()
        counts = (
            sum(p.population.size for p in needs.populations.values()),
            len(parted.cores),
            len(found.source),
        )
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB on Linux
        print("".join(f"{count:13,}" for count in counts), end="")
        print(f"{cut - began:13.2f}{ended - cut:13.2f}{peak:13,.0f}", flush=True)


if __name__ == "__main__":
    main()
