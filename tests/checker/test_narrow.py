"""A narrowed network is the network in which the other channels send nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nmcompiler.checker.narrow import narrowed
from nmcompiler.checker.trials import Trials
from nmcompiler.evaluate.float import run_float
from nmcompiler.frontend import read_model_bytes
from nmcompiler.ir.layers import Model
from nmcompiler.ir.verify import complaints
from nmcompiler.testing import tiny_target

from ..frontend.models import model, node, samples, weights


def simple(data: bytes) -> Model:
    return Trials(read_model_bytes(data, "net")).simplified(tiny_target()).model


def depthwise() -> Model:
    nodes = [
        node("Conv", ["x", "k", "b"], "a", "first"),
        node("Relu", ["a"], "ra"),
        node("Conv", ["ra", "d"], "e", "depth", group=6),
        node("Relu", ["e"], "re"),
        node("Conv", ["re", "p"], "c", "point"),
        node("Relu", ["c"], "rc"),
        node("Flatten", ["rc"], "f"),
        node("Gemm", ["f", "m"], "g", "full"),
        node("Relu", ["g"], "rg"),
        node("Gemm", ["rg", "o"], "y", "last"),
    ]
    constants = {"k": weights(6, 2, 3, 3), "b": weights(6, seed=1), "d": weights(6, 1, 3, 3, seed=2)}
    constants |= {"p": weights(5, 6, 1, 1, seed=3), "m": weights(20, 8, seed=4), "o": weights(8, 3, seed=5)}
    return simple(model(nodes, [2, 6, 6], constants))


def layer_with(net: Model, origin: str) -> str:
    return next(layer.name for layer in net.graph if origin in layer.origin)


def silenced(net: Model, names: set[str], keep: int) -> Model:
    """The oracle: kernels out of the channels that go are set to zero."""
    graph = net.graph.copy()
    for target in net.graph.names():
        edges = net.graph.in_edges(target)
        graph.disconnect(target)
        for edge in edges:
            kernel = edge.payload.kernel
            if edge.source in names:
                channels = net.graph.node(edge.source).shape[2]
                gone = np.arange(channels) >= keep
                weight = kernel.weight.copy()
                if weight.ndim == 2:
                    weight[:, np.tile(gone, weight.shape[1] // channels)] = 0
                elif kernel.groups == 1:
                    weight[:, :, gone] = 0
                else:
                    weight[..., gone] = 0
                kernel = replace(kernel, weight=weight)
            graph.connect(edge.source, target, replace(edge.payload, kernel=kernel))
    return replace(net, graph=graph)


@pytest.mark.parametrize(
    ("origin", "also"), [("first", ["depth"]), ("depth", ["first"]), ("point", []), ("full", [])]
)
@pytest.mark.parametrize("keep", [1, 3])
def test_a_narrowed_network_answers_as_if_the_rest_were_silent(origin, also, keep):
    net = depthwise()
    name = layer_with(net, origin)
    small = narrowed(net, name, keep)
    assert small is not None
    assert complaints(small) == ()
    assert small.graph.node(name).shape[2] == keep
    x = samples(net)
    expected = run_float(silenced(net, {name, *(layer_with(net, o) for o in also)}, keep), x).outputs["y"]
    assert np.allclose(run_float(small, x).outputs["y"], expected, atol=1e-5)


def test_a_vector_of_inputs_can_be_narrowed_and_a_picture_or_an_output_cannot():
    vector = simple(model([node("Gemm", ["x", "m"], "y")], [9], {"m": weights(9, 3)}))
    small = narrowed(vector, vector.inputs[0].node, 4)
    assert small is not None
    assert small.inputs[0].shape == (4,)
    assert narrowed(vector, vector.outputs[0].node, 1) is None
    picture = depthwise()
    assert narrowed(picture, picture.inputs[0].node, 1) is None


def test_more_channels_than_there_are_is_no_narrower_network():
    net = depthwise()
    assert narrowed(net, layer_with(net, "full"), 8) is None
    assert narrowed(net, layer_with(net, "full"), 0) is None
