"""Bad input gets one clear sentence, exit code 2, nothing on stdout, and leaves no file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

CHIP = "generic-digital"


def _refused(answer: Any, folder: Path, before: set[str], *words: str) -> None:
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: ")
    assert answer.err.count("\n") == 1
    assert "internal error" not in answer.err
    for word in words:
        assert word in answer.err
    assert {p.name for p in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ("--target", "generic"),
            ("no target 'generic'", "'generic-analog' or 'generic-digital'"),
        ),
        (("--target", "no/chip.toml"), ("'no/chip.toml' cannot be read",)),
        (("--target", CHIP, "--coding", "phse"), ("no coding 'phse'", "did you mean 'phase'")),
        (("--target", "loihi1", "--coding", "phase"), ("'phase'", "generic-digital", "loihi2")),
        (("--target", CHIP, "--backend", "digitl"), ("no backend 'digitl'", "did you mean 'digital'")),
        (("--target", CHIP, "--levels", "0"), ("'--levels'", "1 to 65535")),
        (("--target", CHIP, "--weight-bits", "1"), ("--weight-bits", "2 to 8")),
        (("--target", CHIP, "--weight-bits", "9"), ("--weight-bits", "2 to 8")),
        (("--target", CHIP, "--timesteps", "8"), ("--timesteps", "phase")),
        (("--target", CHIP, "--chips", "0"), ("--chips", "'auto'")),
        (("--target", CHIP, "--chips", "some"), ("--chips", "'auto'")),
        (("--target", CHIP, "--chips", "1000"), ("chips", "16")),
        (("--target", CHIP, "--input-encoding", "graded"), ("--input-encoding", "graded")),
        (("--target", CHIP, "--input-encoding", "morse"), ("--input-encoding", "spikes")),
        (("--target", CHIP, "--seed", "-1"), ("'--seed'", "0 to")),
        (("--target", CHIP, "-o", "no/net.nmc"), ("'no/net.nmc'", "make 'no' first")),
        (("--target", CHIP, "-o", "."), ("is a folder",)),
        (("--target", CHIP, "-o", "/dev/null"), ("is a device",)),
        (("--target", CHIP, "-o", 300 * "x"), ("cannot be written", "too long")),
        (("--target", CHIP, "--levels"), ("'--levels' requires an argument", "--help")),
        (("--target", CHIP, "-o", "net.onnx"), ("would overwrite a file that is read",)),
        (("--target", CHIP, "-o", "few.npz"), ("would overwrite a file that is read",)),
        (("--target", CHIP, "--report", "net.onnx"), ("would overwrite a file that is read",)),
        (("--target", CHIP, "-o", "a", "--report", "a"), ("--report", "is also --output")),
    ],
)
def test_wrong_options_of_compile(
    nmc: Any, model: Path, calibration: Path, tmp_path: Path, options: tuple[str, ...], words: tuple[str, ...]
) -> None:
    before = {p.name for p in tmp_path.iterdir()}
    answer = nmc("compile", "net.onnx", "--calibration", "few.npz", *options)
    _refused(answer, tmp_path, before, *words)


_IMAGE = np.zeros((4, 1, 8, 8), np.float32)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"z": _IMAGE}, ("no array 'x'", "found: z")),
        ({"x": np.zeros((4, 8, 8))}, ("shape (4, 8, 8)", "(samples, 1, 8, 8)")),
        ({"x": np.zeros((0, 1, 8, 8))}, ("holds no sample",)),
        ({"x": np.full((4, 1, 8, 8), np.nan)}, ("NaN",)),
        ({"x": _IMAGE.astype(np.complex64)}, ("complex64",)),
        ({"x": _IMAGE.astype(str)}, ("dtype <U",)),
        ({"x": _IMAGE.astype(object)}, ("objects",)),
        ({"x": np.full((4, 1, 8, 8), 1e30)}, ("values up to 1e+30", "up to 1e+15")),
    ],
)
def test_wrong_calibration(
    nmc: Any, model: Path, tmp_path: Path, arrays: dict[str, Any], words: tuple[str, ...]
) -> None:
    np.savez(tmp_path / "data.npz", **arrays)
    before = {p.name for p in tmp_path.iterdir()}
    answer = nmc("compile", "net.onnx", "--target", CHIP, "--calibration", "data.npz")
    _refused(answer, tmp_path, before, "data.npz", *words)


@pytest.mark.parametrize("content", [b"", b"not an ONNX file", "half"])
def test_files_that_are_no_network(
    nmc: Any, model: Path, calibration: Path, tmp_path: Path, content: bytes | str
) -> None:
    whole = model.read_bytes()
    model.write_bytes(whole[: len(whole) // 2] if isinstance(content, str) else content)
    before = {p.name for p in tmp_path.iterdir()}
    answer = nmc("compile", "net.onnx", "--target", CHIP, "--calibration", "few.npz")
    _refused(answer, tmp_path, before, "net.onnx")
    _refused(nmc("check", "net.onnx"), tmp_path, before, "net.onnx")


@pytest.mark.parametrize("content", [b"", b"no program", b"PK\x05\x06" + 18 * b"\0"])
def test_files_that_are_no_program(nmc: Any, labelled: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "net.nmc").write_bytes(content)
    before = {p.name for p in tmp_path.iterdir()}
    _refused(nmc("inspect", "net.nmc", "--html", "a.html"), tmp_path, before, "net.nmc")
    answer = nmc("run", "net.nmc", "--input", labelled, "--output", "y.npz")
    _refused(answer, tmp_path, before, "net.nmc")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--output", "labelled.npz"), ("would overwrite a file that is read",)),
        (("--output", "y.npy"), ("ends with .npz",)),
        (("--output", "no/y.npz"), ("make 'no' first",)),
        (("--limit", "0"), ("1 or more",)),
        (("--threads", "x"), ("not a whole number",)),
        (("--output", "/dev/null"), ("is a device",)),
    ],
)
def test_wrong_options_of_run(
    nmc: Any, model: Path, labelled: Path, tmp_path: Path, options: tuple[str, ...], words: tuple[str, ...]
) -> None:
    before = {p.name for p in tmp_path.iterdir()}
    answer = nmc("run", model, "--input", "labelled.npz", *options)
    _refused(answer, tmp_path, before, *words)


@pytest.fixture
def compiled(nmc: Any, model: Path, calibration: Path) -> str:
    assert nmc("compile", model, "--target", CHIP, "--calibration", calibration, "-o", "net.nmc").code == 0
    return "net.nmc"


@pytest.mark.parametrize("label", [5, -1])
def test_a_label_that_is_no_class(nmc: Any, compiled: str, tmp_path: Path, label: int) -> None:
    np.savez(tmp_path / "data.npz", x=_IMAGE, y=[0, 4, label, 1])
    before = {p.name for p in tmp_path.iterdir()}
    answer = nmc("run", compiled, "--input", "data.npz", "--output", "y.npz")
    _refused(answer, tmp_path, before, f"holds the class {label}", "0 to 4", "counted from 0")


def test_a_chip_without_mismatch_takes_no_seed(
    nmc: Any, compiled: str, labelled: Path, tmp_path: Path
) -> None:
    before = {p.name for p in tmp_path.iterdir()}
    answer = nmc("run", compiled, "--input", labelled, "--chip-seed", "3")
    _refused(answer, tmp_path, before, "--chip-seed", CHIP)


def test_a_program_is_no_data_file(nmc: Any, compiled: str, tmp_path: Path) -> None:
    before = {p.name for p in tmp_path.iterdir()}
    answer = nmc("run", compiled, "--input", compiled)
    _refused(answer, tmp_path, before, "no array 'x'", "more)")
    assert len(answer.err) < 300


def test_a_chip_that_resets_to_zero(nmc: Any, model: Path, calibration: Path, tmp_path: Path) -> None:
    chip = nmc("targets", CHIP, "--toml").out.replace('"subtract"', '"zero"')
    (tmp_path / "chip.toml").write_text(chip)
    before = {p.name for p in tmp_path.iterdir()}
    answer = nmc("compile", model, "--target", "chip.toml", "--calibration", calibration)
    _refused(answer, tmp_path, before, "subtracts", "rate with such neurons")


def test_a_demo_folder_that_cannot_be_made(nmc: Any, model: Path, tmp_path: Path) -> None:
    before = {p.name for p in tmp_path.iterdir()}
    _refused(nmc("demo", "--write", f"{model.name}/x"), tmp_path, before, "cannot be made")
