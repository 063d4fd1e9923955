import numpy as np

from nmcompiler.program.layout import ARRAYS
from nmcompiler.program.structure import fault
from nmcompiler.testing import MUTATIONS, mutations
from nmcompiler.testing.programs import random_program


def test_every_kind_is_planted_and_leaves_a_program_that_can_be_read() -> None:
    program = random_program(3)
    planted = list(mutations(program, 0, each=3))
    assert {m.kind for m in planted} == set(MUTATIONS)
    assert all(fault(m.program) is None for m in planted)


def test_each_mutation_changes_the_program_and_leaves_the_original() -> None:
    program = random_program(3)
    before = {name: array.copy() for name, array in program.arrays.items()}
    for mutation in mutations(program, 1, each=4):
        differs = mutation.program.window_starts != program.window_starts or any(
            not np.array_equal(mutation.program.arrays[name], array) for name, array in before.items()
        )
        assert differs or mutation.equivalent
    assert all(np.array_equal(program.arrays[name], before[name]) for name in ARRAYS)


def test_equal_seeds_plant_equal_faults() -> None:
    program = random_program(5)
    first = [m.description for m in mutations(program, 4, each=2)]
    assert first == [m.description for m in mutations(program, 4, each=2)]
    assert first != [m.description for m in mutations(program, 5, each=2)]
