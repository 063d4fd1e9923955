"""``nmc compile``: an ONNX file becomes a placed, proved program."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nmcompiler.cli.options import (
    COUNT,
    FILE,
    LEVELS,
    OUTPUT,
    SEED,
    Whole,
    coding_option,
    input_shape_option,
    json_option,
)
from nmcompiler.cli.output import check_output, progress, say, say_json, warn, whole_file
from nmcompiler.errors import UsageError

if TYPE_CHECKING:
    from nmcompiler.compiler import Compilation

__all__ = ["command"]


def _chips(context: click.Context, parameter: click.Parameter, value: str) -> int | None:
    """Reads ``N`` or ``auto``, which is None."""
    if value == "auto":
        return None
    if not value.isdecimal() or int(value) < 1:
        raise click.BadParameter(f"'{value}' is neither 'auto' nor a whole number of 1 or more")
    return int(value)


@click.command(
    "compile",
    short_help="Compile an ONNX network for a chip.",
    epilog="""\b
For example:
  nmc compile net.onnx --target generic-digital \\
      --calibration data.npz -o net.nmc""",
)
@click.argument("model", type=FILE, metavar="MODEL.onnx")
@click.option(
    "--target", required=True, metavar="CHIP|FILE.toml", help="A chip (see nmc targets) or its file."
)
@coding_option
@click.option(
    "--calibration",
    required=True,
    type=FILE,
    metavar="DATA",
    help="Samples that set the scales: .npz with x, or .npy; labels are never read.",
)
@click.option(
    "-o", "--output", type=OUTPUT, metavar="OUT.nmc", help="The program.  [MODEL.nmc in this folder]"
)
@click.option(
    "--levels",
    type=LEVELS,
    metavar="L",
    help="Values that a neuron can have beside 0, in all codes but rate.  [15]",
)
@click.option(
    "--weight-bits", type=COUNT, metavar="B", help="Bits of a weight, the sign included.  [the chip's]"
)
@click.option(
    "--timesteps", type=COUNT, metavar="T", help="Steps in which a neuron counts its spikes, in rate.  [16]"
)
@click.option(
    "--settle",
    type=Whole(0),
    metavar="K",
    help="Steps that a layer integrates before it may fire, in rate.  [0; T/4 where spikes have no sign]",
)
@click.option(
    "--input-levels",
    type=LEVELS,
    metavar="N",
    help="Values that an input can have beside 0.  [255; T where rate takes spikes]",
)
@click.option(
    "--input-encoding",
    type=click.Choice(["spikes", "current", "graded", "host"]),
    help="How samples enter the chip.  [the first that code and chip know]",
)
@click.option(
    "--output-levels",
    type=LEVELS,
    metavar="N",
    help="Read outputs from spikes, as values from -N to N.  "
    "[from membranes; 255, T in rate, where the chip reads none]",
)
@input_shape_option
@click.option(
    "--chips", default="auto", show_default=True, callback=_chips, metavar="N|auto", help="Chips at most."
)
@click.option("--seed", type=SEED, default=0, show_default=True, metavar="S", help="Seed of the placement.")
@click.option("--backend", metavar="NAME", help="The backend, where several know the target.")
@click.option("--verify", is_flag=True, help="Also execute every pass against the one before (slow).")
@click.option(
    "--no-source",
    "include_source",
    is_flag=True,
    default=True,
    flag_value=False,
    help="Leave the ONNX file and the integer network out of the program; runs are then not compared.",
)
@click.option("--report", type=OUTPUT, metavar="FILE.html", help="Also write a report for the browser.")
@json_option
def command(
    model: Path,
    target: str,
    coding: str | None,
    calibration: Path,
    output: Path | None,
    report: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Compile MODEL.onnx for a chip and prove that the placed program is the network."""
    path = Path(model.stem + ".nmc") if output is None else output
    _check_outputs(path, report, (model, calibration, Path(target)))
    from nmcompiler.compiler import compile_model
    from nmcompiler.plan import CompileOptions
    from nmcompiler.program.container import save
    from nmcompiler.registry import find_target

    chosen = CompileOptions(**options)
    _, chip = find_target(target, chosen.backend)
    with progress() as show:
        made = compile_model(model, target, coding or chip.codings[0], calibration, chosen, show)
    page = None if report is None else _page(made)
    save(made.program, path, include_source=chosen.include_source)
    if report is not None and page is not None:
        with whole_file(report) as part:
            part.write_text(page, encoding="utf-8")
    for sentence in made.facts["warnings"]:
        warn(sentence)
    if as_json:
        say_json(made.facts)
        return
    from nmcompiler.report.text import compile_text, uncut, written_text

    written = [path] if report is None else [path, report]
    say(compile_text(made.facts), written_text(written), uncut(f"Next: nmc run {path} --input DATA.npz"))


def _check_outputs(path: Path, report: Path | None, inputs: Sequence[Path]) -> None:
    """Raises where a file that is to be written cannot be, before any work is done."""
    check_output(path, inputs, option="--output")
    check_output(report, inputs, option="--report")
    if report is not None and report.resolve() == path.resolve():
        raise UsageError(f"--report '{report}' is also --output", hint="choose another name")


def _page(made: Compilation) -> str:
    from nmcompiler.report.html import render_html

    return render_html(made.program, made.facts)
