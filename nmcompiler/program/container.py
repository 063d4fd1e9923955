"""Programs on disk: the ``.nmc`` file (``docs/program-format.md``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from nmcompiler.errors import InputFileError, TargetFileError
from nmcompiler.ir.kernels import Array
from nmcompiler.ir.layers import HOST_CASTS, HostOp
from nmcompiler.program.dynamics import dynamics_document, dynamics_from
from nmcompiler.program.golden import golden_from, golden_members
from nmcompiler.program.layout import (
    ARRAYS,
    CROSSBAR_ARRAYS,
    PASS_ARRAYS,
    Names,
    Program,
    ProgramInput,
    ProgramOutput,
)
from nmcompiler.program.members import (
    array_bytes,
    array_from,
    checksum,
    document_bytes,
    document_from,
    guarded,
    read_members,
    write_members,
)
from nmcompiler.program.structure import fault
from nmcompiler.target import target_from_document, target_to_document

__all__ = ["FORMAT", "VERSION", "load", "save"]

FORMAT = "nmcompiler.program"
VERSION = 4
_MANIFEST = "manifest.json"
_NAMES = "names/names.json"
_SOURCE = "source/model.onnx"
_TABLES = {**ARRAYS, **CROSSBAR_ARRAYS, **PASS_ARRAYS}
_HOST_OPS = {  # whether it has axes
    **dict.fromkeys(("Softmax", "LogSoftmax", "ArgMax", "ArgMaxLast"), True),
    **dict.fromkeys(("Sigmoid", "Tanh", *HOST_CASTS), False),
}
_ENCODINGS = ("spikes", "current", "graded", "host")
_REPORT: Mapping[str, type | tuple[type, ...]] = {
    "model": str,
    "placement": dict,
    "host_ops": list,
    "versions": dict,
    "time": dict,
    "passes": dict,
    "hottest": dict,
    "ann": list,
    "warnings": list,
    "notes": list,
    **dict.fromkeys(("sqnr_db", "silent_channels", "saturated_share"), dict),
    **dict.fromkeys(("levels", "input_levels", "weight_bits", "seed"), int),
    **dict.fromkeys(("cores_lower_bound", "cores_available"), (int, type(None))),
    "host_macs_share": (int, float),
}


def save(program: Program, path: Path | str, *, include_source: bool = True) -> None:
    """Writes a program: the whole file or none of it; equal programs give equal bytes.

    Args:
        program: What to write.
        path: Where; a file of that name is replaced.
        include_source: Whether ``golden/`` and ``source/`` are written, without which the file cannot be
            compared with the network it was made from.

    Raises:
        UsageError: The file cannot be written.
    """
    members = dict(_members(program, include_source))
    manifest = {**_manifest(program), "sha256": {name: checksum(data) for name, data in members.items()}}
    write_members({_MANIFEST: document_bytes(manifest), **members}, Path(path))


def load(path: Path | str) -> Program:
    """Returns the program in a file.

    Every number that points at something is checked, so that what reads the program need not.

    Raises:
        InputFileError: The file is no program, is damaged (naming the member), or was made by a newer
            version.
    """
    path = Path(path)
    members = read_members(path)
    if _MANIFEST not in members:
        raise InputFileError(f"'{path}' is not a program: it has no {_MANIFEST}")
    manifest = document_from(members[_MANIFEST], f"'{path}' is damaged: {_MANIFEST}")
    _check_version(manifest, path)
    _check_members(manifest, members, path)
    try:
        program = guarded(lambda: _program(manifest, members), _MANIFEST)
    except (InputFileError, TargetFileError) as error:
        raise InputFileError(f"'{path}' is damaged: {error.sentence()}") from error
    message = fault(program)
    if message is not None:
        raise InputFileError(f"'{path}' is not a program that can run: {message}")
    return program


def _members(program: Program, include_source: bool) -> Iterator[tuple[str, bytes]]:
    for name, (dtype, _) in _TABLES.items():
        if name in program.arrays:
            yield f"arrays/{name}.npy", array_bytes(program.arrays[name].astype(dtype, copy=False))
    for k, port in enumerate(program.inputs):
        yield f"io/input{k}/order.npy", array_bytes(port.order.astype("<i8"))
        yield f"io/input{k}/scale.npy", array_bytes(port.scale.astype("<f8"))
        yield f"io/input{k}/offset.npy", array_bytes(port.offset.astype("<f8"))
    for k, output in enumerate(program.outputs):
        yield f"io/output{k}/order.npy", array_bytes(output.order.astype("<i8"))
        if output.off is not None:
            yield f"io/output{k}/off.npy", array_bytes(output.off.astype("<i8"))
    if program.names is not None:
        names = program.names
        document = {
            "populations": list(names.populations),
            "ops": list(names.ops),
            "origins": [list(origin) for origin in names.origins],
        }
        yield _NAMES, document_bytes(document)
    if program.golden is not None and include_source:
        yield from golden_members(program.golden).items()
    if program.source is not None and include_source:
        yield _SOURCE, program.source
    for name in sorted(program.extra):
        yield f"extra/{name}", program.extra[name]


def _manifest(program: Program) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": _version(program),
        "coding": program.coding,
        "fires_when": program.fires_when,
        "membrane_bits": program.membrane_bits,
        **dynamics_document(program.dynamics),
        "window_starts": list(program.window_starts),
        "total_steps": program.total_steps,
        "inputs": [
            {"name": p.name, "shape": list(p.shape), "population": p.population, "encoding": p.encoding}
            for p in program.inputs
        ],
        "outputs": [
            {
                "name": p.name,
                "shape": list(p.shape),
                "population": p.population,
                "scale": p.scale,
                "host_ops": [asdict(op) for op in p.host_ops],
            }
            for p in program.outputs
        ],
        "target": target_to_document(program.target),
        "report": dict(program.report),
    }


def _version(program: Program) -> int:
    """Returns the oldest version whose readers know how the program's neurons compute, and where."""
    if PASS_ARRAYS.keys() & program.arrays.keys():
        return 4
    if program.dynamics.ties is not None:
        return 3
    return 2 if dynamics_document(program.dynamics) else 1


