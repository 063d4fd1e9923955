"""Windows by plain loops, at the bounds of what their sums are kept in."""

import numpy as np
import pytest

from nmcompiler.sim import Simulator

from .handmade import dense
from .paths import assert_alike, by_steps, by_windows, grid


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("inputs", [1, 3, 4, 5, 23])
@pytest.mark.parametrize(
    ("weight", "shift", "narrow"), [(546, 0, True), (547, 0, False), (273, 1, True), (274, 1, False)]
)
def test_four_products_add_up_in_sixteen_bits_where_they_fit(weight, shift, narrow, inputs, sign):
    """4 · 15 · 546 = 32760; a shift counts too."""
    weights = np.full((inputs, 21), sign * weight)
    made = dense(
        "graded",
        (15, 7),
        weights,
        np.ones((21, 2), int),
        theta=weight << shift,
        shift=shift,
        membrane_bits=32,
    )
    assert Simulator(made)._windows.passes[1].narrow == narrow
    x = grid(inputs, 15, 9)
    left = by_windows(made, x)
    assert_alike(left, by_steps(made, x))
    assert np.array_equal(left["membranes"][1], (x.astype(int) @ weights) << shift)
