"""``nmc backends``: what is installed, and what is wrong with it."""

from __future__ import annotations

from typing import Any

import click

from nmcompiler.cli.options import json_option
from nmcompiler.cli.output import say, say_json

__all__ = ["command"]


@click.command("backends", short_help="List the installed backends.")
@json_option
def command(as_json: bool) -> None:
    """List the installed backends with their chips; one that cannot be used is shown with the reason."""
    facts = _facts()
    if as_json:
        say_json(facts)
        return
    from nmcompiler.report.catalogue import backends_text

    say(backends_text(facts))


def _facts() -> dict[str, Any]:
    """Returns the object of ``backends --json``."""
    from importlib.metadata import entry_points

    from nmcompiler.registry import GROUP, backend, faults

    wrong = faults()
    found = []
    for point in sorted(entry_points(group=GROUP), key=lambda p: p.name):
        fault = wrong.get(point.name)
        found.append(
            {
                "name": point.name,
                "ok": fault is None,
                "entry_point": point.value,
                "package": point.dist.name if point.dist else None,
                "version": point.dist.version if point.dist else None,
                "targets": sorted(backend(point.name).targets()) if fault is None else [],
                "fault": fault,
            }
        )
    return {"schema": "nmcompiler.backends/1", "backends": found}
