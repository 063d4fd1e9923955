"""What ``nmc check`` says: limits by code, proposals that hold when compiled, and advisories with a cause."""

from __future__ import annotations

import re
from dataclasses import replace

import jsonschema
import numpy as np
import pytest

from nmcompiler.checker import check_model
from nmcompiler.checker.trials import Trials
from nmcompiler.compiler import compile_model
from nmcompiler.errors import DoesNotFit, NmcError
from nmcompiler.frontend import read_model_bytes
from nmcompiler.mapping.mapper import map_network
from nmcompiler.plan import CompileOptions
from nmcompiler.registry import backend
from nmcompiler.report.schema import load_schema
from nmcompiler.target import BiasFormat, CoreType, Limits, ThresholdFormat
from nmcompiler.testing import tiny_target

from ..frontend.models import model, node, weights

pytestmark = pytest.mark.usefixtures("normal_effort")  # which a check takes as well

RNG = np.random.default_rng(0)


def two_layers(hidden=12, inputs=20, *, bias=None, weight=None, last=None):
    nodes = [
        node("Gemm", ["x", "m", "b"], "g", "fc1"),
        node("Relu", ["g"], "r", "relu1"),
        node("Gemm", ["r", "o"], "y", "fc2"),
    ]
    first = np.abs(weights(inputs, hidden)) if weight is None else weight
    constants = {"m": first, "b": np.zeros(hidden) if bias is None else bias}
    constants["o"] = weights(hidden, 4, seed=2) if last is None else last
    return model(nodes, [inputs], constants)


@pytest.fixture
def check(tmp_path):
    def run(data, chip, **options):
        path = tmp_path / "net.onnx"
        path.write_bytes(data)
        facts = check_model(path, chip, **options)
        jsonschema.validate(facts, load_schema("check"))
        return facts

    return run


def only(facts):
    (row,) = facts["targets"]
    return row


def compiled(data, chip, code="phase", inputs=20, **options):
    x = {"x": RNG.random((8, inputs)).astype(np.float32)}
    return compile_model(data, chip, code, x, CompileOptions(**options))


def kinds(facts):
    return {(a["kind"], a["layer"]) for a in facts["advisories"]}


# --- what fits ------------------------------------------------------------------------------------------


def test_every_code_of_a_chip_is_checked_and_cores_are_those_of_a_compilation(check):
    chip = tiny_target(neurons=5)
    row = only(check(two_layers(), chip))
    assert [c["coding"] for c in row["codings"]] == list(chip.codings)
    for code in row["codings"]:
        assert code["ok"]
        assert code["obstacles"] == []
        assert code["cores"] == len(compiled(two_layers(), chip, code["coding"]).program.arrays["cores"])
    assert row["cores"] >= row["cores_lower_bound"]
    assert row["proposals"] == []


def test_codes_that_need_the_same_of_a_chip_are_mapped_once(check, monkeypatch):
    mapped = []

    def counted(spiking, *rest):
        mapped.append(spiking.coding)
        return map_network(spiking, *rest)

    monkeypatch.setattr("nmcompiler.backend.map_network", counted)
    row = only(check(two_layers(), tiny_target(codings=("phase", "rate-sync", "rate"))))
    assert mapped == ["phase", "rate"]
    assert [(c["coding"], c["ok"]) for c in row["codings"]] == [
        ("phase", True),
        ("rate-sync", True),
        ("rate", True),
    ]


def test_a_network_with_far_too_many_neurons_is_refused_before_it_is_quantised():
    chip = tiny_target(neurons=1, rows=2, columns=5)
    trials = Trials(read_model_bytes(two_layers(), "net"))
    for code in chip.codings:
        (broken,) = trials.attempt(backend(chip.backend), chip, code, CompileOptions()).broken
        assert (broken.layer, broken.resource, broken.used, broken.limit) == ("fc1", "cores", 12 + 4, 10)
        assert "for their neurons alone" in broken.reason
    assert trials.quantised == ()


def test_a_neuron_of_several_compartments_needs_as_much_more_room():
    chip = tiny_target(neurons=2, rows=2, columns=5, compartments_per_neuron=2)
    trials = Trials(read_model_bytes(two_layers(), "net"))
    (broken,) = trials.attempt(backend(chip.backend), chip, "phase", CompileOptions()).broken
    assert (broken.layer, broken.used, broken.limit) == ("fc1", 12 + 4, 10)
    assert "for their compartments alone" in broken.reason


