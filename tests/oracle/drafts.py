"""Program files written by hand, as the document says."""

import hashlib
import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from . import oracle

COLUMNS = [
    "kind", "core", "population", "gid0", "n", "y0", "x0", "c0", "height", "width", "channels", "levels",
    "signed", "window", "fire_start", "steps", "param0", "param_n", "weight0", "weight_n", "run0", "run_n",
    "shift",
]  # fmt: skip


@dataclass
class Draft:
    """The plain content of a program file."""

    coding: str
    blocks: list[dict[str, int]]
    runs: list[tuple[int, ...]]
    segments: list[tuple[int, int, int]]
    weights: list[int]
    theta: list[int]
    v0: list[int]
    routes: list[tuple[int, ...]]
    window_starts: list[int]
    total_steps: int
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    patterns: list[int] = field(default_factory=lambda: [0, 1])
    current: list[int] | None = None
    cores: list[tuple[int, int, int]] = field(default_factory=lambda: [(0, 0, 0)])
    fires_when: str = "ge"
    membrane_bits: int = 24
    version: int = 1
    events: dict[str, Any] = field(default_factory=lambda: {"signed_spikes": True, "graded_payload_bits": 16})
    neurons: dict[str, Any] = field(default_factory=dict)  # `reset`, `membrane_floor`, `compares`

    def run(self, path: Path, x: list[Any], stream: bool = False) -> oracle.OracleResult:
        """Write, read and run it on samples of its first port."""
        file = write(path / "program.nmc", self)
        samples = {self.inputs[0]["name"]: np.array(x, dtype=np.float64)}
        return oracle.run(oracle.read(file), samples, stream)


def block(gid0: int, shape: tuple[int, int, int], population: int, **columns: int) -> dict[str, int]:
    """A row of `blocks`; what is not said is 0, but one parameter and core 0."""
    height, width, channels = shape
    row = dict.fromkeys(COLUMNS, 0) | {
        "kind": 1, "population": population, "gid0": gid0, "n": height * width * channels,
        "height": height, "width": width, "channels": channels, "param_n": 1,
    }  # fmt: skip
    return row | columns


def source(n: int, levels: int, steps: int, signed: int = 0) -> dict[str, int]:
    """An input block with n channels."""
    return block(0, (1, 1, n), 0, kind=0, core=-1, levels=levels, steps=steps, signed=signed)


def port_in(shape: list[int], **more: Any) -> dict[str, Any]:
    """An input port whose values are integers already."""
    n = int(np.prod(shape))
    return {
        "name": "x", "shape": shape, "population": 0, "encoding": "spikes",
        "order": list(range(n)), "scale": [1.0] * n, "offset": [0.0] * n,
    } | more  # fmt: skip


def port_out(shape: list[int], population: int, **more: Any) -> dict[str, Any]:
    """An output port."""
    order = list(range(int(np.prod(shape))))
    return {
        "name": "y", "shape": shape, "population": population, "scale": 1.0, "host_ops": [], "order": order,
    } | more  # fmt: skip


def write(path: Path, draft: Draft) -> Path:
    """Write a draft as a `.nmc` file."""
    current = draft.current if draft.current is not None else [0] * len(draft.theta)
    tables: dict[str, np.ndarray[Any, Any]] = {
        "cores": np.array(draft.cores, dtype="<i4").reshape(-1, 3),
        "blocks": np.array([[b[c] for c in COLUMNS] for b in draft.blocks], dtype="<i8").reshape(-1, 23),
        "runs": np.array(draft.runs, dtype="<i4").reshape(-1, 7),
        "patterns": np.array(draft.patterns, dtype="<i4"),
        "segments": np.array(draft.segments, dtype="<i4").reshape(-1, 3),
        "weights": np.array(draft.weights, dtype="<i2"),
        "theta": np.array(draft.theta, dtype="<i8"),
        "v0": np.array(draft.v0, dtype="<i8"),
        "current": np.array(current, dtype="<i8"),
        "routes": np.array(draft.routes, dtype="<i4").reshape(-1, 5),
    }
    members = {f"arrays/{name}.npy": array for name, array in tables.items()}
    for k, port in enumerate(draft.inputs):
        members[f"io/input{k}/order.npy"] = np.array(port["order"], dtype="<i8")
        members[f"io/input{k}/scale.npy"] = np.array(port["scale"], dtype="<f8")
        members[f"io/input{k}/offset.npy"] = np.array(port["offset"], dtype="<f8")
    for k, port in enumerate(draft.outputs):
        members[f"io/output{k}/order.npy"] = np.array(port["order"], dtype="<i8")
    data = {name: npy(path, array) for name, array in members.items()}
    data["golden/network.json"] = b"{}"
    pack(path, manifest(draft, data), data)
    return path


def npy(path: Path, array: np.ndarray[Any, Any]) -> bytes:
    """The bytes of an `.npy` file."""
    scratch = path.with_suffix(".npy")
    np.save(scratch, array)
    return scratch.read_bytes()


def manifest(draft: Draft, data: dict[str, bytes]) -> dict[str, Any]:
    tables = ("order", "scale", "offset")
    return {
        "format": "nmcompiler.program",
        "version": draft.version,
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in data.items()},
        "coding": draft.coding,
        "fires_when": draft.fires_when,
        "membrane_bits": draft.membrane_bits,
        "window_starts": draft.window_starts,
        "total_steps": draft.total_steps,
        "inputs": [{k: v for k, v in port.items() if k not in tables} for port in draft.inputs],
        "outputs": [{k: v for k, v in port.items() if k != "order"} for port in draft.outputs],
        "target": {"name": "toy", "mesh": {"rows": 2, "columns": 2}, **draft.events},
        "report": {},
    } | draft.neurons  # fmt: skip


