"""The figures of NeuroBench on a program that is small enough to count by hand."""

from __future__ import annotations

import numpy as np
import pytest

from nmcompiler.ir.kernels import Dense
from nmcompiler.report.neurobench import neurobench
from nmcompiler.sim import Simulator
from nmcompiler.testing import random_network, random_samples, tiny_target
from nmcompiler.testing.chain import placed_program
from nmcompiler.testing.networks import Builder

HIDDEN = np.array([[2, 0], [-1, 3], [0, 1]])  # two of six weights are 0
READ = np.array([[1, 0, 1], [0, 0, 1]])  # three of six


def network(levels=7):
    """Two inputs of 3 levels, three hidden neurons of 7 levels, two read-outs."""
    builder = Builder(np.random.default_rng(0), unit_theta=0.0)
    source = builder.input((1, 1, 2), 3, False)
    hidden = builder.hidden((1, 1, 3), [(source, Dense(HIDDEN))], "Gemm", levels=levels, signed=False)
    builder.readout((1, 1, 2), [(hidden, Dense(READ))])
    return builder.network("hand")


def program(code="phase", encoding="spikes", **changes):
    target = tiny_target(input_encodings=(encoding,), membrane_bits=20, weight_bits=5)
    return placed_program(network(), target, code, **changes)[0]


def test_every_figure_is_what_a_hand_counts():
    # inputs send 4 and 1 spikes in two samples, the hidden neurons 3, 0 and 5; read-outs send nothing
    figures = neurobench(program(), np.array([4, 1, 3, 0, 5, 0, 0]), 2)
    # 12 weights of 5 bits and 5 membranes of 20 bits
    assert figures["footprint_bytes"] == 160 // 8
    assert figures["connection_sparsity"] == pytest.approx(5 / 12)
    # the hidden neurons may spike in 3 steps of phase (L = 7) a sample: 8 spikes of 3 · 3 · 2 chances
    assert figures["activation_sparsity"] == pytest.approx(1 - 8 / 18)
    # effective synapses: input 0 → 2, input 1 → 2; hidden 0 → 1, hidden 1 → 0, hidden 2 → 2
    assert figures["synaptic_operations"] == {
        "Effective_MACs": 0.0,
        "Effective_ACs": (4 * 2 + 1 * 2 + 3 * 1 + 0 + 5 * 2) / 2,
        # every synapse in every step of its source: inputs 2 steps (L = 3), hidden 3 steps
        "Dense": 2 * 3 * 2 + 3 * 2 * 3,
    }


def test_what_reads_analog_inputs_are_multiplications():
    figures = neurobench(program("rate", "current", timesteps=7), np.array([4, 1, 3, 0, 5, 0, 0]), 1)
    assert figures["synaptic_operations"]["Effective_MACs"] == 4 * 2 + 1 * 2
    assert figures["synaptic_operations"]["Effective_ACs"] == 3 * 1 + 5 * 2


@pytest.mark.parametrize(("levels", "multiplied"), [(7, 4 * 2 + 1 * 2 + 3 * 1 + 5 * 2), (1, 4 * 2 + 1 * 2)])
def test_what_reads_values_above_one_are_multiplications(levels, multiplied):
    """In ``graded`` those of every population, but of one whose only value is 1."""
    made, _ = placed_program(network(levels), tiny_target(), "graded")
    figures = neurobench(made, np.array([4, 1, 3, 0, 5, 0, 0]), 1)
    assert figures["synaptic_operations"]["Effective_MACs"] == multiplied
    assert figures["synaptic_operations"]["Effective_ACs"] == 4 * 2 + 1 * 2 + 3 * 1 + 5 * 2 - multiplied


def test_a_network_that_never_spikes_is_wholly_sparse():
    figures = neurobench(program(), np.zeros(7, np.int64), 3)
    assert figures["activation_sparsity"] == 1.0
    assert figures["synaptic_operations"]["Effective_ACs"] == 0.0


@pytest.mark.parametrize("seed", range(5))
def test_without_zero_weights_the_operations_are_the_simulators(seed):
    made, spiking = placed_program(random_network(seed), tiny_target(max_chips=4), "phase", seed=seed)
    result = Simulator(made).run(random_samples(spiking.network, seed, 6))
    ones = made.with_arrays(weights=np.where(made.arrays["weights"] == 0, 1, made.arrays["weights"]))
    figures = neurobench(ones, result.spikes_per_neuron, 6)
    assert figures["synaptic_operations"]["Effective_ACs"] == pytest.approx(result.synops / 6)
    assert figures["connection_sparsity"] == 0.0
    assert figures["synaptic_operations"]["Dense"] >= result.synops / 6
