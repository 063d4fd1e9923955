"""Chips that compare after every event: networks that run on them, and why others do not."""

from __future__ import annotations

import numpy as np
import pytest

from nmcompiler import CompileOptions
from nmcompiler.compiler import compile_model, run_program
from nmcompiler.errors import DoesNotFit, TargetFileError, UnsupportedModel, UsageError
from nmcompiler.frontend.data import Samples
from nmcompiler.registry import backend
from nmcompiler.sim import certificate
from nmcompiler.target import target_from_toml, target_to_toml

from ..frontend.models import model, node, weights

STEPS = CompileOptions(timesteps=16)
WHOLE = CompileOptions(timesteps=16, fan_in="refuse")
RNG = np.random.default_rng(0)


def classifier(inputs, outputs, *, bias=False):
    constants = {"w": weights(inputs, outputs, seed=1)} | ({"b": weights(outputs)} if bias else {})
    return model([node("Gemm", ["x", *constants], "y", "fc")], [inputs], constants)


def spots(shape, count=150):
    return {"x": RNG.integers(0, 17, (count, *shape)).astype(np.float32)}


def test_a_classifier_of_one_layer_runs_on_a_crossbar_of_row_pairs():
    x = spots((24,))
    made = compile_model(classifier(24, 6), "odin", "rate", x, STEPS)
    assert made.facts["cores"]["used"] == 1
    assert made.facts["neurons"] == 12  # on and off halves: spikes have no sign, and are all that is read
    assert all(certificate(made.program).proved)
    assert np.abs(made.program.arrays["weights"]).max() <= 7
    axons = next(limit for limit in made.facts["limits"] if limit["resource"] == "input_axons")
    assert (axons["used"], axons["limit"]) == (48, 256)
    facts = run_program(made.program, Samples(x, None)).facts
    assert facts["agreement"]["chip_integer"] == 1
    assert facts["agreement"]["integer_float"] > 0.7
    assert facts["saturations"] == 0


def test_a_bias_is_refused_where_there_is_none():
    with pytest.raises(UnsupportedModel) as refused:
        compile_model(classifier(24, 6, bias=True), "odin", "rate", spots((24,)), STEPS)
    assert "has a bias, which the chip has not" in str(refused.value)


def test_rows_in_pairs_are_128_inputs():
    with pytest.raises(DoesNotFit) as refused:
        compile_model(classifier(160, 3), "odin", "rate", spots((160,)), WHOLE)
    assert (refused.value.resource, refused.value.limit) == ("input_axons", 256)
    assert 256 < refused.value.used <= 320  # two rows an input, but for weights that are rounded to 0
    assert compile_model(classifier(128, 3), "odin", "rate", spots((128,)), STEPS).facts["neurons"] == 6


@pytest.mark.parametrize("chip", ["odin", "speck2f"])
def test_exact_codes_are_refused_in_one_sentence(chip):
    target = backend("digital").targets()[chip]
    willing = target_from_toml(target_to_toml(target).replace('["rate"]', '["rate", "phase"]'), chip)
    with pytest.raises(UsageError) as refused:
        compile_model(classifier(24, 6), willing, "phase", spots((24,)))
    sentence = refused.value.sentence()
    assert "'phase' needs" in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (("signed_spikes = false", "signed_spikes = true"), "what was compared at once is not taken back"),
        (('input_encodings = ["spikes"]', 'input_encodings = ["current"]'), "every event is one spike"),
        (("membrane_floor = 0", "membrane_floor = 255"), "membrane_floor' is 255"),
        (("axons_per_source = 2", "axons_per_source = 0"), "axons_per_source' is 0"),
        (('compares = "event"', 'compares = "events"'), "did you mean 'event'"),
        (
            ('compares = "event"\nevent_ties = "source"', 'event_ties = "seeded"'),
            "where membranes are compared once a step",
        ),
    ],
)
def test_a_wrong_description_of_such_a_chip_says_what_is_wrong(change, found):
    text = target_to_toml(backend("digital").targets()["odin"])
    assert change[0] in text
    with pytest.raises(TargetFileError, match=found.replace("[", r"\[").replace("]", r"\]")):
        target_from_toml(text.replace(*change), "mine.toml")


def test_layers_lie_on_the_cores_that_hold_their_kernels():
    """Of nine unequal cores, a kernel of 32 Ki weights needs one of two kinds."""
    nodes = [
        node("Conv", ["x", "k"], "c", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Relu", ["c"], "r"),
        node("Conv", ["r", "l"], "d", kernel_shape=[3, 3], strides=[4, 4]),
        node("Relu", ["d"], "s"),
        node("Flatten", ["s"], "f"),
        node("Gemm", ["f", "w"], "y", "fc"),
    ]
    constants = {
        "k": weights(32, 1, 3, 3, seed=1),
        "l": weights(64, 32, 3, 3, seed=2) / 8,
        "w": weights(256, 4, seed=3) / 8,
    }
    x = spots((1, 8, 8), 40)
    made = compile_model(
        model(nodes, [1, 8, 8], constants), "speck2f", "rate", x, CompileOptions(timesteps=4)
    )
    chip, cores = made.program.target, made.program.arrays["cores"]
    memory = {
        chip.core_types[chip.core_type(int(row) * chip.mesh.columns + int(column))].limits.synapse_bits
        for _, row, column in cores[made.program.column("core")[1:]][1:2]
    }
    assert all(bits is not None and bits >= 8 * 32 * 1024 for bits in memory)
    held = made.program.column("core")[1:]
    assert len(np.unique(held)) == len(held), "one layer a core"
    facts = run_program(made.program, Samples({"x": x["x"][:20]}, None)).facts
    assert facts["agreement"]["chip_integer"] == 1
