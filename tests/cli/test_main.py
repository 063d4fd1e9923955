from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nmcompiler.cli import targets as targets_command
from nmcompiler.errors import BackendFault, DoesNotFit, NotVerified

COMMANDS = ("demo", "check", "compile", "inspect", "run", "diff", "compare", "targets", "backends")


def test_help_lists_every_command(nmc: Any) -> None:
    answer = nmc("--help")
    assert answer.code == 0
    assert all(f"\n  {name} " in answer.out for name in COMMANDS)
    assert nmc().out == answer.out
    assert "\n    nmc check MODEL.onnx    what compiles" in answer.out  # a line of its own


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(nmc: Any, name: str) -> None:
    answer = nmc(name, "-h")
    assert answer.code == 0
    assert answer.out.startswith(f"Usage: nmc {name}")


def test_version_is_that_of_the_package(nmc: Any) -> None:
    assert nmc("--version").out.startswith("nmcompiler ")


def test_help_imports_none_of_the_heavy_libraries() -> None:
    script = (
        "import sys\n"
        "from nmcompiler.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'numba', 'onnx', 'onnxruntime', 'networkx', 'rich'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("module", ["click", "nmcompiler.cli.commands", "nmcompiler.errors", "numpy"])
def test_an_interrupt_while_modules_are_imported_is_one_line(module: str) -> None:
    script = (
        "import sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, path, target=None):\n"
        f"        if name == {module!r}:\n"
        "            sys.meta_path.remove(self)\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "from nmcompiler.cli.main import main\n"
        "main(['targets'])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "error: interrupted\n")


def test_the_package_is_a_module_that_runs() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nmcompiler", "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: nmc")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("compil",), "there is no command 'compil'; did you mean 'compile' or 'compare'?"),
        (("compile", "--levls", "3"), "nmc compile: there is no option '--levls'; did you mean '--levels'"),
        (("--jsn",), "nmc: there is no option '--jsn'"),
        (("inspect",), "nmc inspect: missing argument 'PROGRAM.nmc'; see nmc inspect --help"),
        (("run", __file__), "nmc run: missing option '--input'"),
        (("run", __file__, "--input", __file__, "--threads", "0"), "0 is out of range; allowed: 1 or more"),
        (("run", __file__, "--input", __file__, "--limit", "-1"), "-1 is out of range; allowed: 1 or more"),
        (("run", __file__, "--input", __file__, "--batch", "many"), "'many' is not a whole number"),
        (("targets", "loihi"), "there is no target 'loihi'; did you mean 'loihi"),
        (("targets", "--toml"), "--toml needs a chip"),
        (("targets", "loihi1", "--toml", "--json"), "--toml and --json exclude each other"),
        (("targets", "nowhere/chip.toml"), "target file 'nowhere/chip.toml' cannot be read"),
        (("check", "no.onnx"), "'no.onnx' does not exist"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_code_2(
    nmc: Any, arguments: tuple[str, ...], sentence: str
) -> None:
    answer = nmc(*arguments)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: ")
    assert answer.err.count("\n") == 1
    assert sentence in answer.err


def _raising(error: BaseException) -> Callable[..., None]:
    def work(**_: object) -> None:
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (NotVerified("the program is another network"), 1, "the program is another network"),
        (
            DoesNotFit(layer="fc", resource="neurons", used=9, limit=4, target="tiny", hint="use --chips"),
            1,
            "layer 'fc' needs 9 neurons where tiny has 4; use --chips",
        ),
        (BackendFault("backend 'acme' is broken"), 3, "backend 'acme' is broken"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (OSError(28, "No space left on device"), 1, "No space left on device"),
        (MemoryError(), 1, "out of memory;"),
        (MemoryError("unable to allocate 9 GiB"), 1, "out of memory (unable to allocate 9 GiB); try"),
        (ZeroDivisionError("x\ny"), 3, "internal error (ZeroDivisionError: x y); run again with --debug"),
    ],
)
def test_every_error_is_one_line_with_its_exit_code(
    nmc: Any, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, sentence: str
) -> None:
    monkeypatch.setattr(targets_command.command, "callback", _raising(error))
    answer = nmc("targets")
    assert (answer.code, answer.out) == (code, "")
    assert answer.err.startswith("error: ")
    assert answer.err.count("\n") == 1
    assert sentence in answer.err


@pytest.mark.parametrize("arguments", [("--debug", "targets"), ("targets", "--debug")])
def test_debug_shows_the_traceback_wherever_it_stands(
    nmc: Any, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setattr(targets_command.command, "callback", _raising(KeyError("lost")))
    answer = nmc(*arguments)
    assert answer.code == 3
    assert "Traceback" in answer.err
    assert answer.err.splitlines()[-1].startswith("error: internal error (KeyError")


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    script = (
        "import os, sys\n"
        "read, write = os.pipe()\n"
        "os.close(read)\n"
        "os.dup2(write, 1)\n"
        "from nmcompiler.cli.main import main\n"
        "main(['targets', '--json'])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_closed_stdout_is_no_error() -> None:
    script = "import sys; sys.stdout = None; from nmcompiler.cli.main import main; main(['targets'])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
