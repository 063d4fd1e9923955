"""Reading a `.nmc` file into Python lists, with zipfile, json and numpy alone."""

import hashlib
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .block import BLOCK_COLUMNS, Block, require
from .wiring import Wiring, wire

Array = np.ndarray[Any, np.dtype[Any]]

FORMAT = "nmcompiler.program"
VERSION = 4
# coding → how its inputs may enter.
CODINGS = {
    "phase": ("spikes",),
    "rate-sync": ("spikes",),
    "ttfs": ("spikes",),
    "graded": ("graded",),
    "rate": ("spikes", "current"),
}

# name → (dtype, shape), None standing for any length.
TABLES: dict[str, tuple[str, tuple[int | None, ...]]] = {
    "cores": ("<i4", (None, 3)),
    "blocks": ("<i8", (None, BLOCK_COLUMNS)),
    "runs": ("<i4", (None, 7)),
    "patterns": ("<i4", (None,)),
    "segments": ("<i4", (None, 3)),
    "weights": ("<i2", (None,)),
    "theta": ("<i8", (None,)),
    "v0": ("<i8", (None,)),
    "current": ("<i8", (None,)),
    "routes": ("<i4", (None, 5)),
}
# Only where there are typed crossbars.
CROSSBAR_TABLES: dict[str, tuple[str, tuple[int | None, ...]]] = {
    "axon_types": ("<i4", (None, 4)),
    "crossbars": ("<i8", (None, 3)),
    "type_weights": ("<i2", (None,)),
    "copies": ("<i4", (None, 2)),
}
# Only where there are several passes over the chips.
PASS_TABLES: dict[str, tuple[str, tuple[int | None, ...]]] = {"passes": ("<i4", (None,))}


@dataclass(frozen=True)
class InputPort:
    """An input port with its tables."""

    name: str
    shape: tuple[int, ...]
    population: int
    encoding: str
    order: list[int]
    scale: Array
    offset: Array


@dataclass(frozen=True)
class OutputPort:
    """An output port with its tables; `off` is None where nothing is subtracted."""

    name: str
    shape: tuple[int, ...]
    population: int
    scale: float
    order: list[int]
    off: list[int] | None


@dataclass(frozen=True)
class OracleProgram:
    """A program file as Python lists."""

    coding: str
    above: int  # 1 for `fires_when` = `gt`, else 0
    lowest: int
    highest: int
    to_zero: bool  # `reset` = `zero`
    floor: int | None  # `membrane_floor` + above
    by_event: bool  # `compares` = `event`
    ties: int | None  # the seed that orders events of one step
    window_starts: frozenset[int]
    total_steps: int
    mesh_columns: int | None
    compartments: int  # `compartments_per_neuron` of the target
    largest_change: int  # that an event can carry; 0 where none carries a sign or a value
    cores: list[list[int]]
    blocks: list[Block]
    runs: list[list[int]]
    patterns: list[int]
    segments: list[list[int]]
    weights: list[int]
    theta: list[int]
    v0: list[int]
    current: list[int]
    routes: list[list[int]]
    inputs: list[InputPort]
    outputs: list[OutputPort]
    wiring: Wiring

    @property
    def neurons(self) -> int:
        return sum(block.n for block in self.blocks)

    def population(self, number: int) -> list[Block]:
        return [block for block in self.blocks if block.population == number]


