"""``nmc compile``: an ONNX file becomes a placed, proved program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nmcompiler.cli.options import (
    FILE,
    OUTPUT,
    calibration_option,
    coding_option,
    compile_options,
    json_option,
)
from nmcompiler.cli.output import check_output, progress, say, say_json, warn, whole_file
from nmcompiler.errors import UsageError

if TYPE_CHECKING:
    from nmcompiler.compiler import Compilation
    from nmcompiler.plan import CompileOptions

AUTO = "auto"
"""The target that stands for the smallest chip."""

__all__ = ["command"]


@click.command(
    "compile",
    short_help="Compile an ONNX network for a chip.",
    epilog="""\b
For example:
  nmc compile net.onnx --target auto --calibration data.npz -o net.nmc""",
)
@click.argument("model", type=FILE, metavar="MODEL.onnx")
@click.option(
    "--target",
    required=True,
    metavar="CHIP|FILE.toml|auto",
    help="A chip (see nmc targets) or its file; auto takes the smallest chip that holds the network.",
)
@coding_option
@calibration_option
@click.option(
    "-o", "--output", type=OUTPUT, metavar="OUT.nmc", help="The program.  [MODEL.nmc in this folder]"
)
@compile_options
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
    from nmcompiler.plan import CompileOptions
    from nmcompiler.program.container import save

    chosen = CompileOptions(**options)
    made = (_smallest if target == AUTO else _for_target)(model, target, coding, calibration, chosen)
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

    if "choice" in made.facts:
        say(uncut(_choice_text(made.facts["choice"])), "")
    written = [path] if report is None else [path, report]
    say(compile_text(made.facts), written_text(written), uncut(f"Next: nmc run {path} --input DATA.npz"))


def _for_target(
    model: Path, target: str, coding: str | None, calibration: Path, options: CompileOptions
) -> Compilation:
    """Compiles for the chip that was named."""
    from nmcompiler.compiler import compile_model
    from nmcompiler.registry import find_target

    _, chip = find_target(target, options.backend)
    with progress() as show:
        return compile_model(model, target, coding or chip.codings[0], calibration, options, show)


def _smallest(
    model: Path, target: str, coding: str | None, calibration: Path, options: CompileOptions
) -> Compilation:
    """Compiles for the smallest chip that holds the network."""
    from nmcompiler.checker.smallest import compile_smallest
    from nmcompiler.codings import coding as coding_of
    from nmcompiler.compiler import read_inputs

    if coding is not None:
        coding_of(coding)  # a code that there is not is an error before any work
    inputs = read_inputs(model, calibration, options.input_shapes)
    with progress() as show:
        return compile_smallest(inputs, coding, options, show)


def _choice_text(choice: Mapping[str, Any]) -> str:
    """Returns which chip was taken, and what stood against the smaller ones."""
    passed = "".join(f"\n  not {over['target']}: {over['reason']}" for over in choice["passed_over"])
    return f"target auto: {choice['reason']}{passed}"


def _check_outputs(path: Path, report: Path | None, inputs: Sequence[Path]) -> None:
    """Raises where a file that is to be written cannot be, before any work is done."""
    check_output(path, inputs, option="--output")
    check_output(report, inputs, option="--report")
    if report is not None and report.resolve() == path.resolve():
        raise UsageError(f"--report '{report}' is also --output", hint="choose another name")


def _page(made: Compilation) -> str:
    from nmcompiler.report.html import render_html

    return render_html(made.program, made.facts)
