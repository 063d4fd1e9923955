"""Prints networks × targets as Markdown: bit-exact in which code, how far off in which, or why not.

    python examples/targets_table.py                  # the example networks on every chip that is known
    python examples/targets_table.py FOLDER           # and the networks of a folder, as in real_networks.py
    python examples/targets_table.py --network MLP --target loihi1 loihi2 --limit 100

Each cell is one ``nmc compile`` and one ``nmc run`` in the first exact code of the chip that holds the
network, else in its first approximate one: *exact* means that no output, activation or membrane of any sample
differs from the integer network; on *ideal devices* nothing varies, as it would on a chip. Chips are taken
from whatever backends are installed.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from real_networks import has_classes, output_error, samples_of
from results_table import NETWORKS

import nmcompiler
from nmcompiler import CompileOptions, NmcError, Target
from nmcompiler.checker.trials import Trials
from nmcompiler.codings import coding
from nmcompiler.evaluate.onnx_runtime import run_onnx
from nmcompiler.frontend.data import Samples, read_samples
from nmcompiler.frontend.reader import read_model
from nmcompiler.registry import find_target, targets

DIGITS = {"digits MLP": "mlp", "digits, 16 inputs": "small"}


@dataclass(frozen=True, eq=False)
class Network:
    """A network with its samples; ``calibration`` holds unlabelled ones by input name."""

    title: str
    model: Path
    calibration: Mapping[str, Any]
    samples: Samples


def networks(root: Path, folder: Path | None, limit: int) -> Iterator[Network]:
    """Yields the example networks, and those of a folder."""
    with resources.as_file(resources.files("nmcompiler.demo_data")) as demo:
        for title, place in NETWORKS:
            model = demo / place.split(":")[1] if ":" in place else root / place
            yield _with_files(title, model, demo, limit)
    for title, name in DIGITS.items():
        yield _with_files(title, root / "examples/digits" / name / "model.onnx", None, limit)
    for path in sorted(folder.glob("*/model.onnx")) if folder else ():
        yield Network(path.parent.name, path, *samples_of(path.parent, limit))


def _with_files(title: str, model: Path, data: Path | None, limit: int) -> Network:
    ports, data = read_model(model).inputs, data or model.parent
    calibration = read_samples(data / "calibration.npz", ports, labels=False).x
    return Network(title, model, calibration, read_samples(data / "test.npz", ports).first(limit))


def cell(network: Network, trials: Trials, chip: Target, reasons: list[str]) -> str:
    """Returns what a chip makes of a network; where it is a no, its sentence is added to ``reasons``."""
    refusal = ""
    for code in sorted(chip.codings, key=lambda name: not coding(name).exact):
        for options in _options(chip):
            made, reason = _compiled(network, trials, chip, code, options)
            if made is not None:
                run = nmcompiler.run(made.program, network.samples, threads=os.cpu_count() or 1)
                size = "" if options.input_levels is None else f", inputs to {options.input_levels}"
                return f"{_verdict(code, run.facts)}{size}: {_quality(network, made, run)}"
            refusal = refusal or reason
    reasons.append(f"{network.title} on {chip.name}: {refusal}")
    return f"no ({len(reasons)})"


def _options(chip: Target) -> Sequence[CompileOptions]:
    """Returns the defaults, and inputs as small as dense layers read, where a chip limits those."""
    rules = chip.layer_rules
    small = [] if rules is None else [CompileOptions(input_levels=rules.dense.levels)]
    return [CompileOptions(), *small]


def _compiled(
    network: Network, trials: Trials, chip: Target, code: str, options: CompileOptions
) -> tuple[nmcompiler.Compilation | None, str]:
    """Returns the program, or the first thing that stands against it; a quick trial saves vain work."""
    outcome = trials.attempt(*find_target(chip.name), code, options)
    if not outcome.ok:
        return None, outcome.broken[0].reason
    try:
        return nmcompiler.compile(network.model, chip, code, network.calibration, options), ""
    except NmcError as error:
        return None, str(error)


def _verdict(code: str, facts: Mapping[str, Any]) -> str:
    if facts["ideal_devices"]:
        return f"ideal devices, {code}"
    wrong = [facts[f"mismatched_{what}"] for what in ("outputs", "activations", "membranes")]
    if wrong[0] is None:
        return f"≈ {code}"
    return f"exact, {code}" if not any(wrong) else f"**wrong**, {code} ({wrong})"


def _quality(network: Network, made: nmcompiler.Compilation, run: Any) -> str:
    """Returns the chip's accuracy; without labels, the share of the float network's answers, or the error."""
    if run.facts["accuracy"]["chip"] is not None:
        return f"{100 * run.facts['accuracy']['chip']:.1f} %"
    if not has_classes(made, network.samples):
        return f"error {100 * output_error(made, run.outputs, network.samples):.1f} %"
    port = made.program.outputs[0]
    wanted = run_onnx(network.model.read_bytes(), network.samples.x)[port.name]
    count = len(wanted)
    found = np.asarray(run.outputs[port.name]).reshape(count, -1)
    equal = found.argmax(axis=1) == wanted.reshape(count, -1).argmax(axis=1)
    return f"{100 * equal.mean():.1f} % of the answers"


def float_accuracy(network: Network) -> str:
    """Returns the accuracy of the first output under onnxruntime, or a dash where nobody knows the labels."""
    if network.samples.y is None:
        return "–"
    answers = next(iter(run_onnx(network.model.read_bytes(), network.samples.x).values()))
    best = answers.reshape(len(answers), -1).argmax(axis=1)
    return f"{100 * float(np.mean(best == network.samples.y)):.1f} %"


def main() -> None:
    """Prints the table row by row, and below it the reasons of every no."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", help="folder of folders with model.onnx")
    parser.add_argument("--network", nargs="+", help="only networks whose names contain one of these")
    parser.add_argument("--target", nargs="+", choices=sorted(targets()), help="only these chips")
    parser.add_argument("--limit", type=int, default=1000, help="samples of each run")
    options = parser.parse_args()
    chips = [targets()[name][1] for name in options.target or sorted(targets())]
    print("| " + " | ".join(["network", "float", *(chip.name for chip in chips)]) + " |")
    print("|" + "---|" * (2 + len(chips)))
    reasons: list[str] = []
    for network in networks(Path(__file__).resolve().parent.parent, options.folder, options.limit):
        if options.network and not any(word in network.title for word in options.network):
            continue
        trials = Trials(read_model(network.model))
        print(f"| {network.title} | {float_accuracy(network)} |", end="", flush=True)
        for chip in chips:
            print(f" {cell(network, trials, chip, reasons)} |", end="", flush=True)
        print()
    print("".join(f"\n{number}. {reason}" for number, reason in enumerate(reasons, 1)))


if __name__ == "__main__":
    main()