def _check_version(manifest: Mapping[str, Any], path: Path) -> None:
    version = manifest.get("version")
    if manifest.get("format") != FORMAT or not isinstance(version, int) or version < 1:
        raise InputFileError(f"'{path}' is not a program: its manifest is of another format")
    if version > VERSION:
        raise InputFileError(
            f"'{path}' was made by a newer version of nmcompiler (format {version})",
            allowed=f"format {VERSION}",
            hint="install a newer nmcompiler or compile the model again",
        )


def _check_members(manifest: Mapping[str, Any], members: Mapping[str, bytes], path: Path) -> None:
    sums = manifest.get("sha256")
    if not isinstance(sums, dict):
        raise InputFileError(f"'{path}' is damaged: its manifest lists no members")
    for name, data in members.items():
        if name != _MANIFEST and sums.get(name) != checksum(data):
            raise InputFileError(f"'{path}' is damaged: member '{name}' does not match its checksum")
    for name in sums:
        if name not in members and name.startswith(("arrays/", "io/")):
            raise InputFileError(f"'{path}' is damaged: member '{name}' is missing")


def _program(manifest: Mapping[str, Any], members: Mapping[str, bytes]) -> Program:
    if manifest["fires_when"] not in ("ge", "gt"):
        raise ValueError(f"fires_when {manifest['fires_when']!r}")
    arrays = _arrays(members)
    if PASS_ARRAYS.keys() & arrays.keys() and manifest["version"] < 4:
        raise ValueError(f"several passes in version {manifest['version']}")
    return Program(
        coding=str(manifest["coding"]),
        fires_when=manifest["fires_when"],
        membrane_bits=_whole(manifest["membrane_bits"]),
        window_starts=tuple(_whole(s) for s in manifest["window_starts"]),
        total_steps=_whole(manifest["total_steps"]),
        arrays=arrays,
        inputs=tuple(_input(k, entry, members) for k, entry in enumerate(manifest["inputs"])),
        outputs=tuple(_output(k, entry, members) for k, entry in enumerate(manifest["outputs"])),
        target=target_from_document(manifest["target"], _MANIFEST),
        report=_report(manifest["report"]),
        names=_names(members),
        golden=golden_from(members),
        source=members.get(_SOURCE),
        extra={n.removeprefix("extra/"): d for n, d in members.items() if n.startswith("extra/")},
        dynamics=dynamics_from(manifest),
    )


