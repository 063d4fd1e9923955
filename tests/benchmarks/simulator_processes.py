"""What must be measured in a process of its own: compilation of kernels, and the largest memory.

    python -m tests.benchmarks.simulator_processes paths FILE.nmc …
    python -m tests.benchmarks.simulator_processes one FILE.nmc IMAGES.npy

Each prints one JSON object, from which ``bench_simulator`` reads.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import nmcompiler
from nmcompiler.sim import Simulator
from tests.benchmarks.fashion_mnist import ROOT
from tests.benchmarks.timing import Times, interleaved, once

__all__ = ["compile_times", "largest"]


def compile_times(files: Sequence[Path]) -> dict[str, dict[str, float]]:
    """Returns CPU and wall seconds that kernels cost, by ``cold`` (an empty cache) and ``warm``.

    Both are seconds of the first run of every path of every program, with numba's import, less the seconds
    of a second run; ``jit`` is what the simulator itself says.
    """
    with tempfile.TemporaryDirectory() as cache:
        environment = {"NUMBA_CACHE_DIR": cache}
        return {state: _child("paths", *map(str, files), **environment) for state in ("cold", "warm")}


def largest(file: Path, image: np.ndarray) -> dict[str, float]:
    """Returns what one sample of a program takes in a new process: milliseconds and MiB of memory."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.npy"
        np.save(path, image)
        return _child("one", str(file), str(path))


def _child(*arguments: str, **environment: str) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.benchmarks.simulator_processes", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _paths(files: Sequence[str]) -> dict[str, float]:
    programs = [nmcompiler.load(file) for file in files]
    told = []

    def every_path() -> None:
        for program in programs:
            simulator, port = Simulator(program), program.inputs[0]
            for literal in (False, True):
                result = simulator.run(np.ones((1, *port.shape)), literal=literal, check=False)
                told.append(result.jit_seconds)

    first = once(every_path)
    second = once(every_path)
    return {"cpu": first.cpu - second.cpu, "wall": first.wall - second.wall, "jit": sum(told)}


def _one(file: str, image: str) -> dict[str, Any]:
    x = np.load(image)
    simulator = Simulator(nmcompiler.load(file))
    result = simulator.run(x)
    works = {
        "windowed": lambda: simulator.run(x, check=False),
        "literal": lambda: simulator.run(x, literal=True),
    }
    times: dict[str, Times] = interleaved(works, 5)
    return {
        **{f"{name} ms": 1e3 * t.cpu for name, t in times.items()},
        **{f"{name} wall ms": 1e3 * t.wall for name, t in times.items()},
        "synops": result.synops,
        "windowed": result.windowed,
        "blocks": len(simulator.program.column("n")),
        "neurons": simulator.program.neurons,
        "MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    """Does what the arguments say."""
    what, *arguments = sys.argv[1:]
    print(json.dumps(_paths(arguments) if what == "paths" else _one(*arguments)))


if __name__ == "__main__":
    main()