def test_limits_of_one_neuron_count_its_compartments(check):
    chip = tiny_target(neurons=None, state_bits=50, compartments_per_neuron=3)
    reasons = {o["reason"] for code in only(check(two_layers(), chip))["codings"] for o in code["obstacles"]}
    assert "layer 'fc1' needs 72 state_bits where tiny has 50" in reasons
    fits = only(check(two_layers(), replace(chip, compartments_per_neuron=2)))
    assert fits["ok"]


def test_forgetting_networks_to_save_memory_changes_no_answer(check, monkeypatch):
    chip = tiny_target(codings=("phase", "rate"))
    kept = check(two_layers(), chip)
    monkeypatch.setattr("nmcompiler.checker.trials._MOST_KEPT", 0)
    assert check(two_layers(), chip) == kept


def pooled():
    """A pool over 36 positions of 4 channels in front of a dense layer that could read all 144."""
    nodes = [
        node("Conv", ["x", "k"], "c", "conv"),
        node("Relu", ["c"], "r", "relu"),
        node("GlobalAveragePool", ["r"], "p", "pool"),
        node("Flatten", ["p"], "f", "flat"),
        node("Gemm", ["f", "m"], "y", "fc"),
    ]
    return model(nodes, [2, 8, 8], {"k": weights(4, 2, 3, 3), "m": weights(4, 3)})


@pytest.mark.parametrize("fan_in", [36, 143, 144])
def test_layers_fold_for_a_chip_as_they_do_when_compiled(check, fan_in):
    chip = tiny_target(fan_in=fan_in, neurons=64)
    row = only(check(pooled(), chip))
    x = {"x": RNG.random((8, 2, 8, 8)).astype(np.float32)}
    made = compile_model(pooled(), chip, "phase", x, CompileOptions())
    assert row["ok"]
    assert row["cores"] == made.facts["cores"]["used"]
    ops = [layer["op"] for layer in made.facts["layers"]]
    assert ("GlobalAveragePool" in ops) == (fan_in < 144)
    assert any("'pool' stays a population of its own" in text for text in made.facts["notes"]) == (
        fan_in < 144
    )


