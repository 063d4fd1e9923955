import numpy as np
import pytest

from nmcompiler.program.layout import BLOCK_COLUMNS
from nmcompiler.program.structure import fault
from nmcompiler.testing.programs import random_program


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("kind", 9, "no known kind"),
        ("core", 10**6, "core that does not exist"),
        ("n", 10**6, "another number of neurons"),
        ("levels", -1, "levels"),
        ("steps", 0, "fires outside"),
        ("param_n", 10**6, "parameters"),
        ("weight_n", 10**6, "weights"),
        ("run_n", 10**6, "runs"),
        ("shift", 99, "shift"),
        ("height", 2**62, "out of range"),
    ],
)
def test_a_block_that_points_nowhere_is_described(column: str, value: int, message: str) -> None:
    program = random_program(2)
    blocks = program.arrays["blocks"].copy()
    blocks[-1, BLOCK_COLUMNS.index(column)] = value
    found = fault(program.with_arrays(blocks=blocks))
    assert found is not None
    assert message in found


def test_an_input_without_levels_is_described() -> None:
    program = random_program(2)
    blocks = program.arrays["blocks"].copy()
    blocks[0, BLOCK_COLUMNS.index("levels")] = 0
    assert fault(program.with_arrays(blocks=blocks)) == "block 0 has a wrong number of levels"


def test_an_output_of_blocks_that_count_differently_is_described() -> None:
    for program in map(random_program, range(20)):
        rows = np.flatnonzero(program.column("population") == program.outputs[0].population)
        if len(rows) > 1:
            blocks = program.arrays["blocks"].copy()
            blocks[rows[0], BLOCK_COLUMNS.index("shift")] += 1
            found = fault(program.with_arrays(blocks=blocks))
            assert found == f"output '{program.outputs[0].name}' reads blocks of different shifts"
            return
    raise AssertionError("no read-out has two blocks")


def test_runs_that_leave_their_block_are_described() -> None:
    program = random_program(2)
    runs = program.arrays["runs"].copy()
    runs[0, 3] = program.column("n").max()
    assert "reaches a target outside" in (fault(program.with_arrays(runs=runs)) or "")


def test_a_threshold_of_zero_is_described() -> None:
    program = random_program(2)
    theta = np.zeros_like(program.arrays["theta"])
    assert fault(program.with_arrays(theta=theta)) == "a threshold is below 1"