def pack(path: Path, header: dict[str, Any], data: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in {"manifest.json": json.dumps(header, sort_keys=True).encode(), **data}.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)


def signed_ties(coding: str, fires_when: str = "ge") -> Draft:
    """A signed input, six signed neurons with θ = 4 and L = 2, a read-out that adds them up."""
    above = 1 if fires_when == "gt" else 0
    s = 1 if coding == "graded" else 2  # the steps of L = 2
    return Draft(
        coding=coding,
        blocks=[
            source(1, levels=2, steps=s, signed=1),
            block(1, (1, 1, 6), 1, levels=2, signed=1, window=1, fire_start=s, steps=s, weight_n=6, run_n=1),
            block(7, (1, 1, 1), 2, window=2, fire_start=2 * s, steps=1, param0=1, weight0=6, weight_n=1,
                  run0=1, run_n=1),
        ],
        runs=[(0, 1, 0, 0, 0, 0, 0), (1, 6, 1, 0, 0, 0, 0)],
        patterns=[0, 1, 2],
        segments=[(0, 0, 6), (0, 0, 1)],
        weights=[2, 1, -2, -3, -6, -7, 1],
        theta=[4, 1],
        v0=[2 + above, 0 + above],
        routes=[(0, 1, 0, 0, 1), (1, 6, 0, 1, 1)],
        window_starts=[0, s, 2 * s],
        total_steps=2 * s + 1,
        inputs=[port_in([1], encoding="graded" if coding == "graded" else "spikes")],
        outputs=[port_out([1], 2)],
        fires_when=fires_when,
    )  # fmt: skip


def narrow(coding: str, steps: int, weights: list[int], v0: list[int]) -> Draft:
    """One input with L = 3 straight into read-outs with membranes of 6 bits (−32 … 31)."""
    n = len(weights)
    return Draft(
        coding=coding,
        blocks=[
            source(1, levels=3, steps=steps),
            block(1, (1, 1, n), 1, window=1, fire_start=steps, steps=1, weight_n=n, run_n=1, param_n=n),
        ],
        runs=[(0, 1, 0, 0, 0, 0, 0)],
        segments=[(0, 0, n)],
        weights=weights,
        theta=[1] * n,
        v0=v0,
        routes=[(0, 1, 0, 0, 1)],
        window_starts=[0, steps],
        total_steps=steps + 1,
        inputs=[port_in([1], encoding="graded" if coding == "graded" else "spikes")],
        outputs=[port_out([n], 1)],
        membrane_bits=6,
    )


def merging(coding: str, steps: int, weights: list[int], v0: int) -> Draft:
    """Two inputs with L = 3 into one read-out with a membrane of 6 bits."""
    draft = narrow(coding, steps, weights, [v0])
    draft.blocks[0] = source(2, levels=3, steps=steps)
    draft.blocks[1] |= {"gid0": 2, "n": 1, "channels": 1}
    draft.runs, draft.segments = [(0, 2, 0, 0, 0, 1, 0)], [(0, 0, 1)]
    draft.routes = [(0, 2, 0, 0, 1)]
    draft.inputs = [port_in([2], encoding="graded" if coding == "graded" else "spikes")]
    draft.outputs[0] |= {"shape": [1], "order": [0]}
    return draft


def two_speeds(coding: str) -> Draft:
    """Two inputs (L = 3), two populations of one window, A (L = 5) and B (L = 2), and a read-out of all.

    A has θ = 2, bias 1 and −2 and the weights (1, −1), (2, 1); B has θ = 3, bias 0 and the weights (2, 1);
    the read-out is 10 + 3·A0 − 5·A1 + 7·B + x0 − 2·x1. With `graded` all fire in one step; else A fires in
    the five steps 3 … 7 and B in the last two of them.
    """
    x, a, b = (1, 1, 1) if coding == "graded" else (3, 5, 2)
    return Draft(
        coding=coding,
        blocks=[
            source(2, levels=3, steps=x),
            block(2, (1, 1, 2), 1, levels=5, window=1, fire_start=x, steps=a, param_n=2, weight_n=4, run_n=1),
            block(4, (1, 1, 1), 2, levels=2, window=1, fire_start=x + a - b, steps=b, param0=2, weight0=4,
                  weight_n=2, run0=1, run_n=1),
            block(5, (1, 1, 1), 3, window=2, fire_start=x + a, steps=1, param0=3, weight0=6, weight_n=5,
                  run0=2, run_n=2),
        ],
        runs=[(0, 2, 0, 0, 0, 2, 0), (0, 2, 1, 0, 0, 1, 0), (2, 3, 1, 0, 0, 1, 0), (0, 2, 1, 0, 3, 1, 0)],
        patterns=[0, 1, 2],
        segments=[(0, 0, 2), (0, 0, 1)],
        weights=[1, 2, -1, 1, 2, 1, 3, -5, 7, 1, -2],
        theta=[2, 2, 3, 1],
        v0=[2, -1, 1, 10],  # b + θ//2
        routes=[(0, 2, 0, 0, 1), (2, 3, 0, 2, 1)],
        window_starts=[0, x, x + a],
        total_steps=x + a + 1,
        inputs=[port_in([2], encoding="graded" if coding == "graded" else "spikes")],
        outputs=[port_out([1], 3)],
    )  # fmt: skip
