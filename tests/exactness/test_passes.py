"""Networks that are computed in several passes over too few cores: nothing may differ from one pass."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nmcompiler.errors import DoesNotFit, InputFileError
from nmcompiler.program.container import load, save
from nmcompiler.program.lift import check_lift
from nmcompiler.program.slices import chip_steps
from nmcompiler.program.usage import core_usage
from nmcompiler.report.workload import workload
from nmcompiler.sim import Record, Simulator
from nmcompiler.target import Crossbar, Mesh
from nmcompiler.testing import random_network, random_samples, suited_network, tiny_target
from nmcompiler.testing.chain import placed_program

from ..oracle import oracle
from .checks import CODES, WINDOWED, mismatches, nothing_wrong
from .test_oracle_agrees import compare


def on_cores(target, cores):
    """The chip with so many cores."""
    types = (replace(target.core_types[0], count=cores),)
    return replace(target, core_types=types, mesh=Mesh(1, cores), max_chips=1)


def forced(network, target, code, wanted=(1, 2, 3)):
    """The network in each of the numbers of passes that some number of cores forces it into."""
    steps = 63 if code == "rate" else None
    once, _ = placed_program(network, target, code, timesteps=steps)
    found = {}
    for cores in range(len(once.arrays["cores"]), 0, -1):
        made = placed_program(network, on_cores(target, cores), code, timesteps=steps, passes=None)
        found.setdefault(made[0].passes, made)
        if made[0].passes >= max(wanted):
            break
    return {passes: made for passes, made in found.items() if passes in wanted}


def everything(program, samples):
    result = Simulator(program).run(samples, record=Record(values=True, membranes=True))
    parts = (*result.outputs, *result.values, *result.membranes)
    return [a.tobytes() for a in parts if a is not None], result.spikes.tolist(), result.synops


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("seed", [0, 2, 10])
def test_one_two_and_three_passes_compute_the_same(tmp_path, seed, code):
    target = tiny_target(neurons=14 + seed, fires_when="gt" if seed == 2 else "ge", signed_spikes=seed != 10)
    programs = forced(random_network(seed, levels=7), target, code)
    assert programs.keys() == {1, 2, 3}
    samples = random_samples(programs[1][1].network, seed, 2)
    for passes, (program, spiking) in programs.items():
        assert check_lift(program, spiking).ok
        assert core_usage(program).broken() == []
        if code in WINDOWED:
            wrong, _ = mismatches(program, spiking, samples)
            assert nothing_wrong(wrong)
        assert everything(program, samples) == everything(programs[1][0], samples)
        assert (chip_steps(program) > program.total_steps) == (passes > 1)
        compare(program, samples, tmp_path / "p.nmc")


@pytest.mark.parametrize("seed", [0, 2, 11])
def test_crossbars_whose_neurons_are_built_several_times_compute_the_same_in_passes(tmp_path, seed):
    target = tiny_target(
        neurons=48 + seed,
        input_axons=160,
        weight_bits=4,
        crossbar=Crossbar(axon_types=4, weight_bits=9),
        axon_fan_out=1 + seed % 2,
    )
    programs = forced(suited_network(seed, target, levels=7), target, "phase", wanted=(1, 2))
    (once, _), (twice, spiking) = programs[1], programs[2]
    assert check_lift(twice, spiking).ok
    assert core_usage(twice).broken() == []
    # What a later pass reads is one axon, the host's: fewer copies are needed.
    assert len(twice.table("copies")) <= len(once.table("copies"))
    samples = random_samples(spiking.network, seed, 2)
    assert nothing_wrong({k: n for k, n in mismatches(twice, spiking, samples)[0].items() if k != "spikes"})
    compare(twice, samples, tmp_path / "p.nmc")


def test_a_stream_of_frames_computes_the_same_in_passes(tmp_path):
    programs = forced(random_network(2, levels=7), tiny_target(neurons=16), "graded")
    program, spiking = programs[3]
    frames = {name: x[[0, 1, 1, 2]] for name, x in random_samples(spiking.network, 2, 3).items()}
    compare(program, frames, tmp_path / "p.nmc", stream=True)


@pytest.mark.parametrize("code", ["phase", "rate"])
def test_work_of_cores_and_links_is_that_which_the_simulator_counts(code):
    for program, spiking in forced(random_network(2, levels=7), tiny_target(neurons=16), code).values():
        result = Simulator(program).run(random_samples(spiking.network, 2, 3))
        work = workload(program, result.spikes_per_neuron)
        assert work.links.sum() == work.block_links.sum() == result.hops
        assert work.synops.sum() == work.block_synops.sum() == result.synops
        assert len(work.slots) == len(work.turns)
        for turn in range(program.passes):  # a core works in its own pass alone
            others = program.turns != turn
            assert not work.synops[work.turns == turn][:, others].any()
            assert not work.spikes[work.turns == turn][:, others].any()


def test_passes_are_not_taken_unless_they_are_asked_for():
    with pytest.raises(DoesNotFit, match="--passes auto"):
        placed_program(random_network(2, levels=7), on_cores(tiny_target(neurons=16), 2), "phase")


@pytest.fixture(scope="module")
def made():
    """A program of three passes with its golden network."""
    return forced(random_network(2, levels=7), tiny_target(neurons=16), "phase", wanted=(3,))[3]


def faults(program):
    """Programs with one wrong number, and the sentence that refuses them."""
    turns, cores, routes = program.turns, program.arrays["cores"], program.arrays["routes"]
    first, last = int(np.flatnonzero(turns == 0)[0]), int(np.flatnonzero(turns == 2)[0])
    source = int(np.flatnonzero(program.column("core") == last)[0])

    def changed(array, where, value):
        copy = np.array(array)
        copy[where] = value
        return copy

    places = changed(cores, last, cores[first])
    yield (
        program.with_arrays(cores=places, passes=changed(turns, last, 0).astype(np.int32)),
        f"cores {first} and {last} stand at one place in pass 0",
    )
    yield program.with_arrays(passes=changed(turns, turns == 1, 3).astype(np.int32)), "not numbered from 0"
    yield program.with_arrays(passes=turns[:-1].astype(np.int32)), "passes has"
    back = changed(routes[-1:], (0, slice(0, 4)), (int(program.column("gid0")[source]), 1, first, 0))
    yield program.with_arrays(routes=np.concatenate([routes, back])), "leads from pass 2 back to pass 0"


@pytest.mark.parametrize("number", range(4))
def test_a_fault_in_the_passes_is_one_sentence_everywhere(tmp_path, made, number):
    program, spiking = made
    wrong, sentence = list(faults(program))[number]
    report = check_lift(wrong, spiking)
    assert not report.ok
    assert sentence in report.message
    save(wrong, tmp_path / "p.nmc")
    with pytest.raises(InputFileError, match=sentence):
        load(tmp_path / "p.nmc")
    with pytest.raises(ValueError, match="pass"):
        oracle.read(tmp_path / "p.nmc")


def test_a_pass_that_is_only_late_is_another_program_of_the_same_network(made):
    """Cores may wait for a later pass: what is computed is the same, so lift has nothing to say."""
    program, spiking = made
    read = program.turns.max() + (np.arange(len(program.turns)) == len(program.turns) - 1)
    waiting = np.where(read > program.turns.max(), read, program.turns).astype(np.int32)
    later = program.with_arrays(passes=waiting)
    samples = random_samples(spiking.network, 2, 2)
    assert check_lift(later, spiking).ok
    assert later.passes == 4
    assert everything(later, samples) == everything(program, samples)
