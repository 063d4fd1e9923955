"""The independent oracle and the simulator on the same program files."""

from __future__ import annotations

import numpy as np
import pytest

from nmcompiler.program.container import load, save
from nmcompiler.program.layout import BlockKind
from nmcompiler.sim import Record, Simulator, decode
from nmcompiler.testing import adversarial_network, random_network, random_samples, tiny_target
from nmcompiler.testing.chain import placed_program

from ..oracle import oracle

CODES = ("phase", "rate-sync", "ttfs", "graded", "rate")
SEEDS = range(10)


def small_program(seed, code):
    """Ten programs of every code: shared and unshared weights, ge and gt, signs and halves, saturation."""
    target = tiny_target(
        neurons=10 + 3 * seed,
        weight_sharing=seed % 2 == 0,
        signed_spikes=seed % 3 != 0,
        fires_when="gt" if seed % 4 == 1 else "ge",
        membrane_bits=9 if seed == 9 else 24,
        columns=5,
        max_chips=16,
    )
    network = adversarial_network("long-skip") if seed == 8 else random_network(seed, levels=7)
    return placed_program(network, target, code, seed=seed, timesteps=255 if code == "rate" else None)


def compare(program, samples, file, stream=False):
    """Runs the saved program with both and compares everything that it computes and counts.

    Returns the answer of the oracle.
    """
    save(program, file)
    expected = oracle.run(oracle.read(file), samples, stream)
    loaded = load(file)
    record = Record(values=True, membranes=True)
    for literal in (True, False):
        result = Simulator(loaded).run(samples, record=record, literal=literal, stream=stream)
        for k, raw in enumerate(result.outputs):
            assert np.array_equal(raw, expected.results[k])
            assert np.allclose(decode(loaded, result.outputs)[k], expected.outputs[k], rtol=1e-6)
        for number, values in expected.values.items():
            assert np.array_equal(result.values[number], values)
        for number, membranes in expected.membranes.items():
            assert np.array_equal(result.membranes[number], membranes)
        assert result.spikes_per_block.tolist() == list(expected.counters.spikes_per_block)
        assert result.synops == expected.counters.synops
        assert result.hops == expected.counters.hops
        assert result.saturations == expected.counters.saturations
    return expected


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("seed", SEEDS)
def test_the_oracle_agrees_on_outputs_activations_membranes_and_every_counter(tmp_path, seed, code):
    program, spiking = small_program(seed, code)
    compare(program, random_samples(spiking.network, seed, 2), tmp_path / "p.nmc")


@pytest.mark.parametrize("seed", [seed for seed in SEEDS if seed % 3 != 0])
def test_the_oracle_agrees_on_streams_of_frames(tmp_path, seed):
    program, spiking = small_program(seed, "graded")
    samples = {
        name: frames[[0, 1, 1, 2, 0]] for name, frames in random_samples(spiking.network, seed, 3).items()
    }
    stream = compare(program, samples, tmp_path / "p.nmc", stream=True)
    # Drained frames compute what they compute alone, and one that equals the frame before sends nothing.
    alone = oracle.run(oracle.read(tmp_path / "p.nmc"), samples)
    for together, apart in zip(stream.results, alone.results, strict=True):
        assert np.array_equal(together, apart)
    assert stream.per_sample[2].spikes == 0 < stream.per_sample[1].spikes


def test_the_oracle_agrees_on_a_stream_in_membranes_that_saturate(tmp_path):
    target = tiny_target(membrane_bits=9, max_chips=16)
    program, spiking = placed_program(random_network(4, levels=7), target, "graded")
    samples = random_samples(spiking.network, 4, 4)
    assert compare(program, samples, tmp_path / "p.nmc", stream=True).counters.saturations > 0


def test_the_ten_programs_have_every_kind_of_block_and_saturate_somewhere():
    kinds, saturations = set(), 0
    for seed in SEEDS:
        program, spiking = small_program(seed, "phase")
        kinds |= set(program.column("kind").tolist())
        samples = random_samples(spiking.network, seed, 2)
        saturations += Simulator(program).run(samples).saturations
    assert kinds == set(map(int, BlockKind)) - {BlockKind.TYPED_CROSSBAR}  # which has programs of its own
    assert saturations > 0
