"""``nmc inspect``: what a program is made of."""

from __future__ import annotations

from pathlib import Path

import click

from nmcompiler.cli.options import FILE, OUTPUT, json_option
from nmcompiler.cli.output import check_output, say, say_json, whole_file

__all__ = ["command"]


@click.command("inspect", short_help="Show the cores, layers and schedule of a program.")
@click.argument("program", type=FILE, metavar="PROGRAM.nmc")
@click.option("--all", "every", is_flag=True, help="Show every core, not only the fullest.")
@click.option("--ladder", is_flag=True, help="Also show the layers that lose most in calibration.")
@click.option("--map", "whole_map", is_flag=True, help="Draw the map of cores however large it is.")
@click.option("--html", type=OUTPUT, metavar="FILE.html", help="Also write a report for the browser.")
@json_option
def command(
    program: Path, every: bool, ladder: bool, whole_map: bool, html: Path | None, as_json: bool
) -> None:
    """Show how PROGRAM.nmc fills the chip: layers, cores, placement, schedule and what is proved."""
    check_output(html, (program,), option="--html")
    from nmcompiler.program.container import load
    from nmcompiler.report.facts import program_facts

    loaded = load(program)
    facts = {**program_facts(loaded), "schema": "nmcompiler.inspect/1"}
    if html is not None:
        from nmcompiler.report.html import render_html

        with whole_file(html) as part:
            part.write_text(render_html(loaded, facts), encoding="utf-8")
    if as_json:
        say_json(facts)
        return
    from nmcompiler.report.energy_text import expected_parts
    from nmcompiler.report.inside_text import inside_text
    from nmcompiler.report.ladder_text import ladder_text
    from nmcompiler.report.text import inspect_text, written_text

    say(inspect_text(facts, every=every), *(["", *ladder_text(facts["ladder"])] if ladder else []))
    say(*inside_text(facts, whole_map=whole_map), *expected_parts(facts))
    if html is not None:
        say(written_text([html]))
