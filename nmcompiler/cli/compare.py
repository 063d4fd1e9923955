"""``nmc compare``: one network on many chips, in many codes and sizes."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nmcompiler.cli.options import (
    COUNT,
    FILE,
    LEVELS,
    OUTPUT,
    batch_option,
    calibration_option,
    data_option,
    input_shape_option,
    json_option,
    limit_option,
    threads_option,
)
from nmcompiler.cli.output import check_output, json_text, progress, say, say_json, warn, whole_file
from nmcompiler.cli.run import available_cores
from nmcompiler.errors import UsageError

if TYPE_CHECKING:
    from nmcompiler.comparison import Case, Journal, Subject

__all__ = ["command", "spread"]

_LISTS = ("--target", "--coding", "--levels", "--timesteps", "--weight-bits", "--output-levels")
_NEVER = ("NotVerified", "BackendFault")  # refusals that are no property of the network
_INTERRUPTED = 130


class _ListCommand(click.Command):
    """A command whose options may take several values in a row."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, spread(args, _LISTS))


def spread(arguments: Sequence[str], options: Sequence[str]) -> list[str]:
    """Returns ``--levels 3 7`` as ``--levels 3 --levels 7``, which is the form that click knows."""
    made: list[str] = []
    current: str | None = None
    fed = False
    for argument in arguments:
        name = argument.partition("=")[0]
        if argument.startswith("-") and argument != "-":
            current = name if name in options else None
            fed = "=" in argument
        elif current is not None:
            if fed:
                made.append(current)
            fed = True
        made.append(argument)
    return made


@click.command(
    "compare",
    cls=_ListCommand,
    short_help="Compare chips, codes and sizes for a network.",
    epilog="""\b
MODEL.onnx stands first, since the options with '…' take values up to the next
option. For example:
  nmc compare net.onnx --calibration data.npz --input test.npz \\
      --target CHIP OTHER --levels 7 15 --timesteps 8 16""",
)
@click.argument("model", type=FILE, metavar="MODEL.onnx")
@calibration_option
@data_option
@click.option(
    "--target", "targets", multiple=True, metavar="CHIP|FILE.toml…|all", help="Chips to compare.  [all]"
)
@click.option("--coding", "codes", multiple=True, metavar="CODE…|all", help="Codes.  [all that a chip knows]")
@click.option(
    "--levels", type=LEVELS, multiple=True, metavar="L…", help="Levels, for codes with windows.  [15]"
)
@click.option("--timesteps", type=COUNT, multiple=True, metavar="T…", help="Steps, for codes without.  [16]")
@click.option(
    "--weight-bits", type=COUNT, multiple=True, metavar="B…", help="Bits of a weight.  [the chip's]"
)
@click.option(
    "--output-levels",
    type=LEVELS,
    multiple=True,
    metavar="N…",
    help="Levels of outputs, where chip and code can read them from spikes.  [as in nmc compile]",
)
@limit_option
@threads_option
@batch_option
@input_shape_option
@click.option(
    "-o",
    "--output",
    type=OUTPUT,
    metavar="FILE.json|FILE.jsonl",
    help="FILE.json: also write the object of --json. FILE.jsonl: where finished rows are kept.  "
    "[MODEL.compare.jsonl in this folder]",
)
@json_option
def command(
    model: Path,
    calibration: Path,
    data: Path,
    targets: tuple[str, ...],
    codes: tuple[str, ...],
    levels: tuple[int, ...],
    timesteps: tuple[int, ...],
    weight_bits: tuple[int, ...],
    output_levels: tuple[int, ...],
    output: Path | None,
    as_json: bool,
    **reading: Any,
) -> int:
    """Compile MODEL.onnx for many chips, in many codes and sizes, and run all of them on the same samples.

    Finished rows are kept in a journal: the same command goes on where it was interrupted, and further chips
    or sizes are added to what is there. The exit code is 1 where no row could run or one is wrong.
    """
    journal_path = _journal_path(model, output)
    for path in (journal_path, output):
        check_output(path, (model, calibration, data), option="--output")
    from nmcompiler.comparison import Journal, Sizes, cases, comparison_facts, read_subject
    from nmcompiler.registry import faults
    from nmcompiler.report.format import counted

    if not targets or "all" in targets:
        for fault in faults().values():
            warn(fault)
    defaults = Sizes()
    sizes = Sizes(
        levels or defaults.levels,
        timesteps or defaults.timesteps,
        weight_bits or defaults.weight_bits,
        output_levels or defaults.output_levels,
    )
    planned = cases(targets or ("all",), codes or ("all",), sizes)
    journal = Journal(journal_path)
    subject = read_subject(
        model, calibration, data, **{**reading, "threads": reading["threads"] or available_cores()}
    )
    rows = _rows(subject, planned, journal)
    facts = comparison_facts(subject, rows, len(planned))
    _show(facts, output, as_json)
    if not facts["complete"]:
        done = f"{len(rows)} of {counted(len(planned), 'row')}"
        warn(f"interrupted with {done} finished; the same command goes on from there ('{journal_path}')")
        return _INTERRUPTED
    return _verdict(facts["rows"])


def _journal_path(model: Path, output: Path | None) -> Path:
    """Returns where finished rows are kept; raises where the name of the output says neither use."""
    if output is None:
        return Path(model.stem + ".compare.jsonl")
    if output.suffix not in (".json", ".jsonl"):
        raise UsageError(f"--output is '{output}'", allowed="a name that ends with .json or .jsonl")
    return output.with_suffix(".jsonl")


def _rows(subject: Subject, planned: Sequence[Case], journal: Journal) -> list[dict[str, Any]]:
    """Returns the rows in order; after Ctrl-C only those that were finished."""
    from nmcompiler.comparison import measured
    from nmcompiler.report.comparison import row_line

    rows: list[dict[str, Any]] = []
    try:
        with progress() as show:

            def named(work: str, done: int, total: int) -> None:
                if len(rows) < len(planned):
                    work = f"{len(rows) + 1}/{len(planned)} {planned[len(rows)].title}: {work}"
                show(work, done, total)

            for row in measured(subject, planned, journal, named):
                rows.append(row)
                if not sys.stderr.isatty():  # a terminal has its bar, a log wants lines
                    click.echo(f"{len(rows)}/{len(planned)} {row_line(row)}", err=True)
    except KeyboardInterrupt:
        pass  # what is finished is worth showing
    return rows


def _show(facts: Mapping[str, Any], output: Path | None, as_json: bool) -> None:
    for sentence in facts["warnings"]:
        warn(sentence)
    if as_json:
        say_json(facts)
    else:
        from nmcompiler.report.comparison import comparison_text

        say(comparison_text(facts))
    if output is not None and output.suffix == ".json" and facts["complete"]:
        with whole_file(output) as part:
            part.write_text(json_text(facts) + "\n", encoding="utf-8")


def _verdict(rows: Sequence[Mapping[str, Any]]) -> int:
    """Returns 1 where no row could run, or one is not what it should be."""
    from nmcompiler.report.format import counted

    wrong = [row for row in rows if row["exact"] is False]
    if wrong:
        warn(f"{counted(len(wrong), 'row')} differ from the integer network: do not trust these programs")
    never = any(not row["ok"] and row["refused"]["kind"] in _NEVER for row in rows)
    return int(bool(wrong) or never or not any(row["ok"] for row in rows))
