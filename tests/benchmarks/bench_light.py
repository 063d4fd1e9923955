"""Prints whether the ``light_*`` networks of the onnx package place on a chip, and at what time and memory.

    python -m tests.benchmarks.bench_light
    python -m tests.benchmarks.bench_light --target loihi2 --only squeezenet vgg19 --json

The files hold nine real architectures (AlexNet to VGG-19, inputs of 224 × 224) with constants for weights:
what they answer means nothing, but they are read, quantised, cut into cores and placed like any other.
Every network runs in a process of its own, so that its peak memory is its own. Seconds are those of the whole
compilation up to the placed cores, by stage, without the start of Python; CPU seconds tell what of them a
machine that others use has added. What comes after, the program and its proof, is not covered. Calibration
samples are random.

A network that does not place says why in one sentence. One that takes more than 60 s or 6 GiB has ``over`` in
its last column.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from nmcompiler.compiler import place
from nmcompiler.errors import NmcError
from nmcompiler.frontend.reader import read_model_bytes, read_source
from nmcompiler.mapping.needs import network_needs
from nmcompiler.plan import CompileOptions
from nmcompiler.registry import find_target

FOLDER = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
NETWORKS = tuple(sorted(path.stem.removeprefix("light_") for path in FOLDER.glob("light_*.onnx")))
MOST_SECONDS, MOST_MIB = 60, 6 * 1024
STAGES = ("read", "quantise", "partition", "placement")
CONSTANTS = ("Constant", "ConstantOfShape", "Unsqueeze")  # nodes that only make weights in these files


class Clock:
    """Seconds of each stage; one begins when the compiler first says that it is at work on it."""

    def __init__(self) -> None:
        self.began = time.perf_counter(), time.process_time()
        self.starts = {"read": self.began[0]}

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Takes what the compiler reports."""
        if stage in STAGES:
            self.starts.setdefault(stage, time.perf_counter())

    def total(self) -> dict[str, float]:
        """Returns the seconds up to now, on the wall and of the processor."""
        wall, cpu = self.began
        return {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}

    def stages(self) -> dict[str, float]:
        """Returns the seconds of each stage that was reached, up to now."""
        times = [*self.starts.values(), time.perf_counter()]
        return {stage: round(b - a, 2) for stage, a, b in zip(self.starts, times, times[1:], strict=False)}


def measured(name: str, target: str, code: str, samples: int) -> dict[str, Any]:
    """Returns the facts of one network, compiled up to its placed cores in this process."""
    path = FOLDER / f"light_{name}.onnx"
    operators = sum(node.op_type not in CONSTANTS for node in onnx.load(path).graph.node)
    facts: dict[str, Any] = {"network": name, "operators": operators}
    clock = Clock()
    try:
        facts |= placed(path, target, code, samples, clock)
    except (NmcError, MemoryError) as error:
        facts |= {**clock.total(), "refused": str(error) or "out of memory"}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB on Linux
    over = facts["seconds"] > MOST_SECONDS or peak > MOST_MIB
    return {**facts, "peak_mib": round(peak), "over": over, "stages": clock.stages()}


def placed(path: Path, target: str, code: str, samples: int, clock: Clock) -> dict[str, Any]:
    """Returns what a network needs once it is placed, and the seconds that it took."""
    options = CompileOptions(levels=15)
    layers = read_model_bytes(read_source(path), path.name)
    port = layers.inputs[0]
    x = np.random.default_rng(0).normal(size=(samples, *port.shape)).astype(np.float32)
    backend, chip = find_target(target)
    found = place(layers, backend, chip, code, {port.name: x}, options, clock)
    total = clock.total()
    needs = network_needs(found.spiking, chip).populations.values()
    return {
        **total,
        "neurons": sum(p.population.size for p in needs),
        "synapses": sum(int(np.broadcast_to(p.fan_in, p.shape).sum()) for p in needs),
        "cores": len(found.cores.graph),
        "lower_bound": found.cores.lower_bound,
        "chips": found.cores.chips,
    }


def in_a_process(name: str, target: str, code: str, *, samples: int, timeout: float) -> dict[str, Any]:
    """Returns the facts of one network from a process of its own; one that dies is a refusal too."""
    ask = (sys.executable, "-m", "tests.benchmarks.bench_light", "--one", name)
    options = ("--target", target, "--coding", code, "--samples", str(samples))
    try:
        done = subprocess.run([*ask, *options], capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        return {"network": name, "refused": f"not placed after {timeout:g} s", "over": True}
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return {"network": name, "refused": f"ended with {done.returncode}: {last}", "over": True}
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts


def line(facts: dict[str, Any]) -> str:
    """Returns the line of one network in the table."""
    start = f"{facts['network']:14}{facts.get('operators', 0):5}"
    seconds = f"{facts.get('seconds', 0):8.1f}{facts.get('cpu_seconds', 0):8.1f}"
    time_and_memory = f"{seconds}{facts.get('peak_mib', 0):7}"
    end = "  over" if facts["over"] else ""
    if "refused" in facts:
        return f"{start}{'':48}{time_and_memory}{end}  {facts['refused']}"
    counts = f"{facts['neurons']:12,}{facts['synapses']:16,}{facts['cores']:7,}{facts['lower_bound']:7,}"
    return f"{start}{counts}{facts['chips']:6}{time_and_memory}{end}"


def main() -> None:
    """Measures every network and says how many place within the limits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", default="loihi2")
    parser.add_argument("--coding", default="phase")
    parser.add_argument("--samples", type=int, default=2)
    parser.add_argument("--timeout", type=int, default=600)
    parser.add_argument("--only", nargs="*", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", choices=NETWORKS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    warnings.simplefilter("ignore", RuntimeWarning)  # constant weights let values grow beyond any use
    if given.one:
        print(json.dumps(measured(given.one, given.target, given.coding, given.samples)))
        return
    counts = ("neurons", 12), ("synapses", 16), ("cores", 7), ("bound", 7), ("chips", 6)
    titles = (*counts, ("wall s", 8), ("CPU s", 8), ("MiB", 7))
    if not given.json:
        print(f"{'network':14}{'ops':>5}" + "".join(f"{title:>{width}}" for title, width in titles))
    rows = []
    for name in given.only:
        made = in_a_process(name, given.target, given.coding, samples=given.samples, timeout=given.timeout)
        rows.append(made)
        if not given.json:
            print(line(rows[-1]), flush=True)
    within = sum(not ("refused" in row or row["over"]) for row in rows)
    if given.json:
        print(json.dumps({"target": given.target, "networks": rows, "within": within}, indent=2))
    else:
        print(f"{within} of {len(rows)} place within {MOST_SECONDS} s and {MOST_MIB // 1024} GiB")


if __name__ == "__main__":
    main()
