"""Matrix products on one thread, for the same result on any machine and no fight with the simulator."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

__all__ = ["one_blas_thread"]


class _Limit:
    """The limit of this process, and how many bodies rely on it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.holders = 0
        self.limits: threadpool_limits | None = None


_limit = _Limit()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Gives a context in which numpy's matrix products run on one thread.

    How a library cuts a product among threads decides in which order floating-point sums are rounded: with
    one thread, calibration gives the same integers on any number of cores. Threads that wait for each other
    also burn the time of the simulator's. The limit is that of the process: it falls when the last of all
    threads leaves the context.
    """
    with _limit.lock:
        if not _limit.holders:
            _limit.limits = threadpool_limits(limits=1, user_api="blas")
        _limit.holders += 1
    try:
        yield
    finally:
        with _limit.lock:
            _limit.holders -= 1
            if not _limit.holders and _limit.limits is not None:
                _limit.limits.restore_original_limits()
                _limit.limits = None
