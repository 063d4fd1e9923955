"""Reads samples from ``.npz`` and ``.npy`` files."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from nmcompiler.errors import InputFileError
from nmcompiler.ir.kernels import Array

__all__ = ["Samples", "read_samples"]

_SHOWN = 8
_LARGEST = 1e15
"""The float network computes in single precision; squares and sums of such values still fit."""


class Port(Protocol):
    """What a reader must know of an input."""

    @property
    def name(self) -> str:
        """Name of the ONNX input."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        ...


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples of every input, and labels where the file has them.

    Attributes:
        x: ``(N, *shape)`` float64 or float32 by the name of the input.
        y: ``(N,)`` int64 class of each sample, or None.
    """

    x: Mapping[str, Array]
    y: Array | None

    def __len__(self) -> int:
        return len(next(iter(self.x.values())))

    def first(self, count: int | None) -> Samples:
        """Returns the first ``count`` samples; all for None."""
        labels = None if self.y is None else self.y[:count]
        return Samples({k: v[:count] for k, v in self.x.items()}, labels)

    def draw(self, count: int, seed: int) -> Samples:
        """Returns ``count`` samples drawn at random, in the order of the file; all where there are no more.

        The first samples of a file that is sorted by class stand for some of the classes only.
        """
        return self.split(count, seed)[0]

    def split(self, count: int, seed: int) -> tuple[Samples, Samples]:
        """Returns ``count`` samples drawn at random and all others, both in the order of the file."""
        order = np.random.default_rng(seed).permutation(len(self))
        return self._at(np.sort(order[:count])), self._at(np.sort(order[count:]))

    def _at(self, chosen: Array) -> Samples:
        labels = None if self.y is None else self.y[chosen]
        return Samples({k: v[chosen] for k, v in self.x.items()}, labels)


def read_samples(path: Path, ports: Sequence[Port], *, labels: bool = True) -> Samples:
    """Reads the samples of a network's inputs.

    ``.npz`` holds ``x`` for the first input, ``x__<name>`` for further ones, and ``y`` where the labels are
    known; ``.npy`` holds ``x`` alone. ``labels=False`` never opens ``y``.

    Raises:
        InputFileError: The file is not such a file, or an array has a wrong shape or type, is empty, or
            holds NaN or infinity.
    """
    arrays, names = _open(path, ports, labels)
    x = {}
    for index, port in enumerate(ports):
        key = "x" if index == 0 else f"x__{port.name}"
        if index == 0 and "x" not in arrays and f"x__{port.name}" in arrays:
            key = f"x__{port.name}"
        if key not in arrays:
            found = _listed(names)
            raise InputFileError(
                f"'{path}' has no array '{key}' (found: {found})",
                allowed=f"'{key}' of shape ({_dims(('samples', *port.shape))}) for input '{port.name}'",
            )
        x[port.name] = _checked(path, key, arrays[key], port)
    counts = {len(v) for v in x.values()}
    if len(counts) > 1:
        raise InputFileError(f"'{path}' has inputs with different numbers of samples ({sorted(counts)})")
    y = arrays.get("y") if labels else None
    return Samples(x, None if y is None else _labels(path, y, counts.pop()))


def _open(path: Path, ports: Sequence[Port], labels: bool) -> tuple[dict[str, Array], list[str]]:
    """Returns the arrays that are wanted, and the names of all."""
    wanted = {"x", *(f"x__{p.name}" for p in ports), *(["y"] if labels else [])}
    try:
        with path.open("rb") as file:
            if zipfile.is_zipfile(file):
                file.seek(0)
                with np.load(file, allow_pickle=False) as archive:
                    return {key: archive[key] for key in archive.files if key in wanted}, archive.files
            file.seek(0)
            if file.read(2) == b"PK":
                raise InputFileError(f"data file '{path}' is an .npz that was cut off", hint="write it again")
            file.seek(0)
            return {"x": _npy(path, file)}, ["x"]
    except InputFileError:
        raise
    except OSError as error:
        raise InputFileError(f"data file '{path}' cannot be read ({error.strerror or error})") from None
    except Exception as error:  # damaged archives raise many kinds of errors
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if reason.startswith("Object arrays"):
            raise InputFileError(
                f"data file '{path}' holds objects", allowed="arrays of numbers, not of dtype object"
            ) from None
        raise InputFileError(
            f"data file '{path}' is damaged ({_shortened(reason)})",
            allowed="arrays of numbers, as numpy.savez writes them",
        ) from None


def _npy(path: Path, file: IO[bytes]) -> Array:
    if file.read(6) != b"\x93NUMPY":
        raise InputFileError(f"data file '{path}' is neither .npz nor .npy", hint="write it with numpy.savez")
    file.seek(0)
    array: Array = np.load(file, allow_pickle=False)
    return array


def _checked(path: Path, key: str, array: Array, port: Port) -> Array:
    if array.dtype.kind not in "fiub":
        raise InputFileError(
            f"'{key}' in '{path}' has dtype {array.dtype}", allowed="real numbers or integers"
        )
    if array.ndim != len(port.shape) + 1 or array.shape[1:] != port.shape:
        raise InputFileError(
            f"'{key}' in '{path}' has shape ({_dims(array.shape)})",
            allowed=f"({_dims(('samples', *port.shape))}) for input '{port.name}'",
        )
    if len(array) == 0:
        raise InputFileError(f"'{key}' in '{path}' holds no sample")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        sample = int(np.argwhere(~np.isfinite(array))[0][0])
        raise InputFileError(f"'{key}' in '{path}' holds NaN or infinity (first in sample {sample})")
    values = array.astype(np.float64)
    largest = max(float(values.max()), -float(values.min()))  # abs() would copy all samples
    if largest > _LARGEST:
        raise InputFileError(
            f"'{key}' in '{path}' holds values up to {largest:.3g}", allowed=f"up to {_LARGEST:g}"
        )
    return values


def _labels(path: Path, y: Array, count: int) -> Array:
    if y.dtype.kind == "f" and y.ndim == 1 and np.array_equal(y, np.round(y)):
        y = y.astype(np.int64)
    if y.ndim != 1 or y.dtype.kind not in "iub" or len(y) != count:
        raise InputFileError(
            f"'y' in '{path}' has shape ({_dims(y.shape)}) and dtype {y.dtype}",
            allowed=f"({count},) whole numbers, one class for each sample",
        )
    return y.astype(np.int64)


def _dims(shape: Sequence[Any]) -> str:
    return f"{shape[0]}," if len(shape) == 1 else ", ".join(str(d) for d in shape)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return (", ".join(sorted(names)[:_SHOWN]) or "nothing") + more


def _shortened(text: str) -> str:
    return text if len(text) <= 120 else f"{text[:117]}..."
