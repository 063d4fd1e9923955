"""Rows that are finished, one JSON object a line, so that an interrupted command goes on where it was.

The first line names the format; every further line is ``{"key": …, "row": …}``. Lines are appended with one
write and reach the disk before it returns. A key is a digest of all that a row follows from, so
that rows of other data, options or versions lie in the same file without being mistaken.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nmcompiler.errors import InputFileError

__all__ = ["Journal"]


class Journal:
    """A journal in a file, or in memory alone where there is no path.

    Args:
        path: The file; it is made with the first row.
        command: The command whose rows are kept.
        option: The option that names another file.

    Raises:
        InputFileError: The file exists and is no journal: nothing is appended to a stranger's file.
    """

    def __init__(self, path: Path | None, command: str = "compare", option: str = "-o") -> None:
        self.path = path
        self._command, self._option = command, option
        self._header = (json.dumps({"format": f"nmcompiler.{command}-journal/1"}) + "\n").encode()
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
        self.add_all([(key, row)])

    def add_all(self, entries: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        """Keeps rows with their keys; they are on the disk when this returns."""
        entries = list(entries)
        self._rows.update(entries)
        if self.path is not None and entries:
            self._append(self.path, b"".join(_line(key, row) for key, row in entries))

    def _read(self, path: Path) -> None:
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            raise InputFileError(f"journal '{path}' cannot be read ({error.strerror})") from None
        if not data.startswith(self._header) and not self._header.startswith(data):
            raise InputFileError(
                f"'{path}' exists and is no journal of nmc {self._command}",
                hint=f"choose another name with {self._option}",
            )
        for line in data.splitlines()[1:]:
            entry = _entry(line)
            if entry is not None:
                self._rows[entry[0]] = entry[1]

    def _append(self, path: Path, lines: bytes) -> None:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            size = os.fstat(file).st_size
            if size < len(self._header):  # new, or cut off within its first line
                os.ftruncate(file, 0)
                lines = self._header + lines
            elif not _ends_a_line(file):  # cut off within a row, which is then lost
                lines = b"\n" + lines
            _write(file, lines)
            os.fsync(file)
        finally:
            os.close(file)


def _line(key: str, row: Mapping[str, Any]) -> bytes:
    text = json.dumps({"key": key, "row": row}, default=lambda scalar: scalar.item())  # numpy's numbers
    return text.encode() + b"\n"


def _ends_a_line(file: int) -> bool:
    os.lseek(file, -1, os.SEEK_END)
    return os.read(file, 1) == b"\n"


def _write(file: int, lines: bytes) -> None:
    """Writes all of the lines; the system may take them in parts where the disk is nearly full."""
    while lines:
        lines = lines[os.write(file, lines) :]


def _entry(line: bytes) -> tuple[str, Mapping[str, Any]] | None:
    """Returns key and row of a line, None for one that was cut off."""
    try:
        entry = json.loads(line)
        key, row = entry["key"], entry["row"]
    except (ValueError, TypeError, KeyError):
        return None
    return (key, row) if isinstance(key, str) and isinstance(row, dict) else None
