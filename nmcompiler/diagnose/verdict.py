"""From errors to one sentence: which layer, which cause, and what shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nmcompiler.diagnose.alone import FLOOR, decibels
from nmcompiler.diagnose.causes import Removal, chosen, removals
from nmcompiler.diagnose.layers import LayerError, first_jump
from nmcompiler.diagnose.placed import ProgramFault
from nmcompiler.report.format import percent

__all__ = ["Verdict", "of_layers", "of_program"]

_OF_INPUTS = {"levels": "input-levels", "clipping": "input-range", "fit": "input-range"}
_OF_OUTPUTS = {"levels": "output-levels", "clipping": "output-range"}


@dataclass(frozen=True)
class Verdict:
    """What was found.

    Attributes:
        layer: The population concerned.
        cause: Identifier of the cause; None where no removal restores a third of the error.
        kind: ``program``: the program is not its network; ``chip``: it is, and the chip still computes
            something else; ``fault``: the same formats allow much less error; ``limit``: they do not.
        sentence: All of it, for people.
        removals: What was tried, with the ratio that is left in dB (``layer`` verdicts) or the share of wrong
            values (``program``).
    """

    layer: str
    cause: str | None
    kind: str
    sentence: str
    removals: tuple[Mapping[str, Any], ...]


def of_program(fault: ProgramFault) -> Verdict:
    """Returns the verdict on a program that is not its network."""
    if fault.wrong:
        seen = f"{percent(fault.wrong)} of the values are wrong, first in layer '{fault.layer}'"
    else:
        seen = f"no value of these samples is wrong, but layer '{fault.layer}' differs"
    sentence = f"The {'chip does not compute' if fault.proved else 'program is not'} its network: {seen}"
    cause, kind = fault.cause, "chip" if fault.proved else "program"
    if cause is not None:
        left = "no value is wrong" if not cause.error else f"{percent(cause.error)} are wrong"
        sentence += f", because {cause.finding}; with {cause.removed} {left}"
    rows = tuple(
        {"cause": r.cause, "removed": r.removed, "restored": round(r.restored, 3), "wrong": round(r.error, 6)}
        for r in fault.removals
    )
    return Verdict(fault.layer, None if cause is None else cause.cause, kind, f"{sentence}.", rows)


def of_layers(errors: Sequence[LayerError], *, windowed: bool) -> Verdict:
    """Returns the verdict on the first layer whose error jumps.

    Args:
        errors: Of all populations.
        windowed: Whether the code has windows; else the levels are its steps.
    """
    jump = first_jump(errors)
    least = jump.achievable if jump.is_fault else 0.0
    base = jump.alone.error(jump.alone.found)
    found = tuple(_named(r, jump, windowed) for r in removals(jump.alone, base=base, least=least))
    cause = chosen(found)
    own, possible = _db(base), _db(jump.achievable)
    if jump.is_fault:
        sentence = (
            f"The error jumps in layer '{jump.name}': {own} alone, where the same number formats "
            f"allow {possible}"
        )
    elif base <= FLOOR:
        sentence = f"No layer loses anything: the noisiest is '{jump.name}' with more than {own}"
    else:
        sentence = (
            f"No layer is far from what its number formats allow; the noisiest is '{jump.name}' with {own} "
            "alone"
        )
    if cause is not None:
        sentence += f", because {cause.finding}; with {cause.removed} it has {_db(cause.error)}"
    rows = tuple(
        {
            "cause": r.cause,
            "removed": r.removed,
            "restored": round(r.restored, 3),
            "sqnr_db": round(decibels(r.error), 2),
        }
        for r in found
    )
    # A property of the code, or a range chosen so that the answers of few levels do not tie: no mistake.
    intended = cause is not None and cause.cause in ("code", "output-range")
    kind = "fault" if jump.is_fault and not intended else "limit"
    return Verdict(jump.name, None if cause is None else cause.cause, kind, f"{sentence}.", rows)


def _named(removal: Removal, jump: LayerError, windowed: bool) -> Removal:
    """Returns a removal under the name that its cause has in inputs, outputs and codes without windows."""
    if jump.alone.population.role == "input":
        return replace(removal, cause=_OF_INPUTS.get(removal.cause, removal.cause))
    if jump.alone.population.role == "readout" and windowed:
        return replace(removal, cause=_OF_OUTPUTS.get(removal.cause, removal.cause))
    if removal.cause == "levels" and not windowed:
        steps = jump.alone.population.levels
        return replace(removal, cause="timesteps", finding=f"{steps} steps are too few for its values")
    return removal


def _db(error: float) -> str:
    return f"{decibels(max(error, FLOOR)):.1f} dB"
