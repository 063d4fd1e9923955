"""Faults planted in a placed program at a known layer, each with the cause that a diagnosis has to name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from nmcompiler.ir.kernels import Array
from nmcompiler.program.layout import BLOCK_COLUMNS, BlockKind, Program
from nmcompiler.testing.faults import Fault

__all__ = ["PROGRAM_FAULTS", "program_fault"]


def program_fault(kind: str, program: Program, layer: str) -> tuple[Program, Fault] | None:
    """Returns a program with one fault, or None where the layer offers no place for it.

    Args:
        kind: One of ``PROGRAM_FAULTS``.
        program: Left as it is; it carries the names of its populations.
        layer: A population that is no input.
    """
    causes, plant = PROGRAM_FAULTS[kind]
    made = plant(program, _rows(program, layer))
    return made and (made[0], Fault(kind, layer, causes, made[1]))


def _rows(program: Program, layer: str) -> Array:
    if program.names is None:
        raise ValueError("the program names no populations")
    rows = program.column("population") == program.names.populations.index(layer)
    return np.flatnonzero(rows & (program.column("kind") != BlockKind.INPUT))


def _columns(program: Program, rows: Array, **values: Array) -> Program:
    blocks = program.arrays["blocks"].copy()
    for name, value in values.items():
        blocks[rows, BLOCK_COLUMNS.index(name)] = value
    return program.with_arrays(blocks=blocks)


def _parameters(program: Program, rows: Array) -> Array:
    first, count = program.column("param0")[rows], program.column("param_n")[rows]
    return np.unique(np.concatenate([np.arange(a, a + n) for a, n in zip(first, count, strict=True)]))


_PlantedProgram = tuple[Program, str] | None


def _fires_early(program: Program, rows: Array) -> _PlantedProgram:
    start = program.column("fire_start")[rows]
    if (start < 1).any() or not program.column("levels")[rows].any():
        return None
    return _columns(program, rows, fire_start=start - 1), "it fires one step too early"


def _fires_late(program: Program, rows: Array) -> _PlantedProgram:
    start, steps = program.column("fire_start")[rows], program.column("steps")[rows]
    if (start + steps >= program.total_steps).any() or not program.column("levels")[rows].any():
        return None
    return _columns(program, rows, fire_start=start + 1), "it fires one step too late"


def _window_late(program: Program, rows: Array) -> _PlantedProgram:
    """The window in which a population fires begins one step late."""
    starts = list(program.window_starts)
    k = int(program.column("window")[rows][0])
    ends = [*starts, program.total_steps]
    if k == 0 or k >= len(starts) or starts[k] + 1 >= ends[k + 1]:
        return None
    starts[k] += 1
    return replace(program, window_starts=tuple(starts)), f"window {k} begins one step too late"


def _program_threshold(program: Program, rows: Array) -> _PlantedProgram:
    theta = program.arrays["theta"].copy()
    theta[_parameters(program, rows)] *= 2
    return program.with_arrays(theta=theta), "every threshold of the program is doubled"


def _program_start(program: Program, rows: Array) -> _PlantedProgram:
    v0, theta = program.arrays["v0"].copy(), program.arrays["theta"]
    entries = _parameters(program, rows)
    v0[entries] += theta[entries]
    return program.with_arrays(v0=v0), "every membrane starts one threshold too high"


def _program_weights(program: Program, rows: Array) -> _PlantedProgram:
    weights = program.arrays["weights"].copy()
    for first, count in zip(program.column("weight0")[rows], program.column("weight_n")[rows], strict=True):
        weights[first : first + count] //= 2
    return program.with_arrays(weights=weights), "every weight of the program is halved"


PROGRAM_FAULTS: Mapping[str, tuple[tuple[str, ...], Callable[[Program, Array], _PlantedProgram]]] = (
    MappingProxyType(
        {
            "fires early": (("timing",), _fires_early),
            "fires late": (("timing",), _fires_late),
            "window begins late": (("timing",), _window_late),
            "threshold of the program doubled": (("program-threshold",), _program_threshold),
            "start of the membrane moved": (("program-start",), _program_start),
            "weights of the program halved": (("program-synapses",), _program_weights),
        }
    )
)
"""By kind: the causes that fit it, and what plants it."""
