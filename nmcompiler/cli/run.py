"""``nmc run``: a program on the simulated chip."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from nmcompiler.cli.options import (
    FILE,
    OUTPUT,
    SEED,
    batch_option,
    data_option,
    json_option,
    limit_option,
    threads_option,
)
from nmcompiler.cli.output import check_output, progress, say, say_json, warn, whole_file
from nmcompiler.errors import UsageError

__all__ = ["available_cores", "command", "verdict", "write_outputs"]


@click.command("run", short_help="Run a program on the simulated chip.")
@click.argument("program", type=FILE, metavar="PROGRAM.nmc")
@data_option
@limit_option
@threads_option
@batch_option
@click.option("--steps", is_flag=True, help="Step by step for all samples, where windows would do.")
@click.option("--stream", is_flag=True, help="Samples are frames of one stream: neurons send only changes.")
@click.option("--ladder", is_flag=True, help="Also compare each layer with floating point, on 64 samples.")
@click.option("--profile", is_flag=True, help="Also say how long the simulator is at each layer.")
@click.option("--energy", is_flag=True, help="Also print the receipt of time and energy, with its sources.")
@click.option(
    "--chip-seed",
    type=SEED,
    metavar="S",
    help="Draws the mismatch of a mixed-signal chip, or the order of events where none is sure.",
)
@click.option(
    "--calibration",
    type=FILE,
    metavar="DATA",
    help="Samples on which the chip of --chip-seed is trimmed; labels are not read.",
)
@click.option(
    "--compensate",
    metavar="all|none|NAMES",
    help="Methods that trim it, with commas between them.  [default: all, with --calibration]",
)
@click.option("--output", type=OUTPUT, metavar="FILE.npz", help="Write the chip's outputs y.")
@json_option
def command(
    program: Path,
    data: Path,
    limit: int | None,
    threads: int | None,
    batch: int,
    steps: bool,
    stream: bool,
    ladder: bool,
    profile: bool,
    energy: bool,
    chip_seed: int | None,
    calibration: Path | None,
    compensate: str | None,
    output: Path | None,
    as_json: bool,
) -> int:
    """Run PROGRAM.nmc on the simulator of its chip, and compare it with the network it must be.

    The exit code is 1 where the chip and the integer network differ, unless --chip-seed draws one that does.
    """
    read = (program, data) if calibration is None else (program, data, calibration)
    check_output(output, read, option="--output")
    if output is not None and output.suffix != ".npz":
        raise UsageError(f"--output is '{output}'", allowed="a name that ends with .npz")
    if calibration is None and compensate not in (None, "none"):
        raise UsageError(f"--compensate {compensate} needs samples", hint="add --calibration DATA.npz")
    from nmcompiler.compiler import run_program
    from nmcompiler.frontend.data import read_samples
    from nmcompiler.program.container import load

    loaded = load(program)
    samples = read_samples(data, loaded.inputs).first(limit)
    trimmed_on = None if calibration is None else read_samples(calibration, loaded.inputs, labels=False).x
    with progress() as show:
        outcome = run_program(
            loaded,
            samples,
            threads=threads or available_cores(),
            batch=batch,
            literal=steps,
            stream=stream,
            layers=ladder,
            timed=profile,
            chip_seed=chip_seed,
            calibration=trimmed_on,
            compensate=compensate or "all",
            progress=show,
        )
    if output is not None:
        write_outputs(output, [port.name for port in loaded.outputs], outcome.outputs)
    if as_json:
        say_json(outcome.facts)
    else:
        from nmcompiler.report.energy_text import energy_text
        from nmcompiler.report.ladder_text import ladder_text
        from nmcompiler.report.profile import profile_text
        from nmcompiler.report.text import run_text

        say(run_text(outcome.facts), *([""] if ladder else []), *ladder_text(outcome.facts["ladder"]))
        if profile:
            say("", *profile_text(outcome.facts["profile"]))
        if energy:
            say("", *energy_text(outcome.facts))
    return verdict(outcome.facts)


def available_cores() -> int:
    """Returns how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def verdict(facts: Mapping[str, Any]) -> int:
    """Returns the exit code of a run, 1 with a warning where the chip should be its network and is not."""
    if facts.get("variation"):
        return 0
    wrong = {what: facts[f"mismatched_{what}"] or 0 for what in ("outputs", "activations", "membranes")}
    if not any(wrong.values()):
        return 0
    counts = ", ".join(f"{count:,} {what}" for what, count in wrong.items())
    warn(f"the chip differs from the integer network in {counts}: do not trust this program")
    return 1


def write_outputs(path: Path, names: Sequence[str], outputs: Mapping[str, Any]) -> None:
    """Writes ``y`` for the first ONNX output and ``y__<name>`` for further ones."""
    import numpy as np

    arrays = {"y" if k == 0 else f"y__{name}": outputs[name] for k, name in enumerate(names)}
    with whole_file(path) as part, part.open("wb") as file:
        np.savez(file, **arrays)
