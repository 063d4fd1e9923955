"""What would make a network fit a chip: every change is carried out and placed before it is proposed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from nmcompiler.backend import Backend
from nmcompiler.checker.narrow import narrowed
from nmcompiler.checker.outcomes import Broken, Outcome
from nmcompiler.checker.trials import Trials
from nmcompiler.codings import coding
from nmcompiler.errors import UnsupportedModel
from nmcompiler.ir.kernels import Kernel
from nmcompiler.ir.layers import Model
from nmcompiler.plan import (
    DEFAULT_INPUT_LEVELS,
    DEFAULT_LEVELS,
    DEFAULT_OUTPUT_LEVELS,
    DEFAULT_TIMESTEPS,
    CompileOptions,
)
from nmcompiler.target import Target

__all__ = ["Chip", "Proposal", "proposals"]

Chip = tuple[Backend, Target]

_ENOUGH = 3
_ATTEMPTS = 5  # for the best value of one option
_WITH_WEIGHTS = frozenset({"synapse_bits", "cores", "destinations", "output_axons", "state_bits"})
_WITH_SOURCES = frozenset({"fan_in", "input_axons", "synapse_bits"})


@dataclass(frozen=True)
class Proposal:
    """A change with which the network was placed on a chip.

    Attributes:
        change: Options of ``nmc compile``, or what to change in the network.
        cores: Cores that it then takes.
        chips: Chips that it then takes.
    """

    change: str
    cores: int
    chips: int


@dataclass(frozen=True, eq=False)
class _Case:
    """A chip that cannot hold the network in its preferred code, and the model as it is for that chip."""

    trials: Trials
    backend: Backend
    chip: Target
    outcome: Outcome
    options: CompileOptions
    model: Model

    @property
    def resources(self) -> frozenset[str]:
        """The resources of which there is too little."""
        return frozenset(b.resource for b in self.outcome.broken if b.resource is not None)

    def fits(self, options: CompileOptions, model: Model | None = None) -> Outcome | None:
        """Returns the outcome with other options or another model, or None where it does not fit."""
        try:
            outcome = self.trials.attempt(self.backend, self.chip, self.outcome.coding, options, model)
        except UnsupportedModel:
            return None
        return outcome if outcome.ok else None


def proposals(
    trials: Trials,
    chip: Chip,
    outcomes: Sequence[Outcome],
    options: CompileOptions,
    attempts: int = _ATTEMPTS,
) -> tuple[Proposal, ...]:
    """Returns the first few changes that make the network fit a chip, the mildest first.

    Args:
        trials: The model.
        chip: The chip with its backend.
        outcomes: How the model fits it in each of its codes, the preferred one first.
        options: The options of these outcomes.
        attempts: Placements tried for the best value of one option; 0 tries no option at all.
    """
    first = outcomes[0]
    if first.ok:
        return ()
    others = [_proposal(f"--coding {o.coding}", o) for o in outcomes[1:] if o.ok]
    if attempts < 1:
        return tuple(others)
    case = _Case(trials, *chip, first, options, trials.simplified(chip[1]).model)
    found = (
        p
        for tried in (_chips, _weight_bits, _levels, _input_levels, _output_levels, _layers, _largest_layer)
        for p in tried(case, attempts)
    )
    return (*others, *islice(found, max(0, _ENOUGH - len(others))))


def _proposal(change: str, outcome: Outcome) -> Proposal:
    return Proposal(change, outcome.cores or 0, outcome.chips or 0)


def _chips(case: _Case, attempts: int) -> Iterator[Proposal]:
    if "cores" in case.resources and case.options.chips is not None:
        outcome = case.fits(replace(case.options, chips=None))
        if outcome is not None:
            yield _proposal(f"--chips {outcome.chips}", outcome)


def _weight_bits(case: _Case, attempts: int) -> Iterator[Proposal]:
    if case.resources & _WITH_WEIGHTS:
        most = case.options.weight_bits or case.chip.weight_bits
        fewer = [bits for bits in case.chip.possible_weight_bits if bits < most]
        best = _largest(
            0,
            len(fewer) - 1,
            attempts,
            lambda i: case.fits(replace(case.options, weight_bits=fewer[i])),
        )
        if best is not None:
            yield _proposal(f"--weight-bits {fewer[best[0]]}", best[1])


def _levels(case: _Case, attempts: int) -> Iterator[Proposal]:
    """Registers that are too small for a layer's sums hold sums of smaller values."""
    if "state_bits" not in case.resources:
        return
    if coding(case.outcome.coding).windowed:
        yield from _option(
            "--levels", 1, DEFAULT_LEVELS - 1, attempts, lambda n: case.fits(replace(case.options, levels=n))
        )
        yield from _option(
            "--input-levels",
            1,
            DEFAULT_INPUT_LEVELS - 1,
            attempts + 3,
            lambda n: case.fits(replace(case.options, input_levels=n)),
        )
    else:
        yield from _option(
            "--timesteps",
            1,
            DEFAULT_TIMESTEPS - 1,
            attempts,
            lambda n: case.fits(replace(case.options, timesteps=n)),
        )


