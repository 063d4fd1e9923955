"""How long the simulator is at each block."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np
import numpy.typing as npt

from nmcompiler.sim.jit import compile_seconds

__all__ = ["Profile", "timed"]


class Profile:
    """Seconds that the threads of a run are at each block, together and without those of compiling.

    Attributes:
        seconds: ``(B,)`` float64.
    """

    def __init__(self, blocks: int) -> None:
        """Begins with no second for any of so many blocks."""
        self.seconds: npt.NDArray[np.float64] = np.zeros(blocks)
        self._lock = threading.Lock()

    @contextmanager
    def at(self, block: int) -> Iterator[None]:
        """Counts the time of what is done inside."""
        compiled, began = compile_seconds(), time.perf_counter()
        yield
        spent = time.perf_counter() - began - (compile_seconds() - compiled)
        with self._lock:
            self.seconds[block] += max(0.0, spent)


def timed(profile: Profile | None, block: int) -> AbstractContextManager[None]:
    """Returns what counts the time of what is done inside, where anybody wants to know it."""
    return nullcontext() if profile is None else profile.at(block)
