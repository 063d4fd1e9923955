"""Chips that compute in analog: digital programs, executed by devices and circuits that vary."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property
from importlib import resources

from nmcompiler.backend import BackendBase, Obstacle
from nmcompiler.codings import Coding
from nmcompiler.errors import TargetFileError, UsageError, nearest
from nmcompiler.ir.network import Network
from nmcompiler.passes.base import Pass
from nmcompiler.program.layout import Program
from nmcompiler.session import ChipSession, Compensation
from nmcompiler.sim import Simulator
from nmcompiler.target import ConductanceTiles, Target, target_from_toml
from nmcompiler_backends.mixed_signal.array import family as arrays
from nmcompiler_backends.mixed_signal.array.leak import LeakWarning
from nmcompiler_backends.mixed_signal.compensation import (
    AdcRange,
    ColumnAffine,
    OutputAffine,
    ReadoutRefit,
    TileScale,
)
from nmcompiler_backends.mixed_signal.session import CrossbarSession
from nmcompiler_backends.mixed_signal.simulator import CrossbarSimulator, device_of
from nmcompiler_backends.mixed_signal.variation import Chip

__all__ = ["MixedSignalBackend"]

_CODES = ("phase", "graded")  # what tiles run


class MixedSignalBackend(BackendBase):
    """Compiles for crossbars and neuron arrays; a program holds intended integers, a seed draws the chip."""

    name = "mixed-signal"

    def targets(self) -> Mapping[str, Target]:
        """Returns the chips described in the folder ``chips``."""
        return self._targets

    @cached_property
    def _targets(self) -> Mapping[str, Target]:
        files = resources.files("nmcompiler_backends.mixed_signal.chips").iterdir()
        read = (
            target_from_toml(f.read_text(encoding="utf-8"), f.name) for f in files if f.name.endswith(".toml")
        )
        return {t.name: t for t in sorted(read, key=lambda t: t.name)}

    def obstacles(self, network: Network, coding: Coding, target: Target) -> tuple[Obstacle, ...]:
        """Returns everything that keeps the network from the chip.

        Raises:
            TargetFileError: The description is none of a crossbar or of an array.
            UsageError: Nothing was published of its devices at the time of the run.
        """
        if target.neuron_array is not None:
            arrays.check(target)
        else:
            _tiles(target)
        return super().obstacles(network, coding, target)

    def legalise(self, coding: Coding, target: Target) -> tuple[Pass[Network], ...]:
        """Returns the passes that turn an integer network into one that the chip can hold."""
        passes = super().legalise(coding, target)
        return passes if target.neuron_array is None else (*passes, LeakWarning())

    def simulator(self, program: Program, *, chip_seed: int | None = None) -> Simulator:
        """Returns a simulator of the chip that the seed draws, without one of a chip that does not vary.

        Raises:
            TargetFileError: The description is none of a crossbar or of an array.
            UsageError: Nothing was published of its devices at the time of the run.
        """
        if program.target.neuron_array is not None:
            return arrays.simulator(program, chip_seed)
        tiles = _tiles(program.target)
        if chip_seed is None:
            return CrossbarSimulator(program)
        return CrossbarSimulator(
            program, Chip(chip_seed), device_of(tiles), tiles.adc_bits, tiles.read_after_s
        )

    def sources(self, program: Program) -> tuple[str, ...]:
        """Returns what varies from chip to chip."""
        if program.target.neuron_array is not None:
            return arrays.sources(program)
        return device_of(_tiles(program.target)).sources

    def session(
        self, program: Program, *, chip_seed: int, sources: Collection[str] | None = None
    ) -> ChipSession:
        """Returns a chip, not trimmed; ``sources`` are those that vary, None for all.

        Raises:
            TargetFileError: The description is none of a crossbar or of an array.
            UsageError: There is no such source, or nothing was published of its devices at the time.
        """
        if program.target.neuron_array is not None:
            return arrays.session(program, chip_seed, sources)
        tiles = _tiles(program.target)
        device, known = device_of(tiles), self.sources(program)
        for name in sorted(set(sources or ()).difference(known)):
            raise UsageError(
                f"devices of '{program.target.name}' have no '{name}'", hint=nearest(name, known)
            )
        device = device if sources is None else device.only(sources)
        return CrossbarSession(
            CrossbarSimulator(program, Chip(chip_seed), device, tiles.adc_bits, tiles.read_after_s)
        )

    def compensations(self, program: Program) -> tuple[Compensation, ...]:
        """Returns what chips can be compensated by, in the order in which it is applied to a layer."""
        if program.target.neuron_array is not None:
            return arrays.compensations(program)
        tiles = _tiles(program.target)
        largest = 2 ** (tiles.adc_bits - 1) - 1
        return AdcRange(largest), TileScale(), ColumnAffine(), OutputAffine(), ReadoutRefit()


def _tiles(target: Target) -> ConductanceTiles:
    """Returns the tiles of a target, having checked what its description must have for this backend."""
    if target.conductance_tiles is None:
        raise TargetFileError(
            f"target '{target.name}' has neither table 'conductance_tiles' nor 'neuron_array'",
            allowed="one of the two, for its backend",
            hint="see docs/target-files.md",
        )
    if not set(target.codings) <= set(_CODES):
        raise TargetFileError(
            f"target '{target.name}' names the codes {', '.join(target.codings)}",
            allowed=f"{' and '.join(_CODES)}: tiles read digits of values",
        )
    tiles = target.conductance_tiles
    device_of(tiles).check(tiles.read_after_s or 0.0)
    return tiles
