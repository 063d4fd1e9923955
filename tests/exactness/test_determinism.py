"""Equal inputs give equal bytes and equal spikes, whatever the process, its hashes and its threads."""

from __future__ import annotations

import functools
import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from nmcompiler.compiler import compile_model, run_program
from nmcompiler.frontend.data import Samples
from nmcompiler.mapping import EFFORTS
from nmcompiler.mapping.place import Board
from nmcompiler.testing import tiny_target
from nmcompiler.testing.random_onnx import random_onnx, random_samples

from .checks import CODES

MAKE = """
import hashlib, sys
from pathlib import Path
import nmcompiler
from nmcompiler.testing import tiny_target
from nmcompiler.testing.random_onnx import random_onnx, random_samples

for seed in (1, 4):
    for code in ("phase", "rate-sync", "ttfs", "graded", "rate"):
        model = random_onnx(seed)
        calibration = random_samples(model, 24, seed)
        source = model.SerializeToString(deterministic=True)
        made = nmcompiler.compile(source, tiny_target(neurons=48, max_chips=4), code, calibration)
        path = Path(sys.argv[1]) / f"{seed}_{code}.nmc"
        nmcompiler.save(made.program, path)
        print(path.name, hashlib.sha256(path.read_bytes()).hexdigest())
"""


def made_in_a_fresh_process(folder, hash_seed, threads):
    folder.mkdir()
    environment = dict(os.environ, PYTHONHASHSEED=str(hash_seed))
    for library in ("OMP", "OPENBLAS", "MKL", "NUMBA"):
        environment[f"{library}_NUM_THREADS"] = str(threads)
    command = [sys.executable, "-c", MAKE, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_programs_are_equal_byte_for_byte_in_any_process(tmp_path):
    first = made_in_a_fresh_process(tmp_path / "a", hash_seed=1, threads=1)
    second = made_in_a_fresh_process(tmp_path / "b", hash_seed=4242, threads=2)
    assert len(first) == 10
    assert first == second


def compiled(seed, code):
    model = random_onnx(seed)
    return compile_model(
        model.SerializeToString(),
        tiny_target(neurons=40, max_chips=4),
        code,
        random_samples(model, 24, seed),
    ).program


compiled_once = functools.cache(compiled)


def spikes_of(program, samples, **options):
    run = run_program(program, samples, **options)
    kept = ("spikes_per_neuron", "synops_per_sample", "saturations", "latency_steps")
    outputs = {name: hashlib.sha256(np.ascontiguousarray(y)).hexdigest() for name, y in run.outputs.items()}
    return outputs, {name: run.facts[name] for name in kept}, run.facts["hops_per_sample"]


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("seed", [1, 4])
def test_placement_changes_hops_and_no_spike(seed, code, monkeypatch):
    placed = compiled(seed, code)

    def scattered(board, kinds):
        order = np.random.default_rng(7).permutation(len(board.row))
        free = {kind: iter(order[board.kind[order] == kind].tolist()) for kind in set(kinds)}
        return iter([np.array([next(free[kind]) for kind in kinds])])

    monkeypatch.setattr(Board, "starts", scattered)
    monkeypatch.setitem(EFFORTS, "normal", EFFORTS["normal"]._replace(moves=0))
    programs = [placed, compiled(seed, code)]
    samples = Samples(random_samples(random_onnx(seed), 5, seed + 2), None)
    runs = [spikes_of(program, samples) for program in programs]
    assert all(run[:2] == runs[0][:2] for run in runs)
    places = {program.arrays["cores"].tobytes() + program.arrays["blocks"].tobytes() for program in programs}
    assert len(places) > 1  # else nothing was compared
    assert runs[0][2] < runs[1][2]


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("literal", [False, True])
def test_threads_and_batches_change_no_spike_and_no_counter(code, literal):
    program = compiled_once(4, code)
    samples = Samples(random_samples(random_onnx(4), 70, 6), None)
    reference = spikes_of(program, samples, threads=1, literal=literal)
    for threads, batch in ((2, 250), (3, 250), (2, 13)):
        assert spikes_of(program, samples, threads=threads, batch=batch, literal=literal) == reference
