"""Runs ``nmc`` in this process, in an empty folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

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
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small network, calibration samples, and samples with labels."""
    folder = tmp_path_factory.mktemp("inputs")
    onnx.save(_network(), folder / "net.onnx")
    x = np.random.default_rng(1).uniform(0, 1, (40, 1, 8, 8)).astype(np.float32)
    np.savez(folder / "few.npz", x=x[:16])
    np.savez(folder / "labelled.npz", x=x[16:36], y=np.arange(20) % 5)
    return folder


def _network() -> onnx.ModelProto:
    """Returns a convolution and a dense layer: (1, 8, 8) → 5 classes."""
    draw = np.random.default_rng(0).normal
    weights = {
        "kernel": draw(0, 0.4, (4, 1, 3, 3)),
        "bias": draw(0, 0.1, 4),
        "matrix": draw(0, 0.2, (144, 5)),
        "offset": draw(0, 0.1, 5),
    }
    nodes = [
        helper.make_node("Conv", ["x", "kernel", "bias"], ["a"], "conv"),
        helper.make_node("Relu", ["a"], ["b"], "relu"),
        helper.make_node("Flatten", ["b"], ["c"], "flatten"),
        helper.make_node("Gemm", ["c", "matrix", "offset"], ["scores"], "dense"),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1, 8, 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 5])],
        [numpy_helper.from_array(w.astype(np.float32), name) for name, w in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def model(inputs: Path, tmp_path: Path) -> Path:
    """The small network in the current folder."""
    return Path(shutil.copy(inputs / "net.onnx", tmp_path))


@pytest.fixture
def calibration(inputs: Path, tmp_path: Path) -> Path:
    """Calibration samples in the current folder."""
    return Path(shutil.copy(inputs / "few.npz", tmp_path))


@pytest.fixture
def labelled(inputs: Path, tmp_path: Path) -> Path:
    """Samples with labels in the current folder."""
    return Path(shutil.copy(inputs / "labelled.npz", tmp_path))
