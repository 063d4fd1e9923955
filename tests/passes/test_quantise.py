"""What quantisation promises: scales, number formats, borders, and small losses."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nmcompiler.errors import DoesNotFit, InputFileError, UnsupportedModel, UsageError
from nmcompiler.evaluate.float import run_float
from nmcompiler.evaluate.integer import decode_outputs, encode_inputs, run_integer
from nmcompiler.ir.bounds import accumulator_bound
from nmcompiler.ir.kernels import Array, Dense
from nmcompiler.ir.layers import Clip, Model
from nmcompiler.ir.network import Network
from nmcompiler.ir.verify import complaints
from nmcompiler.passes import Context, Note, Quantise, QuantiseOptions, SplitSigned, to_network
from nmcompiler.passes.scales import input_range, search_scales
from nmcompiler.target.model import BiasFormat, Target, ThresholdFormat
from nmcompiler.testing.targets import tiny_target
from tests.passes.random_models import RELU, ModelBuilder, random_model


def _quantised(
    model: Model, samples: dict[str, Array], target: Target | None = None, **options: int
) -> tuple[Network, tuple[Note, ...]]:
    context = Context(samples, target or tiny_target())
    return to_network(model, context, QuantiseOptions(**options), verify=True)


def _relative_error(model: Model, network: Network, samples: dict[str, Array]) -> float:
    wanted = run_float(model, samples).outputs
    found = decode_outputs(network, run_integer(network, samples).outputs)
    errors = []
    for name, w in wanted.items():
        spread = np.linalg.norm(w - w.mean(axis=0)) + 1e-3 * np.linalg.norm(w)  # outputs may be constant
        errors.append(float(np.linalg.norm(found[name] - w) / spread))
    return max(errors)


def _dense_model(weight: Array, bias: Array, activation: Clip = RELU) -> tuple[ModelBuilder, Model]:
    """One dense layer and a read-out that copies it."""
    b = ModelBuilder()
    n = len(bias)
    kernel = Dense(np.asarray(weight, float))
    x = b.input((1, 1, kernel.weight.shape[1]))
    y = b.add("Gemm", (1, 1, n), [(x, kernel)], bias=np.reshape(bias, (1, 1, n)), activation=activation)
    return b, b.model(y)


@given(st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_random_models_lose_little_at_many_levels_and_fit_their_chip(seed: int) -> None:
    model, samples = random_model(seed)
    target = tiny_target(weight_bits=12, membrane_bits=32, threshold=ThresholdFormat(24))
    network, notes = _quantised(model, samples, target, levels=1023, input_levels=1023)
    assert not complaints(network)
    assert _relative_error(model, network, samples) < 0.15
    for p in network.graph:
        assert accumulator_bound(network, p.name) <= target.membrane_max
    assert {n.layer for n in notes if n.sqnr_db is not None} <= set(network.graph.names())


@given(st.integers(0, 10**6), st.sampled_from([12, 16, 20]), st.sampled_from(["neuron", "population"]))
@settings(max_examples=30, deadline=None)
def test_small_number_formats_are_obeyed(seed: int, membrane_bits: int, per: str) -> None:
    model, samples = random_model(seed)
    target = tiny_target(
        weight_bits=6,
        membrane_bits=membrane_bits,
        threshold=ThresholdFormat(10, per),  # type: ignore[arg-type]
        bias=BiasFormat(6, 7),
        signed_spikes=False,
    )
    try:
        network, _ = _quantised(model, samples, target, levels=7, input_levels=15)
    except DoesNotFit:
        assume(False)
    for p in network.graph:
        assert accumulator_bound(network, p.name) <= target.membrane_max
        assert p.theta.max() < 1 << 10
        assert np.abs(p.bias).max() <= 31 << 7
        mantissa = p.bias.astype(np.int64)
        while np.any(np.abs(mantissa) > 31):
            mantissa = np.where(
                np.abs(mantissa) > 31, np.where(mantissa % 2 == 0, mantissa // 2, 10**9), mantissa
            )
            assert np.abs(mantissa).max() < 10**9
        if per == "population":
            assert p.theta.size == 1
    for edge in network.graph.edges():
        assert np.abs(edge.payload.kernel.weight).max(initial=0) <= 31


def test_a_silent_channel_takes_the_median_scale_of_its_layer() -> None:
    weight, bias = np.diag([1.0, 2.0, 4.0, 1.0]), np.array([0.0, 0.0, 0.0, -100.0])
    b, model = _dense_model(weight, bias)
    network, notes = _quantised(model, b.samples(64), levels=15)
    scale = network.graph.node("gemm1").scale
    assert scale[3] == np.median(scale[:3])
    (note,) = (n for n in notes if n.layer == "gemm1" and n.sqnr_db is not None)
    assert note.silent_channels == 1


def test_a_channel_without_weights_keeps_its_bias() -> None:
    b, model = _dense_model(np.array([[1.0], [0.0]]), np.array([0.0, 0.6]))
    samples = b.samples(64)
    network, _ = _quantised(model, samples, levels=255)
    found = (
        run_integer(network, samples, record=True).values["gemm1"][..., 1]
        * network.graph.node("gemm1").scale[1]
    )
    assert np.allclose(found, 0.6, atol=0.01)


def test_a_large_bias_makes_the_threshold_smaller_and_is_not_clipped() -> None:
    b, model = _dense_model(np.array([[1.0]]), np.array([-30.0]), Clip())
    target = tiny_target(bias=BiasFormat(12))
    samples = b.samples(64)
    network, _ = _quantised(model, samples, target, levels=255)
    neuron = network.graph.node("gemm1")
    assert np.abs(neuron.bias).max() <= 2047
    real = neuron.bias.item() * neuron.scale[0] / neuron.theta.item()
    assert real == pytest.approx(-30.0, rel=0.02)


def test_a_clipped_population_never_exceeds_its_ceiling() -> None:
    b, model = _dense_model(8 * np.eye(3), np.zeros(3), Clip(0.0, 1.0))
    network, _ = _quantised(model, b.samples(64), levels=15)
    assert np.all(network.graph.node("gemm1").scale * 15 <= 1.0 + 1e-12)


def test_linear_layers_between_others_are_signed_and_read_outs_have_one_scale() -> None:
    b = ModelBuilder()
    x = b.relu(b.dense(b.input((1, 1, 30)), 30))
    model = b.model(b.dense(b.relu(b.dense(b.dense(x, 2), 30)), 2))
    network, _ = _quantised(model, b.samples(64))
    assert [p.signed for p in network.graph if p.role == "hidden"] == [False, True, False]
    readout = network.graph.node(network.outputs[0].node)
    assert readout.role == "readout"
    assert len(set(readout.scale.tolist())) == 1
    weights = [np.abs(e.payload.kernel.weight).max() for e in network.graph.in_edges(readout.name)]
    assert max(weights) == 127


def test_offset_inputs_of_padded_convolutions_are_right_at_the_border() -> None:
    b = ModelBuilder()
    model = b.model(b.relu(b.conv(b.input((4, 4, 1)), 2)))
    samples = b.samples(64, 10.0, 11.0)
    network, _ = _quantised(model, samples, tiny_target(weight_bits=12), levels=4095, input_levels=255)
    image = network.graph.node("input0")
    assert image.offset[0] == pytest.approx(10.0, abs=0.1)
    assert not image.signed
    assert network.graph.node("conv1").bias.shape == (4, 4, 2)
    assert _relative_error(model, network, samples) < 0.1


def test_a_pool_of_a_population_that_exists_adds_only_its_tree() -> None:
    b = ModelBuilder()
    x = b.relu(b.conv(b.input((4, 4, 1)), 2))
    y = b.concat(b.max_pool(x), b.relu(b.conv(x, 2, stride=2)))
    network, _ = _quantised(b.model(b.dense(y, 2)), b.samples(32))
    names = [p.name for p in network.graph]
    assert "maxpool3" not in names
    assert {"maxpool3.max1", "maxpool3.max2"} <= set(names)


def test_a_current_counts_its_values_over_all_steps() -> None:
    b, model = _dense_model(np.array([[1.0, -0.5], [0.3, 0.9]]), np.zeros(2))
    samples = b.samples(64)
    network, _ = _quantised(model, samples, levels=255, input_levels=255, input_repeats=8)
    assert network.graph.node(network.inputs[0].node).levels == 255 * 8
    assert _relative_error(model, network, samples) < 0.02


def test_headroom_leaves_bits_for_the_code() -> None:
    b, model = _dense_model(np.ones((1, 64)) / 64, np.zeros(1))
    target = tiny_target(membrane_bits=20)
    network, _ = _quantised(model, b.samples(64), target, headroom_bits=4)
    assert all(accumulator_bound(network, p.name) << 4 <= target.membrane_max + 16 for p in network.graph)


def test_codes_that_prove_nothing_keep_finer_weights_on_small_membranes() -> None:
    rng = np.random.default_rng(0)
    b, model = _dense_model(rng.normal(0, 1, (4, 400)) / 20, np.zeros(4))
    samples, target = b.samples(64), tiny_target(membrane_bits=16)
    proved = QuantiseOptions(levels=15)
    observed = QuantiseOptions(levels=15, proved=False)
    thetas = [
        to_network(model, Context(samples, target), options)[0].graph.node("gemm1").theta.min()
        for options in (proved, observed)
    ]
    assert thetas[1] > 2 * thetas[0]


def test_calibration_must_be_there_and_activations_must_be_clips() -> None:
    b, model = _dense_model(np.eye(2), np.zeros(2))
    with pytest.raises(UsageError, match="calibration"):
        to_network(model, Context(None, tiny_target()), QuantiseOptions())
    b, model = _dense_model(np.eye(2), np.zeros(2), Clip(-1.0, 3.0))
    with pytest.raises(UnsupportedModel, match=r"clips to -1\.0"):
        _quantised(model, b.samples(8))


def test_what_fits_at_no_threshold_is_refused_with_its_layer() -> None:
    b, model = _dense_model(np.ones((1, 4000)), np.zeros(1), Clip(0.0, 0.001))
    with pytest.raises(DoesNotFit, match="layer 'gemm1' needs"):
        _quantised(model, b.samples(8), tiny_target(membrane_bits=10))


@pytest.mark.parametrize("reach", np.arange(24.5, 27, 0.1))
def test_a_membrane_that_is_too_small_needs_more_bits_than_there_are(reach: float) -> None:
    """Sums of 10 · reach at θ = 1, the largest scale allowed, on registers that hold 253 beside a start."""
    _, model = _dense_model(np.full((1, 20), reach / 20), np.zeros(1), Clip(0.0, 1.5))
    x = np.ones((8, 1, 1, 20))
    x[0] = 0
    refusal = None
    try:
        _quantised(model, {"input0": x}, tiny_target(membrane_bits=9), levels=15, input_levels=1)
    except DoesNotFit as error:
        refusal = str(error)
    if not 24.8 < reach < 25.2:
        assert (refusal is None) == (reach < 25)
    if refusal is not None:
        needs = re.search(r"needs (\d+) bits of a membrane \(its sign included\) where .* has (\d+)", refusal)
        assert needs is not None, refusal
        assert int(needs[1]) > int(needs[2]) == 9


@pytest.mark.parametrize(
    ("low", "high", "signed", "offset"),
    [(0.0, 1.0, False, 0.0), (-1.0, 1.0, True, 0.0), (5.0, 6.0, False, 5.0), (-0.4, 2.8, False, -0.4)],
)
def test_inputs_are_coded_by_their_range(low: float, high: float, signed: bool, offset: float) -> None:
    x = np.linspace(low, high, 1000).reshape(10, 10, 10, 1)
    coded = input_range(x, 255)
    assert coded.signed == signed
    assert coded.offset[0] == pytest.approx(offset)


@pytest.mark.parametrize("unit", [1.0, 1 / 255])
def test_eight_bit_pictures_are_coded_exactly(unit: float) -> None:
    x = np.random.default_rng(0).integers(0, 250, (20, 4, 4, 1)) * unit
    assert input_range(x, 255).scale[0] == unit


def test_features_of_a_vector_share_a_range_unless_they_differ_by_far() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, (100, 1, 1, 5)) * [1, 0.5, 0.1, 0.9, 0.0]
    assert len(set(input_range(x, 255).scale.tolist())) == 1
    apart = input_range(x * [1, 1, 1, 10000, 1], 255).scale
    assert apart[3] > 1000 * apart[0]
    assert np.all(apart > 0)


def test_a_loud_sample_does_not_take_the_levels_of_all_others() -> None:
    values = np.abs(np.random.default_rng(2).normal(0, 1, (100, 4, 4, 1))).astype(np.float32)
    values[0] *= 20
    found = search_scales(values, values, 15, signed=False, grid=40, rows=10**6)
    assert found.scale[0] < 0.5 * values.max() / 15


@pytest.mark.parametrize("levels", [1, 3, 15])
def test_the_chosen_scale_is_the_best_of_the_grid(levels: int) -> None:
    values = np.abs(np.random.default_rng(1).normal(0, 1, (200, 2, 2, 3))).astype(np.float32)
    values /= np.sqrt(np.square(values).mean(axis=(1, 2, 3), keepdims=True))  # samples count alike
    found = search_scales(values, values, levels, signed=False, grid=40, rows=10**6)
    for c in range(3):
        t = values[..., c]

        def error(s: float, t: Array = t) -> float:
            return float(np.mean((t - s * np.clip(np.floor(t / s + 0.5), 0, levels)) ** 2))

        grid = [error(share * float(t.max()) / levels) for share in np.linspace(0.15, 1, 40)]
        assert error(float(found.scale[c])) <= min(grid) * 1.001


def test_one_threshold_for_all_does_not_follow_a_channel_that_hardly_fires() -> None:
    rng = np.random.default_rng(3)
    weight = rng.normal(0, 1, (8, 20))
    weight[5] *= 50
    bias = rng.normal(0, 0.2, 8)
    x = rng.random((400, 20))
    bias[5] = -np.sort(x @ weight[5])[-4]  # three samples in 400 reach it, and only just
    for activation in (RELU, Clip(0, 6)):
        _, model = _dense_model(weight, bias, activation)
        samples = {model.inputs[0].name: x.reshape(-1, 1, 1, 20)}
        own, shared = (
            _relative_error(
                model, _quantised(model, samples, tiny_target(threshold=t), levels=63)[0], samples
            )
            for t in (ThresholdFormat(20), ThresholdFormat(20, "population"))
        )
        assert shared < 5 * own


def test_the_rows_that_a_search_looks_at_lie_all_over_the_map() -> None:
    """A fixed step over the rows would be a multiple of the width, and see the left column alone."""
    values = np.abs(np.random.default_rng(2).normal(0, 1, (64, 8, 8, 1))).astype(np.float32)
    values[:, :, 0] *= 0.1
    few = search_scales(values, values, 7, signed=False, grid=40, rows=64)
    all_of_them = search_scales(values, values, 7, signed=False, grid=40, rows=10**6)
    assert 0.7 < few.scale[0] / all_of_them.scale[0] < 1.4


def test_equal_inputs_give_equal_networks() -> None:
    model, samples = random_model(5)
    first, _ = _quantised(model, samples)
    second, _ = _quantised(model, samples)
    for p, r in zip(first.graph, second.graph, strict=True):
        assert np.array_equal(p.bias, r.bias)
        assert np.array_equal(p.theta, r.theta)
    assert math.isfinite(float(sum(np.abs(e.payload.kernel.weight).sum() for e in first.graph.edges())))


def test_splitting_signs_of_a_quantised_network_is_exact() -> None:
    b = ModelBuilder()
    x = b.conv(b.input((5, 5, 1)), 3)
    model = b.model(b.dense(b.max_pool(b.join(b.relu(x), x)), 2))
    samples = b.samples(32, -1.0, 1.0)
    network, _ = _quantised(model, samples, levels=15)
    split = SplitSigned().run(network, Context(samples, tiny_target(signed_spikes=False))).graph
    assert np.array_equal(
        run_integer(split, samples).outputs[model.outputs[0].name],
        run_integer(network, samples).outputs[model.outputs[0].name],
    )
    assert encode_inputs(split, samples)[model.inputs[0].name].min() >= 0


def test_weights_beyond_floating_point_are_refused_in_a_sentence() -> None:
    b, model = _dense_model(np.array([[1e38, 1e38]]), np.zeros(1))
    with pytest.raises(InputFileError, match="leave the range of 32-bit floating point"):
        _quantised(model, {name: x * 1e6 for name, x in b.samples(8).items()}, levels=15)


@pytest.mark.parametrize("seed", range(8))
def test_layers_fitted_on_their_own_keep_the_formats_and_are_nearly_the_same(seed: int) -> None:
    model, samples = random_model(seed)
    target = tiny_target(weight_bits=8, membrane_bits=20)
    plain = {"refit": False, "weighted": False, "in_turn": False}
    coupled, _ = _quantised(model, samples, target, **plain)
    alone, _ = _quantised(model, samples, target, coupled=False, **plain)
    assert not complaints(alone)
    assert alone.graph.names() == coupled.graph.names()
    for population in alone.graph:
        assert accumulator_bound(alone, population.name) <= target.membrane_max
        other = coupled.graph.node(population.name)
        assert (population.levels, population.signed) == (other.levels, other.signed)
        ratios = population.theta / other.theta, population.scale / other.scale
        assert all(0.5 < np.median(ratio) < 2 for ratio in ratios), population.name


def test_sums_that_are_known_change_no_integer() -> None:
    model, samples = random_model(3)
    options = QuantiseOptions(refit=False, weighted=False, in_turn=False, coupled=False)
    context = Context(samples, tiny_target())
    known: dict[str, Array] = {}
    first = Quantise(options, known).run(model, context).graph
    assert set(known) == {layer.name for layer in model.graph if not layer.is_input} & set(known) != set()
    again = Quantise(options, dict(known)).run(model, context).graph
    fresh = Quantise(options).run(model, context).graph
    for network in (again, fresh):
        for population in first.graph:
            other = network.graph.node(population.name)
            assert np.array_equal(population.bias, other.bias)
            assert np.array_equal(population.theta, other.theta)
            assert np.array_equal(population.scale, other.scale)
