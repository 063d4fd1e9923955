"""``--target auto``: the smallest chip that holds a network.

Chips are ordered by what somebody would have to buy. First come those that can be had at all
(``Target.product``), since nobody can buy a model of a chip; then those that hold the network in an exact
code, since what they compute is proved and what others lose is known only when it is measured; then those of
which fewer are needed; then those with less synapse memory on one chip, the part of a chip that networks
fill; then the names. The first of this order that holds the network in one of its codes, the preferred ones
first, is taken.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from nmcompiler.checker.outcomes import Outcome
from nmcompiler.checker.proposals import Chip
from nmcompiler.checker.trials import Trials
from nmcompiler.codings import coding
from nmcompiler.compiler import Compilation, Inputs, compile_inputs
from nmcompiler.errors import DoesNotFit, NmcError, UnsupportedModel, UsageError
from nmcompiler.ir.progress import Progress, silent
from nmcompiler.plan import DEFAULT_OPTIONS, CompileOptions
from nmcompiler.registry import backend, targets
from nmcompiler.target import Target

__all__ = ["Choice", "compile_smallest"]

_REASONS = 3  # of refusals that stand in one sentence


@dataclass(frozen=True)
class Choice:
    """A chip that was taken, and why not a smaller one.

    Attributes:
        target: Its name.
        coding: The code.
        chips: Chips that are needed.
        synapse_bits: Synapse memory of one of them, infinite where it states none.
        passed_over: Smaller chips, and what stands against each.
    """

    target: str
    coding: str
    chips: int
    synapse_bits: float
    passed_over: tuple[tuple[str, str], ...]

    @property
    def sentence(self) -> str:
        """What was taken and why."""
        count = "1 chip" if self.chips == 1 else f"{self.chips} chips"
        exact = coding(self.coding).exact
        fits = "fits in an exact code" if exact else "fits, in a code that approximates the network"
        return (
            f"'{self.target}' in '{self.coding}' is the smallest that {fits}: {count}, "
            f"synapse memory of a chip {_memory(self.synapse_bits)}"
        )

    @property
    def facts(self) -> dict[str, Any]:
        """The object ``choice`` of ``compile --json``."""
        passed = [{"target": name, "reason": reason} for name, reason in self.passed_over]
        return {"target": self.target, "coding": self.coding, "reason": self.sentence, "passed_over": passed}


def _memory(bits: float) -> str:
    if bits == float("inf"):
        return "unlimited"
    return f"{bits / 2**23:,.1f} MiB" if bits >= 2**23 else f"{bits / 2**13:,.1f} KiB"


@dataclass(frozen=True, eq=False)
class _Fit:
    """A chip that holds the network by what random samples say."""

    chip: Chip
    outcome: Outcome


def compile_smallest(
    inputs: Inputs,
    code: str | None = None,
    options: CompileOptions = DEFAULT_OPTIONS,
    progress: Progress = silent,
) -> Compilation:
    """Compiles a network for the smallest chip that holds it; its facts say under ``choice`` which and why.

    Args:
        inputs: The network and its calibration samples.
        code: The code; None for the preferred one of each chip that fits.
        options: See ``CompileOptions``; ``chips`` is the most that may be used, and ``passes`` is not read:
            the chip holds the network at once, since any chip would do with passes enough.
        progress: Told how far the work is.

    Raises:
        UsageError: No chip declares the code.
        NmcError: No chip holds the network.
        UnsupportedModel: The network can be compiled for no chip.
    """
    passed: dict[str, str] = {}
    options = replace(options, passes=1)
    for fit in _fits(Trials(inputs.layers), code, options, passed, progress):
        chip, taken = fit.chip[1], fit.outcome.coding
        try:
            made = compile_inputs(inputs, chip.name, taken, options, progress)
        except (DoesNotFit, UnsupportedModel) as error:  # real samples asked for more than random ones
            passed.setdefault(chip.name, str(error))
            continue
        smaller = tuple(passed.items())
        choice = Choice(chip.name, taken, made.facts["chips"], chip.synapse_bits, smaller)
        return replace(made, facts={**made.facts, "choice": choice.facts})
    raise _nowhere(inputs.layers.name, passed)


def _fits(
    trials: Trials, code: str | None, options: CompileOptions, passed: dict[str, str], progress: Progress
) -> Iterator[_Fit]:
    """Yields the chips that hold a network, the smallest first; ``passed`` gets the reasons of the others."""
    for product, exact in itertools.product((True, False), (True, False)):
        chips = [chip for chip in _candidates(code, options.backend) if chip[1].product is product]
        larger = []
        for k, chip in enumerate(chips):
            progress("looking for the smallest chip", k, len(chips))
            codes = _codes(chip[1], code, exact=exact)
            if not codes:
                if exact and code is None:
                    passed[chip[1].name] = (
                        f"it has no exact code, and {_listed(chip[1].codings)} approximates"
                    )
                continue
            outcome = _attempt(trials, chip, codes, replace(options, chips=1))
            if outcome.ok:
                passed.pop(chip[1].name, None)
                yield _Fit(chip, outcome)
            elif chip[1].max_chips > 1 and options.chips != 1:
                larger.append((chip, codes))
            else:
                passed[chip[1].name] = outcome.broken[0].reason
        joined = [_Fit(chip, _attempt(trials, chip, codes, options)) for chip, codes in larger]
        for fit in joined:
            if not fit.outcome.ok:
                passed[fit.chip[1].name] = fit.outcome.broken[0].reason
        for fit in sorted((f for f in joined if f.outcome.ok), key=lambda f: f.outcome.chips or 0):
            passed.pop(fit.chip[1].name, None)
            yield fit


def _candidates(code: str | None, backend_name: str | None) -> list[Chip]:
    """Returns the chips that declare a code, those with less synapse memory first."""
    known = targets(None if backend_name is None else [backend_name])
    able = [(owner, chip) for owner, chip in known.values() if code is None or code in chip.codings]
    if not able:
        raise UsageError(f"no target runs the coding '{code}'", hint="nmc targets lists their codes")
    return [(backend(owner), chip) for owner, chip in sorted(able, key=_size)]


def _size(entry: tuple[str, Target]) -> tuple[float, str]:
    return entry[1].synapse_bits, entry[1].name


def _codes(chip: Target, code: str | None, *, exact: bool) -> tuple[str, ...]:
    """Returns the codes of a chip that may be taken and are exact, or those that are not."""
    return tuple(name for name in chip.codings if code in (None, name) and coding(name).exact is exact)


def _listed(codes: tuple[str, ...]) -> str:
    return " or ".join(f"'{name}'" for name in codes)


def _attempt(trials: Trials, chip: Chip, codes: tuple[str, ...], options: CompileOptions) -> Outcome:
    """Returns how the network fits a chip: in the first of some codes that holds it, else in the first."""
    outcomes = []
    for name in codes:
        outcomes.append(trials.attempt(*chip, name, options))
        if outcomes[-1].ok:
            return outcomes[-1]
    return outcomes[0]


def _nowhere(model: str, passed: dict[str, str]) -> NmcError:
    said = [f"{name}: {reason}" for name, reason in list(passed.items())[:_REASONS]]
    more = f"; and {len(passed) - _REASONS} more" if len(passed) > _REASONS else ""
    return NmcError(
        f"none of {len(passed)} chips holds '{model}' ({'; '.join(said)}{more})",
        asked="--target auto",
        hint="nmc check MODEL says what stands against each, and --target CHIP what would fit it",
    )
