"""Measures how many cores partitions take, beside what any partition needs.

    python -m tests.benchmarks.bench_partition [--target TARGET]… [--network NETWORK]… [--coding CODE]…
                                               [--json FILE]

The networks are the three that ship, and two with random weights for images of 32 × 32: shaped like VGG-16
and like ResNet-18. ``bound`` is a number of cores that every partition needs, however layers are cut; ``by``
the resource that it follows from. The number of cores is proved to be the least where it equals the bound,
or, for up to twelve cores, where the solver finds no way to take fewer (``nmcompiler/mapping/exact.py``).
``time`` is that of the busiest cores, in ns or in operations; seconds are those of the partition alone.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import nmcompiler.backend
from nmcompiler.backend import MapOptions
from nmcompiler.compiler import compile_model
from nmcompiler.errors import NmcError
from nmcompiler.ir.cores import CoreGraph, Traffic
from nmcompiler.ir.spiking import Spiking
from nmcompiler.mapping.bounds import lower_bound, unavoidable
from nmcompiler.mapping.exact import MOST_CORES, proved_more_than
from nmcompiler.mapping.needs import NetworkNeeds, network_needs
from nmcompiler.mapping.portfolio import best, candidates, quality
from nmcompiler.registry import find_target
from nmcompiler.target.model import Target
from tests.benchmarks.fashion_mnist import DEMO, NETWORKS
from tests.benchmarks.simulator_programs import vgg, vgg_images

Row = dict[str, Any]

TARGETS = ("loihi1", "loihi2", "generic-digital")
CODES = ("rate", "phase", "ttfs", "graded")
LARGE = ("VGG-16", "ResNet-18")
WIDTHS = (64, 128, 256, 512)
WANTED = 1.1


class _Found(Exception):
    """Stops a compilation where cores are mapped.

    Args:
        spiking: The network.
        traffic: Its spikes.
    """

    def __init__(self, spiking: Spiking, traffic: Traffic) -> None:
        super().__init__()
        self.spiking = spiking
        self.traffic = traffic


def spiking_network(model: bytes, samples: np.ndarray, target: Target, code: str) -> NetworkNeeds:
    """Returns the network that the mapper is given, and what it needs."""
    kept: list[NetworkNeeds] = []

    def keep(spiking: Spiking, chip: Target, traffic: Traffic, options: MapOptions) -> CoreGraph:
        kept.append(network_needs(spiking, chip, traffic))
        raise _Found(spiking, traffic)

    real, nmcompiler.backend.map_network = nmcompiler.backend.map_network, keep
    try:
        compile_model(model, target, code, {onnx.load_from_string(model).graph.input[0].name: samples})
    except NmcError:
        if not kept:
            raise
    finally:
        nmcompiler.backend.map_network = real
    return kept[0]


def resnet18(seed: int = 0) -> bytes:
    """A network shaped like ResNet-18 for images of 32 × 32, with random weights, as an ONNX file."""
    rng, nodes, weights = np.random.default_rng(seed), list[onnx.NodeProto](), list[onnx.TensorProto]()

    def layer(op: str, name: str, inputs: Sequence[str], shape: tuple[int, ...] = (), **given: Any) -> str:
        if shape:
            values = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
            weights.append(numpy_helper.from_array(values.astype(np.float32), f"{name}.w"))
            inputs = [*inputs, f"{name}.w"]
        nodes.append(helper.make_node(op, list(inputs), [name], name=name, **given))
        return name

    def conv(name: str, source: str, shape: tuple[int, ...], stride: int = 1) -> str:
        side = shape[2]
        given = {"kernel_shape": [side, side], "strides": [stride] * 2, "pads": [side // 2] * 4}
        return layer("Conv", name, [source], shape, **given)

    last, channels = layer("Relu", "r", [conv("c", "x", (WIDTHS[0], 3, 3, 3))]), WIDTHS[0]
    for number, width in enumerate(width for width in WIDTHS for _ in range(2)):
        stride = 1 if width == channels else 2
        inner = layer("Relu", f"r{number}", [conv(f"a{number}", last, (width, channels, 3, 3), stride)])
        outer = conv(f"b{number}", inner, (width, width, 3, 3))
        skip = last if stride == 1 else conv(f"s{number}", last, (width, channels, 1, 1), stride)
        last, channels = layer("Relu", f"q{number}", [layer("Add", f"j{number}", [outer, skip])]), width
    flat = layer("Flatten", "flat", [layer("GlobalAveragePool", "pool", [last])])
    layer("Gemm", "y", [flat], (10, channels), transB=1)
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("x", ["N", 3, 32, 32]), ("y", ["N", 10]))
    ]
    graph = helper.make_graph(nodes, "resnet18", ports[:1], ports[1:], weights)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made)
    data: bytes = made.SerializeToString()
    return data


def source(network: str) -> tuple[bytes, np.ndarray]:
    """Returns a network and samples for its calibration."""
    if network in LARGE:
        return (vgg() if network == LARGE[0] else resnet18()), vgg_images(16)
    return NETWORKS[network].read_bytes(), np.load(DEMO / "calibration.npz")["x"]


def binding(needs: NetworkNeeds) -> str:
    """Returns the resource of which all cores together need most."""
    limits = [t.limits for t in needs.target.core_types]
    shares = {
        resource: amount / max(getattr(limit, resource) for limit in limits)
        for resource, amount in unavoidable(needs).items()
        if all(getattr(limit, resource) for limit in limits)
    }
    return max(shares, key=lambda resource: shares[resource], default="")


def measured(network: str, target: Target, code: str) -> Row:
    """Returns the row of one network, code and target."""
    what = f"{network}, {code}"
    row: Row = {"target": target.name, "what": what}
    needs = spiking_network(*source(network), target, code)
    bound = lower_bound(needs, target, target.max_chips)
    row |= {"bound": bound, "by": binding(needs)}
    began = time.perf_counter()
    try:
        found = quality(best(candidates(needs, None)))
    except NmcError as error:
        return row | {"refused": str(error)}
    row["s"] = time.perf_counter() - began
    proved = "bound" if found.cores == bound else ""
    if not proved and found.cores <= MOST_CORES and proved_more_than(needs, found.cores - 1):
        proved = "solver"
    return row | {
        "cores": found.cores, "ratio": found.cores / bound, "wanted": WANTED, "proved by": proved or "no",
        "time": found.time, "spikes into cores": found.traffic,
    }  # fmt: skip


def rows(targets: Sequence[str], networks: Sequence[str], codes: Sequence[str]) -> Iterator[Row]:
    """Yields the rows of all targets, networks and codes that go together."""
    for name in targets:
        _, target = find_target(name)
        for network in networks:
            for code in codes:
                # one code is enough for the large ones: codes hardly change what a core must hold
                if code in target.codings and (network not in LARGE or code == target.codings[0]):
                    yield measured(network, target, code)


def text(row: Row) -> str:
    """Returns a row as one line."""
    figures = "; ".join(
        f"{key} {value:,.4g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in row.items()
        if key not in ("target", "what")
    )
    return f"{row['target']:<16} {row['what']:<20} {figures}"


def main(arguments: Sequence[str]) -> None:
    """Prints all rows."""
    parser = argparse.ArgumentParser(description="Measures how many cores partitions take.")
    parser.add_argument("--target", action="append", help="only this target")
    parser.add_argument("--network", action="append", choices=(*NETWORKS, *LARGE), help="only this network")
    parser.add_argument("--coding", action="append", choices=CODES, help="only this code")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where all rows are written")
    given = parser.parse_args(arguments)
    found = []
    for row in rows(given.target or TARGETS, given.network or (*NETWORKS, *LARGE), given.coding or CODES):
        print(text(row), flush=True)
        found.append(row)
    if given.json:
        given.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
