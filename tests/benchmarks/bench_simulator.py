"""Measures the simulator against the limit of the machine, and against other simulators.

    python -m tests.benchmarks.bench_simulator --quick
    python -m tests.benchmarks.bench_simulator --section limit --section threads --json out.json

Sections, all in this one process, where not said otherwise:

- ``limit``: for three networks, each cut over many cores of ``generic-digital``, the flat loop of
  ``machine_limit`` and the simulator, one thread, on the same spikes. The windowed path runs every windowed
  code, the literal path the same and ``rate``. Ratios are synops per second of CPU.
- ``threads``: what the flat loop and the simulator gain from a second thread over the samples.
- ``time``: a sample in ``phase`` against onnxruntime's float network; 10,000 images; a large network (in a
  process of its own, for its memory).
- ``jit``: what compilation costs, in two new processes: with an empty cache, and with that of the first.
- ``peers``: SANA-FE, Brian2, BrainEvent and SpikingJelly, where they are installed.

Functions that are compared take turns, and medians are printed: CPU seconds of the process, which another
program on the machine disturbs little, and seconds of a clock, which it disturbs. Nothing is compiled while
a clock runs.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from nmcompiler.sim import Simulator
from tests.benchmarks.fashion_mnist import NETWORKS, official_images
from tests.benchmarks.machine_limit import run_additions
from tests.benchmarks.simulator_peers import PEERS, converted_network, layer_of
from tests.benchmarks.simulator_processes import compile_times, largest
from tests.benchmarks.simulator_programs import (
    TARGET,
    WINDOWED,
    Settings,
    Shelf,
    Subject,
    images,
    subject,
    vgg_images,
)
from tests.benchmarks.timing import Work, interleaved, once

Row = dict[str, Any]

TIMESTEPS = (4, 8, 16)
# Least shares of the limit in percent: windowed, literal, and rate by T.
WANTED: Mapping[str, float] = {"windowed": 80, "literal": 45, "rate 4": 50, "rate 8": 40, "rate 16": 40}
PEER_LAYER = "conv2"
PEER_IMAGES = 4
PEER_STEPS = (2, 4, 8, 16)


def limit(settings: Settings) -> Iterator[Row]:
    """Yields the share of the limit that one thread reaches, by network, code and path."""
    for network in settings.networks:
        for code in WINDOWED:
            asked = subject(settings, network, code)
            yield from shares(
                settings,
                {
                    "windowed": (asked, asked.simulated()),
                    "literal": (asked, asked.simulated(literal=True)),
                },
            )
        for steps in TIMESTEPS:
            asked = subject(settings, network, "rate", steps)
            yield from shares(settings, {f"rate {steps}": (asked, asked.simulated())})


def shares(settings: Settings, paths: Mapping[str, tuple[Subject, Work]]) -> Iterator[Row]:
    """Yields a row for each way to run one program, all measured in turns with the flat loop."""
    additions = next(iter(paths.values()))[0].additions
    works: dict[str, Work] = {"limit": lambda: run_additions(additions)}
    works |= {path: work for path, (_, work) in paths.items()}
    found = interleaved(works, settings.repetitions, settings.least_seconds)
    count = additions.samples
    bound = found["limit"].per(count)
    synops = additions.synops / count
    for path, (asked, _) in paths.items():
        ours = found[path].per(count * asked.copies)
        yield {
            "section": "limit",
            "what": asked.title,
            "path": path,
            "cores": len(asked.program.arrays["cores"]),
            "synops": synops,
            "additions an entry": additions.synops / len(additions.length),
            "limit Gsynop/s": synops / bound.cpu / 1e9,
            "ours Gsynop/s": synops / ours.cpu / 1e9,
            "ms": 1e3 * ours.cpu,
            "share %": 100 * bound.cpu / ours.cpu,
            "wall share %": 100 * bound.wall / ours.wall,
            "wanted %": WANTED[path],
        }


def threads(settings: Settings) -> Iterator[Row]:
    """Yields what a second thread brings: the flat loop, the simulator, and the ratio of both.

    ``CPU gain`` is twice the CPU seconds of one thread over those of both: what two free cores would give.
    """
    for network in settings.networks:
        for code, steps in (("phase", None), ("rate", 8)):
            yield gains(settings, subject(settings, network, code, steps))


def gains(settings: Settings, asked: Subject) -> Row:
    """Returns the row of one program; a call lasts ten times as long as elsewhere, so that threads pay."""
    seconds = 10 * settings.least_seconds
    rounds = max(1, round(seconds / once(lambda: run_additions(asked.additions)).wall))
    works: dict[str, Work] = {
        "limit 1": lambda: run_additions(asked.additions, 1, rounds),
        "limit 2": lambda: run_additions(asked.additions, 2, rounds),
        "ours 1": asked.simulated(threads=1),
        "ours 2": asked.simulated(threads=2),
    }
    found = interleaved(works, settings.repetitions, seconds)
    row: Row = {"section": "threads", "what": asked.title}
    for name in ("limit", "ours"):
        one, two = found[f"{name} 1"], found[f"{name} 2"]
        row[f"{name} wall gain"] = one.wall / two.wall
        row[f"{name} CPU gain"] = 2 * one.cpu / two.cpu
    for kind in ("wall", "CPU"):
        row[f"{kind} ratio"] = row[f"ours {kind} gain"] / row[f"limit {kind} gain"]
    return {**row, "wanted ratio": 0.9}


def against_float(settings: Settings) -> Iterator[Row]:
    """Yields the time of a sample in ``phase`` beside onnxruntime's, one thread, batches of 1,000."""
    x = images(1000)
    for network in settings.networks:
        simulator = Simulator(settings.shelf.program(network, "phase"))
        works: dict[str, Work] = {
            "float": float_network(network, x),
            "ours": lambda s=simulator: s.run(x, check=False),  # type: ignore[misc]
        }
        found = interleaved(works, settings.repetitions)
        bare, ours = (found[name].per(len(x)) for name in ("float", "ours"))
        yield {
            "section": "time",
            "what": f"{network}, phase against onnxruntime float",
            "float ms": 1e3 * bare.cpu,
            "ours ms": 1e3 * ours.cpu,
            "ratio": ours.cpu / bare.cpu,
            "wall ratio": ours.wall / bare.wall,
            "wanted at most": 2.5,
        }


