"""The entry of ``nmc``: runs a subcommand, and turns every error into one line and an exit code.

Imports of other modules stand inside the guard, so that Ctrl-C gets its one line from the first moment on.
"""

from __future__ import annotations

import io
import os
import sys

TYPE_CHECKING = False  # as in ``typing``, which takes a while to import
if TYPE_CHECKING:
    from collections.abc import Sequence

    import click

__all__ = ["main"]


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
            import traceback

            traceback.print_exc()
        from nmcompiler.cli.output import complain

        code, sentence = _explain(error)
        complain(sentence)
        return code


def _invoke(arguments: list[str]) -> int:
    """Runs a command; the value that it returns is the exit code."""
    import click

    from nmcompiler.cli.commands import nmc

    try:
        with nmc.make_context("nmc", arguments) as context:
            code = nmc.invoke(context)
    except click.exceptions.Exit as done:  # --help and --version
        code = done.exit_code
    sys.stdout.flush()
    return int(code or 0)


def _explain(error: BaseException) -> tuple[int, str]:
    """Returns the exit code of an error and the sentence for it."""
    import click

    from nmcompiler.errors import NmcError

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
    import click

    from nmcompiler.errors import nearest

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
