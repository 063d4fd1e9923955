"""Networks whose layers are summed up in exact parts are compared as if nothing had been cut."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nmcompiler.codings import coding
from nmcompiler.compiler import compile_model
from nmcompiler.diagnose.session import debug_program
from nmcompiler.diagnose.whole import whole
from nmcompiler.evaluate.integer import run_integer
from nmcompiler.passes.base import Context
from nmcompiler.passes.kernel_algebra import to_sparse
from nmcompiler.passes.split_exact import SplitExact
from nmcompiler.plan import CompileOptions
from nmcompiler.registry import find_target
from nmcompiler.testing import random_network, random_samples, tiny_target
from tests.diagnose.networks import CHIP, NETWORKS, subject


def narrow(target, fan_in):
    """The same chip with few synapses a neuron."""
    kinds = tuple(replace(k, limits=replace(k.limits, fan_in=fan_in)) for k in target.core_types)
    return replace(target, core_types=kinds)


def matrix(network, name):
    """All weights of a population by source and slot, as one list of synapses each."""
    shape = network.graph.node(name).shape
    found = {}
    for edge in network.graph.in_edges(name):
        source = network.graph.node(edge.source).shape
        kernel = to_sparse(edge.payload.kernel, source, shape)
        weight = found.setdefault(
            (edge.source, edge.payload.slot), np.zeros((np.prod(shape), np.prod(source)))
        )
        np.add.at(weight, (kernel.rows, kernel.columns), kernel.weight)
    return found


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_a_network_that_was_cut_is_put_together_again(seed, signed):
    network = random_network(seed)
    target = narrow(tiny_target(signed_spikes=signed, membrane_bits=40, max_chips=64), 9)
    cut = SplitExact(coding("phase")).run(network, Context(None, target))
    assert cut.changed
    again = whole(cut.graph, set(network.graph.names()))
    assert again.graph.names() == network.graph.names()
    for p in network.graph:
        made = again.graph.node(p.name)
        assert np.array_equal(np.broadcast_to(made.bias, p.shape), np.broadcast_to(p.bias, p.shape))
        wanted, found = matrix(network, p.name), matrix(again, p.name)
        assert wanted.keys() == found.keys()
        assert all(np.array_equal(wanted[key], found[key]) for key in wanted)
    samples = random_samples(network, seed, 10)
    values = [run_integer(n, samples, record=True).values for n in (network, again)]
    assert all(np.array_equal(values[0][name], values[1][name]) for name in values[0])


def test_a_layer_that_is_called_like_a_helper_is_none():
    network = random_network(0)
    target = narrow(tiny_target(signed_spikes=True, membrane_bits=40, max_chips=64), 9)
    cut = SplitExact(coding("phase")).run(network, Context(None, target)).graph
    assert whole(cut, set(cut.graph.names())).graph.names() == cut.graph.names()


@pytest.mark.parametrize("name", NETWORKS)
def test_layers_lose_what_they_lose_where_nothing_is_cut(name):
    given = subject(name, 0)
    _, chip = find_target(CHIP, None)
    options = CompileOptions(input_levels=15)
    plain = compile_model(given.source, chip, "phase", given.calibration, options).program
    options = replace(options, fan_in="exact")
    cut = compile_model(given.source, narrow(chip, 20), "phase", given.calibration, options).program
    assert cut.report["fan_in"]["method"] == "exact"
    found, wanted = debug_program(cut, given.samples), debug_program(plain, given.samples)
    assert found["ladder"]["stages"] == wanted["ladder"]["stages"]
    names = [row["name"] for row in wanted["ladder"]["layers"]]
    assert [row["name"] for row in found["ladder"]["layers"]] == names
    for mine, other in zip(found["ladder"]["layers"], wanted["ladder"]["layers"], strict=True):
        assert mine["sqnr_db"] == other["sqnr_db"]
        assert mine["own_db"] == other["own_db"]
        assert mine["achievable_db"] == pytest.approx(other["achievable_db"], abs=0.02)
    assert found["verdict"] == wanted["verdict"]
