"""Trims one chip of many until it behaves like its program: the loop over layers and methods, and its record.

Methods belong to backends and see the chip through its session alone. What they aim at comes from the golden
network; labels are never read, and no sample but those for calibration is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from nmcompiler.backend import Backend, blame
from nmcompiler.codings import coding
from nmcompiler.errors import UsageError, nearest
from nmcompiler.evaluate.integer import run_integer
from nmcompiler.evaluate.rate import run_rate
from nmcompiler.evaluate.threads import one_blas_thread
from nmcompiler.ir.kernels import Array
from nmcompiler.ir.spiking import Spiking
from nmcompiler.program.layout import BlockKind, Program
from nmcompiler.session import Calibration, ChipSession, Compensation, VariableBackend
from nmcompiler.sim import Simulator
from nmcompiler.sim.result import Int64Array

__all__ = ["calibration_of", "chosen", "compensate", "compensated", "compensation_facts", "session_of"]

_Arrays: TypeAlias = Mapping[str, Array]


def session_of(
    backend: Backend, program: Program, chip_seed: int, sources: Sequence[str] | None = None
) -> ChipSession:
    """Returns a chip that a seed draws; ``sources`` are those that vary, None for all.

    Raises:
        UsageError: All chips of this kind are the same, or there is no such source.
    """
    with blame(backend, "session"):
        return _variable(backend, program).session(program, chip_seed=chip_seed, sources=sources)


def chosen(backend: Backend, program: Program, names: str) -> tuple[Compensation, ...]:
    """Returns methods of compensation in the order in which they are applied.

    Args:
        backend: Has the methods.
        program: What is compensated.
        names: ``all``, ``none``, or names with commas between them.

    Raises:
        UsageError: There is no such method, or all chips of this kind are the same.
    """
    with blame(backend, "compensations"):
        methods = tuple(_variable(backend, program).compensations(program))
    if names in ("all", "none"):
        return methods if names == "all" else ()
    wanted = {name.strip() for name in names.split(",")}
    known = [m.name for m in methods]
    for name in sorted(wanted.difference(known)):
        raise UsageError(
            f"there is no compensation '{name}' for target '{program.target.name}'",
            hint=nearest(name, ["all", "none", *known]),
        )
    return tuple(m for m in methods if m.name in wanted)


def calibration_of(program: Program, x: Mapping[str, Array]) -> Calibration:
    """Returns calibration samples ``(S, *shape)`` by input port, with what the golden network answers.

    Raises:
        UsageError: The program was saved without its golden network.
    """
    if program.golden is None:
        raise UsageError(
            "the program was saved without its integer network, which compensation aims at",
            hint="compile it again without --no-source",
        )
    golden, names = program.golden, program.golden.network.graph.names()
    with one_blas_thread():
        values, membranes, outputs = _exact(golden, x) if coding(golden.coding).exact else _counted(golden, x)
    by_block: tuple[dict[int, Int64Array], dict[int, Int64Array]] = {}, {}
    for block, number in enumerate(program.column("population").tolist()):
        for found, result in zip((values, membranes), by_block, strict=True):
            if names[number] in found:
                result[block] = _box(program, block, found[names[number]])
    flat = {name: y.reshape(len(y), -1) for name, y in outputs.items()}
    return Calibration(dict(x), *by_block, flat)


def _exact(golden: Spiking, x: _Arrays) -> tuple[_Arrays, _Arrays, _Arrays]:
    """Returns values and membranes ``(S, h, w, c)`` by population, and outputs by port."""
    result = run_integer(golden.network, x, record=True)
    return result.values, result.membranes, result.outputs


def _counted(golden: Spiking, x: _Arrays) -> tuple[_Arrays, _Arrays, _Arrays]:
    """Returns the same of the ``rate`` code: counts, and the membranes of read-outs alone."""
    result = run_rate(golden, x)
    membranes, outputs = {}, {}
    for port in golden.network.outputs:
        population = golden.network.graph.node(port.node)
        shift = 0 if population.sends else golden.neurons[port.node].shift
        outputs[port.name] = np.rint(result.outputs[port.name] * 2.0**shift).astype(np.int64)
        if not population.sends:
            flat = np.zeros((len(outputs[port.name]), population.size), np.int64)
            flat[:, port.order] = outputs[port.name].reshape(len(flat), -1)
            membranes[port.node] = flat.reshape(-1, *population.shape)
    return result.counts, membranes, outputs


def _box(program: Program, block: int, population: Array) -> Int64Array:
    """Returns the part of a population ``(S, h, w, c)`` that a block holds, ``(S, n)``."""
    first = [int(program.column(name)[block]) for name in ("y0", "x0", "c0")]
    sides = [int(program.column(name)[block]) for name in ("height", "width", "channels")]
    y, x, c = (slice(a, a + b) for a, b in zip(first, sides, strict=True))
    part: Int64Array = population[:, y, x, c].reshape(len(population), -1).astype(np.int64)
    return part


def compensate(session: ChipSession, methods: Sequence[Compensation], calibration: Calibration) -> None:
    """Trims a chip: layer by layer from the input, in each all methods in their order."""
    for blocks in _layers(session.program):
        for method in methods:
            method.apply(session, calibration, blocks)


def _layers(program: Program) -> Iterator[tuple[int, ...]]:
    """Yields the blocks that fire in each window, inputs left out."""
    window, on_chip = program.column("window"), program.column("kind") != BlockKind.INPUT
    for number in np.unique(window[on_chip]).tolist():
        yield tuple(np.flatnonzero(on_chip & (window == number)).tolist())


def compensated(
    backend: Backend,
    program: Program,
    chip_seed: int,
    calibration: Calibration,
    methods: Sequence[Compensation],
    sources: Sequence[str] | None = None,
) -> Simulator:
    """Returns the simulator of one chip that was trimmed on calibration samples.

    Raises:
        UsageError: All chips of this kind are the same, or there is no such source.
    """
    session = session_of(backend, program, chip_seed, sources)
    with blame(backend, "compensation"):
        compensate(session, methods, calibration)
        return session.simulator()


def compensation_facts(
    backend: Backend,
    program: Program,
    chip_seed: int,
    calibration: Calibration,
    methods: Sequence[Compensation],
) -> tuple[Simulator, dict[str, Any]]:
    """Returns the simulator of a trimmed chip, and what each method brought on the calibration samples.

    The chip is trimmed once with the first method, once with the first two, and so on. No label is read:
    ``agreement`` is the share of samples that get the integer network's class, ``deviation`` the root mean
    square of what outputs are off by, over that of the integer network's outputs about their mean.
    """
    steps = []
    for count in range(len(methods) + 1):
        simulator = compensated(backend, program, chip_seed, calibration, methods[:count])
        name = methods[count - 1].name if count else None
        steps.append({"method": name, **_deviation(program, simulator, calibration)})
    samples = len(next(iter(calibration.x.values())))
    return simulator, {"calibration_samples": samples, "methods": [m.name for m in methods], "steps": steps}


def _deviation(program: Program, simulator: Simulator, calibration: Calibration) -> dict[str, float | None]:
    port = program.outputs[0]
    wanted = calibration.outputs[port.name]
    found = port.read(simulator.run(calibration.x).outputs[0])
    spread = float(np.sqrt(((wanted - wanted.mean(axis=0)) ** 2).mean()))
    off = float(np.sqrt(((found - wanted) ** 2).mean()))
    same = None if wanted.shape[1] < 2 else float((found.argmax(axis=1) == wanted.argmax(axis=1)).mean())
    return {"agreement": same, "deviation": None if spread == 0 else off / spread}


def _variable(backend: Backend, program: Program) -> VariableBackend:
    if not isinstance(backend, VariableBackend):
        raise UsageError(
            f"all chips of target '{program.target.name}' are the same: there is nothing to compensate",
            hint="choose a target whose devices vary, such as those of nmc targets with analog memories",
        )
    return backend
