"""Which compilations a comparison consists of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

from nmcompiler.codings import coding
from nmcompiler.plan import DEFAULT_LEVELS, DEFAULT_TIMESTEPS, CompileOptions
from nmcompiler.registry import find_target, targets
from nmcompiler.target import Target, target_to_document

__all__ = ["ALL", "Case", "Sizes", "cases"]

ALL = "all"
_COMMON = CompileOptions()


@dataclass(frozen=True)
class Sizes:
    """The sizes that every code is tried at.

    Attributes:
        levels: Values of L, for codes with windows.
        timesteps: Values of T, for codes without.
        weight_bits: Bits of a weight; None is the chip's own format.
        output_levels: Values of L of the outputs, for codes with windows on chips that can read outputs from
            spikes; None reads them as ``nmc compile`` does.
    """

    levels: Sequence[int] = (DEFAULT_LEVELS,)
    timesteps: Sequence[int] = (DEFAULT_TIMESTEPS,)
    weight_bits: Sequence[int | None] = (None,)
    output_levels: Sequence[int | None] = (None,)


@dataclass(frozen=True)
class Case:
    """One compilation and run.

    Attributes:
        target: The chip.
        coding: Name of the spike code.
        options: The options of the compilation; the backend is always named.
    """

    target: Target
    coding: str
    options: CompileOptions

    @property
    def title(self) -> str:
        """What the case is, in a few words."""
        return f"{self.target.name} {self.coding} {self.size}"

    @property
    def size(self) -> str:
        """``L=15`` or ``T=16``, then ``B=4`` for weight bits and ``O=31`` for output levels where asked."""
        options = self.options
        size = f"T={options.timesteps}" if options.levels is None else f"L={options.levels}"
        further = (("B", options.weight_bits), ("O", options.output_levels))
        return " ".join([size, *(f"{letter}={n}" for letter, n in further if n is not None)])

    def identity(self) -> Mapping[str, Any]:
        """Returns everything that makes this case differ from another, as JSON can hold it."""
        return {
            "target": target_to_document(self.target),
            "coding": self.coding,
            "options": asdict(self.options),
        }


def cases(
    chips: Iterable[str], codes: Iterable[str], sizes: Sizes, options: CompileOptions = _COMMON
) -> tuple[Case, ...]:
    """Returns the cases in the order of asking: chip by chip, code by code, size by size.

    Args:
        chips: Names or files of targets; ``all`` stands for every installed one.
        codes: Names of codes, tried on every chip; ``all`` stands for those that a chip declares.
        sizes: Levels, timesteps and weight bits.
        options: What all cases have in common.

    Raises:
        UsageError: There is no such target or code.
        TargetFileError: The file of a target is wrong.
    """
    asked = tuple(dict.fromkeys(codes))
    for name in asked:
        if name != ALL:
            coding(name)
    made = (
        case for backend, chip in _chips(chips) for case in _of_chip(backend, chip, asked, sizes, options)
    )
    return tuple(made)


def _chips(names: Iterable[str]) -> Iterator[tuple[str, Target]]:
    """Yields (name of the backend, chip), each once."""
    seen = set()
    for name in names:
        for backend, chip in targets().values() if name == ALL else [_named(name)]:
            if (backend, chip.name) not in seen:
                seen.add((backend, chip.name))
                yield backend, chip


def _named(name: str) -> tuple[str, Target]:
    backend, chip = find_target(name)
    return backend.name, chip


def _of_chip(
    backend: str, chip: Target, codes: Sequence[str], sizes: Sizes, options: CompileOptions
) -> Iterator[Case]:
    every = [c for name in codes for c in (chip.codings if name == ALL else (name,))]
    for name in dict.fromkeys(every):
        windowed = coding(name).windowed
        chosen = sizes.levels if windowed else sizes.timesteps
        outputs = sizes.output_levels if windowed and "spikes" in chip.readout else (None,)
        for size, bits, output in product(*map(dict.fromkeys, (chosen, sizes.weight_bits, outputs))):
            levels, timesteps = (size, None) if windowed else (None, size)
            sized = replace(
                options, levels=levels, timesteps=timesteps, weight_bits=bits, output_levels=output
            )
            yield Case(chip, name, replace(sized, backend=backend))
