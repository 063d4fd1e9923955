"""Chips that compute layers refuse every layer that they do not compute, and say what they do."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nmcompiler import CompileOptions
from nmcompiler import compile as compile_
from nmcompiler.checker import check_model
from nmcompiler.checker.trials import Trials
from nmcompiler.errors import UnsupportedModel, UsageError
from nmcompiler.frontend import read_model_bytes
from nmcompiler.passes import Pipeline, float_passes, refused_layers
from nmcompiler.passes.base import Context
from nmcompiler.registry import backend
from nmcompiler.target import ConvolutionRules, DenseRules, LayerRules, NetworkLimits, Target
from nmcompiler.testing import tiny_target

from ..frontend.models import model, node, weights

RULES = LayerRules(
    first=ConvolutionRules((3, 5), (1, 2), ("same", "valid"), 255, channels=(1, 3)),
    inner=ConvolutionRules((1, 3), (1, 2), ("same",), 15, strided_kernels=(3,)),
    dense=DenseRules(15, after_pool=False),
    max_pools=(2,),
    groups=False,
    joins=False,
)


def chip(rules: LayerRules = RULES) -> Target:
    return replace(tiny_target(neurons=400, codings=("graded",)), layer_rules=rules)


def net(
    *, channels: int = 1, first: dict[str, Any], inner: dict[str, Any], pool: dict[str, Any] | None = None
) -> bytes:
    """Two convolutions, the first of ``channels``, with a max pool between them where one is described."""
    sides = [f.pop("side", 3) for f in (first, inner)]
    inner_in = 4 // inner.get("group", 1)
    nodes = [node("Conv", ["x", "a"], "c", "one", **first), node("Relu", ["c"], "r", "relu")]
    source = "r"
    if pool is not None:
        nodes.append(node("MaxPool", ["r"], "p", "pool", **pool))
        source = "p"
    nodes += [node("Conv", [source, "b"], "d", "two", **inner), node("Relu", ["d"], "y", "relu2")]
    constants = {"a": weights(4, channels, sides[0], sides[0]), "b": weights(4, inner_in, sides[1], sides[1])}
    return model(nodes, [channels, 10, 10], constants)


SAME = {"pads": [1, 1, 1, 1]}
POOL = {"kernel_shape": [2, 2], "strides": [2, 2]}


def refusals(data: bytes, target: Target, levels: int = 15, input_levels: int = 255) -> dict[str, list[str]]:
    read = read_model_bytes(data, "net")
    shape = read.inputs[0].shape
    context = Context({"x": np.random.default_rng(0).random((4, *shape)).astype(np.float32)}, target)
    simple = Pipeline(float_passes()).run(read, context).graph
    found: dict[str, list[str]] = {}
    for refused in refused_layers(simple, target, levels=levels, input_levels=input_levels):
        found.setdefault(refused.name, []).append(refused.reason)
    return found


def test_a_network_that_keeps_every_rule_is_compiled_and_a_chip_without_rules_takes_any() -> None:
    data = net(first={}, inner=dict(SAME), pool=POOL)
    assert refusals(data, chip()) == {}
    x = {"x": np.random.default_rng(0).integers(0, 256, (4, 1, 10, 10)).astype(np.float32)}
    assert compile_(data, chip(), "graded", x).facts["static_check"]["ok"]
    assert refusals(net(first={"side": 7}, inner={"side": 2}), tiny_target()) == {}


@pytest.mark.parametrize(
    ("made", "layer", "sentence"),
    [
        (
            {"first": {"side": 4}, "inner": SAME},
            "one",
            "has a kernel of 4 × 4; tiny computes convolutions of an input with 3 × 3 or 5 × 5",
        ),
        (
            {"first": {}, "inner": {"side": 5, "pads": [2, 2, 2, 2]}},
            "two",
            "has a kernel of 5 × 5; tiny computes convolutions of a layer with 1 × 1 or 3 × 3",
        ),
        (
            {"first": {}, "inner": {}},
            "two",
            "has padding 0 × 0 (8 × 8 becomes 6 × 6); tiny computes convolutions of a layer with "
            "padding same",
        ),
        (
            {"first": {"pads": [2, 2, 2, 2]}, "inner": SAME},
            "one",
            "has padding 2 × 2 (10 × 10 becomes 12 × 12); tiny computes convolutions of an input with "
            "padding same or valid",
        ),
        (
            {"first": {"strides": [3, 3]}, "inner": SAME},
            "one",
            "has a stride of 3 × 3; tiny computes convolutions of an input with strides of 1 or 2",
        ),
        (
            {"first": {}, "inner": {"side": 1, "strides": [2, 2]}},
            "two",
            "has a stride of 2 at a kernel of 1 × 1; tiny computes strides above 1 with 3 × 3",
        ),
        (
            {"first": {"dilations": [2, 2], "pads": [2, 2, 2, 2]}, "inner": SAME},
            "one",
            "has a dilation of 2 × 2; tiny computes convolutions without dilation",
        ),
        (
            {"first": {}, "inner": {**SAME, "group": 4}},
            "two",
            "has 4 groups of channels; tiny computes convolutions without groups",
        ),
        (
            {"channels": 2, "first": {}, "inner": SAME},
            "one",
            "reads 2 channels; tiny computes convolutions of an input of 1 or 3 channels",
        ),
        (
            {"first": {}, "inner": SAME, "pool": {"kernel_shape": [3, 3], "strides": [3, 3]}},
            "one",
            "ends in a max pool of 3 × 3 with a stride of 3 × 3; tiny computes max pools of 2 × 2 with "
            "strides up to their size",
        ),
    ],
)
def test_each_rule_has_its_sentence(made: dict[str, Any], layer: str, sentence: str) -> None:
    copied = {k: dict(v) if isinstance(v, dict) else v for k, v in made.items()}
    assert refusals(net(**copied), chip()) == {layer: [sentence]}


def test_an_odd_row_is_padded_at_the_end() -> None:
    """At stride 2, 'same' pads nothing above 8 rows and 1 below; 1 above is another network."""
    below = net(first={}, inner={"strides": [2, 2], "pads": [0, 0, 1, 1]})
    above = net(first={}, inner={"strides": [2, 2], "pads": [1, 1, 1, 1]})
    assert refusals(below, chip()) == {}
    (sentence,) = refusals(above, chip())["two"]
    assert sentence.startswith("has padding 1 × 1 (8 × 8 becomes 4 × 4)")


def test_dense_layers_read_small_values_and_no_pool() -> None:
    nodes = [
        node("Gemm", ["x", "a"], "g", "one"),
        node("Relu", ["g"], "r", "relu"),
        node("Gemm", ["r", "b"], "y", "two"),
    ]
    data = model(nodes, [6], {"a": weights(6, 5), "b": weights(5, 3)})
    said = "reads values up to 255; tiny computes dense layers of values up to 15"
    assert refusals(data, chip()) == {"one": [said]}
    assert refusals(data, chip(), input_levels=15) == {}
    assert refusals(data, chip(), levels=16, input_levels=15) == {"two": [said.replace("255", "16")]}
    nodes = [
        node("Conv", ["x", "a"], "c", "one"),
        node("Relu", ["c"], "r", "relu"),
        node("MaxPool", ["r"], "p", "pool", **POOL),
        node("Flatten", ["p"], "f", "flat"),
        node("Gemm", ["f", "b"], "y", "two"),
    ]
    data = model(nodes, [1, 10, 10], {"a": weights(4, 1, 3, 3), "b": weights(64, 3)})
    said = "is dense and reads the max pool of 'one'; tiny computes convolutions after a max pool"
    assert refusals(data, chip()) == {"two": [said]}
    assert refusals(data, chip(replace(RULES, dense=DenseRules(15)))) == {}


def test_residual_additions_are_joins() -> None:
    nodes = [
        node("Conv", ["x", "a"], "c", "one"),
        node("Relu", ["c"], "r", "relu"),
        node("Conv", ["r", "b"], "d", "two", pads=[1, 1, 1, 1]),
        node("Add", ["r", "d"], "s", "add"),
        node("Relu", ["s"], "y", "relu2"),
    ]
    data = model(nodes, [1, 10, 10], {"a": weights(4, 1, 3, 3), "b": weights(4, 4, 3, 3)})
    (sentences,) = refusals(data, chip()).values()
    assert "joins 2 parts" in sentences[0]
    assert sentences[0].endswith("tiny computes layers of one source")
    assert refusals(data, chip(replace(RULES, joins=True))) == {}


def test_compiling_and_checking_refuse_the_same_layers() -> None:
    data = net(first={"side": 4}, inner={"side": 5})
    x = {"x": np.random.default_rng(0).random((4, 1, 10, 10)).astype(np.float32)}
    with pytest.raises(UnsupportedModel) as caught:
        compile_(data, chip(), "graded", x)
    assert [n.name for n in caught.value.nodes] == ["one", "two", "two"]
    assert "on 'tiny'" in str(caught.value)
    outcome = Trials(read_model_bytes(data, "net")).attempt(
        backend("digital"), chip(), "graded", CompileOptions()
    )
    assert [b.layer for b in outcome.broken] == ["one", "two", "two"]


def test_levels_that_no_layer_passes_on_are_refused_before_any_work() -> None:
    x = {"x": np.zeros((4, 1, 10, 10), np.float32)}
    with pytest.raises(UsageError, match="--levels 16 is out of range; allowed: 1 to 15"):
        compile_(net(first={}, inner=dict(SAME)), chip(), "graded", x, CompileOptions(levels=16))


def test_an_image_with_a_sign_has_too_many_channels() -> None:
    signed = replace(chip(), signed_spikes=False)
    x = {"x": np.random.default_rng(0).normal(size=(4, 1, 10, 10)).astype(np.float32)}
    with pytest.raises(UnsupportedModel, match="has 2 channels, its values being split by their sign"):
        compile_(net(first={}, inner=dict(SAME)), signed, "graded", x)


# --- neurons of a whole network -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        (NetworkLimits(inputs=5), "Input 'x': has 6 inputs, and the chip has 5"),
        (NetworkLimits(hidden=7), "'two': has 5 of 8 in all hidden neurons, and the chip has 7"),
        (NetworkLimits(outputs=2), "has 4 outputs, and the chip has 2"),
        (NetworkLimits(6, 8, 4), None),
    ],
)
def test_a_chip_counts_its_inputs_hidden_neurons_and_outputs(
    limits: NetworkLimits, sentence: str | None
) -> None:
    nodes = [
        node("Gemm", ["x", "a"], "g", "one"),
        node("Relu", ["g"], "r", "relu"),
        node("Gemm", ["r", "b"], "h", "two"),
        node("Relu", ["h"], "s", "relu2"),
        node("Gemm", ["s", "c"], "y", "three"),
    ]
    data = model(nodes, [6], {"a": weights(6, 3), "b": weights(3, 5), "c": weights(5, 4)})
    x = {"x": np.random.default_rng(0).random((4, 6)).astype(np.float32)}
    small = replace(tiny_target(), network_limits=limits)
    if sentence is None:
        assert compile_(data, small, "phase", x).facts["static_check"]["ok"]
        return
    with pytest.raises(UnsupportedModel, match=re.escape(sentence)):
        compile_(data, small, "phase", x)


def test_smaller_inputs_are_proposed_where_dense_layers_read_no_more(tmp_path: Path) -> None:
    nodes = [node("Gemm", ["x", "a"], "g", "one"), node("Relu", ["g"], "r", "relu")]
    nodes.append(node("Gemm", ["r", "b"], "y", "two"))
    path = tmp_path / "net.onnx"
    path.write_bytes(model(nodes, [6], {"a": weights(6, 5), "b": weights(5, 3)}))
    (row,) = check_model(path, chip())["targets"]
    assert [o["layer"] for o in row["codings"][0]["obstacles"]] == ["one"]
    assert row["obstacles"][0].endswith("values up to 15; try --input-levels 15")
    assert row["proposals"][0]["change"] == "--input-levels 15"
    x = {"x": np.random.default_rng(0).random((4, 6)).astype(np.float32)}
    made = compile_(path.read_bytes(), chip(), "graded", x, CompileOptions(input_levels=15))
    assert made.facts["input_levels"] == 15
