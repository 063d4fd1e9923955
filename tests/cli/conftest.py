"""Runs ``nmc`` in this process, in an empty folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from nmcompiler.cli.main import main

Nmc = Callable[..., "Answer"]


@dataclass(frozen=True)
class Answer:
    """What a command left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str


@pytest.fixture
def nmc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Nmc:
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> Answer:
        capsys.readouterr()
        with pytest.raises(SystemExit) as done:
            main([str(a) for a in arguments])
        said = capsys.readouterr()
        assert isinstance(done.value.code, int)
        return Answer(done.value.code, said.out, said.err)

    return call


@pytest.fixture(scope="session")
def shipped() -> Path:
    """The folder of the demo's files."""
    with resources.as_file(resources.files("nmcompiler.demo_data")) as folder:
        return folder


@pytest.fixture
def model(shipped: Path, tmp_path: Path) -> Path:
    """The shipped network in the current folder."""
    return Path(shutil.copy(shipped / "fashion_mnist_lenet.onnx", tmp_path / "net.onnx"))


@pytest.fixture
def calibration(shipped: Path, tmp_path: Path) -> Path:
    """A few calibration samples in the current folder."""
    with np.load(shipped / "calibration.npz") as arrays:
        np.savez(tmp_path / "few.npz", x=arrays["x"][:16])
    return tmp_path / "few.npz"


@pytest.fixture
def test_data(shipped: Path, tmp_path: Path) -> Path:
    """A few labelled samples in the current folder."""
    with np.load(shipped / "test.npz") as arrays:
        np.savez(tmp_path / "labelled.npz", x=arrays["x"][:20], y=arrays["y"][:20])
    return tmp_path / "labelled.npz"
