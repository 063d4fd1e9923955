"""ArgMax with the first and with the last of equal maxima, against a loop."""

from __future__ import annotations

import numpy as np
import pytest

from nmcompiler.evaluate.host import apply_host_ops
from nmcompiler.ir.layers import HostOp


@pytest.mark.parametrize("keeps_axis", [False, True])
@pytest.mark.parametrize(("op", "pick"), [("ArgMax", 0), ("ArgMaxLast", -1)])
def test_the_first_or_the_last_of_equal_maxima_is_found(op, pick, keeps_axis):
    y = np.random.default_rng(0).integers(0, 3, (5, 4, 3)).astype(np.float64)
    found = apply_host_ops([HostOp(op, (1,), keeps_axis)], y)
    slow = [[np.flatnonzero(y[n, :, k] == y[n, :, k].max())[pick] for k in range(3)] for n in range(5)]
    assert np.array_equal(found, np.expand_dims(slow, 1) if keeps_axis else slow)
