from __future__ import annotations

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from nmcompiler.evaluate.threads import one_blas_thread


def blas_threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_the_limit_holds_until_the_last_has_left() -> None:
    np.ones((2, 2)) @ np.ones((2, 2))  # its library is loaded
    with threadpool_limits(limits=2, user_api="blas"):
        before = blas_threads()
        if before == {1}:
            pytest.skip("this machine's BLAS knows one thread only")
        first, second = one_blas_thread(), one_blas_thread()
        first.__enter__()  # as two threads do that overlap: the first to come is the first to go
        second.__enter__()
        first.__exit__(None, None, None)
        assert blas_threads() == {1}
        second.__exit__(None, None, None)
        assert blas_threads() == before
