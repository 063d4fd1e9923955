"""The figures of NeuroBench on programs small enough to count by hand, and by its procedure on others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nmcompiler.codings import coding
from nmcompiler.evaluate.integer import encode_inputs
from nmcompiler.evaluate.linear import apply
from nmcompiler.ir.kernels import Conv, Dense, with_weight
from nmcompiler.report.neurobench import neurobench
from nmcompiler.sim import Simulator
from nmcompiler.target.model import BiasFormat, ThresholdFormat
from nmcompiler.testing import random_network, random_samples, tiny_target
from nmcompiler.testing.chain import placed_program
from nmcompiler.testing.networks import Builder, evaluate_naively

HIDDEN = np.array([[2, 0], [-1, 3], [0, 1]])  # two of six weights are 0
READ = np.array([[1, 0, 1], [0, 0, 1]])  # three of six
SENT = np.array([4, 1, 3, 0, 5, 0, 0])  # by the inputs, the hidden neurons, and nothing by the read-outs
ONE = np.ones((1, 1, 1), np.int64)


def network(levels=7, inputs=3):
    """Two inputs of 3 levels, three hidden neurons of 7 levels, two read-outs."""
    builder = Builder(np.random.default_rng(0))
    source = builder.input((1, 1, 2), inputs, False)
    terms, bias = [(source, Dense(HIDDEN))], np.array([[[1, 2, 3]]])
    hidden = builder.hidden((1, 1, 3), terms, "Gemm", levels=levels, signed=False, theta=4 * ONE, bias=bias)
    builder.readout((1, 1, 2), [(hidden, Dense(READ))])
    return builder.network("hand")


def program(code="phase", encoding="spikes", inputs=3, **changes):
    target = tiny_target(
        input_encodings=(encoding,),
        membrane_bits=20,
        weight_bits=5,
        threshold=ThresholdFormat(11),
        bias=BiasFormat(9, exponent_max=3),  # 9 bits and an exponent of 2
    )
    return placed_program(network(inputs=inputs), target, code, **changes)[0]


def test_every_figure_is_what_a_hand_counts():
    figures = neurobench(program(), SENT, 2)
    # 12 weights; three thresholds, and five biases of which no two are equal; membrane and dendrite
    assert figures["footprint_bytes"] == -(-(12 * 5 + 3 * 11 + 5 * 11 + 5 * 2 * 20) // 8)
    assert figures["connection_sparsity"] == 0.4167  # 5 of 12 weights are 0
    # the hidden neurons may spike in 3 steps of phase (L = 7) a sample: 8 spikes of 3 · 3 · 2 chances
    assert figures["activation_sparsity"] == pytest.approx(1 - 8 / 18)
    # effective synapses: input 0 → 2, input 1 → 2; hidden 0 → 1, hidden 1 → 0, hidden 2 → 2
    assert figures["synaptic_operations"] == {
        "Effective_MACs": 0.0,
        "Effective_ACs": (4 * 2 + 1 * 2 + 3 * 1 + 0 + 5 * 2) / 2,
        # every synapse in every step of its source: inputs 2 steps (L = 3), hidden 3 steps
        "Dense": 2 * 3 * 2 + 3 * 2 * 3,
    }


def test_every_compartment_of_a_neuron_has_its_registers():
    made = program()
    several = replace(made, target=replace(made.target, compartments_per_neuron=3))
    one, three = (neurobench(p, SENT, 2) for p in (made, several))
    assert three.pop("footprint_bytes") == -(-(12 * 5 + 3 * 11 + 5 * 11 + 3 * 5 * 2 * 20) // 8)
    assert one.pop("footprint_bytes") > 0
    assert one == three


def test_codes_without_a_dendrite_keep_one_register_a_neuron():
    bits = 12 * 5 + 3 * 11 + 5 * 11
    for code, registers in (("phase", 2), ("ttfs", 2), ("rate-sync", 1)):
        stored = neurobench(program(code), SENT, 1)["footprint_bytes"]
        assert stored == -(-(bits + 5 * registers * 20) // 8)


def test_a_chip_without_biases_stores_none():
    made = program()
    without = replace(made, target=replace(made.target, bias=None))
    assert neurobench(without, SENT, 1)["footprint_bytes"] == -(-(348 - 5 * 11) // 8)


@pytest.mark.parametrize(("inputs", "multiplied"), [(21, 4 * 2 + 1 * 2), (7, 0)])
def test_what_reads_a_current_above_one_is_a_multiplication(inputs, multiplied):
    """Of 7 steps: 21 levels are a current of up to 3 a step, 7 levels one of 0 or 1."""
    figures = neurobench(program("rate", "current", inputs, timesteps=7), SENT, 1)
    assert figures["synaptic_operations"]["Effective_MACs"] == multiplied
    assert figures["synaptic_operations"]["Effective_ACs"] == 4 * 2 + 1 * 2 + 3 * 1 + 5 * 2 - multiplied


@pytest.mark.parametrize(("levels", "multiplied"), [(7, 4 * 2 + 1 * 2 + 3 * 1 + 5 * 2), (1, 4 * 2 + 1 * 2)])
def test_what_reads_values_above_one_are_multiplications(levels, multiplied):
    """In ``graded`` those of every population, but of one whose only value is 1."""
    made, _ = placed_program(network(levels), tiny_target(), "graded")
    figures = neurobench(made, SENT, 1)
    assert figures["synaptic_operations"]["Effective_MACs"] == multiplied
    assert figures["synaptic_operations"]["Effective_ACs"] == 4 * 2 + 1 * 2 + 3 * 1 + 5 * 2 - multiplied


def test_a_network_that_never_spikes_is_wholly_sparse():
    figures = neurobench(program(), np.zeros(7, np.int64), 3)
    assert figures["activation_sparsity"] == 1.0
    assert figures["synaptic_operations"]["Effective_ACs"] == 0.0


def test_a_network_without_activations_has_no_sparsity_of_them():
    builder = Builder(np.random.default_rng(0))
    builder.readout((1, 1, 3), [(builder.input((1, 1, 2), 3, False), Dense(HIDDEN))])
    made, _ = placed_program(builder.network("linear"), tiny_target(), "phase")
    assert neurobench(made, np.array([2, 1, 0, 0, 0]), 1)["activation_sparsity"] == 0.0


def convolution(neurons):
    """Four pixels, and a kernel of three taps and two channels with a border of zeros."""
    weight = np.array([[0, 5], [3, 0], [2, 2]]).reshape(1, 3, 1, 2)
    builder = Builder(np.random.default_rng(0))
    source = builder.input((1, 4, 1), 3, False)
    terms = [(source, Conv(weight, padding=(0, 1)))]
    builder.hidden((1, 4, 2), terms, "Conv", levels=7, signed=False, theta=4 * ONE, bias=ONE)
    return placed_program(builder.network("conv"), tiny_target(neurons=neurons), "graded")[0]


def test_a_weight_of_a_kernel_counts_once_and_a_synapse_of_the_border_not():
    figures = neurobench(convolution(8), np.array([1, 1, 1, 1, *[0] * 8]), 1)
    assert figures["connection_sparsity"] == 0.3333  # 2 of 6 weights, though 7 of 20 synapses
    # the outer taps meet a pixel for 3 of 4 targets, the middle one for all
    assert figures["synaptic_operations"]["Dense"] == 2 * (3 + 4 + 3)
    assert figures["synaptic_operations"]["Effective_MACs"] == 20 - 3 - 4


def test_each_core_stores_the_kernel_and_the_parameters():
    one, two = (neurobench(convolution(n), np.zeros(12, np.int64), 1) for n in (8, 4))
    kernel, parameters, membranes = 6 * 8, 24 + 24, 8 * 24
    assert one["footprint_bytes"] == (kernel + parameters + membranes) // 8
    assert two["footprint_bytes"] == (2 * (kernel + parameters) + membranes) // 8
    assert one["connection_sparsity"] == two["connection_sparsity"]


def test_without_its_golden_network_a_program_has_the_sparsity_of_what_it_stores():
    made = replace(convolution(4), golden=None)
    weights = made.arrays["weights"]
    assert neurobench(made, np.zeros(12, np.int64), 1)["connection_sparsity"] == round(
        float(np.mean(weights == 0)), 4
    )


@pytest.mark.parametrize("seed", range(5))
def test_without_zero_weights_the_operations_are_the_simulators(seed):
    made, spiking = placed_program(random_network(seed), tiny_target(max_chips=4), "phase", seed=seed)
    result = Simulator(made).run(random_samples(spiking.network, seed, 6))
    ones = made.with_arrays(weights=np.where(made.arrays["weights"] == 0, 1, made.arrays["weights"]))
    figures = neurobench(ones, result.spikes_per_neuron, 6)
    assert figures["synaptic_operations"]["Effective_ACs"] == pytest.approx(result.synops / 6)
    assert figures["synaptic_operations"]["Dense"] >= result.synops / 6


def binary(kernel):
    """The layer with every weight that is not 0 set to 1."""
    return with_weight(kernel, (kernel.weight != 0).astype(np.int64))


def full(kernel):
    """The layer with every weight set to 1."""
    return with_weight(kernel, np.ones_like(kernel.weight))


def procedure(spiking, samples):
    """Counts as the package does: binary copies of the layers, run on the binary inputs of every step."""
    network, slots = spiking.network, spiking.schedule.slots
    given = encode_inputs(network, samples)
    values = evaluate_naively(network, {port.node: given[port.name] for port in network.inputs})
    code, count = coding(spiking.coding), len(next(iter(samples.values())))
    trains = {p.name: code.encode(values[p.name], slots[p.name]) for p in network.graph if p.sends}
    counted = {"MACs": 0, "ACs": 0, "Dense": 0, "zeros": 0, "weights": 0}
    for edge in network.graph.edges():
        kernel, shape, train = edge.payload.kernel, network.graph.node(edge.target).shape, trains[edge.source]
        kind = "ACs" if np.isin(train, (-1, 0, 1)).all() else "MACs"
        for step in train:
            counted[kind] += apply(binary(kernel), (step != 0).astype(np.int64), shape).sum()
            counted["Dense"] += apply(full(kernel), np.ones_like(step), shape).sum()
        counted["zeros"] += int((kernel.weight == 0).sum())
        counted["weights"] += kernel.weight.size
    fired = [trains[p.name] for p in network.graph if p.fires]
    zero, size = (sum(f(t) for t in fired) for f in (lambda t: (t == 0).sum(), np.size))
    return {
        "connection_sparsity": round(counted["zeros"] / counted["weights"], 4),
        "activation_sparsity": pytest.approx(zero / size),
        "synaptic_operations": {
            "Effective_MACs": pytest.approx(counted["MACs"] / count),
            "Effective_ACs": pytest.approx(counted["ACs"] / count),
            "Dense": pytest.approx(counted["Dense"] / count),
        },
    }


@pytest.mark.parametrize("code", ["phase", "rate-sync", "ttfs", "graded"])
@pytest.mark.parametrize("seed", range(5))
def test_the_program_counts_what_binary_copies_of_the_layers_count(seed, code):
    target = tiny_target(max_chips=4, weight_sharing=seed % 2 == 0)
    made, spiking = placed_program(random_network(seed), target, code, seed=seed)
    samples = random_samples(spiking.network, seed, 6)
    figures = neurobench(made, Simulator(made).run(samples).spikes_per_neuron, 6)
    assert figures.pop("footprint_bytes") > 0
    assert figures == procedure(spiking, samples)
