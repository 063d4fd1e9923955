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

CODES = ("phase", "rate-sync", "rate")
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


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("seed", SEEDS)
def test_the_oracle_agrees_on_outputs_activations_membranes_and_every_counter(tmp_path, seed, code):
    program, spiking = small_program(seed, code)
    samples = random_samples(spiking.network, seed, 2)
    save(program, tmp_path / "p.nmc")
    expected = oracle.run(oracle.read(tmp_path / "p.nmc"), samples)
    loaded = load(tmp_path / "p.nmc")
    record = Record(values=True, membranes=True)
    for literal in (True, False):
        result = Simulator(loaded).run(samples, record=record, literal=literal)
        for k, raw in enumerate(result.outputs):
            assert np.array_equal(raw, expected.results[k][:, program.outputs[k].order])
            assert np.allclose(decode(loaded, result.outputs)[k], expected.outputs[k], rtol=1e-6)
        for number, values in expected.values.items():
            assert np.array_equal(result.values[number], values)
        for number, membranes in expected.membranes.items():
            assert np.array_equal(result.membranes[number], membranes)
        assert result.spikes_per_block.tolist() == list(expected.counters.spikes_per_block)
        assert result.synops == expected.counters.synops
        assert result.hops == expected.counters.hops
        assert result.saturations == expected.counters.saturations


def test_the_ten_programs_have_every_kind_of_block_and_saturate_somewhere():
    kinds, saturations = set(), 0
    for seed in SEEDS:
        program, spiking = small_program(seed, "phase")
        kinds |= set(program.column("kind").tolist())
        samples = random_samples(spiking.network, seed, 2)
        saturations += Simulator(program).run(samples).saturations
    assert kinds == set(map(int, BlockKind))
    assert saturations > 0
