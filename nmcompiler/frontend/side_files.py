"""Weights that lie in files beside a model: they become part of it before anything else reads it."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from nmcompiler.errors import InputFileError

__all__ = ["with_side_files"]


def with_side_files(data: bytes, folder: Path) -> bytes:
    """Returns an ONNX file with the initialisers stored inside that it stores in files beside it.

    Args:
        data: The file.
        folder: Where it lies. Side files are sought there and below, never elsewhere.

    Raises:
        InputFileError: A side file is missing, too short, or outside the folder.
    """
    if b"location" not in data:  # the key that every tensor with a side file has
        return data
    try:
        model = onnx.ModelProto.FromString(data)
    except DecodeError:
        return data  # said better by whoever reads the file
    outside = [t for t in model.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL]
    if not outside:
        return data
    for tensor in outside:
        tensor.raw_data = _read(tensor, folder)
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]
    embedded: bytes = model.SerializeToString(deterministic=True)
    return embedded


def _read(tensor: onnx.TensorProto, folder: Path) -> bytes:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    path = _inside(tensor.name, entries.get("location", ""), folder)
    try:
        offset = int(entries.get("offset", 0))
        length = int(entries["length"]) if "length" in entries else -1
        with path.open("rb") as file:
            file.seek(offset)
            found = file.read(length)
    except OSError as error:
        raise InputFileError(
            f"tensor '{tensor.name}' is stored in '{path}', which cannot be read ({error.strerror or error})",
            hint="keep the model's side files beside it",
        ) from None
    except ValueError:
        raise InputFileError(f"tensor '{tensor.name}' has an offset or length that is no number") from None
    if length >= 0 and len(found) != length:
        raise InputFileError(
            f"tensor '{tensor.name}' has {len(found)} bytes in '{path}' from byte {offset} on",
            allowed=f"{length} bytes, as the model says",
        )
    return found


def _inside(name: str, location: str, folder: Path) -> Path:
    """Returns the path of a side file; a model must not read other files of the machine."""
    path = (folder / location).resolve()
    absolute = PurePosixPath(location).is_absolute() or PureWindowsPath(location).is_absolute()
    if not location or absolute or not path.is_relative_to(folder.resolve()):
        raise InputFileError(
            f"tensor '{name}' is stored in '{location}'", allowed="files in the folder of the model or below"
        )
    return path
