"""A chip is a seed: whatever it differs in is drawn from that, from the place, and from what varies there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Chip", "FloatArray", "Normals"]

FloatArray: TypeAlias = npt.NDArray[np.float64]

Normals: TypeAlias = Callable[[str], FloatArray]
"""Returns standard normal numbers, one for each device, by what varies."""


@dataclass(frozen=True)
class Chip:
    """One of all chips of a kind.

    Every (place, source of variation) has a generator of its own, so that the chip is the same, bit for bit,
    in whatever order and by however many threads its parts are drawn.

    Attributes:
        seed: Equal seeds are the same chip; at least 0.
    """

    seed: int

    def normals(self, place: str, source: str, shape: tuple[int, ...]) -> FloatArray:
        """Returns standard normal numbers.

        Args:
            place: Where on the chip, ``block 3``.
            source: What varies there, ``programming``.
            shape: How many are drawn.
        """
        digest = hashlib.blake2b(f"{place}\0{source}".encode(), digest_size=16).digest()
        key = tuple(np.frombuffer(digest, "<u4").tolist())
        sequence = np.random.SeedSequence(self.seed, spawn_key=key)
        return np.random.Generator(np.random.Philox(sequence)).standard_normal(shape)
