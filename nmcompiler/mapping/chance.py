"""Random numbers in compiled code; numba is imported with this module."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.extending import register_jitable

__all__ = ["below", "first_state", "next_state", "share"]

_inner: Any = register_jitable(error_model="numpy", forceinline=True)


@_inner
def next_state(state):  # type: ignore[no-untyped-def]
    """Returns the next number of xorshift64 (Marsaglia 2003, Journal of Statistical Software 8(14))."""
    state ^= state << np.uint64(13)
    state ^= state >> np.uint64(7)
    return state ^ (state << np.uint64(17))


@_inner
def first_state(seed):  # type: ignore[no-untyped-def]
    """Returns the number to begin with for a seed."""
    state = np.uint64(88172645463325252) ^ (np.uint64(seed) * np.uint64(2654435769))
    state = max(state, np.uint64(1))  # 0 would stay 0
    for _ in range(8):
        state = next_state(state)
    return state


@_inner
def below(state, n):  # type: ignore[no-untyped-def]
    """Returns a number from 0 to n − 1 from the upper half of the state."""
    return np.int64(((state >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32))


@_inner
def share(state):  # type: ignore[no-untyped-def]
    """Returns a number from 0 to 1, 1 excluded."""
    return np.float64(state >> np.uint64(11)) / 9007199254740992.0
