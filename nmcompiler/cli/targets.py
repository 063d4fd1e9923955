"""``nmc targets``: the chips that are known, and everything that is known of one."""

from __future__ import annotations

import click

from nmcompiler.cli.options import json_option
from nmcompiler.cli.output import say, say_json, warn
from nmcompiler.errors import UsageError

__all__ = ["command"]


@click.command("targets", short_help="List the chips, or all that is known of one.")
@click.argument("chip", required=False, metavar="[CHIP|FILE.toml]")
@click.option("--toml", "as_toml", is_flag=True, help="Print the chip as a file that --target reads.")
@json_option
def command(chip: str | None, as_toml: bool, as_json: bool) -> None:
    """List the chips; with CHIP, print its limits, number formats and figures with their sources."""
    if as_toml and as_json:
        raise UsageError("--toml and --json exclude each other")
    if as_toml and chip is None:
        raise UsageError("--toml needs a chip", hint="nmc targets lists them")
    from nmcompiler.registry import faults, find_target, targets
    from nmcompiler.report.catalogue import target_text, targets_facts, targets_text
    from nmcompiler.target import target_to_toml

    if chip is None:
        found = targets()
        for fault in faults().values():
            warn(fault)
    else:
        owner, target = find_target(chip)
        found = {target.name: (owner.name, target)}
        if as_toml:
            click.echo(target_to_toml(target), nl=False)
            return
    facts = targets_facts(found)
    if as_json:
        say_json(facts)
    elif chip is None:
        say(targets_text(facts))
    else:
        say(target_text(facts["targets"][0]))
