"""What to try against a cause: options that are compiled and run before they are named."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from nmcompiler.codings import coding
from nmcompiler.plan import CompileOptions, Plan
from nmcompiler.target import Target

__all__ = ["Proposal", "proposals"]

_MOST_LEVELS = 255
_MOST_STEPS = 128


@dataclass(frozen=True)
class Proposal:
    """Options to compile with.

    Attributes:
        text: The options as they are typed.
        code: The spike code.
        options: All options.
    """

    text: str
    code: str
    options: CompileOptions


_Rule = Callable[[CompileOptions, Plan, Target], Iterator[Proposal]]


def proposals(
    cause: str, options: CompileOptions, plan: Plan, chip: Target, *, again: bool
) -> tuple[Proposal, ...]:
    """Returns what could help against a cause, the likeliest first; nothing of it has been tried.

    With ``again`` that is a compilation with the same options: it has not the fault of this program.
    """
    rules: tuple[_Rule, ...] = (_again,) if again else _RULES.get(cause, ())
    found = [proposal for rule in rules for proposal in rule(options, plan, chip)]
    return tuple({p.text: p for p in found}.values())


def _levels(options: CompileOptions, plan: Plan, chip: Target) -> Iterator[Proposal]:
    """Twice and four times the levels, or the steps that are the levels in codes without windows."""
    for factor in (2, 4):
        if plan.coding.windowed:
            levels = min(factor * (plan.levels + 1) - 1, _MOST_LEVELS)
            if levels > plan.levels:
                yield Proposal(f"--levels {levels}", plan.coding.name, replace(options, levels=levels))
        elif plan.timesteps is not None and factor * plan.timesteps <= _MOST_STEPS:
            steps = factor * plan.timesteps
            counted = None if options.output_levels is None else steps  # outputs count within the steps
            more = replace(options, timesteps=steps, output_levels=counted)
            yield Proposal(f"--timesteps {steps}", plan.coding.name, more)


def _settle(options: CompileOptions, plan: Plan, chip: Target) -> Iterator[Proposal]:
    """Two more steps for spikes that arrive unevenly to even out, in codes without windows."""
    if plan.timesteps is None:
        return
    settle = min((plan.settle or 0) + 2, plan.timesteps)
    if settle > (plan.settle or 0):
        yield Proposal(f"--settle {settle}", plan.coding.name, replace(options, settle=settle))


def _input_levels(options: CompileOptions, plan: Plan, chip: Target) -> Iterator[Proposal]:
    levels = 4 * (plan.input_levels + 1) - 1
    if plan.coding.windowed or plan.input_encoding != "spikes":
        text = f"--input-levels {levels}"
        yield Proposal(text, plan.coding.name, replace(options, input_levels=levels))


def _output_levels(options: CompileOptions, plan: Plan, chip: Target) -> Iterator[Proposal]:
    if plan.output_levels is not None and plan.coding.windowed:
        levels = 4 * (plan.output_levels + 1) - 1
        text = f"--output-levels {levels}"
        yield Proposal(text, plan.coding.name, replace(options, output_levels=levels))


def _weight_bits(options: CompileOptions, plan: Plan, chip: Target) -> Iterator[Proposal]:
    if plan.weight_bits < chip.weight_bits:
        text = f"--weight-bits {chip.weight_bits}"
        yield Proposal(text, plan.coding.name, replace(options, weight_bits=chip.weight_bits))


def _exact_code(options: CompileOptions, plan: Plan, chip: Target) -> Iterator[Proposal]:
    """The first code of the chip that computes the integer network exactly; all of them give the same."""
    exact = [name for name in chip.codings if coding(name).exact]
    if not plan.coding.exact and exact:
        other = replace(
            options, timesteps=None, settle=None, levels=None, input_levels=None, input_encoding=None
        )
        yield Proposal(f"--coding {exact[0]}", exact[0], other)


def _fewer_levels(options: CompileOptions, plan: Plan, chip: Target) -> Iterator[Proposal]:
    """Smaller sums: fewer levels of hidden populations and inputs."""
    if plan.coding.windowed and plan.levels > 3:
        levels = plan.levels // 2
        yield Proposal(f"--levels {levels}", plan.coding.name, replace(options, levels=levels))
    if plan.input_levels > 15 and plan.coding.windowed:
        levels = plan.input_levels // 4
        yield Proposal(f"--input-levels {levels}", plan.coding.name, replace(options, input_levels=levels))


def _again(options: CompileOptions, plan: Plan, chip: Target) -> Iterator[Proposal]:
    """The same options: a fresh compilation has not the fault."""
    yield Proposal("the same options, compiled anew", plan.coding.name, options)


_RULES: Mapping[str, tuple[_Rule, ...]] = {
    "levels": (_levels, _exact_code, _weight_bits),
    "timesteps": (_levels, _exact_code),
    "input-levels": (_input_levels,),
    "output-levels": (_output_levels,),
    "output-range": (_output_levels,),
    "clipping": (_levels,),
    "scale": (_levels,),
    "code": (_settle, _levels, _exact_code),
    "weight-bits": (_weight_bits, _levels),
    "weight-range": (_weight_bits, _levels),
    "weights": (_weight_bits, _levels),
    "fit": (_weight_bits, _levels),
    "saturation": (_fewer_levels, _exact_code),
}
