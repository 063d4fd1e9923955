from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.evaluate.float import activate, max_pool, preactivation, run_float
from nmcompiler.ir.graph import Graph
from nmcompiler.ir.kernels import Dense, identity
from nmcompiler.ir.layers import Clip, InputPort, Layer, LayerGraph, Link, MaxPool, Model, OutputPort


def twice_rectified() -> Model:
    """x of 3 values, read backwards; ``y = relu(x) + relu(x) + 1`` in the order of x."""
    graph: LayerGraph = Graph()
    graph.add(Layer("in", "Input", (1, 1, 3)))
    graph.add(Layer("relu", "Relu", (1, 1, 3), activation=Clip(0.0)))
    graph.add(Layer("sum", "Add", (1, 1, 3), bias=np.ones((1, 1, 1))))
    graph.connect("in", "relu", Link(identity(3)))
    graph.connect("relu", "sum", Link(identity(3), 0))
    graph.connect("relu", "sum", Link(identity(3), 1))
    back = np.array([2, 1, 0])
    return Model("m", graph, (InputPort("x", (3,), "in", back),), (OutputPort("y", (3,), "sum", back),))


def test_edges_of_a_layer_add_up_and_ports_reorder() -> None:
    result = run_float(twice_rectified(), {"x": np.array([[-1.0, 2.0, 3.0]])})
    np.testing.assert_array_equal(result.outputs["y"], [[1.0, 5.0, 7.0]])
    assert result.layers == {}


def test_recording_keeps_every_layer() -> None:
    layers = run_float(twice_rectified(), {"x": np.array([[-1.0, 2.0, 3.0]])}, record=True).layers
    assert set(layers) == {"in", "relu", "sum"}
    np.testing.assert_array_equal(layers["in"].ravel(), [3.0, 2.0, -1.0])
    assert layers["relu"].shape == (1, 1, 1, 3)


def test_the_samples_decide_between_float32_and_float64() -> None:
    model = twice_rectified()
    for given_dtype, used in ((np.float16, np.float32), (np.float32, np.float32), (np.int64, np.float64)):
        assert run_float(model, {"x": np.ones((2, 3), given_dtype)}).outputs["y"].dtype == used


def test_preactivation_comes_before_the_clip() -> None:
    model = twice_rectified()
    z = preactivation(model.graph, "relu", {"in": np.array([[[[-4.0, 0.0, 4.0]]]])})
    np.testing.assert_array_equal(z.ravel(), [-4.0, 0.0, 4.0])
    np.testing.assert_array_equal(activate(model.graph.node("relu"), z).ravel(), [0.0, 0.0, 4.0])


def test_a_layer_without_edges_holds_its_bias() -> None:
    graph: LayerGraph = Graph()
    graph.add(Layer("in", "Input", (1, 1, 2)))
    graph.add(Layer("constant", "Gemm", (1, 1, 2), bias=np.array([[[1.0, -1.0]]])))
    order = np.arange(2)
    model = Model(
        "m", graph, (InputPort("x", (2,), "in", order),), (OutputPort("y", (2,), "constant", order),)
    )
    np.testing.assert_array_equal(run_float(model, {"x": np.zeros((3, 2))}).outputs["y"], [[1.0, -1.0]] * 3)


@settings(deadline=None)
@given(
    st.integers(0, 2**32),
    st.lists(st.integers(1, 3), min_size=6, max_size=6),
    st.tuples(*[st.integers(0, 2)] * 2),
)
def test_max_pooling_ignores_positions_outside(seed: int, sizes: list[int], padding: tuple[int, int]) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(-9, 10, (2, 5, 4, 2)).astype(np.float64)
    kh, kw, sy, sx, dy, dx = sizes
    pool = MaxPool((kh, kw), (sy, sx), padding, (dy, dx))
    found = max_pool(pool, x, (3, 3))
    for y, column in np.ndindex(3, 3):
        rows = [r for k in range(kh) if 0 <= (r := y * sy - padding[0] + k * dy) < 5]
        columns = [c for k in range(kw) if 0 <= (c := column * sx - padding[1] + k * dx) < 4]
        seen = x[:, rows][:, :, columns].reshape(2, -1, 2)
        expected = seen.max(axis=1) if seen.size else np.full((2, 2), -np.inf)
        np.testing.assert_array_equal(found[:, y, column], expected)


def test_dense_layers_are_read_in_flat_order() -> None:
    graph: LayerGraph = Graph()
    graph.add(Layer("in", "Input", (2, 1, 2)))
    graph.add(Layer("fc", "Gemm", (1, 1, 1)))
    graph.connect("in", "fc", Link(Dense(np.array([[1.0, 10.0, 100.0, 1000.0]]))))
    port = InputPort("x", (2, 2), "in", np.array([0, 2, 1, 3]))
    model = Model("m", graph, (port,), (OutputPort("y", (1,), "fc", np.array([0])),))
    assert run_float(model, {"x": np.array([[[1.0, 2.0], [3.0, 4.0]]])}).outputs["y"].item() == 4231.0
