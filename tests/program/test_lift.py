from dataclasses import replace

import numpy as np
import pytest

from nmcompiler.codings import CODINGS
from nmcompiler.evaluate.linear import apply
from nmcompiler.ir.kernels import Array, Conv, Dense, Kernel, Shape, Sparse
from nmcompiler.program import lifted
from nmcompiler.program.expand import expand
from nmcompiler.program.lift import check_lift, difference, lift
from nmcompiler.testing import mutations
from nmcompiler.testing.programs import random_program

CODES = tuple(CODINGS)


def matrix(kernel: Kernel, source: Shape, target: Shape, chosen: Array) -> Array:
    index, columns, weight = expand(kernel, source, target, chosen)
    dense = np.zeros((len(chosen), int(np.prod(source))), np.int64)
    np.add.at(dense, (index, columns), weight)
    return dense


@pytest.mark.parametrize(
    ("kernel", "source", "target"),
    [
        (Conv(np.arange(36).reshape(3, 2, 2, 3) - 9, (2, 1), (1, -1), (1, 2)), (5, 6, 2), (3, 4, 3)),
        (Conv(np.arange(16).reshape(2, 2, 1, 4) - 9, groups=2, source_channel=1), (4, 4, 3), (3, 3, 4)),
        (Conv(np.arange(6).reshape(1, 1, 2, 3), target_channel=2), (2, 2, 2), (2, 2, 6)),
        (Dense(np.arange(24).reshape(4, 6) - 7), (1, 2, 3), (1, 1, 4)),
        (Sparse(np.array([0, 0, 3]), np.array([1, 1, 2]), np.array([4, 5, -6])), (1, 1, 3), (1, 2, 2)),
    ],
)
def test_expand_is_the_matrix_of_the_linear_map(kernel: Kernel, source: Shape, target: Shape) -> None:
    size, count = int(np.prod(target)), int(np.prod(source))
    columns = apply(kernel, np.eye(count, dtype=np.int64).reshape(count, *source), target)
    chosen = np.arange(size)[::-1][: size - 1]
    assert np.array_equal(matrix(kernel, source, target, chosen), columns.reshape(count, size).T[chosen])


@pytest.mark.parametrize("seed", range(12))
def test_lift_sees_every_mutation_that_is_not_an_equivalent_program(seed: int) -> None:
    program = random_program(seed, CODES[seed % len(CODES)])
    assert program.golden is not None
    for mutation in mutations(program, seed, each=2):
        report = check_lift(mutation.program, program.golden)
        assert report.ok == mutation.equivalent, f"{mutation.description}: {report.message}"
        assert report.message


def test_large_blocks_are_read_in_ranges_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    program = random_program(6)
    assert program.golden is not None
    whole = check_lift(program, program.golden)
    monkeypatch.setattr(lifted, "CHUNK_SYNAPSES", 50)
    assert check_lift(program, program.golden) == whole


def test_projections_are_the_kernels_of_the_network() -> None:
    program = random_program(2)
    assert program.golden is not None
    graph = program.golden.network.graph
    names = graph.names()
    found = lift(program).projections()
    for target in names:
        dense: dict[str, Array] = {}
        for edge in graph.in_edges(target):
            source = graph.node(edge.source)
            size = graph.node(target).size
            part = matrix(edge.payload.kernel, source.shape, graph.node(target).shape, np.arange(size))
            dense[edge.source] = dense.get(edge.source, 0) + part
        for source_name, wanted in dense.items():
            rows, columns, weight = found.get(
                (names.index(source_name), names.index(target), 1), (np.zeros(0, np.int64),) * 3
            )
            back = np.zeros_like(wanted)
            back[rows, columns] = weight
            assert np.array_equal(back, wanted)


def test_the_difference_names_the_synapse() -> None:
    program = random_program(1)
    assert program.golden is not None
    weights = program.arrays["weights"].copy()
    weights[int(np.flatnonzero(weights)[0])] += 1
    message = difference(lift(program.with_arrays(weights=weights)), program.golden)
    assert message is not None
    assert "the synapse from" in message
    assert "has weight" in message


@pytest.mark.parametrize(
    "change", [{"total_steps": 10**5}, {"coding": "rate"}, {"membrane_bits": 23}, {"inputs": ()}]
)
def test_a_changed_header_is_noticed(change: dict[str, object]) -> None:
    program = random_program(7)
    assert program.golden is not None
    assert not check_lift(replace(program, **change), program.golden).ok  # type: ignore[arg-type]


def test_changed_port_tables_are_noticed() -> None:
    program = random_program(7)
    assert program.golden is not None
    port = program.inputs[0]
    for changed in (replace(port, scale=port.scale * 2), replace(port, order=port.order[::-1])):
        assert not check_lift(replace(program, inputs=(changed, *program.inputs[1:])), program.golden).ok
    output = program.outputs[0]
    for wrong in (replace(output, scale=output.scale * 2), replace(output, order=output.order[::-1])):
        assert not check_lift(replace(program, outputs=(wrong, *program.outputs[1:])), program.golden).ok


def test_blocks_that_overlap_are_noticed() -> None:
    program = random_program(9)
    assert program.golden is not None
    blocks = program.arrays["blocks"].copy()
    population = program.column("population")
    twice = np.flatnonzero(population[1:] == population[:-1])[0]
    blocks[twice + 1, 5:8] = blocks[twice, 5:8]
    report = check_lift(program.with_arrays(blocks=blocks), program.golden)
    assert not report.ok


def test_numbers_that_point_nowhere_are_a_message_and_not_an_exception() -> None:
    program = random_program(9)
    assert program.golden is not None
    rng = np.random.default_rng(0)
    for _ in range(300):
        name = str(rng.choice(["blocks", "runs", "patterns", "segments", "routes"]))
        array = program.arrays[name].copy()
        values = [-1, 0, 1, 2**31 - 1, -(2**31), int(rng.integers(0, 100))]
        array.flat[int(rng.integers(array.size))] = int(rng.choice(values))
        assert check_lift(program.with_arrays(**{name: array}), program.golden).message
