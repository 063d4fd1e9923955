"""What trials on a chip end in, and what they keep for the next one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nmcompiler.checker.stand_ins import StandIns
from nmcompiler.ir.layers import Model
from nmcompiler.ir.network import Network
from nmcompiler.passes import QuantiseOptions
from nmcompiler.passes.base import Note
from nmcompiler.passes.formats import Formats
from nmcompiler.passes.room import Room

__all__ = ["Broken", "Outcome", "Quantised", "Simplified"]


@dataclass(frozen=True)
class Broken:
    """What stands between a network and a chip.

    Attributes:
        layer: The layer concerned; None where it is the whole network.
        resource: The resource of which there is too little; None where something else is missing.
        used: How much is needed.
        limit: How much there is.
        reason: A sentence.
        hint: What to try, as the error says it; nobody has tried it yet.
    """

    layer: str | None
    resource: str | None
    used: int | None
    limit: int | None
    reason: str
    hint: str = ""


@dataclass(frozen=True)
class Outcome:
    """A network on a chip in one code: cores where it fits, else all that stands against it."""

    coding: str
    cores: int | None = None
    lower_bound: int | None = None
    chips: int | None = None
    broken: tuple[Broken, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether it fits."""
        return not self.broken


@dataclass(frozen=True, eq=False)
class Quantised:
    """An integer network before the chip's own passes, and what it was made for.

    Attributes:
        model: What was quantised, on inputs from 0 to 1.
        network: The network.
        formats: The number formats that it keeps to.
        options: The options of its quantisation.
        data: The samples.
        uses: Names of chip and code that it serves, in the order of asking.
    """

    model: Model
    network: Network
    formats: Formats
    options: QuantiseOptions
    data: StandIns
    uses: Mapping[tuple[str, str], None]


@dataclass(frozen=True, eq=False)
class Simplified:
    """A simplified layer graph, and the chips for which it is what ``nmc compile`` makes.

    Attributes:
        model: The layer graph.
        notes: What the passes said.
        room: What a neuron may read on the chip for which it was made.
        data: Samples for it.
    """

    model: Model
    notes: tuple[Note, ...]
    room: Room
    data: StandIns

    def serves(self, room: Room) -> bool:
        """Whether the passes would make the same for a chip: with this room, or more that nothing needs."""
        unlimited = not any(note.by_target for note in self.notes)
        return room == self.room or (unlimited and self.room.within(room))
