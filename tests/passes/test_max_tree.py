"""A max pool written as ``b + relu(a − b)`` is the max pool."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.evaluate.float import max_pool
from nmcompiler.evaluate.linear import apply
from nmcompiler.ir.kernels import Array, Conv, Shape, Sparse, identity
from nmcompiler.ir.layers import MaxPool
from nmcompiler.ir.network import Population, PopulationGraph
from nmcompiler.passes import kernel_algebra
from nmcompiler.passes.max_tree import Term, Values, max_tree, read


def _source(graph: PopulationGraph, shape: Shape, levels: int, signed: bool) -> Values:
    one = np.ones((1, 1, 1), np.int64)
    scale, offset = np.ones(shape[2]), np.zeros(shape[2])
    graph.add(Population("x", shape, "hidden", 0 * one, one, levels, signed, scale, offset))
    return Values((Term("x"),), shape, levels, signed, scale, offset)


def _values(graph: PopulationGraph, q: Array) -> dict[str, Array]:
    """Returns the values of all populations, computed as a chip would."""
    result = {"x": q}
    for p in graph:
        if p.name != "x":
            total = np.zeros((len(q), *p.shape), np.int64)
            for edge in graph.in_edges(p.name):
                total += apply(edge.payload.kernel, result[edge.source], p.shape)
            result[p.name] = np.clip(total, p.lowest, p.levels)
    return result


def _read(graph: PopulationGraph, kernel: Conv, pooled: Values, q: Array, target: Shape) -> Array:
    parts = read(graph, kernel, pooled, target)
    values = _values(graph, q)
    return np.sum([apply(k, values[source], target) for source, k in parts], axis=0)


@given(st.booleans(), st.integers(0, 10**6))
@settings(max_examples=120, deadline=None)
def test_the_terms_add_up_to_the_maximum_of_every_window(signed: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = (int(v) for v in rng.integers(3, 8, 2))
    shape = (height, width, 2)
    size = tuple(int(v) for v in rng.integers(1, 4, 2))
    padding = tuple(int(rng.integers(0, s)) for s in size)
    stride = tuple(int(v) for v in rng.integers(1, 4, 2))
    pool = MaxPool(size, stride, padding)
    out = tuple((shape[a] + padding[a] - size[a]) // stride[a] + 1 for a in (0, 1))
    levels = int(rng.integers(1, 8))
    graph = PopulationGraph()
    pooled = max_tree(graph, "pool", _source(graph, shape, levels, signed), pool, (*out, 2), ())
    q = rng.integers(-levels if signed else 0, levels + 1, (4, *shape))
    wanted = max_pool(pool, q, out)
    assert np.array_equal(_read(graph, identity(2), pooled, q, (*out, 2)), wanted)
    reader = Conv(rng.integers(-3, 4, (3, 3, 2, 3)), padding=(1, 1))
    padded = apply(reader, wanted, (*out, 3))
    assert np.array_equal(_read(graph, reader, pooled, q, (*out, 3)), padded)
    positions = size[0] * size[1]
    neurons = sum(p.size for p in graph if p.name != "x")
    assert neurons == (positions - 1) * out[0] * out[1] * 2
    assert len(graph) - 1 == math.ceil(math.log2(positions))


def test_a_two_by_two_pool_reads_pairs_with_one_kernel_and_is_read_as_three_terms() -> None:
    graph = PopulationGraph()
    source = _source(graph, (4, 4, 3), 15, signed=False)
    pooled = max_tree(graph, "pool", source, MaxPool((2, 2), (2, 2)), (2, 2, 3), ("node",))
    assert [len(graph.in_edges(f"pool.max{k}")) for k in (1, 2)] == [2, 3]
    assert len(pooled.terms) == 3
    assert graph.node("pool.max1").origin == ("node",)
    kernels = [k for _, k in read(graph, Conv(np.ones((3, 3, 3, 2)), padding=(1, 1)), pooled, (2, 2, 2))]
    assert all(isinstance(k, Conv) for k in kernels)


def test_differences_of_signed_values_take_twice_the_levels() -> None:
    graph = PopulationGraph()
    source = _source(graph, (2, 2, 1), 7, signed=True)
    max_tree(graph, "pool", source, MaxPool((2, 2), (2, 2)), (1, 1, 1), ())
    assert graph.node("pool.max1").levels == 14


def test_a_padded_pool_of_signed_values_reads_only_inside_positions() -> None:
    graph = PopulationGraph()
    source = _source(graph, (2, 2, 1), 7, signed=True)
    pool = MaxPool((2, 2), (1, 1), (1, 1))
    pooled = max_tree(graph, "pool", source, pool, (3, 3, 1), ())
    assert any(isinstance(term.kernel, Sparse) for term in pooled.terms)
    q = np.full((1, 2, 2, 1), -5)
    assert np.all(_read(graph, identity(1), pooled, q, (3, 3, 1)) == -5)


def test_a_pool_that_a_padded_reader_cannot_read_through_is_copied_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kernel_algebra, "_LARGEST_PRODUCT", 64)  # as if the reader had millions of synapses
    graph = PopulationGraph()
    pooled = max_tree(
        graph, "pool", _source(graph, (6, 6, 2), 7, False), MaxPool((3, 3), (2, 2)), (2, 2, 2), ()
    )
    q = np.random.default_rng(0).integers(0, 8, (4, 6, 6, 2))
    reader = Conv(np.random.default_rng(1).integers(-3, 4, (3, 3, 2, 3)), padding=(1, 1))
    wanted = apply(reader, max_pool(MaxPool((3, 3), (2, 2)), q, (2, 2)), (2, 2, 3))
    for _ in range(2):  # a second reader reads the same copy
        assert np.array_equal(_read(graph, reader, pooled, q, (2, 2, 3)), wanted)
    assert [p.name for p in graph if p.name.endswith(("copy", "copy_"))] == ["x.copy"]
