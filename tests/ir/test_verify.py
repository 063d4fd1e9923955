"""The verifier finds each way in which a network can be malformed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nmcompiler.ir.graph import Graph
from nmcompiler.ir.kernels import Conv, Dense, Kernel, Sparse, identity
from nmcompiler.ir.layers import InputPort, Layer, LayerGraph, Link, Model, OutputPort
from nmcompiler.ir.network import Network, Population, PopulationGraph, Projection
from nmcompiler.ir.verify import complaints

ONE = np.ones((1, 1, 1), np.int64)
ORDER = np.arange(8)


def _network(kernel: Kernel | None = None, **changes: object) -> Network:
    """An input, a hidden population with ``changes``, and a read-out."""
    graph: PopulationGraph = Graph()
    scale, offset = np.ones(2), np.zeros(2)
    graph.add(Population("x", (2, 2, 2), "input", 0 * ONE, ONE, 7, False, scale, offset))
    hidden = Population("h", (2, 2, 2), "hidden", 0 * ONE, ONE, 7, False, scale, offset)
    graph.add(replace(hidden, **changes))  # type: ignore[arg-type]
    graph.add(Population("y", (2, 2, 2), "readout", 0 * ONE, ONE, 0, True, scale, offset))
    copy = Conv(np.ones((1, 1, 1, 2), np.int64), groups=2)
    graph.connect("x", "h", Projection(kernel or copy))
    graph.connect("h", "y", Projection(copy))
    inputs, outputs = (InputPort("x", (8,), "x", ORDER),), (OutputPort("y", (8,), "y", ORDER),)
    return Network("net", graph, inputs, outputs)


def test_a_sound_network_has_no_complaints() -> None:
    assert complaints(_network()) == ()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"theta": 0 * ONE}, "threshold below 1"),
        ({"theta": ONE.astype(float)}, "threshold that is no integer"),
        ({"bias": 0.5 * ONE}, "bias that is no integer"),
        ({"bias": np.zeros((1, 1, 3), np.int64)}, "bias that does not broadcast"),
        ({"levels": 0}, "no levels"),
        ({"scale": np.array([1.0, 0.0])}, "scale that is 0"),
        ({"scale": np.ones(3)}, "one scale and offset per channel"),
        ({"offset": np.ones(2)}, "offset although"),
    ],
)
def test_a_malformed_population_is_named(changes: dict[str, object], sentence: str) -> None:
    assert any("'h'" in c and sentence in c for c in complaints(_network(**changes)))


@pytest.mark.parametrize(
    ("kernel", "sentence"),
    [
        (Dense(np.ones((8, 7), np.int64)), "(8, 7) weights"),
        (Dense(np.ones((8, 8))), "no integers"),
        (Conv(np.ones((1, 1, 3, 2), np.int64)), "channels that do not exist"),
        (Conv(np.ones((1, 1, 1, 3), np.int64), groups=2), "groups"),
        (Sparse(np.array([8]), np.array([0]), np.array([1])), "outside"),
        (Sparse(np.array([0, 1]), np.array([0]), np.array([1])), "different length"),
    ],
)
def test_a_kernel_that_does_not_join_its_ends_is_found(kernel: Kernel, sentence: str) -> None:
    assert any(sentence in c for c in complaints(_network(kernel)))


def test_ports_must_name_populations_and_order_all_of_them() -> None:
    network = _network()
    lost = replace(network, outputs=(OutputPort("y", (8,), "z", ORDER),))
    assert any("'z', which does not exist" in c for c in complaints(lost))
    short = replace(network, inputs=(InputPort("x", (8,), "x", ORDER[:4]),))
    assert any("orders (4,)" in c for c in complaints(short))
    beyond = replace(network, inputs=(InputPort("x", (8,), "x", ORDER + 1),))
    assert any("do not exist" in c for c in complaints(beyond))


def test_a_cycle_is_found_before_anything_else() -> None:
    network = _network()
    network.graph.connect("y", "h", Projection(Conv(np.ones((1, 1, 1, 2), np.int64), groups=2)))
    assert complaints(network) == ("the graph has a cycle",)


def test_layers_are_checked_too() -> None:
    graph: LayerGraph = LayerGraph()
    graph.add(Layer("x", "Input", (2, 2, 2)))
    graph.add(Layer("y", "Relu", (2, 2, 2), bias=np.full((1, 1, 1), np.nan)))
    graph.connect("x", "y", Link(identity(3)))
    model = Model("m", graph, (InputPort("x", (8,), "x", ORDER),), (OutputPort("y", (8,), "y", ORDER),))
    found = complaints(model)
    assert any("'y' has a bias that is not finite" in c for c in found)
    assert any("'x' → 'y'" in c and "channels" in c for c in found)