@pytest.mark.parametrize(("cores", "joined"), [(64, False), (8, True)])
def test_pools_are_joined_for_a_chip_as_they_are_when_compiled(check, cores, joined):
    nodes = [
        node("Conv", ["x", "k"], "h", "conv", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Relu", ["h"], "r", "relu"),
        node("MaxPool", ["r"], "p", "pool", kernel_shape=[2, 2], strides=[2, 2]),
        node("Flatten", ["p"], "f", "flatten"),
        node("Gemm", ["f", "m"], "y", "fc"),
    ]
    data = model(nodes, [2, 8, 8], {"k": weights(4, 2, 3, 3), "m": weights(64, 40)})
    chip = tiny_target(neurons=256, synapse_bits=4096, cores=cores, max_chips=8)
    row = only(check(data, chip))
    for code in row["codings"]:
        x = {"x": RNG.random((8, 2, 8, 8)).astype(np.float32)}
        made = compile_model(data, chip, code["coding"], x, CompileOptions())
        assert code["ok"]
        assert made.facts["static_check"]["ok"]
        assert code["cores"] == made.facts["cores"]["used"]
        names = [layer["name"] for layer in made.facts["layers"]]
        assert any(name.endswith(".max") for name in names) == (joined and code["coding"] != "rate")


def test_one_simplified_network_serves_all_chips_whose_limits_do_not_matter():
    trials = Trials(read_model_bytes(pooled(), "net"))
    first, *others = (trials.simplified(tiny_target(fan_in=limit)) for limit in (144, 150, None))
    assert all(other is first for other in others)
    small = trials.simplified(tiny_target(fan_in=100))
    assert small is not first
    assert trials.simplified(tiny_target(fan_in=100)) is small
    assert trials.simplified(tiny_target(fan_in=120)) is not small
    assert len(small.model.graph) == len(first.model.graph) + 1


@pytest.mark.parametrize(
    ("limits", "resource", "layer", "used"),
    [
        ({"input_axons": 19}, "input_axons", "fc1", 20),
        ({"synapse_bits": 159}, "synapse_bits", "fc1", 160),
        ({"state_bits": 20}, "state_bits", "fc1", 24),
        ({"rows": 1, "columns": 1, "neurons": 12}, "cores", "fc1", 2),
    ],
)
def test_each_limit_is_named_with_layer_need_and_limit(check, limits, resource, layer, used):
    row = only(check(two_layers(), tiny_target(**limits)))
    assert not row["ok"]
    assert len(row["codings"]) == len(tiny_target().codings)
    for code in row["codings"]:
        found = {(o["resource"], o["layer"]): o for o in code["obstacles"]}
        assert found[resource, layer]["used"] == used
        assert found[resource, layer]["limit"] < used
        assert f"'{layer}'" in found[resource, layer]["reason"]
    with pytest.raises(DoesNotFit):
        compiled(two_layers(), tiny_target(**limits))


@pytest.mark.parametrize("chip", [tiny_target(fan_in=10), tiny_target(fan_in=10, rows=1, columns=1)])
def test_layers_with_too_many_inputs_fit_split_or_pruned(check, chip):
    row = only(check(two_layers(), chip))
    assert row["ok"]
    facts = compiled(two_layers(), chip).facts
    assert facts["cores"]["used"] == row["cores"]
    assert max(layer["fan_in"] for layer in facts["layers"]) <= 10
    assert ("partial sums" if chip.cores_per_chip > 1 else "keeps 10 of 20") in facts["warnings"][0]


def test_all_limits_are_named_and_not_only_the_first(check):
    row = only(check(two_layers(), tiny_target(input_axons=11, synapse_bits=90)))
    found = {(o["layer"], o["resource"]) for o in row["codings"][0]["obstacles"]}
    assert found == {
        ("fc1", "input_axons"),
        ("fc1", "synapse_bits"),
        ("fc2", "input_axons"),
        ("fc2", "synapse_bits"),
    }


def test_a_hopeless_shortage_of_cores_is_told_without_mapping(check, monkeypatch):
    def slow(*_):
        raise AssertionError("mapped")

    monkeypatch.setattr("nmcompiler.backend.map_network", slow)
    row = only(check(two_layers(hidden=40), tiny_target(neurons=2, rows=2, columns=2)))
    (obstacle,) = row["codings"][0]["obstacles"]
    assert obstacle["resource"] == "cores"
    assert obstacle["used"] == 22
    assert obstacle["limit"] == 4
    assert obstacle["reason"].endswith("where tiny with 1 chip has 4")


def test_a_shortage_of_unequal_cores_says_what_each_kind_holds(check):
    kinds = (CoreType(3, Limits(neurons=2)), CoreType(1, Limits(neurons=12)))
    row = only(check(two_layers(hidden=40), replace(tiny_target(rows=2, columns=2), core_types=kinds)))
    (obstacle,) = row["codings"][0]["obstacles"]
    # 44 neurons, of which 18 fit: three more of the largest kind would do.
    assert (obstacle["resource"], obstacle["used"], obstacle["limit"]) == ("cores", 7, 4)
    assert obstacle["reason"].endswith("has 4 (3 with 2, 1 with 12: 18 together, and 44 are needed)")


def test_a_layer_without_a_core_that_is_large_enough_says_so(check):
    kinds = (CoreType(3, Limits(neurons=24, fan_in=12)), CoreType(1, Limits(neurons=24, fan_in=40)))
    row = only(check(two_layers(hidden=40), replace(tiny_target(rows=2, columns=2), core_types=kinds)))
    (obstacle,) = row["codings"][0]["obstacles"]
    assert "needs 2 cores of the kinds that can hold it where tiny with 1 chip has 1" in obstacle["reason"]


# --- what would make it fit -----------------------------------------------------------------------------


def changes(row):
    return {re.split(r" (?=\d+$)", p["change"])[0]: p for p in row["proposals"]}


def test_fewer_weight_bits_are_proposed_up_to_the_most_that_compile(check):
    chip = tiny_target(synapse_bits=100)
    proposal = changes(only(check(two_layers(), chip)))["--weight-bits"]
    assert proposal["change"] == "--weight-bits 5"
    made = compiled(two_layers(), chip, weight_bits=5)
    assert len(made.program.arrays["cores"]) == proposal["cores"]
    with pytest.raises(DoesNotFit):
        compiled(two_layers(), chip, weight_bits=6)


def test_only_weight_bits_that_the_chip_stores_are_proposed(check):
    chip = replace(tiny_target(synapse_bits=100), weight_widths=(1, 2, 4, 8))
    assert changes(only(check(two_layers(), chip)))["--weight-bits"]["change"] == "--weight-bits 4"


def test_fewer_levels_are_proposed_where_registers_are_too_small_and_they_compile(check):
    nodes = [
        node("Gemm", ["x", "m"], "g", "fc1"),
        node("Clip", ["g", "zero", "one"], "r"),
        node("Gemm", ["r", "o"], "y", "fc2"),
    ]
    constants = {"zero": np.float32(0), "one": np.float32(1), "o": weights(6, 4)}
    data = model(nodes, [400], constants | {"m": np.abs(weights(400, 6)) / 10})
    chip = tiny_target(membrane_bits=7, codings=("phase",))
    row = only(check(data, chip))
    obstacle = row["codings"][0]["obstacles"][0]
    assert (obstacle["layer"], obstacle["resource"]) == ("fc1", "state_bits")
    found = [p["change"] for p in row["proposals"] if "levels" in p["change"]]
    assert found
    for change in found:
        option, value = change.removeprefix("--").replace("-", "_").split()
        assert compiled(data, chip, inputs=400, **{option: int(value)}).facts["static_check"]["ok"]


def test_fewer_output_levels_are_proposed_where_events_are_too_narrow_for_outputs_and_they_compile(check):
    chip = tiny_target(codings=("graded",), readout=("spikes",), graded_payload_bits=8)
    data = two_layers()
    row = only(check(data, chip))
    assert [b for b in row["obstacles"] if "sends values of 9 bits" in b] == row["obstacles"]
    assert changes(row)["--output-levels"]["change"] == "--output-levels 127"
    assert compiled(data, chip, "graded", output_levels=127).facts["output_levels"] == 127
    with pytest.raises(NmcError, match="values of 9 bits"):
        compiled(data, chip, "graded", output_levels=128)
    assert only(check(data, replace(chip, readout=("membrane", "spikes"))))["ok"]


def test_more_chips_are_proposed_where_fewer_were_allowed(check):
    chip = tiny_target(neurons=4, rows=1, columns=2, max_chips=4)
    row = only(check(two_layers(), chip, chips=1))
    assert changes(row)["--chips"]["change"] == "--chips 2"
    assert len(compiled(two_layers(), chip, chips=2).program.arrays["cores"]) == 4


def test_another_code_is_proposed_where_the_preferred_one_cannot_run(check):
    chip = tiny_target(input_encodings=("current",))
    row = only(check(two_layers(), chip))
    assert row["ok"]
    assert row["coding"] == "rate"
    assert [p["change"] for p in row["proposals"]] == ["--coding rate"]
    assert compiled(two_layers(), chip, "rate").facts["coding"] == "rate"


def test_the_layers_to_narrow_are_named_and_such_a_network_compiles(check):
    chip = tiny_target(input_axons=10)
    row = only(check(two_layers(), chip))
    change = next(p for p in row["proposals"] if "at most" in p["change"])
    assert change["change"] == "at most 10 inputs in 'x' (20 now); at most 10 neurons in 'fc1' (12 now)"
    made = compiled(two_layers(hidden=10, inputs=10), chip, inputs=10)
    assert len(made.program.arrays["cores"]) == change["cores"]


def test_the_largest_layer_is_narrowed_where_cores_are_too_few(check):
    chip = tiny_target(neurons=12, rows=1, columns=1)
    row = only(check(two_layers(), chip))
    change = next(p for p in row["proposals"] if "at most" in p["change"])
    assert change["change"] == "at most 8 neurons in 'fc1' (12 now)"
    assert len(compiled(two_layers(hidden=8), chip).program.arrays["cores"]) == change["cores"] == 1
    with pytest.raises(DoesNotFit):
        compiled(two_layers(hidden=9), chip)


def test_other_targets_that_hold_it_are_named(check):
    row = only(check(two_layers(), tiny_target(input_axons=2)))
    assert any(p["change"].startswith("--target generic-digital") for p in row["proposals"])


# --- advisories -----------------------------------------------------------------------------------------


def test_a_sound_network_gets_no_advice(check):
    assert check(two_layers(), None)["advisories"] == []


def test_channels_that_can_never_fire_are_named(check):
    weight = np.abs(weights(20, 12))
    bias = np.zeros(12)
    weight[:, 3], bias[3] = 0, -1  # silent
    weight[:, 7], bias[7] = 0, 2  # constant
    bias[9] = -256 * weight[:, 9].sum()  # beyond what inputs within ±255 can reach
    facts = check(two_layers(weight=weight, bias=bias), tiny_target())
    (dead,) = (a for a in facts["advisories"] if a["kind"] == "dead-channels")
    assert dead["layer"] == "fc1"
    assert dead["value"] == 3
    assert "channels 3, 7, 9" in dead["text"]


def test_channels_with_only_negative_weights_after_a_relu_are_dead(check):
    last = -np.abs(weights(12, 4))
    nodes = [
        node("Gemm", ["x", "m"], "g", "fc1"),
        node("Relu", ["g"], "r"),
        node("Gemm", ["r", "n"], "h", "fc2"),
        node("Relu", ["h"], "s"),
        node("Gemm", ["s", "o"], "y", "fc3"),
    ]
    constants = {"m": weights(20, 12), "n": last, "o": weights(4, 3)}
    assert ("dead-channels", "fc2") in kinds(check(model(nodes, [20], constants), tiny_target()))


def test_weights_that_span_three_decades_over_channels_are_named(check):
    weight = np.abs(weights(20, 12)) + 0.1
    weight[:, 5] *= 1e-4
    facts = check(two_layers(weight=weight), tiny_target())
    (spread,) = (a for a in facts["advisories"] if a["kind"] == "scale-spread")
    assert spread["layer"] == "fc1"
    assert spread["value"] > 1e3
    assert "channel 5" in spread["text"]


def test_a_bias_that_costs_bits_of_the_weights_is_named(check):
    bias = np.zeros(12)
    bias[4] = 3e4
    chip = tiny_target(membrane_bits=16, bias=BiasFormat(16), threshold=ThresholdFormat(16))
    facts = check(two_layers(bias=bias), chip)
    (costly,) = (a for a in facts["advisories"] if a["kind"] == "bias-range")
    assert costly["layer"] == "fc1"
    assert costly["value"] >= 4
    assert "bias-range" not in {kind for kind, _ in kinds(check(two_layers(), chip))}


def test_a_threshold_shared_by_unequal_channels_is_named_only_where_it_is_shared(check):
    weight = np.full((80, 12), 0.3)
    weight[1:, :5] = 0  # one weight: their sums, and with them their thresholds, are 80 times smaller
    data = two_layers(inputs=80, weight=weight)
    shared = replace(tiny_target(), threshold=ThresholdFormat(24, "population"))
    found = [a for a in check(data, shared)["advisories"] if a["kind"] == "shared-threshold"]
    assert [a["layer"] for a in found] == ["fc1"]
    assert found[0]["value"] > 20
    assert "generic-digital, loihi2" in found[0]["text"]
    assert "shared-threshold" not in {k for k, _ in kinds(check(data, tiny_target()))}


def test_the_mobile_network_is_warned_of_the_shared_threshold_of_loihi1():
    from pathlib import Path

    facts = check_model(Path(__file__).parents[1] / "data" / "mobile.onnx", "loihi1")
    found = [a for a in facts["advisories"] if a["kind"] == "shared-threshold"]
    assert found
    assert all("loihi1" in a["text"] and "loihi2" in a["text"] for a in found)


def normalised():
    nodes = [
        node("Conv", ["x", "k"], "c", "conv"),
        node("Relu", ["c"], "r", "relu"),
        node("LRN", ["r"], "n", "norm", size=3, alpha=0.5),
        node("Flatten", ["n"], "f", "flat"),
        node("Gemm", ["f", "m"], "y", "fc"),
    ]
    return model(nodes, [2, 5, 5], {"k": weights(4, 2, 3, 3), "m": weights(36, 3)})


def test_what_replaces_an_operator_is_never_silent(check):
    (advice,) = (a for a in check(normalised(), tiny_target())["advisories"] if a["kind"] == "replaced")
    assert advice["layer"] == "norm"
    assert "(LRN) is replaced by one gain per channel" in advice["text"]
    assert "samples are random here" in advice["text"]
    assert 0 < advice["value"] < 1
    x = {"x": RNG.random((40, 2, 5, 5)).astype(np.float32)}
    facts = compile_model(normalised(), tiny_target(), "phase", x, CompileOptions(verify=True)).facts
    (warning,) = facts["warnings"]
    assert re.search(r"'norm' \(LRN\) is replaced .* fitted to 40 samples: .* ratio of \d+\.\d dB", warning)
    assert not any("replaced" in text for text in facts["notes"])
    assert "norm" not in {layer["name"] for layer in facts["layers"]}
