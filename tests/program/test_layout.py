"""Views of a program's arrays that are made once."""

from __future__ import annotations

import numpy as np
import pytest

from nmcompiler.program.layout import CROSSBAR_ARRAYS
from nmcompiler.testing.programs import random_program


@pytest.mark.parametrize("seed", range(5))
def test_routes_by_core_are_all_routes_each_with_its_core_in_their_order(seed: int) -> None:
    program = random_program(seed)
    routes = program.arrays["routes"]
    cores = program.routes_by_core
    assert len(cores) == len(program.arrays["cores"])
    for core, found in enumerate(cores):
        assert np.array_equal(found, routes[routes[:, 2] == core])


def test_a_program_with_other_routes_has_other_routes_by_core() -> None:
    program = random_program(1)
    before = sum(map(len, program.routes_by_core))
    fewer = program.with_arrays(routes=program.arrays["routes"][:-1])
    assert sum(map(len, fewer.routes_by_core)) == before - 1


def test_tables_of_crossbars_are_empty_where_there_are_none() -> None:
    program = random_program(1)
    for name, (_, columns) in CROSSBAR_ARRAYS.items():
        assert program.table(name).shape == ((0, columns) if columns else (0,))
