"""A small network on a crossbar, in files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nmcompiler.compiler import compile_model
from nmcompiler.program.container import save
from nmcompiler.yields.study import Study, read_study
from nmcompiler.yields.subject import Job, Setting, answer

from ..cli.conftest import inputs  # noqa: F401


@dataclass(frozen=True)
class Files:
    """Where the program and its samples lie."""

    program: Path
    data: Path
    calibration: Path


@pytest.fixture(scope="session")
def files(inputs: Path) -> Files:  # noqa: F811
    made = compile_model(inputs / "net.onnx", "pcm-crossbar", "phase", inputs / "few.npz")
    save(made.program, inputs / "net.nmc")
    x = np.random.default_rng(2).uniform(0, 1, (60, 1, 8, 8)).astype(np.float32)
    np.savez(inputs / "data.npz", x=x, y=np.arange(60) % 5)
    return Files(inputs / "net.nmc", inputs / "data.npz", inputs / "few.npz")


@pytest.fixture(scope="session")
def study(files: Files) -> Study:
    return read_study(files.program, files.data)


def here(setting: Setting, jobs: list[Job]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Does jobs in this process, the last one first."""
    for number in reversed(range(len(jobs))):
        yield number, {**answer(setting, jobs[number]), "cpu_seconds": 0.0}
