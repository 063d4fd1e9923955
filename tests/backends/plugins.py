"""Packages of backends in temporary folders, and commands that see them."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Answer:
    """What a command left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str


def python(folder: Path, *arguments: object) -> Answer:
    """Runs Python in the folder, with the packages in it."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


def nmc(folder: Path, *arguments: object) -> Answer:
    return python(folder, "-m", "nmcompiler", *arguments)


def plant(folder: Path, name: str, source: str, *, package: str | None = None) -> None:
    """Lays a package down as pip would: a module with a class ``Backend``, and its entry point."""
    package = package or f"{name}_plugin"
    (folder / f"{package}.py").write_text(source)
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[nmcompiler.backends]\n{name} = {package}:Backend\n")
