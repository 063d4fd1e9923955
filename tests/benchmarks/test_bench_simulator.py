from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nmcompiler.codings import CODINGS
from nmcompiler.program.layout import Program
from nmcompiler.sim import Record, RunResult, Simulator
from nmcompiler.testing.networks import random_samples
from nmcompiler.testing.programs import random_program
from tests.benchmarks.machine_limit import Additions, additions_of, run_additions, sums_of

WINDOWED = tuple(name for name, code in CODINGS.items() if code.windowed)
SAMPLES = 3


def by_neuron(program: Program, recorded: tuple[np.ndarray, ...], sample: int) -> np.ndarray:
    """What was recorded of each population, in the order of neuron numbers."""
    made = np.zeros(program.neurons, np.int64)
    for population, values in enumerate(recorded):
        blocks = [
            dict(zip(("gid0", "y0", "x0", "c0", "h", "w", "c"), row, strict=True))
            for row in zip(
                *(
                    program.column(name)[program.column("population") == population].tolist()
                    for name in ("gid0", "y0", "x0", "c0", "height", "width", "channels")
                ),
                strict=True,
            )
        ]
        shape = tuple(max(b[o] + b[n] for b in blocks) for o, n in (("y0", "h"), ("x0", "w"), ("c0", "c")))
        grid = values[sample].reshape(shape)
        for b in blocks:
            box = grid[b["y0"] :, b["x0"] :, b["c0"] :][: b["h"], : b["w"], : b["c"]].reshape(-1)
            made[b["gid0"] : b["gid0"] + box.size] = box
    return made


def parameters(program: Program, name: str) -> np.ndarray:
    """A parameter of every neuron, 0 for inputs."""
    made = np.zeros(program.neurons, np.int64)
    for gid0, n, first, tile in zip(
        *(program.column(c).tolist() for c in ("gid0", "n", "param0", "param_n")), strict=True
    ):
        if tile:
            made[gid0 : gid0 + n] = program.arrays[name][first + np.arange(n) % tile]
    return made


def drawn(seed: int, code: str) -> tuple[Program, dict[str, np.ndarray], RunResult, Additions]:
    program = random_program(seed, code)
    x = random_samples_of(program, seed)
    result = Simulator(program).run(x, record=Record(membranes=True))
    return program, x, result, additions_of(program, x)


def random_samples_of(program: Program, seed: int) -> dict[str, np.ndarray]:
    assert program.golden is not None
    return random_samples(program.golden.network, seed, SAMPLES)


@pytest.mark.parametrize("code", CODINGS)
@pytest.mark.parametrize("seed", range(4))
def test_the_flat_list_has_as_many_additions_as_the_simulator_counts(code: str, seed: int) -> None:
    _, _, result, additions = drawn(seed, code)
    assert additions.synops == result.synops > 0


@pytest.mark.parametrize("code", WINDOWED)
@pytest.mark.parametrize("seed", range(4))
def test_the_sums_of_the_flat_loop_are_the_membranes(code: str, seed: int) -> None:
    program, _, result, additions = drawn(seed, code)
    assert result.saturations == 0
    listens = np.repeat(program.column("core") >= 0, program.column("n"))
    start = parameters(program, "v0") - (program.fires_when == "gt")
    for sample in range(SAMPLES):
        expected = by_neuron(program, result.membranes, sample)[listens]
        assert np.array_equal((start + sums_of(additions, sample))[listens], expected)


@pytest.mark.parametrize("column", ["target", "row", "length"])
def test_the_loop_obeys_every_column_of_the_list(column: str) -> None:
    _, _, _, additions = drawn(0, "phase")
    changed = getattr(additions, column).copy()
    at = int(np.argmax(additions.length > 1))  # its neighbours are other neurons, and have other weights
    changed[at] = changed[at] - 1 if changed[at] else 1
    other = replace(additions, **{column: changed})
    assert not np.array_equal(sums_of(other, 0), sums_of(additions, 0))


def test_threads_share_the_samples_and_leave_none_out(monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, _, additions = drawn(1, "graded")
    done: list[tuple[int, int]] = []
    monkeypatch.setattr(
        "tests.benchmarks.machine_limit.add_segments", lambda *given: done.append(tuple(given[-2:]))
    )
    run_additions(additions, threads=2)
    assert sorted(done) == list(zip(additions.first[:-1].tolist(), additions.first[1:].tolist(), strict=True))
