"""What a backend must offer, and a base class that offers all of it but the targets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from nmcompiler.codings import Coding
from nmcompiler.errors import BackendFault, NmcError, UsageError
from nmcompiler.ir.cores import CoreGraph, Traffic
from nmcompiler.ir.network import Network, Population, Role
from nmcompiler.ir.progress import Progress
from nmcompiler.ir.spiking import Spiking
from nmcompiler.mapping import MapOptions, map_network
from nmcompiler.passes.base import Pass
from nmcompiler.passes.drop_zeros import DropZeros
from nmcompiler.passes.fan_in import FanIn
from nmcompiler.passes.network_limits import beyond_limits
from nmcompiler.passes.relays import Relays
from nmcompiler.passes.split_signed import SplitSigned
from nmcompiler.program.assemble import assemble
from nmcompiler.program.layout import Program
from nmcompiler.sim import Simulator
from nmcompiler.target import Target

__all__ = ["API_VERSION", "Backend", "BackendBase", "MapOptions", "Obstacle", "Progress", "blame"]

API_VERSION = 1

_LEVELS_OF: Mapping[Role, str] = {
    "input": "--input-levels",
    "hidden": "--levels",
    "readout": "--output-levels",
}


@dataclass(frozen=True)
class Obstacle:
    """Why a network cannot run on a chip in a code: the layer, the reason, and what would help."""

    layer: str
    reason: str
    hint: str = ""

    def __str__(self) -> str:
        return f"layer '{self.layer}' {self.reason}" + (f" ({self.hint})" if self.hint else "")


@runtime_checkable
class Backend(Protocol):
    """A backend, as the core calls it.

    Attributes:
        name: Identifier, the name of the entry point.
        api: Version of this protocol that the backend was written for.
    """

    name: str
    api: int

    def targets(self) -> Mapping[str, Target]:
        """Returns the chips that the backend knows, by name."""
        ...

    def obstacles(self, network: Network, coding: Coding, target: Target) -> tuple[Obstacle, ...]:
        """Returns everything that keeps the network from the chip, not only the first."""
        ...

    def legalise(self, coding: Coding, target: Target) -> tuple[Pass[Network], ...]:
        """Returns the passes that turn an integer network into one that the chip can hold."""
        ...

    def map(self, spiking: Spiking, target: Target, traffic: Traffic, options: MapOptions) -> CoreGraph:
        """Returns the placed cores, or raises ``DoesNotFit``."""
        ...

    def emit(self, spiking: Spiking, cores: CoreGraph, target: Target) -> Program:
        """Returns the program of placed cores."""
        ...

    def simulator(self, program: Program, *, chip_seed: int | None = None) -> Simulator:
        """Returns a simulator of the chip with the program loaded."""
        ...

    def export(self, program: Program, folder: Path) -> tuple[Path, ...]:
        """Writes files for the maker's own tools and returns their paths."""
        ...


@contextmanager
def blame(backend: Backend, call: str) -> Iterator[None]:
    """Turns whatever a backend raises, other than our own errors, into a ``BackendFault`` that names it."""
    try:
        yield
    except NmcError:
        raise
    except Exception as error:
        raise BackendFault(
            f"backend '{backend.name}' failed in {call}(): {type(error).__name__}: {error}",
            hint="report this to the makers of the backend; --debug shows where it failed",
        ) from error


def _payload(population: Population, coding: Coding, target: Target) -> Iterator[Obstacle]:
    """Yields an obstacle where an event of a population cannot carry its values."""
    if not population.sends:
        return
    need = coding.payload_bits(population.levels, population.signed)
    limit = target.graded_payload_bits or 0
    if need > limit:
        reach = f"{population.lowest} to {population.levels}"
        option = _LEVELS_OF[population.role]
        yield Obstacle(
            population.name,
            f"sends values of {need} bits ({reach}), and an event carries {limit} bits",
            f"try a smaller {option}",
        )


