"""TrueNorth: silicon that was measured, and what fits its crossbars."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from nmcompiler.compiler import compile_model, run_program
from nmcompiler.errors import DoesNotFit
from nmcompiler.evaluate.rate import run_rate
from nmcompiler.frontend.data import Samples
from nmcompiler.ir.graph import Graph
from nmcompiler.ir.kernels import Dense
from nmcompiler.ir.layers import InputPort, OutputPort
from nmcompiler.ir.network import Network, Population, Projection
from nmcompiler.plan import CompileOptions
from nmcompiler.program.layout import BLOCK_COLUMNS
from nmcompiler.program.lift import check_lift
from nmcompiler.program.usage import core_usage
from nmcompiler.registry import targets
from nmcompiler.sim import Record, Simulator
from nmcompiler.testing.chain import placed_program

from ..frontend.models import model, node, weights

CHIP = targets()["truenorth"][1]
DIGITS = Path(__file__).parents[2] / "examples" / "digits" / "mlp"
TICKS = 1000
CORE = 256
ACTIVE = 128


def used(program):
    return {name: amounts.max() for name, amounts in core_usage(program).used.items()}


# --- measured power -------------------------------------------------------------------------------------


def full_core(rng):
    """256 neurons with 128 active synapses each, which fire as often as their 256 sources."""
    bits = np.zeros((CORE, CORE), np.int64)
    for row in bits:
        row[rng.permutation(CORE)[:ACTIVE]] = 1
    one = np.ones((1, 1, 1), np.int64)
    graph = Graph()
    for name, role, theta in (("sources", "input", 1), ("neurons", "readout", ACTIVE)):
        shape, scale = (1, 1, CORE), np.ones(CORE)
        graph.add(Population(name, shape, role, 0 * one, theta * one, TICKS, False, scale, 0 * scale))
    graph.connect("sources", "neurons", Projection(Dense(bits)))
    order = np.arange(CORE)
    ports = (InputPort("x", (CORE,), "sources", order),), (OutputPort("y", (CORE,), "neurons", order),)
    return Network("core", graph, *ports)


@pytest.mark.parametrize(("hertz", "milliwatt"), [(11.58, 68), (20.07, 71), (95.93, 94)])
def test_the_power_measured_at_three_rates_is_what_the_counters_of_a_core_say(hertz, milliwatt):
    """Akopyan 2015, Fig. 17: 1,048,576 neurons with 128 active synapses each, 0.8 V."""
    rng = np.random.default_rng(0)
    program, spiking = placed_program(full_core(rng), CHIP, "rate", timesteps=TICKS)
    assert check_lift(program, spiking).ok
    assert len(program.arrays["cores"]) == 1
    assert (used(program)["neurons"], used(program)["input_axons"]) == (CORE, CORE)
    seconds = TICKS * CHIP.step_us.value * 1e-6
    # So many spikes in all that the mean rate is met, spread over the sources at random.
    spikes = rng.multinomial(round(hertz * seconds * CORE), np.full(CORE, 1 / CORE))
    result = Simulator(program).run({"x": spikes[None].astype(np.float64)})
    assert result.spikes[0] == spikes.sum()
    assert result.saturations == 0
    fired = result.spikes[1] / CORE / seconds
    assert fired == pytest.approx(hertz, rel=0.1)
    per_synop = CHIP.figures["energy_per_synop_pj"].value * 1e-9
    dynamic = CHIP.cores_per_chip * result.synops * per_synop / seconds
    power = CHIP.figures["static_power_per_chip_mw"].value + dynamic
    assert power == pytest.approx(milliwatt, rel=0.1)
    assert dynamic == pytest.approx(milliwatt - CHIP.figures["static_power_per_chip_mw"].value, rel=0.2)


# --- networks -------------------------------------------------------------------------------------------


def perceptron(*sizes):
    """A network of dense layers with ReLU between them, and random weights."""
    nodes, constants, value = [], {}, "x"
    for i, (fan_in, size) in enumerate(pairwise(sizes)):
        last = i == len(sizes) - 2
        gain = np.float32(np.sqrt(2 / fan_in))
        constants |= {
            f"w{i}": gain * weights(fan_in, size, seed=i),
            f"b{i}": 0.1 * weights(size, seed=90 + i),
        }
        nodes.append(node("Gemm", [value, f"w{i}", f"b{i}"], "y" if last else f"s{i}"))
        if not last:
            nodes.append(node("Relu", [f"s{i}"], f"r{i}"))
        value = f"r{i}"
    return model(nodes, [sizes[0]], constants)


def samples(*shape, count=32):
    return {"x": np.random.default_rng(1).uniform(0, 1, (count, *shape)).astype(np.float32)}


def compiled(network, x, **options):
    return compile_model(network, CHIP, "rate", x, CompileOptions(**options))


def chip_is_the_network_layer_by_layer(made, x):
    program = made.program
    golden = run_rate(program.golden, x)
    result = Simulator(program).run(x, record=Record(values=True))
    assert result.saturations == 0
    for number, population in enumerate(program.golden.network.graph):
        counts = golden.counts[population.name].reshape(len(x["x"]), -1)
        assert np.array_equal(result.values[number], counts), population.name
    return result


def test_a_perceptron_of_64_128_128_64_10_fits_four_cores_and_no_fewer():
    x = samples(64)
    made = compiled(perceptron(64, 128, 128, 64, 10), x, timesteps=8)
    assert made.facts["cores"] == {"used": 4, "lower_bound": 4, "available": CHIP.cores_per_chip * 16}
    assert made.facts["static_check"]["ok"]
    usage = core_usage(made.program)
    assert sorted(usage.used["neurons"].tolist()) == [20, 256, 256, 256]
    assert usage.used["input_axons"].tolist() == [256] * 4
    assert usage.broken() == []
    # Types by fan-in: 4 for 64 sources, 2 for 128.
    assert made.program.table("crossbars")[:, 1].tolist() == [4, 2, 2, 4]
    chip_is_the_network_layer_by_layer(made, x)
    shares = run_program(made.program, Samples(x, None)).facts["agreement"]
    assert shares["chip_integer"] == 1.0


def test_the_digits_perceptron_is_right_on_four_cores():
    files = DIGITS / "model.onnx", DIGITS / "calibration.npz"
    made = compile_model(files[0], CHIP, "rate", files[1], CompileOptions(timesteps=16))
    assert made.facts["cores"]["used"] == 4
    with np.load(DIGITS / "test.npz") as data:
        test = Samples({made.program.inputs[0].name: data["x"]}, data["y"])
    facts = run_program(made.program, test).facts
    assert facts["agreement"]["chip_integer"] == 1.0
    assert facts["accuracy"]["chip"] >= facts["accuracy"]["float"] - 0.03


def typed_weights(program, block):
    """Type weights of a block as the chip holds them, ``(neurons, types)``."""
    row = dict(zip(BLOCK_COLUMNS, program.arrays["blocks"][block].tolist(), strict=True))
    types, first = next((t, f) for b, t, f in program.table("crossbars").tolist() if b == block)
    held = program.table("type_weights")[first : first + row["n"] * types].reshape(-1, types)
    return held << row["shift"]


def test_typed_weights_are_of_nine_bits_and_of_the_types_1_2_4_and_minus_8():
    made = compiled(perceptron(64, 128, 10), samples(64), timesteps=8)
    held = typed_weights(made.program, 1)
    assert np.array_equal(held, held[:, :1] * [1, 2, 4, -8])
    assert -256 <= held.min() < -128
    ternary = typed_weights(made.program, 2)
    assert np.array_equal(ternary, ternary[:, :1] * [1, -1])
    assert 8 <= ternary.max() <= 255


def convolution(channels, *, size=5, out=4):
    return model(
        [
            node("Conv", ["x", "k", "b"], "a", kernel_shape=[3, 3]),
            node("Relu", ["a"], "r"),
            node("GlobalAveragePool", ["r"], "p"),
            node("Flatten", ["p"], "f"),
            node("Gemm", ["f", "m"], "y"),
        ],
        [channels, size, size],
        {"k": weights(out, channels, 3, 3), "b": 0.1 * weights(out, seed=1), "m": weights(out, 3, seed=2)},
    )


@pytest.mark.parametrize(("channels", "types"), [(7, 4), (9, 3), (14, 2)])
def test_a_convolution_of_3x3_has_the_types_that_its_fan_in_leaves(channels, types):
    x = samples(channels, 5, 5, count=8)
    made = compiled(convolution(channels), x, timesteps=4)
    layer = made.program.column("population") == 1
    blocks = np.flatnonzero(layer).tolist()
    assert {t for b, t, _ in made.program.table("crossbars").tolist() if b in blocks} == {types}
    chip_is_the_network_layer_by_layer(made, x)


def test_a_convolution_over_more_channels_is_refused_with_layer_need_and_limit():
    with pytest.raises(DoesNotFit, match=r"layer 'a' needs 135 fan_in where truenorth has 128") as caught:
        compiled(convolution(15), samples(15, 5, 5, count=8), timesteps=4, fan_in="refuse")
    assert str(caught.value).count("\n") == 0


@pytest.mark.parametrize(("method", "sign"), [("split", 0), ("prune", 0), ("split", 0.5), ("prune", 0.5)])
def test_a_convolution_over_more_channels_is_split_or_pruned_to_weights_of_all_types(method, sign):
    x = {"x": samples(15, 5, 5, count=8)["x"] - np.float32(sign)}
    made = compiled(convolution(15), x, timesteps=4, fan_in=method)
    assert core_usage(made.program).broken() == []
    assert any("135 inputs a neuron" in text or "270 inputs" in text for text in made.facts["warnings"])
    chip_is_the_network_layer_by_layer(made, x)


def test_inputs_of_either_sign_take_two_neurons_a_value_and_leave_axons_for_fewer_types():
    x = {"x": samples(64)["x"] - 0.5}
    made = compiled(perceptron(64, 32, 10), x, timesteps=4)
    # 64 values are 128 sources, and 256 axons leave two types for them.
    assert made.program.table("crossbars")[0, 1] == 2
    assert core_usage(made.program).broken() == []
    chip_is_the_network_layer_by_layer(made, x)


def test_a_layer_that_is_too_wide_is_refused_before_any_layer_is_quantised():
    told = []
    network = perceptron(64, 128, 300, 10)
    options = CompileOptions(fan_in="refuse")
    with pytest.raises(DoesNotFit, match="needs 300 fan_in where truenorth has 128"):
        compile_model(network, CHIP, "rate", samples(64), options, lambda *work: told.append(work))
    assert "quantise" not in {work for work, _, _ in told}


def test_a_neuron_that_many_cores_read_is_built_for_each_axon():
    """A map of 8 × 8 under a second convolution: its neurons are read on several cores."""
    net = model(
        [
            node("Conv", ["x", "k"], "a", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
            node("Relu", ["a"], "r"),
            node("Conv", ["r", "l"], "c", kernel_shape=[3, 3], strides=[2, 2]),
            node("Relu", ["c"], "s"),
            node("Flatten", ["s"], "f"),
            node("Gemm", ["f", "m"], "y"),
        ],
        [1, 8, 8],
        {"k": weights(3, 1, 3, 3), "l": weights(4, 3, 3, 3, seed=1), "m": weights(36, 3, seed=2)},
    )
    x = samples(1, 8, 8, count=8)
    made = compiled(net, x, timesteps=4)
    program = made.program
    copies = np.bincount(program.table("copies")[:, 1], minlength=program.neurons)
    first = np.flatnonzero(program.column("population") == 1)
    per_neuron = np.concatenate(
        [
            copies[program.column("gid0")[b] : program.column("gid0")[b] + program.boxed[b]] + 1
            for b in first.tolist()
        ]
    )
    assert per_neuron.max() > 4 >= per_neuron.min()
    assert core_usage(program).broken() == []
    chip_is_the_network_layer_by_layer(made, x)


def residual(blocks, width=40):
    """Blocks of two layers whose sum with their input goes on: what is read twice is built most often."""
    gain = np.float32(np.sqrt(2 / width))
    constants = {"w": gain * weights(width, width), "o": weights(width, 10, seed=99)}
    nodes = [node("MatMul", ["x", "w"], "a"), node("Relu", ["a"], "r0")]
    for i in range(blocks):
        constants[f"u{i}"] = gain * weights(width, width, seed=2 * i + 1)
        constants[f"v{i}"] = gain / np.float32(8**0.5) * weights(width, width, seed=2 * i + 2)
        nodes += [
            node("MatMul", [f"r{i}", f"u{i}"], f"h{i}"),
            node("Relu", [f"h{i}"], f"g{i}"),
            node("MatMul", [f"g{i}", f"v{i}"], f"k{i}"),
            node("Add", [f"k{i}", f"r{i}"], f"s{i}"),
            node("Relu", [f"s{i}"], f"r{i + 1}"),
        ]
    nodes.append(node("MatMul", [f"r{blocks}", "o"], "y"))
    return model(nodes, [width], constants)


@pytest.mark.parametrize("settle", [0, 2])
def test_residual_blocks_are_read_through_relays_that_the_report_names(settle):
    x = samples(40, count=24)
    made = compiled(residual(2), x, timesteps=8, settle=settle)
    rows = {row["name"]: row for row in made.facts["layers"]}
    relays = [row for row in rows.values() if row["op"] == "Relay"]
    assert relays
    for relay in relays:
        source = rows[relay["name"].removesuffix(".relay")]
        assert relay["onnx_nodes"] == source["onnx_nodes"]
        assert relay["fan_in"] == 1
        assert relay["fire_start"] == source["fire_start"] + 1
    assert any("relay" in note for note in made.facts["notes"])
    assert made.facts["static_check"]["ok"]
    assert core_usage(made.program).broken() == []
    chip_is_the_network_layer_by_layer(made, x)
