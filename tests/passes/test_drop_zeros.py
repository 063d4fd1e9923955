"""Weights of 0 go where a population has too many synapses, and only there."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.evaluate.integer import run_integer
from nmcompiler.ir.kernels import Sparse
from nmcompiler.ir.network import Network
from nmcompiler.ir.verify import complaints
from nmcompiler.passes import Context
from nmcompiler.passes.drop_zeros import DropZeros, fan_in_of
from nmcompiler.target.model import BiasFormat
from nmcompiler.testing.networks import random_network, random_samples
from nmcompiler.testing.targets import tiny_target


def _most(network: Network, name: str) -> int:
    edges = network.graph.in_edges(name)
    shapes = [network.graph.node(edge.source).shape for edge in edges]
    return int(fan_in_of([edge.payload.kernel for edge in edges], shapes, network.graph.node(name)).max())


@given(st.integers(0, 10**5), st.integers(1, 12), st.integers(0, 1))
@settings(max_examples=40, deadline=None)
def test_answers_stay_and_synapses_become_fewer(seed: int, limit: int, bias: int) -> None:
    network = random_network(seed)
    context = Context(None, tiny_target(fan_in=limit, bias=BiasFormat(24, 0, bias)))
    made = DropZeros().run(network, context)
    assert not complaints(made.graph)
    samples = random_samples(network, seed, 8)
    wanted, found = run_integer(network, samples).outputs, run_integer(made.graph, samples).outputs
    assert all(np.array_equal(found[name], value) for name, value in wanted.items())
    for p in network.graph:
        if p.role == "input":
            continue
        kernels = [e.payload.kernel for e in made.graph.graph.in_edges(p.name)]
        if _most(network, p.name) + bias * int(np.any(p.bias)) <= limit:
            assert kernels == [e.payload.kernel for e in network.graph.in_edges(p.name)]
        assert _most(made.graph, p.name) <= _most(network, p.name)


def test_without_a_limit_nothing_changes() -> None:
    network = random_network(3)
    assert not DropZeros().run(network, Context(None, tiny_target())).changed


def test_lists_hold_no_weight_of_0() -> None:
    for seed in range(20):
        network = random_network(seed)
        made = DropZeros().run(network, Context(None, tiny_target(fan_in=1))).graph
        before = {id(e.payload.kernel) for e in network.graph.edges()}
        new = [e.payload.kernel for e in made.graph.edges() if id(e.payload.kernel) not in before]
        assert all(isinstance(kernel, Sparse) and np.all(kernel.weight) for kernel in new)
