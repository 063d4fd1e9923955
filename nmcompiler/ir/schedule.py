"""When each population fires: one frozen value, made by the coding, stored in the program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Schedule", "Slot"]


@dataclass(frozen=True)
class Slot:
    """The time of one population.

    Attributes:
        window: Index of the window in which it fires (its depth in a code without windows).
        fire_start: First step in which it may fire.
        steps: Number of steps in which it may fire; it is read in the last of them.
        levels: Its largest value L.
        signed: Whether it sends signed spikes.
    """

    window: int
    fire_start: int
    steps: int
    levels: int
    signed: bool

    @property
    def fire_end(self) -> int:
        """First step after its firing."""
        return self.fire_start + self.steps


@dataclass(frozen=True)
class Schedule:
    """Time of a whole sample.

    Attributes:
        coding: Name of the code.
        window_starts: First step of each window, ascending, the first is 0.
        total_steps: Steps of one sample; the read-out is read in the last.
        slots: Time of each population, by name.
        delays: Steps a spike travels, by (source, target); 1 where it is not listed.
    """

    coding: str
    window_starts: tuple[int, ...]
    total_steps: int
    slots: Mapping[str, Slot]
    delays: Mapping[tuple[str, str], int]

    def delay(self, source: str, target: str) -> int:
        """Returns the steps that a spike travels from one population to another."""
        return self.delays.get((source, target), 1)

    @property
    def windows(self) -> int:
        """Number of windows."""
        return len(self.window_starts)

    @property
    def window_steps(self) -> int:
        """Steps of the longest window."""
        ends = (*self.window_starts[1:], self.total_steps)
        return max(e - s for s, e in zip(self.window_starts, ends, strict=True))
