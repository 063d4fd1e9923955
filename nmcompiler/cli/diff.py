"""``nmc diff``: what changed between two programs."""

from __future__ import annotations

from pathlib import Path

import click

from nmcompiler.cli.options import FILE, json_option
from nmcompiler.cli.output import complain, say, say_json

__all__ = ["command"]


@click.command(
    "diff",
    short_help="Show what changed between two programs.",
    epilog="""\b
KEY is the path of a number in the object of --json, for example:
  nmc diff before.nmc after.nmc --fail-above cores.used=0 \\
      --fail-above placement.cost=5% --fail-above layers.conv1.synapse_bits=8192""",
)
@click.argument("before", type=FILE, metavar="A.nmc")
@click.argument("after", type=FILE, metavar="B.nmc")
@click.option(
    "--fail-above",
    "ceilings",
    multiple=True,
    metavar="KEY=N|KEY=N%",
    help="Exit with 1 where a number of B is above that of A by more than N, or N percent; "
    "may be given several times.",
)
@click.option(
    "--fail-below",
    "floors",
    multiple=True,
    metavar="KEY=N|KEY=N%",
    help="The same for numbers that should not fall, such as time.samples_per_second.",
)
@click.option("--same-network", is_flag=True, help="Exit with 1 where B is not the integer network of A.")
@click.option("--all", "every", is_flag=True, help="Show every change of a layer, not only the largest.")
@json_option
def command(
    before: Path,
    after: Path,
    ceilings: tuple[str, ...],
    floors: tuple[str, ...],
    same_network: bool,
    every: bool,
    as_json: bool,
) -> int:
    """Show what changed from program A.nmc to program B.nmc: sizes, cores, placement, time and layers.

    Also says whether both hold the same integer network: shapes, levels, weights, thresholds and biases,
    compared number by number. Differences alone leave the exit code 0; a budget that is broken makes it 1.
    """
    from nmcompiler.program.container import load
    from nmcompiler.report.budget import Budget
    from nmcompiler.report.diff import diff_facts
    from nmcompiler.report.diff_text import broken_sentence, diff_text

    asked = [
        *(Budget.read(text, "above") for text in ceilings),
        *(Budget.read(text, "below") for text in floors),
    ]
    facts = diff_facts(load(before), load(after), files=(str(before), str(after)))
    facts = {**facts, "budget": [budget.check(facts) for budget in asked]}
    if as_json:
        say_json(facts)
    else:
        say(diff_text(facts, every=every))
    broken = [broken_sentence(entry) for entry in facts["budget"] if not entry["ok"]]
    if same_network and not facts["network"]["same"]:
        known = "is not" if facts["network"]["same"] is False else "is not known to be"
        broken.append(f"'{after}' {known} the integer network of '{before}'")
    for sentence in broken:
        complain(sentence)
    return int(bool(broken))
