"""What the benchmark of the simulator runs: three networks cut over many cores, and a large one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

import nmcompiler
from nmcompiler.codings import CODINGS
from nmcompiler.program.layout import Program
from nmcompiler.sim import Simulator
from nmcompiler.testing import tiny_target
from tests.benchmarks.fashion_mnist import DEMO, NETWORKS
from tests.benchmarks.machine_limit import Additions, additions_of
from tests.benchmarks.timing import Work, once

__all__ = [
    "LEVELS",
    "TARGET",
    "WINDOWED",
    "Settings",
    "Shelf",
    "Subject",
    "images",
    "subject",
    "vgg",
    "vgg_images",
]

Array = npt.NDArray[Any]

# The three networks take 32, 63 and 35 of its cores, as shipped.
TARGET = "generic-digital"
LEVELS = 15
WINDOWED = tuple(name for name, code in CODINGS.items() if code.windowed)
VGG_WIDTHS = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)
VGG_DENSE = (512, 512, 10)


@dataclass(frozen=True)
class Shelf:
    """Compiled programs, kept in a folder: what is measured is how they run, not how they are made.

    Attributes:
        folder: Where the files lie; those that are there are not made again.
    """

    folder: Path

    def path(self, network: str, code: str, timesteps: int | None = None) -> Path:
        """Returns the file of a network in a code, compiled if there is none."""
        file = self.folder / f"{network}-{code}{timesteps or ''}.nmc"
        if not file.exists():
            options = nmcompiler.CompileOptions(
                levels=None if timesteps else LEVELS, timesteps=timesteps, include_source=False
            )
            made = nmcompiler.compile(NETWORKS[network], TARGET, code, DEMO / "calibration.npz", options)
            nmcompiler.save(made.program, file)
        return file

    def program(self, network: str, code: str, timesteps: int | None = None) -> Program:
        """Returns the program of a network in a code."""
        return nmcompiler.load(self.path(network, code, timesteps))

    def vgg(self) -> Path:
        """Returns the file of a VGG-16 shaped network in ``phase``, on a chip with cores of 2,048 neurons."""
        file = self.folder / "vgg.nmc"
        if not file.exists():
            chip = tiny_target(neurons=2048, input_axons=32_768, rows=32, columns=32)
            options = nmcompiler.CompileOptions(levels=LEVELS, include_source=False)
            made = nmcompiler.compile(vgg(), chip, "phase", {"x": vgg_images(16)}, options)
            nmcompiler.save(made.program, file)
        return file


@dataclass(frozen=True)
class Settings:
    """How much is measured.

    Attributes:
        shelf: The programs.
        repetitions: Of everything that takes turns.
        samples: Different images of each program in ``limit`` and ``threads``.
        least_seconds: What a repetition lasts at least.
        images: Of the long runs.
        networks: Names of the networks.
    """

    shelf: Shelf
    repetitions: int
    samples: int
    least_seconds: float
    images: int
    networks: tuple[str, ...]


@dataclass(frozen=True)
class Subject:
    """A program with the samples that it runs, ``copies`` times over, and the flat list of these samples."""

    title: str
    program: Program
    additions: Additions
    copies: int = 1

    @property
    def x(self) -> np.ndarray:
        """The samples of one call of the simulator."""
        one = images(self.additions.samples)
        return np.tile(one, (self.copies, 1, 1, 1))

    def simulated(self, **options: Any) -> Work:
        """Returns what runs the simulator, having compared its synops with those of the list.

        Raises:
            SystemExit: They differ.
        """
        simulator, x = Simulator(self.program), self.x
        counted = simulator.run(x, **options).synops
        if counted != self.additions.synops * self.copies:
            raise SystemExit(
                f"{self.title}: the simulator counts {counted:,} synops in {self.copies} × "
                f"{self.additions.samples} samples, and the flat list has {self.additions.synops:,} in each"
            )
        return lambda: simulator.run(x, check=False, **options)


def subject(settings: Settings, network: str, code: str, timesteps: int | None = None) -> Subject:
    """Returns a program, with as many copies of the samples as make a call of the simulator long enough."""
    program = settings.shelf.program(network, code, timesteps)
    made = Subject(
        f"{network}, {code}" + (f" T={timesteps}" if timesteps else ""),
        program,
        additions_of(program, images(settings.samples)),
    )
    work = made.simulated()
    seconds = once(work).wall
    copies = int(np.clip(settings.least_seconds / seconds, 1, 16))
    return Subject(made.title, made.program, made.additions, copies)


def images(count: int) -> Array:
    """Returns the first of the 1,000 test images that ship, ``(count, 1, 28, 28)`` float32, from the start
    again where there are too few."""
    x = np.load(DEMO / "test.npz")["x"].astype(np.float32)
    return np.asarray(x[np.arange(count) % len(x)])


def vgg_images(count: int, seed: int = 1) -> Array:
    """Returns ``(count, 3, 32, 32)`` random float32 images, each of squares of 4 × 4 equal pixels."""
    squares = np.random.default_rng(seed).random((count, 3, 8, 8))
    return np.asarray(squares.repeat(4, axis=2).repeat(4, axis=3), np.float32)


class _Chain:
    """An ONNX graph of layers one after the other, with random weights."""

    def __init__(self, seed: int) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.last = "x"
        self._rng = np.random.default_rng(seed)

    def weighted(self, op: str, shape: tuple[int, ...], fan_in: int, outputs: int, **given: Any) -> None:
        """Appends a layer with weights of the size that keeps activations as large as its inputs."""
        name = f"{op.lower()}{len(self.nodes)}"
        weight = self._rng.standard_normal(shape) * np.sqrt(2 / fan_in)
        for part, values in (("w", weight), ("b", np.zeros(outputs))):
            self.weights.append(numpy_helper.from_array(values.astype(np.float32), f"{name}.{part}"))
        self._append(op, name, f"{name}.w", f"{name}.b", **given)

    def plain(self, op: str, **given: Any) -> None:
        """Appends a layer without weights."""
        self._append(op, f"{op.lower()}{len(self.nodes)}", **given)

    def _append(self, op: str, name: str, *weights: str, **given: Any) -> None:
        self.nodes.append(helper.make_node(op, [self.last, *weights], [name], name=name, **given))
        self.last = name


def vgg(seed: int = 0) -> bytes:
    """A network shaped like VGG-16 for images of 32 × 32, with random weights, as an ONNX file."""
    chain, channels = _Chain(seed), 3
    for width in VGG_WIDTHS:
        if width:
            shape = (width, channels, 3, 3)
            chain.weighted("Conv", shape, 9 * channels, width, kernel_shape=[3, 3], pads=[1] * 4)
            chain.plain("Relu")
            channels = width
        else:
            chain.plain("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    chain.plain("Flatten")
    for width in VGG_DENSE:
        chain.weighted("Gemm", (channels, width), channels, width)
        if width != VGG_DENSE[-1]:
            chain.plain("Relu")
        channels = width
    ports = (("x", ["N", 3, 32, 32]), (chain.last, ["N", channels]))
    values = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)] for name, shape in ports]
    graph = helper.make_graph(chain.nodes, "vgg", *values, chain.weights)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data: bytes = made.SerializeToString()
    onnx.checker.check_model(data)
    return data
