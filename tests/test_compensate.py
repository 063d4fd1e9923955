from __future__ import annotations

import numpy as np
import pytest

from nmcompiler.compensate import calibration_of, chosen, session_of
from nmcompiler.errors import UsageError
from nmcompiler.registry import backend
from nmcompiler.sim import Record, Simulator
from nmcompiler.testing import random_samples
from nmcompiler.testing.programs import random_program


@pytest.mark.parametrize("seed", [0, 2, 5])
def test_golden_answers_by_block_are_what_the_program_computes(seed):
    program = random_program(seed)
    samples = random_samples(program.golden.network, seed, 6)
    wanted = calibration_of(program, samples)
    result = Simulator(program).run(samples, record=Record(values=True, membranes=True))
    blocks = Simulator(program)._loaded.blocks
    for block in blocks:
        if not block.is_input:
            found = result.membranes[block.population][:, block.positions]
            assert np.array_equal(wanted.membranes[block.index], found)
        if not block.is_readout:
            found = result.values[block.population][:, block.positions]
            assert np.array_equal(wanted.values[block.index], found)
    for port, read in zip(program.outputs, result.outputs, strict=True):
        assert np.array_equal(wanted.outputs[port.name], port.read(read))


def test_digital_chips_have_nothing_to_compensate():
    program = random_program(0)
    for refused in (
        lambda: chosen(backend("digital"), program, "all"),
        lambda: session_of(backend("digital"), program, 1),
    ):
        with pytest.raises(UsageError, match="nothing to compensate"):
            refused()
