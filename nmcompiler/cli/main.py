"""The command ``nmc``: finds the subcommand, and turns every error into one line and an exit code."""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Sequence

import click

from nmcompiler.cli import backends, check, compare, compile, debug, demo, inspect, run, targets
from nmcompiler.cli.output import complain
from nmcompiler.errors import NmcError, UsageError, nearest

__all__ = ["main", "nmc"]


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


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs ``nmc`` on the arguments (the process's own for None) and ends the process.

    Exit codes: 0 done; 1 the answer is no (does not fit, not verified); 2 wrong input or usage; 3 a fault of
    nmcompiler or a backend; 130 interrupted; 141 the reader of the output went away.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if sys.stdout is None:  # the process was started with a closed stdout
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (it lives as long as the process)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without θ must not end the command
    sys.exit(_guarded([a for a in given if a != "--debug"], debug="--debug" in given))


def _guarded(arguments: list[str], *, debug: bool) -> int:
    """Runs a command and returns its exit code, whatever happens."""
    try:
        return _invoke(arguments)
    except BrokenPipeError:
        # Python flushes at exit, and would complain of the closed pipe once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            traceback.print_exc()
        code, sentence = _explain(error)
        complain(sentence)
        return code


def _invoke(arguments: list[str]) -> int:
    """Runs a command; the value that it returns is the exit code."""
    try:
        with nmc.make_context("nmc", arguments) as context:
            code = nmc.invoke(context)
    except click.exceptions.Exit as done:  # --help and --version
        code = done.exit_code
    sys.stdout.flush()
    return int(code or 0)


def _explain(error: BaseException) -> tuple[int, str]:
    """Returns the exit code of an error and the sentence for it."""
    if isinstance(error, NmcError):
        return error.exit_code, str(error)
    if isinstance(error, click.ClickException):
        return 2, _usage(error)
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return 130, "interrupted"
    if isinstance(error, MemoryError):
        wanted = f" ({error})" if str(error) else ""
        return 1, f"out of memory{wanted}; try fewer levels or steps, a smaller --batch, or a smaller network"
    if isinstance(error, OSError):
        place = f"'{error.filename}': " if error.filename else ""
        return 1, f"{place}the system refused a file operation ({error.strerror or error})"
    return 3, f"internal error ({type(error).__name__}: {error}); run again with --debug and report it"


def _usage(error: click.ClickException) -> str:
    """Returns click's sentence in the form of ours: the command, what is wrong, what to try."""
    text = error.format_message().strip().rstrip(".")
    text = text[:1].lower() + text[1:]
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is None:
        return f"{text}; see the command's --help"
    path = context.command_path
    if isinstance(error, click.NoSuchOption):
        known = [name for parameter in context.command.get_params(context) for name in parameter.opts]
        return f"{path}: there is no option '{error.option_name}'; {nearest(error.option_name, known)}"
    if isinstance(error, click.BadParameter) and not isinstance(error, click.MissingParameter):
        return f"{path}: {text}"
    return f"{path}: {text}; see {path} --help"
