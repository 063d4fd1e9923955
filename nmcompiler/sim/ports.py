"""The host's side: samples become values of input neurons, what read-outs hold or send becomes results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from nmcompiler.errors import InputFileError
from nmcompiler.program.layout import BlockKind, Program, ProgramInput
from nmcompiler.sim.result import Array, Int64Array

__all__ = ["as_samples", "decode", "encode"]

_VALUES_AT_ONCE = 32768


def as_samples(program: Program, x: Mapping[str, Array] | Array) -> dict[str, Array]:
    """Returns the samples of each input port, ``(N, *shape)``.

    Args:
        program: The program.
        x: Samples by port name, or of the only port.

    Raises:
        InputFileError: Where a port is missing, or samples have a wrong shape, type or count.
    """
    if not isinstance(x, Mapping):
        if len(program.inputs) != 1:
            names = ", ".join(f"'{p.name}'" for p in program.inputs)
            raise InputFileError(
                "samples without the name of their input", allowed=f"one array each for {names}"
            )
        x = {program.inputs[0].name: x}
    samples = {}
    for port in program.inputs:
        if port.name not in x:
            raise InputFileError(
                f"there are no samples for input '{port.name}'", allowed="samples for every input"
            )
        samples[port.name] = _checked(port, np.asarray(x[port.name]))
    if len({len(a) for a in samples.values()}) > 1:
        counts = ", ".join(f"'{name}' {len(a)}" for name, a in samples.items())
        raise InputFileError(f"the inputs have different numbers of samples: {counts}")
    return samples


def _checked(port: ProgramInput, samples: Array) -> Array:
    if samples.dtype.kind not in "biuf":
        raise InputFileError(
            f"input '{port.name}' has values of type {samples.dtype}", allowed="real numbers"
        )
    if samples.ndim != len(port.shape) + 1 or samples.shape[1:] != tuple(port.shape):
        wanted = ", ".join(["N", *map(str, port.shape)])
        raise InputFileError(
            f"input '{port.name}' has samples of shape {samples.shape}", allowed=f"({wanted}), samples first"
        )
    return samples


def encode(program: Program, samples: Mapping[str, Array]) -> tuple[Int64Array, ...]:
    """Returns the values of the input neurons, ``(N, n)`` for each port.

    ``q = clip(floor((x.flat[order] − offset) / scale + 0.5), lowest, levels)`` in float64.

    Raises:
        InputFileError: Where a value is not finite.
    """
    encoded = []
    for port in program.inputs:
        block = _input_block(program, port.population)
        levels = int(program.column("levels")[block])
        lowest = -levels if program.column("signed")[block] == 1 else 0
        x = samples[port.name]
        encoded.append(_quantised(port, x.reshape(len(x), int(np.prod(port.shape))), lowest, levels))
    return tuple(encoded)


def _quantised(port: ProgramInput, x: Array, lowest: int, levels: int) -> Int64Array:
    """Returns the values of one port, a few samples at a time: what is computed on stays in the cache."""
    in_order = np.array_equal(port.order, np.arange(x.shape[1]))
    channel = np.arange(len(port.order)) % len(port.scale)
    offset, scale = (a[0] if len(a) == 1 else a[channel] for a in (port.offset, port.scale))
    q = np.empty((len(x), len(port.order)), np.int64)
    at_once = max(1, _VALUES_AT_ONCE // max(len(port.order), 1))
    for first in range(0, len(x), at_once):
        part = x[first : first + at_once]
        part = (part if in_order else part[:, port.order]).astype(np.float64)
        if not np.isfinite(part).all():
            raise InputFileError(
                f"input '{port.name}' has values that are not finite", allowed="finite numbers"
            )
        part -= offset
        part /= scale
        part += 0.5
        np.floor(part, out=part)
        q[first : first + at_once] = np.clip(part, lowest, levels, out=part)
    return q


def _input_block(program: Program, population: int) -> int:
    mine = (program.column("population") == population) & (program.column("kind") == BlockKind.INPUT)
    return int(np.flatnonzero(mine)[0])


def decode(program: Program, outputs: Sequence[Int64Array]) -> tuple[npt.NDArray[np.float32], ...]:
    """Returns the results in the units of the network, ``(N, *shape)`` for each output port.

    ``y = scale / 2**shift · (r[order] − r[off])``, computed in float64; the shift counts in membranes alone.

    Args:
        program: The program.
        outputs: ``RunResult.outputs``.
    """
    return tuple(
        (port.scale / 2.0 ** program.fraction_bits(port.population) * port.read(results))
        .astype(np.float32)
        .reshape(len(results), *port.shape)
        for port, results in zip(program.outputs, outputs, strict=True)
    )
