"""Rows that are finished, one JSON object a line, so that an interrupted comparison goes on where it was.

The first line names the format; every further line is ``{"key": …, "row": …}``. A line is appended with one
write and reaches the disk before the next row begins. A key is a digest of all that a row follows from, so
that rows of other data, options or versions lie in the same file without being mistaken.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nmcompiler.errors import InputFileError

__all__ = ["FORMAT", "Journal"]

FORMAT = "nmcompiler.compare-journal/1"
_HEADER = (json.dumps({"format": FORMAT}) + "\n").encode()


class Journal:
    """A journal in a file, or in memory alone where there is no path.

    Args:
        path: The file; it is made with the first row.

    Raises:
        InputFileError: The file exists and is no journal: nothing is appended to a stranger's file.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._rows: dict[str, Mapping[str, Any]] = {}
        if path is not None:
            self._read(path)

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, key: str) -> Mapping[str, Any] | None:
        """Returns the row of a key, None where it is not finished."""
        return self._rows.get(key)

    def add(self, key: str, row: Mapping[str, Any]) -> None:
        """Keeps a row; it is on the disk when this returns."""
        self._rows[key] = row
        if self.path is not None:
            self._append(self.path, _line(key, row))

    def _read(self, path: Path) -> None:
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            raise InputFileError(f"journal '{path}' cannot be read ({error.strerror})") from None
        if not data.startswith(_HEADER) and not _HEADER.startswith(data):
            raise InputFileError(
                f"'{path}' exists and is no journal of nmc compare", hint="choose another name with -o"
            )
        for line in data.splitlines()[1:]:
            entry = _entry(line)
            if entry is not None:
                self._rows[entry[0]] = entry[1]

    def _append(self, path: Path, line: bytes) -> None:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            size = os.fstat(file).st_size
            if size < len(_HEADER):  # new, or cut off within its first line
                os.ftruncate(file, 0)
                line = _HEADER + line
            elif not _ends_a_line(file):  # cut off within a row, which is then lost
                line = b"\n" + line
            _write(file, line)
            os.fsync(file)
        finally:
            os.close(file)


def _line(key: str, row: Mapping[str, Any]) -> bytes:
    text = json.dumps({"key": key, "row": row}, default=lambda scalar: scalar.item())  # numpy's numbers
    return text.encode() + b"\n"


def _ends_a_line(file: int) -> bool:
    os.lseek(file, -1, os.SEEK_END)
    return os.read(file, 1) == b"\n"


def _write(file: int, line: bytes) -> None:
    """Writes all of a line; the system may take it in parts where the disk is nearly full."""
    while line:
        line = line[os.write(file, line) :]


def _entry(line: bytes) -> tuple[str, Mapping[str, Any]] | None:
    """Returns key and row of a line, None for one that was cut off."""
    try:
        entry = json.loads(line)
        key, row = entry["key"], entry["row"]
    except (ValueError, TypeError, KeyError):
        return None
    return (key, row) if isinstance(key, str) and isinstance(row, dict) else None
