"""Digests of arrays and of code, by which a finished result is found again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np

from nmcompiler.ir.kernels import Array

__all__ = ["code_digest", "data_digest"]

_SOURCES = (".py", ".toml")


def data_digest(source: bytes, *arrays: Mapping[str, Array] | Array | None) -> str:
    """Returns a digest of a file and of arrays, their shapes and types included."""
    digest = hashlib.sha256(source)
    for group in arrays:
        named = group if isinstance(group, Mapping) else {"": group}
        for name, array in named.items():
            if array is None:
                digest.update(b"none")
                continue
            digest.update(f"{name}|{array.shape}|{array.dtype.str}|".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


@cache
def code_digest(package: str) -> str:
    """Returns a digest of nmcompiler's version and of a package's sources, since a checkout changes daily."""
    digest = hashlib.sha256(version("nmcompiler").encode())
    for folder in _folders(package):
        for path in sorted(p for p in folder.rglob("*") if p.suffix in _SOURCES):
            digest.update(str(path.relative_to(folder)).encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _folders(package: str) -> list[Path]:
    from importlib.util import find_spec

    spec = find_spec(package)
    return [Path(p) for p in (spec.submodule_search_locations or ())] if spec is not None else []