def _report(entries: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the report; what it says is not proved, but every entry is of the type that readers expect."""
    for name, entry in entries.items():
        if name in _REPORT and not isinstance(entry, _REPORT[name]):
            raise TypeError(f"report.{name} is {entry!r:.80}")
    return dict(entries)


def _arrays(members: Mapping[str, bytes]) -> dict[str, Array]:
    typed = any(f"arrays/{name}.npy" in members for name in CROSSBAR_ARRAYS)
    passes = [name for name in PASS_ARRAYS if f"arrays/{name}.npy" in members]
    names = (*ARRAYS, *(CROSSBAR_ARRAYS if typed else ()), *passes)
    return {name: _array(members, name) for name in names}


def _array(members: Mapping[str, bytes], name: str) -> Array:
    member = f"arrays/{name}.npy"
    dtype, columns = _TABLES[name]
    array = array_from(_need(members, member), member)
    if array.dtype != np.dtype(dtype) or array.ndim != (2 if columns else 1):
        raise InputFileError(f"{member} is of another type or dimension than {dtype}")
    if columns and array.shape[1] != columns:
        raise InputFileError(f"{member} has {array.shape[1]} columns, not {columns}")
    return array


def _need(members: Mapping[str, bytes], name: str) -> bytes:
    if name not in members:
        raise InputFileError(f"member '{name}' is missing")
    return members[name]


def _table(members: Mapping[str, bytes], name: str, dtype: str) -> Array:
    array = array_from(_need(members, name), name)
    if array.dtype != np.dtype(dtype) or array.ndim != 1:
        raise InputFileError(f"{name} is not a vector of {dtype}")
    return array


def _input(k: int, entry: Mapping[str, Any], members: Mapping[str, bytes]) -> ProgramInput:
    if entry["encoding"] not in _ENCODINGS:
        raise ValueError(f"encoding {entry['encoding']!r}")
    return ProgramInput(
        name=str(entry["name"]),
        shape=tuple(_whole(side) for side in entry["shape"]),
        population=_whole(entry["population"]),
        order=_table(members, f"io/input{k}/order.npy", "<i8"),
        scale=_table(members, f"io/input{k}/scale.npy", "<f8"),
        offset=_table(members, f"io/input{k}/offset.npy", "<f8"),
        encoding=entry["encoding"],
    )


def _output(k: int, entry: Mapping[str, Any], members: Mapping[str, bytes]) -> ProgramOutput:
    off = f"io/output{k}/off.npy"
    return ProgramOutput(
        name=str(entry["name"]),
        shape=tuple(_whole(side) for side in entry["shape"]),
        population=_whole(entry["population"]),
        order=_table(members, f"io/output{k}/order.npy", "<i8"),
        scale=float(entry["scale"]),
        host_ops=tuple(_host_op(op, len(entry["shape"])) for op in entry["host_ops"]),
        off=_table(members, off, "<i8") if off in members else None,
    )


def _host_op(entry: Mapping[str, Any], rank: int) -> HostOp:
    op = HostOp(str(entry["op"]), tuple(_whole(a) for a in entry["axes"]), bool(entry["keeps_axis"]))
    if _HOST_OPS.get(op.op) is not bool(op.axes) or not all(1 <= axis <= rank for axis in op.axes):
        raise ValueError(f"operator on the host {entry!r}")
    return op


def _names(members: Mapping[str, bytes]) -> Names | None:
    if _NAMES not in members:
        return None
    document = document_from(members[_NAMES], _NAMES)
    return Names(
        tuple(str(n) for n in document["populations"]),
        tuple(str(o) for o in document["ops"]),
        tuple(tuple(str(n) for n in origin) for origin in document["origins"]),
    )


def _whole(value: Any) -> int:
    """Returns a whole number of at most 53 bits, or raises ``TypeError``."""
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= 2**53:
        raise TypeError(f"{value!r} is not a whole number")
    return value
