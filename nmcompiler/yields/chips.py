"""Chips of one kind: what they differ in, and the simulator of one of them."""

from __future__ import annotations

from collections.abc import Sequence

from nmcompiler.backend import blame
from nmcompiler.errors import UsageError
from nmcompiler.program.layout import Program
from nmcompiler.registry import backend as backend_of
from nmcompiler.sim import Simulator

__all__ = ["drawn_sources", "draw"]


def drawn_sources(program: Program) -> tuple[str, ...]:
    """Returns what varies from chip to chip.

    Raises:
        UsageError: Nothing does.
    """
    backend = backend_of(program.target.backend)
    sources: Sequence[str] = ()
    try:
        with blame(backend, "simulator"):
            drawn = backend.simulator(program, chip_seed=0).drawn
        sources = () if drawn is None else drawn["sources"]
    except UsageError:  # a chip that has no seed
        pass
    if not sources:
        raise UsageError(
            f"all chips of target '{program.target.name}' are the same: nmc run says how each of them does",
            hint="nmc yield is for chips whose devices vary",
        )
    return tuple(sources)


def draw(program: Program, seed: int) -> Simulator:
    """Returns the simulator of one chip."""
    backend = backend_of(program.target.backend)
    with blame(backend, "simulator"):
        return backend.simulator(program, chip_seed=seed)
