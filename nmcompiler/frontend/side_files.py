"""Weights that lie in files beside a model: they become part of it before anything else reads it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from nmcompiler.errors import InputFileError

__all__ = ["with_side_files"]

_MOST_BYTES = 1 << 30  # of all side files together: a model in one file cannot hold 2 GiB


def with_side_files(data: bytes, folder: Path) -> bytes:
    """Returns an ONNX file with the tensors stored inside that it stores in files beside it.

    Args:
        data: The file.
        folder: Where it lies. Side files are sought there and below, never elsewhere.

    Raises:
        InputFileError: A side file is missing, too short, too large, or outside the folder.
    """
    if b"location" not in data:  # the key that every tensor with a side file has
        return data
    try:
        model = onnx.ModelProto.FromString(data)
    except DecodeError:
        return data  # said better by whoever reads the file
    outside = [t for t in _all_tensors(model) if t.data_location == onnx.TensorProto.EXTERNAL]
    if not outside:
        return data
    room = _MOST_BYTES
    for tensor in outside:
        tensor.raw_data = _read(tensor, folder, room)
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]
        room -= len(tensor.raw_data)
    embedded: bytes = model.SerializeToString(deterministic=True)
    return embedded


def _all_tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    yield from _of_graph(model.graph)
    for function in model.functions:
        yield from _of_nodes(function.node)


def _of_graph(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _of_nodes(graph.node)


def _of_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for attribute in (a for node in nodes for a in node.attribute):
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        for graph in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
            yield from _of_graph(graph)


def _read(tensor: onnx.TensorProto, folder: Path, room: int) -> bytes:
    """Returns the bytes of a tensor, at most ``room`` of them."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    path = _inside(tensor.name, entries.get("location", ""), folder)
    offset = _whole(tensor.name, "offset", entries.get("offset", "0"))
    try:
        if not path.is_file():  # a pipe would be waited for
            raise FileNotFoundError(2, "no such file")
        rest = max(0, path.stat().st_size - offset)
        length = _whole(tensor.name, "length", entries.get("length", str(rest)))
        if length > rest:
            raise InputFileError(
                f"tensor '{tensor.name}' has {rest} bytes in '{path}' from byte {offset} on",
                allowed=f"{length} bytes, as the model says",
            )
        if length > room:
            raise InputFileError(
                f"tensor '{tensor.name}' takes {length} bytes of '{path}'",
                allowed=f"{_MOST_BYTES} bytes in all side files of a model",
            )
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(length)
    except OSError as error:
        raise InputFileError(
            f"tensor '{tensor.name}' is stored in '{path}', which cannot be read ({error.strerror or error})",
            hint="keep the model's side files beside it",
        ) from None


def _whole(name: str, key: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise InputFileError(f"tensor '{name}' has the {key} '{text}', which is no number of bytes")
    return int(text)


def _inside(name: str, location: str, folder: Path) -> Path:
    """Returns the path of a side file; a model must not read other files of the machine."""
    absolute = PurePosixPath(location).is_absolute() or PureWindowsPath(location).is_absolute()
    try:
        path = (folder / location).resolve()
    except (ValueError, OSError, RuntimeError):  # a NUL byte, a loop of links
        path = Path("/")
    if not location or absolute or not path.is_relative_to(folder.resolve()):
        raise InputFileError(
            f"tensor '{name}' is stored in '{location}'", allowed="files in the folder of the model or below"
        )
    return path