def _output_levels(case: _Case, attempts: int) -> Iterator[Proposal]:
    """Events may have too few bits for what outputs send, where a chip reads outputs from spikes."""
    kept_out = any(b.resource is None for b in case.outcome.broken)
    if kept_out and case.chip.readout[0] == "spikes" and coding(case.outcome.coding).windowed:
        yield from _option(
            "--output-levels",
            1,
            DEFAULT_OUTPUT_LEVELS - 1,
            attempts + 4,
            lambda n: case.fits(replace(case.options, output_levels=n)),
        )


def _input_levels(case: _Case, attempts: int) -> Iterator[Proposal]:
    """Dense layers of some chips read no values as large as those of images."""
    rules = case.chip.layer_rules
    if rules is None or case.options.input_levels is not None:
        return
    outcome = case.fits(replace(case.options, input_levels=rules.dense.levels))
    if outcome is not None:
        yield _proposal(f"--input-levels {rules.dense.levels}", outcome)


def _option(
    name: str, least: int, most: int, attempts: int, fits: Callable[[int], Outcome | None]
) -> Iterator[Proposal]:
    best = _largest(least, most, attempts, fits)
    if best is not None:
        yield _proposal(f"{name} {best[0]}", best[1])


def _largest(
    least: int, most: int, attempts: int, fits: Callable[[int], Outcome | None]
) -> tuple[int, Outcome] | None:
    """Returns the largest value found for which something fits, given that smaller values fit better."""
    if least > most:
        return None
    outcome = fits(least)
    if outcome is None:
        return None
    best = least, outcome
    for _ in range(attempts - 1):
        if best[0] >= most:
            break
        middle = (best[0] + most + 1) // 2
        outcome = fits(middle)
        if outcome is None:
            most = middle - 1
        else:
            best = middle, outcome
    return best


def _layers(case: _Case, attempts: int) -> Iterator[Proposal]:
    """Narrows, all at once, the sources of the layers whose neurons read too much."""
    broken = [b for b in case.outcome.broken if b.resource in _WITH_SOURCES]
    if not broken or len(broken) < len(case.outcome.broken):
        return
    wanted = _wanted(case.model, broken)
    model: Model | None = case.model
    said = []
    for name, channels in wanted.items():
        if model is None:
            return
        said.append(_narrow_text(model, name, channels))
        model = narrowed(model, name, channels)
    outcome = case.fits(case.options, model) if model is not None and said else None
    if outcome is not None:
        yield _proposal("; ".join(said), outcome)


def _wanted(model: Model, broken: Sequence[Broken]) -> dict[str, int]:
    """Returns the channels that each source may have for its readers to keep to their limits."""
    wanted: dict[str, int] = {}
    for one in broken:
        name = _layer_of(model, one.layer or "")
        edges = [] if name is None else model.graph.in_edges(name)
        if not edges or one.used is None or one.limit is None:
            continue
        source = max(edges, key=lambda e: _size(e.payload.kernel)).source
        channels = int(model.graph.node(source).shape[2] * one.limit / one.used)
        wanted[source] = min(channels, wanted.get(source, channels))
    return wanted


def _size(kernel: Kernel) -> int:
    return int(kernel.weight.size)


def _narrow_text(model: Model, name: str, channels: int) -> str:
    layer = model.graph.node(name)
    now = layer.shape[2]
    if layer.is_input:
        return f"at most {channels:,} inputs in '{name}' ({now:,} now)"
    noun = "channels" if layer.shape[:2] != (1, 1) else "neurons"
    return f"at most {channels:,} {noun} in '{name}' ({now:,} now)"


def _largest_layer(case: _Case, attempts: int) -> Iterator[Proposal]:
    """Narrows the layer that takes most of the cores, as little as helps."""
    limit = next((b for b in case.outcome.broken if b.resource == "cores"), None)
    name = None if limit is None else _layer_of(case.model, limit.layer or "")
    if name is None:
        return
    model = case.model
    channels = model.graph.node(name).shape[2]

    def fits(keep: int) -> Outcome | None:
        changed = narrowed(model, name, keep)
        return None if changed is None else case.fits(case.options, changed)

    best = _largest(max(1, channels // 4), channels - 1, attempts, fits)
    if best is not None:
        yield _proposal(_narrow_text(model, name, best[0]), best[1])


def _layer_of(model: Model, population: str) -> str | None:
    """Returns the layer that a population belongs to: passes add endings after a dot to its name."""
    name = population
    while name and name not in model.graph:
        name = name.rpartition(".")[0]
    return name or None
