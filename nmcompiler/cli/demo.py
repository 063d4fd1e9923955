"""``nmc demo``: the whole of it on a network that is shipped."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nmcompiler.cli.options import coding_option, json_option, threads_option
from nmcompiler.cli.output import progress, say, say_json, warn, whole_file
from nmcompiler.cli.run import available_cores, verdict
from nmcompiler.errors import UsageError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

__all__ = ["command"]

_FILES = {
    "model.onnx": "fashion_mnist_lenet.onnx",
    "calibration.npz": "calibration.npz",
    "test.npz": "test.npz",
}
_LEVELS = 15
_IMAGES = 1000


@click.command("demo", short_help="Compile, prove and run a network that is shipped.")
@click.option("--target", metavar="CHIP|FILE.toml", help="A chip.  [one that stands for no product]")
@coding_option
@threads_option
@click.option(
    "--write",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Only write model.onnx, calibration.npz and test.npz there, to repeat it by hand.",
)
@json_option
def command(
    target: str | None, coding: str | None, threads: int | None, write: Path | None, as_json: bool
) -> int:
    """Compile the shipped Fashion-MNIST network for a chip, prove it, and run 1,000 test images."""
    target = target or _options()["target"]
    if write is not None:
        _write(write)
        say("Wrote the files of the demo. Compile and run them with:")
        _say_by_hand(write, target, coding)
        return 0
    facts = _demo(target, coding, threads or available_cores())
    for sentence in facts["compile"]["warnings"]:
        warn(sentence)
    if as_json:
        say_json(facts)
    else:
        from nmcompiler.report.text import demo_text

        say(demo_text(facts["compile"], facts["run"]), "")
        say("The same by hand, on files that nmc demo --write FOLDER puts there:")
        _say_by_hand(Path("FOLDER"), target, coding)
    return verdict(facts["run"])


def _demo(target: str, coding: str | None, threads: int) -> dict[str, Any]:
    """Returns the object of ``demo --json``."""
    from nmcompiler.codings import coding as coding_of
    from nmcompiler.compiler import compile_model, run_program
    from nmcompiler.frontend.data import read_samples
    from nmcompiler.plan import CompileOptions
    from nmcompiler.registry import find_target

    _, chip = find_target(target)
    code = coding_of(coding or chip.codings[0])
    options = CompileOptions(levels=_LEVELS if code.windowed else None)
    with (
        resources.as_file(_shipped("model.onnx")) as model,
        resources.as_file(_shipped("calibration.npz")) as calibration,
        resources.as_file(_shipped("test.npz")) as test,
        progress() as show,
    ):
        made = compile_model(model, target, code.name, calibration, options, show)
        outcome = run_program(
            made.program,
            read_samples(test, made.program.inputs).first(_IMAGES),
            threads=threads,
            progress=show,
        )
    return {"schema": "nmcompiler.demo/1", "compile": dict(made.facts), "run": dict(outcome.facts)}


def _options() -> dict[str, Any]:
    """Returns the options with which the demo compiles where none are given."""
    return tomllib.loads(resources.files("nmcompiler.demo_data").joinpath("demo.toml").read_text("utf-8"))


def _shipped(name: str) -> Traversable:
    return resources.files("nmcompiler.demo_data").joinpath(_FILES[name])


def _write(folder: Path) -> None:
    """Writes the files of the demo, never over others."""
    taken = [name for name in _FILES if (folder / name).exists()]
    if taken:
        raise UsageError(f"'{folder / taken[0]}' exists already", hint="choose a new folder")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"'{folder}' is a file", allowed="a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"the folder '{folder}' cannot be made ({error.strerror})", hint="choose another folder"
        ) from None
    for name in _FILES:
        with whole_file(folder / name) as part:
            part.write_bytes(_shipped(name).read_bytes())


def _say_by_hand(folder: Path, target: str, coding: str | None) -> None:
    """Prints the two commands that do what the demo does."""
    from nmcompiler.report.text import uncut

    code = "" if coding is None else f" --coding {coding}"
    made = folder / "demo.nmc"
    say(
        uncut(f"  nmc compile {folder / 'model.onnx'} --target {target}{code} \\"),
        uncut(f"      --calibration {folder / 'calibration.npz'} -o {made}"),
        uncut(f"  nmc run {made} --input {folder / 'test.npz'}"),
    )
