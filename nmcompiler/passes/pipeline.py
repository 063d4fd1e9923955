"""Runs passes one after another, and checks what each of them promises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic

import numpy as np

from nmcompiler.errors import NotVerified, UsageError
from nmcompiler.evaluate.float import run_float
from nmcompiler.evaluate.integer import run_integer
from nmcompiler.ir.kernels import Array
from nmcompiler.ir.layers import Model
from nmcompiler.ir.network import Network
from nmcompiler.ir.verify import complaints
from nmcompiler.passes.base import Context, G, Keeps, Note, Pass, PassResult

__all__ = ["Pipeline"]

_SAMPLES = 4  # samples on which --verify executes every pass


@dataclass(frozen=True)
class Pipeline(Generic[G]):
    """Some passes in order.

    Attributes:
        passes: What runs, first to last.
        verify: Whether to execute each result against the graph before it on a few calibration samples.
    """

    passes: tuple[Pass[G], ...]
    verify: bool = False

    def run(self, graph: G, context: Context) -> PassResult[G]:
        """Returns the last pass's graph and the notes of all.

        Raises:
            NotVerified: Naming the first pass that leaves a malformed graph or, with ``verify``, changes
                an answer beyond what it declares.
        """
        _check("the graph as it was read", graph)
        notes: list[Note] = []
        changed = False
        for step in self.passes:
            result = step.run(graph, context)
            if result.changed:
                _check(f"pass '{step.name}'", result.graph)
                if self.verify:
                    _compare(step, graph, result.graph, context)
            graph = result.graph
            changed = changed or result.changed
            # What a chip prevents, it prevents again when the pass runs a second time.
            notes += [note for note in result.notes if not (note.by_target and note in notes)]
        return PassResult(graph, changed, tuple(notes))


def _check(what: str, graph: Model | Network) -> None:
    found: Sequence[str] = complaints(graph)
    if found:
        raise NotVerified(f"{what} is not well formed: " + "; ".join(found[:3]))


def _compare(step: Pass[G], before: G, after: G, context: Context) -> None:
    """Raises where a pass changes an answer beyond what it declares."""
    if step.keeps.kind == "lossy":
        return
    if context.calibration is None:
        raise UsageError("passes cannot be verified without calibration samples")
    samples = {name: np.asarray(x)[:_SAMPLES] for name, x in context.calibration.items()}
    first, second = _answers(before, samples), _answers(after, samples)
    for name, wanted in first.items():
        if not _kept(step.keeps, wanted, second[name]):
            worst = float(np.abs(second[name] - wanted).max())
            raise NotVerified(
                f"pass '{step.name}' changes output '{name}' by up to {worst:.3g}",
                allowed=f"{step.keeps.rtol:g} of its range" if step.keeps.rtol else "none",
            )


def _answers(graph: Model | Network, samples: Mapping[str, Array]) -> Mapping[str, Array]:
    if isinstance(graph, Network):
        return run_integer(graph, samples).outputs
    return run_float(graph, samples).outputs


def _kept(keeps: Keeps, wanted: Array, found: Array) -> bool:
    if keeps.kind == "exact":
        return bool(np.array_equal(wanted, found))
    return bool(np.abs(found - wanted).max(initial=0) <= keeps.rtol * (np.abs(wanted).max(initial=0) + 1e-9))
