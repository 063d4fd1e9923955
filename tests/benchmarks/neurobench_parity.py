"""Prints the figures of the neurobench package beside those of `nmc run --json`; exits with 1 if any differ.

    pip install -e '.[bench]'
    python -m tests.benchmarks.neurobench_parity --limit 100

Both see the same samples in one batch, and the same network: here the placed program on the simulated chip,
there its integer network as torch modules (``torch_network.py``). Footprints can be compared where both store
the same numbers in formats that torch has: on a chip with one core, weights of 8 bits and all other numbers
of 32. On other chips the line shows both and compares nothing: membranes of 24 bits, say, and kernels that
several cores hold.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from neurobench.benchmarks import Benchmark
from neurobench.metrics.static import ConnectionSparsity, Footprint
from neurobench.metrics.workload import ActivationSparsity, SynapticOperations
from neurobench.models import TorchModel
from onnx import helper, numpy_helper
from torch.utils.data import DataLoader, TensorDataset

from nmcompiler.compiler import compile_model
from nmcompiler.plan import CompileOptions
from nmcompiler.program.container import save
from nmcompiler.program.layout import Program
from nmcompiler.registry import find_target
from nmcompiler.target.model import BiasFormat, CoreType, Limits, Mesh, Target, ThresholdFormat
from tests.benchmarks.torch_network import Neurons, TorchNetwork

DEMO = Path(__file__).resolve().parents[2] / "nmcompiler" / "demo_data"
ROUNDED = 1.01e-4  # the package rounds connection sparsity to 4 decimals of a float32
FLOATING = 1e-9


@dataclass(frozen=True)
class Case:
    """A network in a code on a chip."""

    network: str
    code: str
    chip: str = "one core"
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        asked = ", ".join(f"{name} {value}" for name, value in self.options.items())
        return f"{self.network}, {self.code}, {self.chip}" + (f" ({asked})" if asked else "")


CASES = (
    Case("mlp", "rate", options={"timesteps": 8}),
    Case("mlp", "rate", options={"timesteps": 8, "input_encoding": "spikes", "input_levels": 8}),
    Case("mlp", "rate", options={"timesteps": 8, "settle": 3, "output_levels": 8}),
    Case("mlp", "rate-sync", options={"levels": 7, "input_levels": 7}),
    Case("mlp", "ttfs", options={"levels": 7, "input_levels": 7}),
    Case("mlp", "phase"),
    Case("mlp", "graded"),
    Case("lenet", "rate", options={"timesteps": 8}),
    Case("lenet", "phase"),
    Case("lenet", "graded"),
    Case("mlp", "graded", "generic-digital"),
    Case("lenet", "rate", "generic-digital", {"timesteps": 8}),
    Case("lenet", "phase", "generic-digital"),
)


def mlp() -> bytes:
    """Returns an untrained perceptron 784-64-32-10; four in ten of its weights are 0."""
    rng = np.random.default_rng(0)
    nodes, weights, name = [helper.make_node("Flatten", ["x"], ["flat"])], [], "flat"
    sizes = (784, 64, 32, 10)
    for k, (n, m) in enumerate(pairwise(sizes)):
        w = rng.normal(0, n**-0.5, (m, n)) * (rng.random((m, n)) > 0.4)
        for key, value in ((f"w{k}", w), (f"b{k}", rng.normal(0, 0.2, m))):
            weights.append(numpy_helper.from_array(value.astype(np.float32), key))
        nodes.append(helper.make_node("Gemm", [name, f"w{k}", f"b{k}"], [f"a{k}"], transB=1))
        name = f"a{k}"
        if m != sizes[-1]:
            nodes.append(helper.make_node("Relu", [name], [f"r{k}"]))
            name = f"r{k}"
    given = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 1, 28, 28])
    result = helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", 10])
    graph = helper.make_graph(nodes, "mlp", [given], [result], weights)
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()


def chip(name: str) -> Target:
    """Returns a chip that ships, or one core for everything whose numbers have formats of torch."""
    if name != "one core":
        return find_target(name)[1]
    return replace(
        find_target("generic-digital")[1],
        name="one-core",
        core_types=(CoreType(1, Limits()),),
        mesh=Mesh(1, 1),
        max_chips=1,
        membrane_bits=32,
        threshold=ThresholdFormat(32),
        bias=BiasFormat(32),
    )


def compiled(case: Case) -> Program:
    """Returns the placed program of a case."""
    model = mlp() if case.network == "mlp" else (DEMO / "fashion_mnist_lenet.onnx").read_bytes()
    options = CompileOptions(**case.options)
    return compile_model(model, chip(case.chip), case.code, DEMO / "calibration.npz", options).program


def ours(program: Program, samples: np.ndarray) -> tuple[dict[str, Any], np.ndarray]:
    """Returns the ``neurobench`` block of ``nmc run --json``, and the outputs ``(N, n)``."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        save(program, place / "a.nmc")
        np.savez(place / "x.npz", x=samples)
        files = ["--input", "x.npz", "--output", "y.npz"]
        command = [sys.executable, "-m", "nmcompiler", "run", "a.nmc", *files, "--json"]
        done = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE)
        return flat(json.loads(done.stdout)["neurobench"]), np.load(place / "y.npz")["y"]


