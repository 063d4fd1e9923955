"""Chips whose cores are neuron arrays, as the backend sees them."""

from __future__ import annotations

from collections.abc import Collection

from nmcompiler.errors import TargetFileError, UsageError, nearest
from nmcompiler.program.layout import Program
from nmcompiler.session import Compensation
from nmcompiler.sim import Simulator
from nmcompiler.target import NeuronArray, Target
from nmcompiler_backends.mixed_signal.array.circuits import Draw, chosen, varying
from nmcompiler_backends.mixed_signal.array.plan import plan_of
from nmcompiler_backends.mixed_signal.array.session import ArraySession
from nmcompiler_backends.mixed_signal.array.simulator import ArraySimulator
from nmcompiler_backends.mixed_signal.compensation import AdcRange, BiasTrim, OutputAffine, ThresholdTrim
from nmcompiler_backends.mixed_signal.variation import Chip

__all__ = ["check", "compensations", "session", "simulator", "sources"]

_CODES = ("phase", "rate")


def check(target: Target) -> None:
    """Raises ``TargetFileError`` where a target names codes that arrays do not run."""
    others = [code for code in target.codings if code not in _CODES]
    if others:
        raise TargetFileError(
            f"target '{target.name}' names the codes {', '.join(target.codings)}",
            allowed=f"{' and '.join(_CODES)} beside neuron_array",
        )


def simulator(program: Program, chip_seed: int | None) -> Simulator:
    """Returns a simulator of the chip that the seed draws, without one of ideal circuits."""
    if chip_seed is None:
        return ArraySimulator(program)
    return ArraySimulator(program, Draw(Chip(chip_seed), sources(program)))


def sources(program: Program) -> tuple[str, ...]:
    """Returns what varies from chip to chip."""
    return varying(_array(program))


def session(program: Program, chip_seed: int, wanted: Collection[str] | None) -> ArraySession:
    """Returns a chip that nobody has trimmed; ``wanted`` are the sources that vary, None for all.

    Raises:
        UsageError: There is no such source.
    """
    known = sources(program)
    for name in sorted(set(wanted or ()).difference(known)):
        raise UsageError(f"arrays of '{program.target.name}' have no '{name}'", hint=nearest(name, known))
    return ArraySession(program, Draw(Chip(chip_seed), chosen(_array(program), wanted)))


def compensations(program: Program) -> tuple[Compensation, ...]:
    """Returns what arrays can be compensated by, in the order in which it is applied to a layer."""
    array, found = _array(program), list[Compensation]()
    if array.threshold_dac is not None:
        found.append(ThresholdTrim())
    if array.bias_dac is not None:
        found.append(BiasTrim())
    if array.adc_bits is not None and plan_of(program).outputs:
        found.append(AdcRange(2 ** (array.adc_bits - 1) - 1))
    if plan_of(program).outputs:
        found.append(OutputAffine())
    return tuple(found)


def _array(program: Program) -> NeuronArray:
    array = program.target.neuron_array
    assert array is not None
    return array
