from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.codings import CODINGS, coding
from nmcompiler.errors import DoesNotFit
from nmcompiler.ir.kernels import Conv, Dense, Sparse
from nmcompiler.program.assemble import assemble, boundless_cores
from nmcompiler.program.layout import ARRAYS, BlockKind
from nmcompiler.program.lift import check_lift
from nmcompiler.program.structure import fault
from nmcompiler.testing import ADVERSARIAL, adversarial_network, random_network, tiny_target
from nmcompiler.testing.networks import Builder
from nmcompiler.testing.programs import random_cores, random_program

CODES = tuple(CODINGS)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    cut=st.integers(0, 10**6),
    sharing=st.booleans(),
    fires_when=st.sampled_from(["ge", "gt"]),
    code=st.sampled_from(CODES),
)
def test_what_is_assembled_on_random_cores_lifts_back_to_the_golden_network(
    seed: int, cut: int, sharing: bool, fires_when: str, code: str
) -> None:
    target = tiny_target(weight_sharing=sharing, fires_when=fires_when)
    chosen = coding(code)
    spiking = chosen.convert(random_network(seed), target, input_encoding=chosen.input_encodings[0])
    for cores in (boundless_cores(spiking), random_cores(spiking, cut)):
        report = check_lift(assemble(spiking, cores, target), spiking)
        assert report.ok, report.message


@pytest.mark.parametrize("kind", ADVERSARIAL)
def test_adversarial_networks_lift_back(kind: str) -> None:
    target = tiny_target()
    spiking = coding("phase").convert(adversarial_network(kind), target, input_encoding="spikes")
    assert check_lift(assemble(spiking, random_cores(spiking, 1), target), spiking).ok


def test_equal_inputs_give_equal_arrays() -> None:
    first, second = random_program(5), random_program(5)
    assert all(np.array_equal(first.arrays[name], second.arrays[name]) for name in ARRAYS)


def test_arrays_have_the_types_of_the_format() -> None:
    program = random_program(8)
    assert {n: a.dtype for n, a in program.arrays.items()} == {n: np.dtype(d) for n, (d, _) in ARRAYS.items()}
    assert fault(program) is None


def test_sharing_stores_the_kernel_of_a_convolution_once_and_joins_the_taps_of_a_row() -> None:
    builder = Builder(np.random.default_rng(0))
    source = builder.input((9, 9, 2), 15, False)
    weight = builder.rng.integers(1, 9, (3, 3, 2, 4))
    hidden = builder.hidden((9, 9, 4), [(source, Conv(weight, padding=(1, 1)))], "Conv")
    builder.readout((1, 1, 2), [(hidden, Dense(np.ones((2, 324), np.int64)))])
    network = builder.network("conv")
    for sharing, weights in ((True, weight.size), (False, 2 * 4 * 25 * 25)):
        target = tiny_target(weight_sharing=sharing)
        spiking = coding("phase").convert(network, target, input_encoding="spikes")
        program = assemble(spiking, boundless_cores(spiking), target)
        assert program.column("weight_n")[1] == weights
        # One run for every pixel, three segments of three taps inside.
        assert program.column("run_n")[1] == 81
        assert program.arrays["segments"][:, 2].max() == max(12, 2)
        assert program.arrays["patterns"].size - 1 <= 10
    assert program.column("kind").tolist() == [BlockKind.INPUT, BlockKind.SPARSE, BlockKind.DENSE]


def test_a_box_that_no_synapse_of_a_sparse_kernel_reaches_is_assembled() -> None:
    builder = Builder(np.random.default_rng(0))
    source = builder.input((1, 1, 4), 15, False)
    sparse = Sparse(np.array([0, 1]), np.array([2, 3]), np.array([5, -7]))  # only the first two targets
    everywhere = Dense(np.ones((4, 4), np.int64))
    hidden = builder.hidden((1, 1, 4), [(source, sparse), (source, everywhere)], "Gemm")
    builder.readout((1, 1, 2), [(hidden, Dense(np.ones((2, 4), np.int64)))])
    spiking = coding("phase").convert(builder.network("gap"), tiny_target(), input_encoding="spikes")
    for seed in range(8):
        cores = random_cores(spiking, seed)
        assert check_lift(assemble(spiking, cores, tiny_target()), spiking).ok


def test_parameters_are_stored_in_the_shortest_form() -> None:
    program = random_program(11)
    n, stored = program.column("n"), program.column("param_n")
    channels = program.column("channels")
    assert ((stored == 1) | (stored == channels) | (stored == n)).all()


def test_chips_that_fire_above_the_threshold_start_one_higher() -> None:
    network = random_network(4)
    programs = []
    for fires_when in ("ge", "gt"):
        target = tiny_target(fires_when=fires_when)
        spiking = coding("phase").convert(network, target, input_encoding="spikes")
        programs.append(assemble(spiking, boundless_cores(spiking), target))
    step = programs[1].arrays["v0"] - programs[0].arrays["v0"]
    first = int(programs[0].column("param0")[len(network.inputs)])
    assert (step[:first] == 0).all()
    assert (step[first:] == 1).all()


def test_a_weight_beyond_sixteen_bits_is_refused_with_the_layer() -> None:
    builder = Builder(np.random.default_rng(0))
    source = builder.input((1, 1, 2), 3, False)
    builder.readout((1, 1, 2), [(source, Dense(np.full((2, 2), 40_000)))])
    target = tiny_target()
    spiking = coding("phase").convert(builder.network("big"), target, input_encoding="spikes")
    with pytest.raises(DoesNotFit, match="17 bits of a weight"):
        assemble(spiking, boundless_cores(spiking), target)


def test_names_are_for_people_only() -> None:
    program = random_program(3)
    assert program.golden is not None
    assert check_lift(replace(program, names=None, golden=None), program.golden).ok