def read(path: str | Path) -> OracleProgram:
    """Read a program file; ValueError where it is damaged or breaks the document."""
    with zipfile.ZipFile(path) as archive:
        manifest = json.loads(archive.read("manifest.json").decode("utf-8"))
        require(manifest["format"] == FORMAT, f"not a program file: format {manifest['format']!r}")
        require(manifest["version"] <= VERSION, f"version {manifest['version']} is newer than {VERSION}")
        require(manifest["coding"] in CODINGS, f"unknown coding {manifest['coding']!r}")
        require(manifest["fires_when"] in ("ge", "gt"), f"unknown fires_when {manifest['fires_when']!r}")
        _check_neurons(manifest)
        _check_sums(archive, manifest["sha256"])
        tables = {name: _read_table(archive, name) for name in TABLES}
        typed = any(f"arrays/{name}.npy" in archive.namelist() for name in CROSSBAR_TABLES)
        tables |= {name: _read_table(archive, name) if typed else [] for name in CROSSBAR_TABLES}
        tables["passes"] = _read_passes(archive, manifest["version"], tables["cores"])
        inputs = [_read_input(archive, k, port) for k, port in enumerate(manifest["inputs"])]
        outputs = [_read_output(archive, k, port) for k, port in enumerate(manifest["outputs"])]
    blocks = [Block(*row) for row in tables["blocks"]]
    mesh = manifest["target"].get("mesh", {})
    mesh_columns = mesh.get("columns")
    bits, floor = manifest["membrane_bits"], manifest.get("membrane_floor")
    _check_blocks(blocks)
    _check_crossbars(blocks, tables)
    require(min(tables["theta"], default=1) >= 1, "a threshold is below 1")
    for port in inputs:
        _check_encoding(manifest["coding"], port, blocks)
    return OracleProgram(
        coding=manifest["coding"],
        above=1 if manifest["fires_when"] == "gt" else 0,
        lowest=-(2 ** (bits - 1)),
        highest=2 ** (bits - 1) - 1,
        to_zero=manifest.get("reset") == "zero",
        floor=None if floor is None else floor + (1 if manifest["fires_when"] == "gt" else 0),
        by_event=manifest.get("compares") == "event",
        ties=manifest.get("ties"),
        window_starts=frozenset(manifest["window_starts"]),
        total_steps=manifest["total_steps"],
        mesh_columns=mesh_columns,
        compartments=manifest["target"].get("compartments_per_neuron", 1),
        largest_change=_largest_change(manifest["target"]),
        cores=tables["cores"],
        blocks=blocks,
        runs=tables["runs"],
        patterns=tables["patterns"],
        segments=tables["segments"],
        weights=tables["weights"],
        theta=tables["theta"],
        v0=tables["v0"],
        current=tables["current"],
        routes=tables["routes"],
        inputs=inputs,
        outputs=outputs,
        wiring=wire(tables, blocks, mesh_columns),
    )


def _largest_change(target: dict[str, Any]) -> int:
    bits = target.get("graded_payload_bits") or 0
    return int(2 ** (bits - 1)) - 1 if bits > 0 and target.get("signed_spikes") else 0


def _check_neurons(manifest: dict[str, Any]) -> None:
    """What neurons may do besides subtracting θ, once a step, is known and belongs to `rate`."""
    reset, compares = manifest.get("reset", "subtract"), manifest.get("compares", "step")
    require(reset in ("subtract", "zero"), f"unknown reset {reset!r}")
    require(compares in ("step", "event"), f"unknown compares {compares!r}")
    usual = (reset, compares, manifest.get("membrane_floor")) == ("subtract", "step", None)
    require(usual or manifest["coding"] == "rate", f"{manifest['coding']} with other neurons")
    require(usual or manifest["version"] >= 2, "version 1 with other neurons")
    ties = manifest.get("ties")
    require(ties is None or compares == "event", "ties where nothing is compared by event")
    require(ties is None or manifest["version"] >= 3, f"version {manifest['version']} with ties")


def _needed(name: str) -> bool:
    return name.startswith(("arrays/", "io/"))


def _check_sums(archive: zipfile.ZipFile, sums: dict[str, str]) -> None:
    present = set(archive.namelist())
    for name in present:
        require(name in sums or not _needed(name), f"{name} has no sum")
    for name, expected in sums.items():
        if name not in present:
            require(not _needed(name), f"{name} is missing")
            continue
        require(hashlib.sha256(archive.read(name)).hexdigest() == expected, f"{name} does not match its sum")


