"""Damaged files of every kind that the program reads, and what reading one of them comes to."""

from __future__ import annotations

import functools
import signal
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import onnx

import nmcompiler
from nmcompiler.codings import CODINGS
from nmcompiler.errors import NmcError
from nmcompiler.evaluate.float import run_float
from nmcompiler.frontend.reader import read_model
from nmcompiler.program.container import load, save
from nmcompiler.sim import Simulator
from nmcompiler.target import read_target
from nmcompiler.testing.hostile import mutated_bytes, mutated_model, mutated_program, mutated_text
from nmcompiler.testing.programs import random_program
from nmcompiler.testing.random_onnx import random_onnx

SECONDS = 10
LONGEST_SENTENCE = 20_000  # a sentence names every node that cannot be compiled
LARGE = (
    Path(nmcompiler.__file__).parent / "demo_data" / "fashion_mnist_lenet.onnx",
    Path(__file__).parent / "data" / "mobile.onnx",
    Path(__file__).parent / "data" / "resnet8.onnx",
)
KINDS = ("model bytes", "model fields", "program bytes", "program fields", "target")
_SEEDS = 40
_PROGRAMS = 12
_LARGE_SHARE = 0.05
_WORK = 10**7


@dataclass(frozen=True)
class Verdict:
    kind: str
    seed: int
    outcome: str  # read, refused, or failed
    detail: str
    seconds: float  # of processor time


class Hang(BaseException):
    """Raised by the watchdog; no handler of errors catches it."""


def judge(kind: str, seed: int, folder: Path) -> Verdict:
    """Makes the file of a seed in ``folder``, reads it as its kind is read, and says how that ended."""
    rng = np.random.default_rng((KINDS.index(kind), seed))
    data, read, suffix = _MAKERS[kind](rng)
    path = folder / f"case{suffix}"
    path.write_bytes(data)
    outcome, detail, start = "read", "", time.process_time()
    try:
        with watchdog(SECONDS), warnings.catch_warnings():
            warnings.simplefilter("error")
            read(path)
    except NmcError as error:
        outcome, detail = "refused", str(error)
        if not detail or not detail.isprintable() or len(detail) > LONGEST_SENTENCE:
            outcome = "failed"
    except Hang:
        outcome, detail = "failed", "hang"
    except Exception:
        outcome, detail = "failed", traceback.format_exc()
    return Verdict(kind, seed, outcome, detail, time.process_time() - start)


@contextmanager
def watchdog(seconds: int) -> Iterator[None]:
    """Raises ``Hang`` in the main thread after some seconds of work, or of waiting twelve times as long.

    Work is counted in processor time: on a busy machine others' work is nobody's hang.
    """

    def ring(*_: object) -> None:
        raise Hang

    timers = {
        signal.ITIMER_PROF: (signal.SIGPROF, seconds),
        signal.ITIMER_REAL: (signal.SIGALRM, 12 * seconds),
    }
    before = {number: signal.signal(number, ring) for number, _ in timers.values()}
    for timer, (_, limit) in timers.items():
        signal.setitimer(timer, limit)
    try:
        yield
    finally:
        for timer in timers:
            signal.setitimer(timer, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def listed(failures: list[Verdict]) -> str:
    return "\n".join(f"{f.kind} {f.seed} ({f.seconds:.1f} s): {f.detail}" for f in failures)


def _read_network(path: Path) -> None:
    model = read_model(path)
    if model.macs < _WORK and sum(np.prod(port.shape) for port in model.inputs) < _WORK:
        with np.errstate(all="ignore"):
            run_float(model, {p.name: np.zeros((1, *p.shape), np.float32) for p in model.inputs})


def _read_program(path: Path) -> None:
    program = load(path)
    samples = {p.name: np.zeros((1, *p.shape), np.float32) for p in program.inputs}
    if program.total_steps * sum(program.arrays["blocks"][:, 3]) < _WORK:
        Simulator(program).run(samples)


@functools.cache
def _model_bytes(seed: int) -> bytes:
    data: bytes = random_onnx(seed).SerializeToString()
    return data


@functools.cache
def _program_bytes(seed: int) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.nmc"
        program = random_program(seed, tuple(CODINGS)[seed % len(CODINGS)])
        save(program, path)
        # Kernels are compiled here: on a busy machine that takes longer than a file may.
        for literal in (False, True):
            samples = {p.name: np.zeros((1, *p.shape), np.float32) for p in program.inputs}
            Simulator(program).run(samples, literal=literal)
        return path.read_bytes()


def _network(rng: np.random.Generator) -> bytes:
    if rng.random() < _LARGE_SHARE:
        return LARGE[int(rng.integers(len(LARGE)))].read_bytes()
    return _model_bytes(int(rng.integers(_SEEDS)))


def _program(rng: np.random.Generator) -> bytes:
    return _program_bytes(int(rng.integers(_PROGRAMS)))


def _count(rng: np.random.Generator) -> int:
    return int(rng.choice([1, 1, 1, 2, 4, 16]))


@functools.cache
def _chips() -> tuple[str, ...]:
    folder = resources.files("nmcompiler_backends.digital.chips")
    return tuple(f.read_text() for f in sorted(folder.iterdir(), key=str) if f.name.endswith(".toml"))


def _target(rng: np.random.Generator) -> bytes:
    text = _chips()[int(rng.integers(len(_chips())))]
    if rng.integers(2):
        return mutated_bytes(text.encode(), rng, _count(rng))
    return mutated_text(text, rng, _count(rng)).encode("utf-8", "surrogatepass")


def _fields(rng: np.random.Generator) -> bytes:
    model = onnx.load_model_from_string(_network(rng))
    data: bytes = mutated_model(model, rng, _count(rng)).SerializeToString()
    return data


_Maker = Callable[[np.random.Generator], tuple[bytes, Callable[[Path], object], str]]
_MAKERS: dict[str, _Maker] = {
    "model bytes": lambda rng: (mutated_bytes(_network(rng), rng, _count(rng)), _read_network, ".onnx"),
    "model fields": lambda rng: (_fields(rng), _read_network, ".onnx"),
    "program bytes": lambda rng: (mutated_bytes(_program(rng), rng, _count(rng)), _read_program, ".nmc"),
    "program fields": lambda rng: (mutated_program(_program(rng), rng, _count(rng)), _read_program, ".nmc"),
    "target": lambda rng: (_target(rng), read_target, ".toml"),
}
