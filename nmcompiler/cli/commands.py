"""The group ``nmc`` of all subcommands."""

from __future__ import annotations

import click

from nmcompiler.cli import backends, check, compare, compile, debug, demo, diff, inspect, run, targets, yield_
from nmcompiler.errors import UsageError, nearest

__all__ = ["nmc"]


class _Commands(click.Group):
    """Subcommands; an unknown one is answered with the nearest names."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.commands and not args[0].startswith("-"):
            raise UsageError(f"there is no command '{args[0]}'", hint=nearest(args[0], self.commands))
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)  # in the order of a user's work, not of the alphabet


@click.group(
    cls=_Commands,
    commands=[
        demo.command,
        check.command,
        compile.command,
        inspect.command,
        run.command,
        diff.command,
        yield_.command,
        compare.command,
        debug.command,
        targets.command,
        backends.command,
    ],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    invoke_without_command=True,
    # click keeps the lines of a paragraph apart where it begins with a backspace character.
    epilog="""\b
Start with:
  nmc demo                see all of it on a network that is shipped
  nmc check MODEL.onnx    what compiles, and which chips can hold it
  nmc COMMAND --help      the options of a command""",
)
@click.version_option(package_name="nmcompiler", message="nmcompiler %(version)s")
@click.option(
    "--debug", is_flag=True, expose_value=False, help="Show the traceback of an error; may stand anywhere."
)
@click.pass_context
def nmc(context: click.Context) -> None:
    """Compile a trained ONNX network to a neuromorphic chip, prove the placed program, and run it."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
