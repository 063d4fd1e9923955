"""What a compilation is asked for: its options, their defaults, and the choices that suit code and chip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nmcompiler.codings import CODINGS, Coding, coding
from nmcompiler.errors import UsageError
from nmcompiler.passes.legalise_fan_in import FAN_IN_METHODS, FanInMethod
from nmcompiler.registry import targets
from nmcompiler.target import Target
from nmcompiler.target.model import USUAL

__all__ = [
    "DEFAULT_INPUT_LEVELS",
    "DEFAULT_LEVELS",
    "DEFAULT_OPTIONS",
    "DEFAULT_OUTPUT_LEVELS",
    "DEFAULT_TIMESTEPS",
    "CompileOptions",
    "Plan",
    "plan_of",
]

DEFAULT_LEVELS = 15
DEFAULT_TIMESTEPS = 16
DEFAULT_INPUT_LEVELS = 255
DEFAULT_OUTPUT_LEVELS = 255
_MOST_LEVELS = 65535
_MOST_STEPS = 4096


@dataclass(frozen=True)
class CompileOptions:
    """Options of ``nmc compile``; None takes the default.

    Attributes:
        levels: Largest value L of hidden populations, in windowed codes.
        weight_bits: Bits of a weight, at most the target's.
        timesteps: Steps T, in codes without windows.
        settle: Steps that a layer integrates before it may fire, in codes without windows.
        input_levels: Largest value of the input populations.
        input_encoding: How samples enter.
        output_levels: Largest value of the outputs, which are then read from spikes; None reads membranes
            where the chip prefers that.
        chips: Number of chips; None uses as few as needed.
        passes: Most passes over these chips, each with other weights; None for as many as are needed. One
            is taken where it is enough.
        seed: Seed of the placement.
        placement_effort: How long a better partition and placement are looked for: ``low``, ``normal`` (None)
            or ``high``.
        fan_in: What becomes of layers with more inputs than a neuron of the chip has synapses: ``auto``,
            ``exact``, ``split``, ``prune`` or ``refuse`` (``passes/legalise_fan_in.py``).
        backend: Name of the backend, where several provide the target.
        verify: Whether every pass is executed against the one before.
        include_source: Whether the ONNX file is kept in the program.
        input_shapes: All dimensions, the batch first, of inputs whose sizes the ONNX file leaves free.
    """

    levels: int | None = None
    weight_bits: int | None = None
    timesteps: int | None = None
    settle: int | None = None
    input_levels: int | None = None
    input_encoding: str | None = None
    output_levels: int | None = None
    chips: int | None = None
    passes: int | None = 1
    seed: int = 0
    placement_effort: str | None = None
    fan_in: FanInMethod | None = None
    backend: str | None = None
    verify: bool = False
    include_source: bool = True
    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


DEFAULT_OPTIONS = CompileOptions()


@dataclass(frozen=True)
class Plan:
    """The options with their defaults filled in, checked against code and chip."""

    coding: Coding
    levels: int
    weight_bits: int
    timesteps: int | None
    settle: int | None
    input_levels: int
    input_encoding: str
    output_levels: int | None = None  # None where outputs are read from membranes
    fan_in: FanInMethod = "auto"


def plan_of(options: CompileOptions, code: str, chip: Target) -> Plan:
    """Returns the options with their defaults; raises ``UsageError`` where they suit not code or chip."""
    chosen = coding(code)
    _check_code(chosen, chip)
    fan_in = options.fan_in or "auto"
    if fan_in not in FAN_IN_METHODS:
        raise UsageError(f"--fan-in {fan_in} is unknown", allowed=", ".join(FAN_IN_METHODS))
    weight_bits = _given(options.weight_bits, chip.weight_bits)
    if weight_bits not in chip.possible_weight_bits:
        raise _no_weight_bits(weight_bits, chip)
    if fan_in == "exact":
        _check_exact_sums(chosen)
    encoding = _encoding(options.input_encoding, chosen, chip)
    levels, timesteps = _levels_and_steps(options, chosen, chip)
    default = min(DEFAULT_INPUT_LEVELS, _carried(chosen, chip))
    if not chosen.windowed and encoding == "spikes":
        default = levels
    input_levels = _given(options.input_levels, default)
    if timesteps is not None and encoding == "spikes" and input_levels > timesteps:
        raise UsageError(
            f"--input-levels {input_levels} do not fit the {timesteps} steps of input encoding 'spikes'",
            allowed=f"1 to {timesteps}",
        )
    steps = "--levels" if chosen.windowed else "--timesteps"
    # Levels are 16-bit numbers, and a firing of more steps than these is no use of a chip or a simulator.
    most = _MOST_LEVELS if chosen.steps(_MOST_LEVELS) <= _MOST_STEPS else _MOST_STEPS
    for option, value in ((steps, levels), ("--input-levels", input_levels)):
        if not 1 <= value <= most:
            raise UsageError(f"{option} {value} is out of range", allowed=f"1 to {most} in '{code}'")
    output_levels = _output_levels(options.output_levels, code, chip, timesteps, most)
    settle = None if timesteps is None else _settle(options.settle, timesteps, chip)
    chosen = chosen if settle is None else chosen.settled(settle)
    return Plan(chosen, levels, weight_bits, timesteps, settle, input_levels, encoding, output_levels, fan_in)


def _no_weight_bits(asked: int, chip: Target) -> UsageError:
    possible = chip.possible_weight_bits
    if chip.weight_widths and possible[0] <= asked <= possible[-1]:
        found = f"--weight-bits {asked}: '{chip.name}' stores no weights of {asked} bits"
        return UsageError(found, allowed=f"{' or '.join(map(str, possible))} on {chip.name}")
    listed = " or ".join(map(str, possible)) if chip.weight_widths else f"2 to {chip.weight_bits}"
    return UsageError(f"--weight-bits {asked} is out of range", allowed=f"{listed} on {chip.name}")


def _check_code(chosen: Coding, chip: Target) -> None:
    """Raises where a chip cannot run a code."""
    code = chosen.name
    if code not in chip.codings:
        able = sorted(name for name, (_, t) in targets().items() if code in t.codings)
        raise UsageError(
            f"target '{chip.name}' cannot run the coding '{code}'",
            allowed=f"{', '.join(chip.codings)} on {chip.name}",
            hint=f"targets that can: {', '.join(_installed(name, chip) for name in able) or 'none'}",
        )
    missed = chosen.misses(chip.dynamics)
    if missed is not None:
        able = [name for name in CODINGS if CODINGS[name].misses(chip.dynamics) is None]
        raise UsageError(
            f"the coding '{code}' needs {missed}, which target '{chip.name}' has not",
            allowed=f"{', '.join(able) or 'no coding'} with such neurons",
        )
    if chosen.payload_bits(1, signed=False) and chip.graded_payload_bits is None:
        raise UsageError(
            f"target '{chip.name}' has no events that carry values, which the coding '{code}' needs",
            allowed="graded_payload_bits in the target file, where the chip has such events",
        )


def _check_exact_sums(chosen: Coding) -> None:
    """Raises where a code cannot send a whole sum as one value."""
    able = [name for name, code in CODINGS.items() if code.windowed and code.steps(_MOST_LEVELS) <= 16]
    if chosen.name not in able:
        raise UsageError(
            f"--fan-in exact does not apply to the coding '{chosen.name}': it sends no values of many levels",
            allowed=f"{' or '.join(able)} with exact partial sums",
            hint="use --fan-in split",
        )


def _installed(name: str, chip: Target) -> str:
    """Returns the name of an installed chip, told apart from that of a file which has the same."""
    return f"{name} (the installed one, not this file)" if name == chip.name else name


def _carried(chosen: Coding, chip: Target) -> int:
    """Returns the largest value without a sign that an event of a chip can carry, where a code has such."""
    carries = chosen.payload_bits(1, signed=False) and chip.graded_payload_bits
    return min(2**carries - 1, _MOST_LEVELS) if carries else _MOST_LEVELS


def _levels_and_steps(options: CompileOptions, chosen: Coding, chip: Target) -> tuple[int, int | None]:
    """Returns L, and T in codes without windows."""
    code = chosen.name
    most = chip.hidden_levels
    if chosen.windowed:
        if options.timesteps is not None:
            raise UsageError(
                f"--timesteps does not apply to the coding '{code}': its steps follow from the levels",
                hint="use --levels",
            )
        if options.settle is not None:
            raise UsageError(
                f"--settle does not apply to the coding '{code}': its windows wait for all that arrives",
                hint="leave it out",
            )
        levels = _given(options.levels, DEFAULT_LEVELS if most is None else min(DEFAULT_LEVELS, most))
        if most is not None and levels > most:
            raise UsageError(
                f"--levels {levels} is out of range", allowed=f"1 to {most}, which layers pass on {chip.name}"
            )
        return levels, None
    if options.levels is not None:
        raise UsageError(
            f"--levels does not apply to the coding '{code}': its levels are its steps",
            hint="use --timesteps",
        )
    timesteps = _given(options.timesteps, DEFAULT_TIMESTEPS)
    return timesteps, timesteps


def _output_levels(
    asked: int | None, code: str, chip: Target, timesteps: int | None, most: int
) -> int | None:
    """Returns the largest value of outputs that are read from spikes; None where membranes are read."""
    if asked is None and chip.readout[0] != "spikes":
        return None
    if "spikes" not in chip.readout:
        raise UsageError(
            f"--output-levels {asked} reads outputs from spikes, and of target '{chip.name}' only "
            f"{' or '.join(chip.readout)} can be read",
            hint="leave it out: the outputs are then read without any rounding",
        )
    if timesteps is not None:
        if asked not in (None, timesteps):
            raise UsageError(
                f"--output-levels {asked} cannot be had in '{code}': outputs are counts of spikes in T steps",
                allowed=f"{timesteps}, the steps",
                hint="use --timesteps",
            )
        return timesteps
    levels = _given(asked, DEFAULT_OUTPUT_LEVELS)
    if not 1 <= levels <= most:
        raise UsageError(f"--output-levels {levels} is out of range", allowed=f"1 to {most} in '{code}'")
    return levels


def _settle(asked: int | None, timesteps: int, chip: Target) -> int:
    """Returns the steps that a layer waits; by default a quarter of T where no spike can be taken back.

    A membrane that forgets, at a spike, at its floor or as it leaks, does not wait: what it gathered would be
    lost.
    """
    leaks = chip.neuron_array is not None and chip.neuron_array.leaks
    waits = not chip.signed_spikes and chip.dynamics == USUAL and not leaks
    settle = _given(asked, min(max(timesteps // 4, 2), timesteps - 1) if waits else 0)
    if not 0 <= settle <= timesteps:
        raise UsageError(f"--settle {settle} is out of range", allowed=f"0 to {timesteps}, the steps")
    return settle


def _given(asked: int | None, default: int) -> int:
    return default if asked is None else asked  # a 0 was asked for, and is refused


def _encoding(asked: str | None, chosen: Coding, chip: Target) -> str:
    possible = [e for e in chosen.input_encodings if e in chip.input_encodings]
    if not possible:
        raise UsageError(
            f"target '{chip.name}' takes samples as {', '.join(chip.input_encodings)}, "
            f"the coding '{chosen.name}' needs {' or '.join(chosen.input_encodings)}"
        )
    if asked is not None and asked not in possible:
        raise UsageError(
            f"--input-encoding {asked} cannot be used with '{chosen.name}' on '{chip.name}'",
            allowed=", ".join(possible),
        )
    return asked or possible[0]
