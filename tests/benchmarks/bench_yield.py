"""Prints the wall and CPU seconds of ``nmc yield`` for the digits network on chips of three kinds.

    python -m tests.benchmarks.bench_yield
    python -m tests.benchmarks.bench_yield --chips 20 --workers 4

Kernels are compiled before anything is measured. CPU seconds are those of the command and of its workers
together, in which a machine that others use shows less than in wall seconds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

DIGITS = Path(__file__).parents[2] / "examples" / "digits" / "mlp"
CASES = (
    ("crossbar, phase", "pcm-crossbar", ("--coding", "phase")),
    ("array, phase", "generic-analog", ("--coding", "phase")),
    ("array, rate T=16", "generic-analog", ("--coding", "rate", "--timesteps", "16")),
)


def nmc(*arguments: object) -> str:
    """Runs the command line and returns what it printed."""
    command = [sys.executable, "-m", "nmcompiler", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def repeated(path: Path, samples: int, into: Path) -> Path:
    """Writes as many samples as asked for, those of a file again and again."""
    with np.load(path) as data:
        at = np.arange(samples) % len(data["x"])
        np.savez(into, **{name: values[at] for name, values in data.items()})
    return into


def main() -> None:
    """Compiles, warms up and measures each case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chips", type=int, default=100)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        data = repeated(DIGITS / "test.npz", given.samples, place / "test.npz")
        print(f"{given.chips} chips, {given.samples} samples, {given.workers} workers")
        print(f"{'':18}{'wall s':>8}{'CPU s':>8}{'mean':>9}")
        for title, target, options in CASES:
            program = place / "net.nmc"
            calibration = "--calibration", DIGITS / "calibration.npz"
            nmc("compile", DIGITS / "model.onnx", "--target", target, *options, *calibration, "-o", program)
            ask = "yield", program, "--input", data, "--workers", given.workers, "--json"
            nmc(*ask, "--chips", 2)
            began = time.perf_counter()
            facts = json.loads(nmc(*ask, "--chips", given.chips))
            wall = time.perf_counter() - began
            mean = 100 * facts["accuracy"]["mean"]
            print(f"{title:18}{wall:8.2f}{facts['cpu_seconds']:8.2f}{mean:7.2f} %")


if __name__ == "__main__":
    main()