def theirs(program: Program, samples: np.ndarray) -> tuple[dict[str, Any], np.ndarray]:
    """Returns the package's figures of the network in torch, and its outputs ``(N, n)``."""
    assert program.golden is not None
    network = TorchNetwork(program.golden)
    model = TorchModel(network)
    model.add_activation_module(Neurons)
    x = torch.tensor(samples)
    labelled = TensorDataset(x, torch.zeros(len(x)))
    metrics = [[Footprint, ConnectionSparsity], [ActivationSparsity, SynapticOperations]]
    with torch.no_grad():
        y = network(x.double()).numpy() * program.outputs[0].scale
        found = Benchmark(model, DataLoader(labelled, batch_size=len(x)), [], [], metrics).run(quiet=True)
    figures = {
        "footprint_bytes": found["Footprint"],
        "connection_sparsity": found["ConnectionSparsity"],
        "activation_sparsity": found["ActivationSparsity"],
        "synaptic_operations": dict(found["SynapticOperations"]),
    }
    return flat(figures), y


def flat(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the figures by name, the operations beside the others."""
    simple = {name: value for name, value in figures.items() if name != "synaptic_operations"}
    return simple | figures["synaptic_operations"]


def same(name: str, a: float, b: float) -> bool:
    """Returns whether two figures are equal, up to the rounding of floats."""
    if name == "footprint_bytes":
        return a == b
    return abs(a - b) <= ROUNDED if name == "connection_sparsity" else math.isclose(a, b, rel_tol=FLOATING)


def rows(case: Case, samples: np.ndarray) -> Iterator[tuple[str, str, str, bool]]:
    """Yields name, our figure, the package's figure, and whether they agree."""
    program = compiled(case)
    (mine, y), (other, expected) = ours(program, samples), theirs(program, samples)
    for name in mine:
        shown = name == "footprint_bytes" and case.chip != "one core"
        verdict = shown or same(name, mine[name], other[name])
        yield name + " (not compared)" * shown, f"{mine[name]:,}", f"{other[name]:,}", verdict
    wrong = int((y.reshape(len(y), -1) != expected.astype(np.float32)).any(axis=1).sum())
    yield "samples whose outputs differ", str(wrong), "0", wrong == 0


def main() -> int:
    """Prints a table for each case; returns 1 where a figure differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=int, default=100, help="images of each run")
    limit = parser.parse_args().limit
    samples = np.load(DEMO / "test.npz")["x"][:limit]
    differ = 0
    for case in CASES:
        print(f"{case.title}\n  {'':32}{'nmcompiler':>22}{'neurobench':>22}")
        for name, mine, other, equal in rows(case, samples):
            differ += not equal
            print(f"  {name:32}{mine:>22}{other:>22}{'' if equal else '  DIFFERS'}", flush=True)
    print(f"{differ} figures differ in {len(CASES)} runs on {len(samples)} images")
    return int(differ > 0)


if __name__ == "__main__":
    sys.exit(main())
