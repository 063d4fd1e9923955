"""What is run on every chip, and how one chip's answers are counted.

A setting and a job are plain dictionaries that JSON can hold: they go to other processes and machines. So do
rows, what a job comes back with.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from nmcompiler.compensate import calibration_of
from nmcompiler.digests import code_digest
from nmcompiler.errors import InputFileError, NmcError
from nmcompiler.evaluate.threads import one_blas_thread
from nmcompiler.frontend.data import Samples, read_samples
from nmcompiler.ir.kernels import Array
from nmcompiler.program.container import load
from nmcompiler.program.layout import Program
from nmcompiler.report.answers import classes, decoded
from nmcompiler.session import Calibration
from nmcompiler.sim import Simulator
from nmcompiler.yields.chips import draw

__all__ = ["Job", "Row", "Setting", "Subject", "answer", "answer_all", "setting_of", "subject_of"]

Setting: TypeAlias = dict[str, Any]
"""``files``: role → path and digest; ``limit``, ``batch``; ``code``: package → digest; ``integer``: classes
that the integer network gives, or null."""
Job: TypeAlias = dict[str, Any]
"""One chip: ``seed``; ``sources`` that vary, null for all; ``methods`` it is compensated by."""
Row: TypeAlias = dict[str, Any]
"""``correct`` and ``agree``: samples with the label's class and with the integer network's, or null."""


def setting_of(
    files: Mapping[str, Path], packages: Iterable[str], *, limit: int | None, batch: int
) -> Setting:
    """Returns what a worker must know to read all that this process reads.

    Args:
        files: ``program``, ``data`` and, where chips are compensated, ``calibration``.
        packages: Whose code decides what comes out.
        limit: Samples at most.
        batch: Samples simulated at a time.
    """
    paths = {role: path.resolve() for role, path in files.items()}
    return {
        "files": {role: {"path": str(path), "sha256": _digest(path)} for role, path in paths.items()},
        "limit": limit,
        "batch": batch,
        "code": {name: code_digest(name) for name in packages},
        "integer": None,
    }


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InputFileError(f"'{path}' cannot be read ({error.strerror})") from None


@dataclass(frozen=True, eq=False)
class Subject:
    """What is run on every chip, read once by every process.

    Attributes:
        program: The program.
        samples: What it is judged by.
        integer: ``(S,)`` classes that the integer network gives, None where it is not known.
        batch: Samples simulated at a time.
        calibration_path: Samples that chips are trimmed on.
    """

    program: Program
    samples: Samples
    integer: Array | None
    batch: int
    calibration_path: Path | None = None

    @cached_property
    def calibration(self) -> Calibration:
        """Calibration samples, with what the golden network answers to them."""
        assert self.calibration_path is not None
        samples = read_samples(self.calibration_path, self.program.inputs, labels=False)
        return calibration_of(self.program, samples.x)

    def row(self, job: Job) -> Row:
        """Runs all samples on one chip and counts its answers.

        Raises:
            NmcError: The chip cannot be made, or the samples not be run.
        """
        simulator = draw(self.program, job["seed"], job["sources"], job["methods"], lambda: self.calibration)
        found = np.concatenate([self._answers(simulator, k) for k in range(0, len(self.samples), self.batch)])
        judges = {"correct": self.samples.y, "agree": self.integer}
        return {
            name: None if judge is None else int((found == judge).sum()) for name, judge in judges.items()
        }

    def _answers(self, simulator: Simulator, start: int) -> Array:
        x = {name: values[start : start + self.batch] for name, values in self.samples.x.items()}
        return classes(decoded(self.program, [simulator.run(x).outputs])[0])


_reading = threading.Lock()  # a worker of a cluster may have several threads


def subject_of(setting: Setting) -> Subject:
    """Returns the subject of a setting; a process reads it once.

    Raises:
        InputFileError: A file is not the one that was meant, or cannot be read.
    """
    with _reading:
        return _read(json.dumps(setting, sort_keys=True))


@lru_cache(maxsize=2)
def _read(text: str) -> Subject:
    setting = json.loads(text)
    _check(setting)
    program = load(_path(setting, "program"))
    samples = read_samples(_path(setting, "data"), program.inputs).first(setting["limit"])
    integer = None if setting["integer"] is None else np.array(setting["integer"], np.int64)
    calibration = _path(setting, "calibration") if "calibration" in setting["files"] else None
    return Subject(program, samples, integer, setting["batch"], calibration)


def _path(setting: Setting, role: str) -> Path:
    return Path(setting["files"][role]["path"])


def _check(setting: Setting) -> None:
    """Raises where another process has other files or another nmcompiler, which might give other figures."""
    for package, digest in setting["code"].items():
        if code_digest(package) != digest:
            raise InputFileError(
                f"a worker has another version of {package}", hint="install the same one for all workers"
            )
    for role, file in setting["files"].items():
        if _digest(Path(file["path"])) != file["sha256"]:
            raise InputFileError(
                f"a worker finds another {role} file at '{file['path']}'",
                hint="workers read the files that the command reads, at the same paths",
            )


def answer(setting: Mapping[str, Any], job: Job) -> dict[str, Any]:
    """Returns the ``row`` of a job, or the ``error`` that kept it from one; raises nothing."""
    try:
        return {"row": subject_of(dict(setting)).row(job)}
    except NmcError as error:
        return {"error": {"kind": type(error).__name__, "sentence": str(error)}}
    except MemoryError:
        sentence = "a worker is out of memory; try fewer --workers or a smaller --batch"
        return {"error": {"kind": "MemoryError", "sentence": sentence}}
    except Exception as error:
        sentence = f"a worker failed on chip {job['seed']}: {type(error).__name__}: {error}"
        return {"error": {"kind": "BackendFault", "sentence": sentence}}


def answer_all(setting: Setting, jobs: Sequence[tuple[int, Job]]) -> list[tuple[int, dict[str, Any]]]:
    """Returns the number of each job with its answer and the seconds of CPU time of its thread."""
    found = []
    with one_blas_thread():
        for number, job in jobs:
            began = time.thread_time()
            said = answer(setting, job)
            found.append((number, said | {"cpu_seconds": time.thread_time() - began}))
    return found
