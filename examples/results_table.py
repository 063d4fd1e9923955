"""Prints the README's table of results: networks × chips × codes, compiled, proved and run.

    python examples/results_table.py            # 1,000 images of every network, some minutes
    python examples/results_table.py --network LeNet-like --limit 50

Every row is one ``nmc compile`` and one ``nmc run``; nothing is computed here.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import nmcompiler
from nmcompiler import CompileOptions
from nmcompiler.frontend.data import read_samples

NETWORKS = (
    ("LeNet-like", "nmcompiler.demo_data:fashion_mnist_lenet.onnx"),
    ("ResNet-8", "tests/data/resnet8.onnx"),
    ("depthwise", "tests/data/mobile.onnx"),
)
RUNS = (
    ("generic-digital", "phase", CompileOptions(levels=255)),
    ("generic-digital", "phase", CompileOptions(levels=15)),
    ("generic-digital", "rate-sync", CompileOptions(levels=15)),
    ("generic-digital", "ttfs", CompileOptions(levels=15)),
    ("generic-digital", "graded", CompileOptions(levels=15)),
    ("generic-digital", "rate", CompileOptions(timesteps=16)),
    ("loihi2", "phase", CompileOptions(levels=15)),
    ("loihi1", "rate", CompileOptions(timesteps=16)),
)
HEADER = (
    "network",
    "chip",
    "code",
    "float",
    "integer",
    "chip, measured",
    "wrong outputs, activations, membranes",
    "cores (bound)",
    "steps",
    "spikes/neuron",
    "synops",
)


def rows(root: Path, limit: int, network: str | None, chip: str | None) -> Iterator[tuple[str, ...]]:
    """Yields one row of the table after another."""
    data = resources.files("nmcompiler.demo_data")
    with resources.as_file(data) as folder:
        for title, place in NETWORKS:
            if network not in (None, title):
                continue
            model = folder / place.split(":")[1] if ":" in place else root / place
            for target, code, options in RUNS:
                if chip not in (None, target):
                    continue
                made = nmcompiler.compile(model, target, code, folder / "calibration.npz", options)
                samples = read_samples(folder / "test.npz", made.program.inputs).first(limit)
                run = nmcompiler.run(made.program, samples, threads=os.cpu_count() or 1).facts
                yield row(title, code, options, made.facts, run)


def row(
    title: str, code: str, options: CompileOptions, facts: dict[str, Any], run: dict[str, Any]
) -> tuple[str, ...]:
    """Returns the cells of one compilation and its run."""
    accuracy = [f"{100 * run['accuracy'][key]:.1f} %" for key in ("float", "integer", "chip")]
    wrong = [run[f"mismatched_{what}"] for what in ("outputs", "activations", "membranes")]
    size = f"T = {options.timesteps}" if options.timesteps else f"L = {options.levels}"
    return (
        title,
        facts["target"],
        f"{code}, {size}",
        *accuracy,
        "not exact" if wrong[0] is None else ", ".join(str(w) for w in wrong),
        f"{facts['cores']['used']} ({facts['cores']['lower_bound']})",
        str(run["latency_steps"]),
        f"{run['spikes_per_neuron']:.2f}",
        f"{run['synops_per_sample'] / 1e6:.1f} M",
    )


def main() -> None:
    """Prints the table as Markdown, row by row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=int, default=1000, help="test images of each run")
    parser.add_argument("--network", choices=[title for title, _ in NETWORKS], help="only this network")
    parser.add_argument("--target", choices=sorted({target for target, *_ in RUNS}), help="only this chip")
    options = parser.parse_args()
    print("| " + " | ".join(HEADER) + " |")
    print("|" + "---|" * len(HEADER))
    root = Path(__file__).resolve().parent.parent
    for cells in rows(root, options.limit, options.network, options.target):
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
