"""Members of a program file: arrays and documents as bytes, and back without trusting a single one.

Bytes come from anywhere, so nothing is allocated before a declared size was compared with what is there.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import tokenize
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from nmcompiler.errors import InputFileError, UsageError
from nmcompiler.ir.kernels import Array

__all__ = [
    "array_bytes",
    "array_from",
    "checksum",
    "document_bytes",
    "document_from",
    "guarded",
    "read_members",
    "write_members",
]

_DATE = (1980, 1, 1, 0, 0, 0)
_BROKEN_ZIP = (
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    EOFError,
    ValueError,
    OverflowError,
    KeyError,
    IndexError,
)
_BROKEN_HEADER = (ValueError, SyntaxError, tokenize.TokenError, TypeError, KeyError, EOFError, RecursionError)
_BROKEN_DOCUMENT = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError)

T = TypeVar("T")


def checksum(data: bytes) -> str:
    """Returns the SHA-256 of a member in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def array_bytes(array: Array) -> bytes:
    """Returns an array as the bytes of a ``.npy`` file, little-endian and in C order."""
    array = np.ascontiguousarray(array)
    stream = io.BytesIO()
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    np.lib.format.write_array(stream, little, version=(1, 0), allow_pickle=False)
    return stream.getvalue()


def array_from(data: bytes, where: str) -> Array:
    """Returns the array in the bytes of a ``.npy`` file.

    Raises:
        InputFileError: The bytes are no array of numbers, or not as long as their header says.
    """
    stream = io.BytesIO(data)
    try:
        if np.lib.format.read_magic(stream) != (1, 0):
            raise InputFileError(f"{where} is an array of an unknown version")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    except _BROKEN_HEADER as error:
        raise InputFileError(f"{where} is not an array") from error
    if fortran or dtype.kind not in "iuf" or any(side < 0 for side in shape):
        raise InputFileError(f"{where} is not a plain array of numbers in C order")
    start = stream.tell()
    if math.prod(shape) * dtype.itemsize != len(data) - start:
        raise InputFileError(f"{where} is not as long as its header says")
    return np.frombuffer(data, dtype, offset=start).reshape(shape).copy()


def document_bytes(document: Mapping[str, Any]) -> bytes:
    """Returns a JSON document as UTF-8, keys sorted."""
    text = json.dumps(document, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=1)
    return text.encode()


def document_from(data: bytes, where: str) -> dict[str, Any]:
    """Returns a JSON object, or raises ``InputFileError``."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputFileError(f"{where} is not a JSON document") from error
    if not isinstance(document, dict):
        raise InputFileError(f"{where} is not a JSON object")
    return document


def guarded(read: Callable[[], T], where: str) -> T:
    """Returns what ``read`` makes of a document, or raises ``InputFileError`` where it does not fit."""
    try:
        return read()
    except _BROKEN_DOCUMENT as error:
        raise InputFileError(f"{where} has a missing or wrong entry ({error})") from error


def write_members(members: Mapping[str, bytes], path: Path) -> None:
    """Writes a zip file of stored members: the whole file or none of it, equal members to equal bytes.

    Raises:
        UsageError: The file cannot be written.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        with draft.open("xb") as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
            for name, data in members.items():
                info = zipfile.ZipInfo(name, _DATE)
                info.create_system = 3  # the same on every system
                info.external_attr = 0o644 << 16
                archive.writestr(info, data)
        os.replace(draft, path)
    except OSError as error:
        raise UsageError(f"'{path}' cannot be written: {error.strerror or error}") from error
    finally:
        draft.unlink(missing_ok=True)


def read_members(path: Path) -> dict[str, bytes]:
    """Returns all members of a zip file of stored members.

    Raises:
        InputFileError: The file is missing, is no such file, or a member is damaged.
    """
    try:
        size = path.stat().st_size
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            names = {info.filename for info in infos}
            stored = all(i.compress_type == 0 and i.compress_size == i.file_size for i in infos)
            if not stored or len(names) != len(infos) or sum(i.file_size for i in infos) > size:
                raise InputFileError(f"'{path}' is not a program: its members are not stored one by one")
            return {info.filename: _member(archive, info, path) for info in infos}
    except OSError as error:
        raise InputFileError(f"'{path}' cannot be read: {error.strerror or error}") from error
    except _BROKEN_ZIP as error:
        raise InputFileError(
            f"'{path}' is not a program or is damaged", allowed="a .nmc file written by 'nmc compile'"
        ) from error


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> bytes:
    try:
        return archive.read(info)
    except _BROKEN_ZIP as error:
        raise InputFileError(f"'{path}' is damaged: member {info.filename!r} cannot be read") from error