def _unread(population: Population, target: Target) -> Iterator[Obstacle]:
    """Yields an obstacle where the chip cannot show what a read-out holds or sends."""
    way = "spikes" if population.sends else "membrane"
    if population.role == "readout" and way not in target.readout:
        can = " or ".join(target.readout)
        yield Obstacle(population.name, f"is read from its {way}, and of the chip only {can} can be read")


def _signed_image(population: Population, target: Target) -> Iterator[Obstacle]:
    """Yields an obstacle where an image has too many channels for a chip's layers, its data having a sign."""
    if target.layer_rules is None or population.role != "input" or population.shape[:2] == (1, 1):
        return
    channels, allowed = population.shape[2], target.layer_rules.first.channels
    if allowed and channels not in allowed:
        can = " or ".join(map(str, allowed))
        yield Obstacle(
            population.name,
            f"has {channels} channels, its values being split by their sign, and the chip reads {can}",
            "use data that are not negative",
        )


def _too_late(network: Network, coding: Coding, target: Target) -> Iterator[Obstacle]:
    """Yields an obstacle where spikes would have to travel longer than the chip lets them."""
    if target.delay_max is None:
        return
    for (source, name), steps in sorted(coding.schedule(network).delays.items()):
        if steps > target.delay_max:
            reason = f"reads '{source}' {steps} steps later, and a spike travels {target.delay_max} at most"
            yield Obstacle(name, reason, "try a smaller --settle, or a skip over fewer layers")


class BackendBase:
    """Everything of ``Backend`` but the targets; a plug-in overrides what its chip does differently."""

    name: str
    api: int = API_VERSION

    def targets(self) -> Mapping[str, Target]:
        """Returns the chips that the backend knows, by name."""
        raise NotImplementedError

    def obstacles(self, network: Network, coding: Coding, target: Target) -> tuple[Obstacle, ...]:
        """Returns everything that keeps the network from the chip, not only the first."""
        found = []
        for population in network.graph:
            if population.sends and population.signed and not target.signed_spikes:
                found.append(Obstacle(population.name, "sends signed spikes, which the chip has not"))
            if population.role != "input" and target.bias is None and bool((population.bias != 0).any()):
                reason = "has a bias, which the chip has not: train the layer without one"
                found.append(Obstacle(population.name, reason))
            found += _payload(population, coding, target)
            found += _unread(population, target)
            found += _signed_image(population, target)
        sizes = ((p.name, p.role, p.size) for p in network.graph)
        found += (Obstacle(name, text) for name, text in beyond_limits(target.network_limits, sizes))
        found += _too_late(network, coding, target)
        return tuple(found)

    def legalise(self, coding: Coding, target: Target) -> tuple[Pass[Network], ...]:
        """Returns the passes that turn an integer network into one that the chip can hold."""
        zeros: tuple[Pass[Network], ...] = () if FanIn.of(target) is None else (DropZeros(),)
        signs: tuple[Pass[Network], ...] = () if target.signed_spikes else (SplitSigned(),)
        relays: tuple[Pass[Network], ...] = () if target.axon_fan_out is None else (Relays(coding),)
        return (*zeros, *signs, *relays)

    def map(self, spiking: Spiking, target: Target, traffic: Traffic, options: MapOptions) -> CoreGraph:
        """Returns the placed cores, or raises ``DoesNotFit``."""
        return map_network(spiking, target, traffic, options)

    def emit(self, spiking: Spiking, cores: CoreGraph, target: Target) -> Program:
        """Returns the program of placed cores."""
        return assemble(spiking, cores, target)

    def simulator(self, program: Program, *, chip_seed: int | None = None) -> Simulator:
        """Returns a simulator of the chip with the program loaded; a digital chip has no seed.

        Raises:
            UsageError: A seed was given.
        """
        if chip_seed is not None:
            raise UsageError(
                f"--chip-seed does not apply to target '{program.target.name}': all its chips are the same",
                hint="leave it out",
            )
        return Simulator(program)

    def export(self, program: Program, folder: Path) -> tuple[Path, ...]:
        """Writes nothing: the program format is the only one."""
        return ()
