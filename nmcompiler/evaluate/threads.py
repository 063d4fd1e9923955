"""Matrix products on one thread, for the same result on any machine and no fight with the simulator."""

from __future__ import annotations

from threadpoolctl import threadpool_limits

__all__ = ["one_blas_thread"]


def one_blas_thread() -> threadpool_limits:
    """Returns a context in which numpy's matrix products run on one thread.

    How a library cuts a product among threads decides in which order floating-point sums are rounded: with
    one thread, calibration gives the same integers on any number of cores. Threads that wait for each other
    also burn the time of the simulator's.
    """
    return threadpool_limits(limits=1, user_api="blas")
