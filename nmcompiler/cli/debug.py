"""``nmc debug``: the first layer whose error jumps, why, and what helps."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nmcompiler.cli.options import (
    COUNT,
    FILE,
    coding_option,
    compile_options,
    data_option,
    json_option,
    threads_option,
)
from nmcompiler.cli.output import progress, say, say_json
from nmcompiler.errors import UsageError

if TYPE_CHECKING:
    from nmcompiler.diagnose.session import Recipe
    from nmcompiler.ir.progress import Progress
    from nmcompiler.program.layout import Program

__all__ = ["command"]


@click.command("debug", short_help="Find the layer that loses most, why, and what helps.")
@click.argument("subject", type=FILE, metavar="MODEL.onnx|PROGRAM.nmc")
@data_option
@click.option(
    "--calibration",
    type=FILE,
    metavar="DATA",
    help="Samples that set the scales; with a program, needed to try other options.",
)
@click.option("--target", metavar="CHIP|FILE.toml", help="A chip (see nmc targets) or its file.")
@click.option(
    "--limit", type=COUNT, default=256, show_default=True, metavar="N", help="Only the first N samples."
)
@coding_option
@compile_options
@threads_option
@json_option
def command(
    subject: Path,
    data: Path,
    calibration: Path | None,
    target: str | None,
    limit: int,
    threads: int | None,
    as_json: bool,
    **options: Any,
) -> int:
    """Run all stages of a network or a program, find the first layer whose error jumps, and say why.

    Causes are found by redoing that layer with one thing removed at a time; what is proposed was compiled
    and run before. The exit code is 1 where a program is not its network.
    """
    from nmcompiler.cli.run import available_cores
    from nmcompiler.diagnose.session import debug_program
    from nmcompiler.frontend.data import read_samples

    with progress() as show:
        if zipfile.is_zipfile(subject):
            program, recipe = _program(subject, calibration, {"target": target, **options})
        else:
            program, recipe = _compiled(subject, calibration, target, options, show)
        samples = read_samples(data, program.inputs).first(limit)
        facts = debug_program(
            program, samples, recipe=recipe, threads=threads or available_cores(), progress=show
        )
    if as_json:
        say_json(facts)
    else:
        from nmcompiler.report.debug_text import debug_text

        say(debug_text(facts))
    return int(facts["verdict"]["kind"] == "program")


def _compiled(
    model: Path, calibration: Path | None, target: str | None, options: dict[str, Any], show: Progress
) -> tuple[Program, Recipe]:
    """Returns the program of a model and how it was compiled."""
    for name, given in (("--target", target), ("--calibration", calibration)):
        if given is None:
            raise UsageError(f"a model needs {name} to be debugged", hint="or give a compiled PROGRAM.nmc")
    assert target is not None
    assert calibration is not None
    from nmcompiler.compiler import compile_inputs, read_inputs
    from nmcompiler.diagnose.session import Recipe
    from nmcompiler.plan import CompileOptions, plan_of
    from nmcompiler.registry import find_target

    code = options.pop("coding")
    chosen = CompileOptions(**options)
    _, chip = find_target(target, chosen.backend)
    code = code or chip.codings[0]
    plan_of(chosen, code, chip)
    inputs = read_inputs(model, calibration, chosen.input_shapes)
    made = compile_inputs(inputs, chip, code, chosen, show)
    return made.program, Recipe(inputs, chip, code, chosen, fresh=True)


def _program(path: Path, calibration: Path | None, options: dict[str, Any]) -> tuple[Program, Recipe | None]:
    """Returns a program and, where calibration samples are given, how to compile it again."""
    from nmcompiler.plan import DEFAULT_OPTIONS

    usual = vars(DEFAULT_OPTIONS)
    given = [name for name, value in options.items() if (value or None) != (usual.get(name) or None)]
    if given:
        raise UsageError(
            f"--{given[0].replace('_', '-')} does not apply to a program, which is compiled already",
            hint="give the ONNX file instead",
        )
    from nmcompiler.program.container import load

    program = load(path)
    if calibration is None or program.source is None:
        return program, None
    from nmcompiler.compiler import read_inputs
    from nmcompiler.diagnose.session import Recipe, options_of

    inputs = read_inputs(program.source, calibration)
    return program, Recipe(inputs, program.target, program.coding, options_of(program))