def float_network(network: str, x: np.ndarray) -> Work:
    """Returns what runs a network in onnxruntime, one thread, all samples in one batch."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(NETWORKS[network], options, providers=["CPUExecutionProvider"])
    (port,) = session.get_inputs()
    return lambda: session.run(None, {port.name: x})


def long_runs(settings: Settings) -> Iterator[Row]:
    """Yields the seconds of many images on two threads, the check of the first samples included."""
    for network, most in (("LeNet-like", 1.5), ("ResNet-8", 6.0)):
        if network not in settings.networks:
            continue
        simulator = Simulator(settings.shelf.program(network, "phase"))
        x = many_images(settings.images)
        work: Work = lambda s=simulator, x=x: s.run(x, threads=2)  # type: ignore[misc]  # noqa: E731
        found = interleaved({"ours": work}, max(1, settings.repetitions // 3))["ours"]
        yield {
            "section": "time",
            "what": f"{network}, phase, {len(x):,} images, two threads",
            "wall s": found.wall,
            "CPU s": found.cpu,
            "wanted wall s": most * len(x) / 10_000,
        }


def many_images(count: int) -> np.ndarray:
    """Returns the official test images where they are installed, else those that ship, again and again."""
    try:
        return official_images()[0][:count]
    except SystemExit:
        return images(count)


def large(settings: Settings) -> Iterator[Row]:
    """Yields one sample of a VGG-16 shaped network, in a process of its own."""
    found = largest(settings.shelf.vgg(), vgg_images(1, seed=2))
    yield {
        "section": "time",
        "what": "VGG-16 shaped, phase, one sample",
        **found,
        "Gsynop/s": found["synops"] / found["windowed ms"] / 1e6,
        "wanted ms": 20,
        "wanted MiB": 1024,
    }


def jit(settings: Settings) -> Iterator[Row]:
    """Yields seconds of compilation of every path: all codes, windowed and literal."""
    files = [settings.shelf.path("LeNet-like", code) for code in WINDOWED]
    files.append(settings.shelf.path("LeNet-like", "rate", 8))
    for state, found in compile_times(files).items():
        yield {"section": "jit", "what": state, **found, "wanted s": {"cold": 10, "warm": 1}[state]}


def peers(settings: Settings) -> Iterator[Row]:
    """Yields the peers on one layer, beside this simulator on the whole network that the layer is part of."""
    asked = subject(settings, "LeNet-like", "phase")
    layer = layer_of(asked.program, PEER_LAYER, images(PEER_IMAGES))
    rate = asked.additions.synops * asked.copies  # synops of a call
    for name, made in PEERS.items():
        row: Row = {"section": "peers", "what": name, "synapses": len(layer.source)}
        try:
            replay = made(layer)
        except (ImportError, AttributeError) as error:  # the latter: made for another version of numpy
            yield {**row, "skipped": str(error)}
            continue
        works = {"ours": asked.simulated(), "literal": asked.simulated(literal=True), name: replay.work}
        found = interleaved(works, settings.repetitions, settings.least_seconds)
        theirs = found[name].per(replay.periods * layer.synops)
        windowed, literal = (found[path].per(rate) for path in ("ours", "literal"))
        yield {
            **row,
            "Msynop/s": 1e-6 / theirs.cpu,
            "wall Msynop/s": 1e-6 / theirs.wall,
            "ours Msynop/s": 1e-6 / windowed.cpu,
            "ours is faster": theirs.cpu / windowed.cpu,
            "ours is faster, wall": theirs.wall / windowed.wall,
            "literal is faster": theirs.cpu / literal.cpu,
            "wanted": 2 if "BrainEvent" in name else 100,
        }


def conversions(settings: Settings) -> Iterator[Row]:
    """Yields the time of a sample in ``rate`` beside SpikingJelly's converted network, one thread each."""
    x = images(250)
    row: Row = {"section": "peers"}
    try:
        theirs = converted_network("LeNet-like", x)
    except (ImportError, AttributeError) as error:
        yield {**row, "what": "SpikingJelly", "skipped": str(error)}
        return
    for steps in PEER_STEPS:
        simulator = Simulator(settings.shelf.program("LeNet-like", "rate", steps))
        works: dict[str, Work] = {
            "theirs": theirs(steps),
            "ours": lambda s=simulator: s.run(x, check=False),  # type: ignore[misc]
        }
        found = interleaved(works, settings.repetitions, settings.least_seconds)
        theirs_ms, ours_ms = (1e3 * found[name].per(len(x)).cpu for name in ("theirs", "ours"))
        yield {
            **row,
            "what": f"SpikingJelly, LeNet-like, T={steps}, float32",
            "theirs ms": theirs_ms,
            "ours ms": ours_ms,
            "ours is faster": theirs_ms / ours_ms,
            "ours is faster, wall": found["theirs"].wall / found["ours"].wall,
            "wanted": 1,
        }


