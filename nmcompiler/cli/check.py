"""``nmc check``: can this network be compiled, and which chips can hold it?"""

from __future__ import annotations

from pathlib import Path

import click

from nmcompiler.cli.options import COUNT, FILE, input_shape_option, json_option
from nmcompiler.cli.output import progress, say, say_json, warn

__all__ = ["command"]


@click.command("check", short_help="Say whether a network compiles, and where it fits.")
@click.argument("model", type=FILE, metavar="MODEL.onnx")
@click.option("--target", metavar="CHIP|FILE.toml", help="Only this chip.  [all chips]")
@click.option(
    "--chips",
    type=COUNT,
    metavar="N",
    help="Most chips that may be used.  [as many as needed]",
)
@input_shape_option
@json_option
def command(
    model: Path,
    target: str | None,
    chips: int | None,
    input_shapes: dict[str, tuple[int, ...]],
    as_json: bool,
) -> int:
    """Say which nodes of MODEL.onnx cannot be compiled, and which chips can hold it; no data is needed.

    The exit code is 1 where the answer is no.
    """
    from nmcompiler.checker import check_model
    from nmcompiler.registry import faults

    if target is None:
        for fault in faults().values():
            warn(fault)
    with progress() as show:
        facts = check_model(model, target, chips, show, input_shapes=input_shapes)
    for sentence in facts["warnings"]:
        warn(sentence)
    if as_json:
        say_json(facts)
    else:
        from nmcompiler.report.catalogue import check_text

        say(check_text(facts))
    return 0 if facts["ok"] else 1
