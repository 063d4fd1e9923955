"""Compiles trained networks of others for every chip that can run them, and prints a table.

    python examples/real_networks.py FOLDER [--target loihi1 loihi2] [--levels 255 15]

FOLDER holds one folder per network with ``model.onnx`` and, where there are data, ``data.npz`` (``x``, and
``y`` where labels are known). 256 samples drawn at random, half of them where there are fewer than 512,
calibrate without their labels and are not run; the others are. Without data, samples are drawn uniformly from
0 to 255 and only agreement is reported.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import nmcompiler
from nmcompiler import CompileOptions, NmcError
from nmcompiler.codings import coding
from nmcompiler.evaluate.onnx_runtime import run_onnx
from nmcompiler.frontend.data import Samples, read_samples
from nmcompiler.frontend.reader import read_model
from nmcompiler.registry import targets

CALIBRATION = 256
RANDOM_SAMPLES = 64
HEADER = (
    "network",
    "chip",
    "code",
    "float",
    "integer",
    "chip, measured",
    "equal answers",
    "error",
    "mismatches",
    "cores (bound)",
    "steps",
)


def samples_of(folder: Path, limit: int) -> tuple[Mapping[str, Any], Samples]:
    """Returns unlabelled samples that calibrate, and other samples of the network that are run.

    Both are random numbers where the folder holds no data.
    """
    ports = read_model(folder / "model.onnx").inputs
    if (folder / "data.npz").exists():
        known = read_samples(folder / "data.npz", ports)
        calibration, others = known.split(min(CALIBRATION, len(known) // 2), seed=0)
        return calibration.x, others.draw(limit, seed=0)
    rng = np.random.default_rng(0)
    count = CALIBRATION + RANDOM_SAMPLES
    drawn = Samples({p.name: np.floor(rng.uniform(0, 256, (count, *p.shape))) for p in ports}, None)
    calibration, others = drawn.split(CALIBRATION, seed=0)
    return calibration.x, others.first(limit)


def rows(
    folder: Path, chips: list[str], levels: list[int], limit: int, refused: list[str]
) -> Iterator[tuple[str, ...]]:
    """Yields the rows of one network, and adds the reasons of those that cannot run to ``refused``."""
    calibration, samples = samples_of(folder, limit)
    for chip in chips:
        codes = targets()[chip][1].codings
        code = "phase" if "phase" in codes else codes[0]
        windowed = coding(code).windowed
        choices = [CompileOptions(levels=n) for n in levels] if windowed else [CompileOptions(timesteps=16)]
        for options in choices:
            size = f"{code}, {'L' if windowed else 'T'} = {options.levels or options.timesteps}"
            try:
                made = nmcompiler.compile(folder / "model.onnx", chip, code, calibration, options)
            except NmcError as error:
                yield folder.name, chip, size, "cannot run", *["–"] * (len(HEADER) - 4)
                refused.append(f"{folder.name} on {chip} in {size}: {error}")
                continue
            run = nmcompiler.run(made.program, samples, threads=os.cpu_count() or 1)
            yield folder.name, chip, size, *cells(made, run, samples)


def cells(made: nmcompiler.Compilation, run: Any, samples: Samples) -> tuple[str, ...]:
    """Returns the measured cells of one run."""
    facts, cores = run.facts, made.facts["cores"]
    wrong = [facts[f"mismatched_{what}"] for what in ("outputs", "activations", "membranes")]
    return (
        *(_percent(facts["accuracy"][who]) for who in ("float", "integer", "chip")),
        _percent(facts["agreement"]["integer_float"] if has_classes(made, samples) else None),
        _percent(output_error(made, run.outputs, samples)),
        "not exact" if wrong[0] is None else ", ".join(map(str, wrong)),
        f"{cores['used']} ({cores['lower_bound']})",
        str(facts["latency_steps"]),
    )


def output_error(made: nmcompiler.Compilation, outputs: Mapping[str, Any], samples: Samples) -> float:
    """Returns the root mean square error of the first output over what varies in it from sample to sample.

    1 is the error of a network that answers with the mean of each output, whatever it is shown.
    """
    port = made.program.outputs[0]
    wanted = run_onnx(made.program.source or b"", samples.x)[port.name].astype(np.float64)
    error = np.asarray(outputs[port.name], np.float64).reshape(wanted.shape) - wanted
    varies = float(np.sqrt(np.mean(np.square(wanted - wanted.mean(axis=0)))))
    return float(np.sqrt(np.mean(np.square(error)))) / (varies or 1.0)


def has_classes(made: nmcompiler.Compilation, samples: Samples) -> bool:
    """Whether the largest output is an answer: there are labels, or the network ends in a soft-max."""
    return samples.y is not None or any(op in ("Softmax", "ArgMax") for op in made.facts["host_ops"])


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


def main() -> None:
    """Prints the table as Markdown, row by row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of folders with model.onnx")
    parser.add_argument("--target", nargs="+", choices=sorted(targets()), help="only these chips")
    parser.add_argument(
        "--levels", type=int, nargs="+", default=[255, 15], help="levels of codes with windows"
    )
    parser.add_argument("--limit", type=int, default=2000, help="samples of each run")
    options = parser.parse_args()
    chips = options.target or sorted(targets())
    print("| " + " | ".join(HEADER) + " |")
    print("|" + "---|" * len(HEADER))
    refused: list[str] = []
    for folder in sorted(p.parent for p in options.folder.glob("*/model.onnx")):
        for row in rows(folder, chips, options.levels, options.limit, refused):
            print("| " + " | ".join(row) + " |", flush=True)
    print("".join(f"\n- {reason}" for reason in refused))


if __name__ == "__main__":
    main()
