"""Chips of one kind: what they differ in, and the simulator of one of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nmcompiler.backend import Backend, blame
from nmcompiler.compensate import chosen, compensated, session_of
from nmcompiler.errors import UsageError
from nmcompiler.program.layout import Program
from nmcompiler.registry import backend as backend_of
from nmcompiler.session import Calibration, VariableBackend
from nmcompiler.sim import Simulator

__all__ = ["check_alone", "draw", "drawn_sources"]


def drawn_sources(program: Program) -> tuple[str, ...]:
    """Returns what varies from chip to chip.

    Raises:
        UsageError: Nothing does.
    """
    backend = backend_of(program.target.backend)
    with blame(backend, "sources"):
        sources = (
            tuple(backend.sources(program))
            if isinstance(backend, VariableBackend)
            else _said_by_simulator(backend, program)
        )
    if not sources:
        raise UsageError(
            f"all chips of target '{program.target.name}' are the same: nmc run says how each of them does",
            hint="nmc yield is for chips whose devices vary",
        )
    return sources


def _said_by_simulator(backend: Backend, program: Program) -> tuple[str, ...]:
    """Returns the same of a backend that draws chips, but lets nobody see what is on them."""
    try:
        drawn = backend.simulator(program, chip_seed=0).drawn
    except UsageError:  # a chip that has no seed
        return ()
    return () if drawn is None else tuple(drawn["sources"])


def check_alone(program: Program) -> None:
    """Raises ``UsageError`` where no source can vary without the others."""
    backend = backend_of(program.target.backend)
    if not isinstance(backend, VariableBackend):
        raise UsageError(
            f"backend '{backend.name}' draws all sources of variation together",
            hint="leave out --sensitivity",
        )


def draw(
    program: Program,
    seed: int,
    sources: Sequence[str] | None,
    methods: Sequence[str],
    calibration: Callable[[], Calibration],
) -> Simulator:
    """Returns the simulator of one chip.

    Args:
        program: What it runs.
        seed: Which chip.
        sources: What varies; None for all.
        methods: What it is compensated by.
        calibration: Gives the samples that it is trimmed on; called where there are methods.
    """
    backend = backend_of(program.target.backend)
    if not isinstance(backend, VariableBackend):
        with blame(backend, "simulator"):
            return backend.simulator(program, chip_seed=seed)
    if methods:
        applied = chosen(backend, program, ",".join(methods))
        return compensated(backend, program, seed, calibration(), applied, sources)
    session = session_of(backend, program, seed, sources)
    with blame(backend, "simulator"):
        return session.simulator()