SECTIONS: Mapping[str, tuple[Callable[[Settings], Iterator[Row]], ...]] = {
    "limit": (limit,),
    "threads": (threads,),
    "time": (against_float, long_runs, large),
    "jit": (jit,),
    "peers": (peers, conversions),
}


def line(row: Row) -> str:
    """Returns a row as text."""
    values = [f"{key} {_number(value)}" for key, value in row.items() if key not in ("section", "what")]
    return f"{row['section']:8} {row['what']:38} " + "; ".join(values)


def _number(value: Any) -> str:
    if not isinstance(value, int | float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"


def rows(settings: Settings, sections: tuple[str, ...]) -> Iterator[Row]:
    """Yields all rows of some sections, each printed as soon as it is known."""
    for section in sections:
        for measure in SECTIONS[section]:
            for row in measure(settings):
                print(line(row), flush=True)
                yield row


def main() -> None:
    """Prints a line for each figure, and writes all of them as JSON where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--section", choices=list(SECTIONS), action="append", help="only this section")
    parser.add_argument("--network", choices=list(NETWORKS), action="append", help="only this network")
    parser.add_argument("--quick", action="store_true", help="few repetitions, few samples")
    parser.add_argument("--programs", type=Path, help="folder in which compiled programs are kept")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where all rows are written")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.programs or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        quick = options.quick
        settings = Settings(
            shelf=Shelf(folder),
            repetitions=3 if quick else 9,
            samples=8 if quick else 16,
            least_seconds=0.02 if quick else 0.05,
            images=1000 if quick else 10_000,
            networks=tuple(options.network or NETWORKS),
        )
        print(f"{TARGET}, one line for each figure; shares and rates are of CPU time", file=sys.stderr)
        found = list(rows(settings, tuple(options.section or SECTIONS)))
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