def _load(archive: zipfile.ZipFile, name: str) -> Array:
    with archive.open(name) as handle:
        array: Array = np.load(handle, allow_pickle=False)
    return array


def _read_table(archive: zipfile.ZipFile, name: str) -> Any:
    dtype, shape = (TABLES | CROSSBAR_TABLES | PASS_TABLES)[name]
    array = _load(archive, f"arrays/{name}.npy")
    require(array.dtype == np.dtype(dtype), f"{name} has dtype {array.dtype}")
    fits = array.ndim == len(shape) and all(n in (None, m) for n, m in zip(shape, array.shape, strict=True))
    require(fits, f"{name} has shape {array.shape}")
    return array.tolist()


def _read_passes(archive: zipfile.ZipFile, version: int, cores: list[list[int]]) -> list[int]:
    """The pass of every core; 0 where the file has no table of them."""
    if "arrays/passes.npy" not in archive.namelist():
        return [0 for _ in cores]
    require(version >= 4, f"version {version} with passes")
    passes: list[int] = _read_table(archive, "passes")
    require(len(passes) == len(cores), "not every core has one pass")
    require(set(passes) == set(range(max(passes) + 1)), "a pass loads no core")
    places = [(turn, *core) for turn, core in zip(passes, cores, strict=True)]
    require(len(set(places)) == len(places), "two cores of a pass stand at one place")
    return passes


def _read_input(archive: zipfile.ZipFile, k: int, port: dict[str, Any]) -> InputPort:
    return InputPort(
        name=port["name"],
        shape=tuple(port["shape"]),
        population=port["population"],
        encoding=port["encoding"],
        order=_load(archive, f"io/input{k}/order.npy").tolist(),
        scale=_load(archive, f"io/input{k}/scale.npy").astype(np.float64),
        offset=_load(archive, f"io/input{k}/offset.npy").astype(np.float64),
    )


def _read_output(archive: zipfile.ZipFile, k: int, port: dict[str, Any]) -> OutputPort:
    off = f"io/output{k}/off.npy"
    return OutputPort(
        name=port["name"],
        shape=tuple(port["shape"]),
        population=port["population"],
        scale=float(port["scale"]),
        order=_load(archive, f"io/output{k}/order.npy").tolist(),
        off=_load(archive, off).tolist() if off in archive.namelist() else None,
    )


def _check_blocks(blocks: list[Block]) -> None:
    gid = 0
    for block in blocks:
        require(block.gid0 == gid, f"gid0 is {block.gid0} where {gid} neurons stand before it")
        fits = block.n >= block.box_size if block.is_crossbar else block.n == block.box_size
        require(fits, "a block's n differs from its box")
        require(block.shift >= 0, "a block has a negative shift")
        require(block.levels >= 1 or not block.is_input, "an input has no levels")
        gid += block.n


def _check_crossbars(blocks: list[Block], tables: dict[str, Any]) -> None:
    """One row for each typed crossbar, and one for each neuron beyond a box."""
    typed = [b for b, block in enumerate(blocks) if block.is_crossbar]
    require([row[0] for row in tables["crossbars"]] == typed, "crossbars are not those of the blocks")
    of_block = {
        gid: block
        for block in blocks
        if block.is_crossbar
        for gid in range(block.gid0 + block.box_size, block.gid0 + block.n)
    }
    require([row[0] for row in tables["copies"]] == list(of_block), "copies are not those beyond the boxes")
    for gid, original in tables["copies"]:
        block = of_block[gid]
        require(block.gid0 <= original < block.gid0 + block.box_size, "a copy of no neuron in its box")


def _check_encoding(coding: str, port: InputPort, blocks: list[Block]) -> None:
    require(port.encoding in CODINGS[coding], f"input {port.name} enters as {port.encoding} in {coding}")
    for block in blocks:
        if coding == "rate" and port.encoding == "spikes" and block.population == port.population:
            require(block.levels <= block.steps, f"input {port.name} has more levels than steps")
