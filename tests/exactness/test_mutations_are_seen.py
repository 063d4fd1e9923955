"""A fault planted in a saved program is seen: by lift without any data, and by running samples."""

from __future__ import annotations

import zipfile
from collections import Counter

import numpy as np
import pytest

from nmcompiler.errors import NmcError
from nmcompiler.evaluate.integer import run_integer
from nmcompiler.program.container import load, save
from nmcompiler.program.lift import check_lift
from nmcompiler.sim import Record, Simulator
from nmcompiler.testing import MUTATIONS, mutations, random_network, random_samples, tiny_target
from nmcompiler.testing.chain import placed_program

from .checks import WINDOWED, mismatches, nothing_wrong

SAMPLES = 64
SEEDS = range(12)


def program_of(seed, code):
    target = tiny_target(
        weight_sharing=seed % 2 == 0, fires_when="gt" if seed % 3 == 0 else "ge", max_chips=4
    )
    return placed_program(random_network(seed), target, code, seed=seed)


def is_seen_by_running(mutant, spiking, samples):
    try:
        wrong, _ = mismatches(mutant, spiking, samples)
    except NmcError:
        return True
    return not nothing_wrong(wrong)


@pytest.mark.parametrize("code", WINDOWED)
def test_running_sees_at_least_four_of_five_faults_of_every_kind_and_lift_sees_all(code):
    planted, ran, lifted = Counter(), Counter(), Counter()
    for seed in SEEDS:
        program, spiking = program_of(seed, code)
        samples = random_samples(spiking.network, seed, SAMPLES)
        for mutation in mutations(program, seed, each=2):
            report = check_lift(mutation.program, spiking)
            assert report.ok == mutation.equivalent, mutation.description
            if mutation.equivalent:
                continue
            planted[mutation.kind] += 1
            lifted[mutation.kind] += not report.ok
            ran[mutation.kind] += is_seen_by_running(mutation.program, spiking, samples)
    # A graded window is one step long: none can start earlier or later.
    assert set(planted) == set(MUTATIONS) - ({"window start ±1"} if code == "graded" else set())
    assert planted == lifted
    shares = {kind: ran[kind] / planted[kind] for kind in planted}
    unseen = {"theta ±1"} | ({"window start ±1"} if code == "rate-sync" else set())
    # A threshold that is off by one moves few values; no neuron of rate-sync looks at the start of a window.
    assert all(share >= 0.8 for kind, share in shares.items() if kind not in unseen), shares


def test_an_equivalent_program_runs_alike():
    for seed in SEEDS:
        program, spiking = program_of(seed, "phase")
        samples = random_samples(spiking.network, seed, 8)
        for mutation in mutations(program, seed, each=4):
            if mutation.equivalent:
                assert not is_seen_by_running(mutation.program, spiking, samples), mutation.description


def test_names_golden_and_source_decide_no_spike(tmp_path):
    for seed in range(4):
        program, spiking = program_of(seed, "phase")
        save(program, tmp_path / "all.nmc")
        stripped = strip(tmp_path / "all.nmc", tmp_path / "bare.nmc")
        samples = random_samples(spiking.network, seed, 8)
        whole = Simulator(load(tmp_path / "all.nmc")).run(samples, record=Record(values=True))
        bare = Simulator(load(stripped)).run(samples, record=Record(values=True))
        assert all(np.array_equal(a, b) for a, b in zip(whole.outputs, bare.outputs, strict=True))
        assert all(np.array_equal(a, b) for a, b in zip(whole.values, bare.values, strict=True))
        assert whole.synops == bare.synops
        golden = run_integer(spiking.network, samples)
        for port, read in zip(program.outputs, bare.outputs, strict=True):
            assert np.array_equal(read, golden.outputs[port.name].reshape(len(read), -1))


def strip(source, path):
    """The same file without its names, golden network and ONNX file, as a stranger's script would do it."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
        for member in old.infolist():
            if not member.filename.startswith(("names/", "golden/", "source/")):
                new.writestr(member, old.read(member))
    return path
