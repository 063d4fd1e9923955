"""Exact partial sums: the network with helpers is the network without, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nmcompiler.codings import coding
from nmcompiler.errors import DoesNotFit
from nmcompiler.evaluate.integer import run_integer
from nmcompiler.ir.network import Network
from nmcompiler.ir.verify import complaints
from nmcompiler.passes import Context, PassResult, SplitSigned
from nmcompiler.passes.drop_zeros import fan_in_of
from nmcompiler.passes.split_exact import SplitExact
from nmcompiler.target.model import BiasFormat, Target
from nmcompiler.testing.networks import random_network, random_samples
from nmcompiler.testing.targets import tiny_target


def _chip(**changes: object) -> Target:
    fields = {"membrane_bits": 40, "graded_payload_bits": 40, "bias": BiasFormat(40), **changes}
    return tiny_target(**fields)  # type: ignore[arg-type]


def _synapses(network: Network, bias: int) -> dict[str, int]:
    """Returns the synapses of the neuron of each population that has most, those of its bias among them."""
    found = {}
    for p in network.graph:
        edges = network.graph.in_edges(p.name)
        shapes = [network.graph.node(edge.source).shape for edge in edges]
        total = fan_in_of([edge.payload.kernel for edge in edges], shapes, p) + bias * (p.bias != 0)
        found[p.name] = int(total.max())
    return found


def _made(network: Network, context: Context, allowed: tuple[str, ...]) -> PassResult[Network] | None:
    """Returns the split network; None where it is refused for one of the reasons that are allowed."""
    try:
        return SplitExact(coding("phase")).run(network, context)
    except DoesNotFit as error:
        if error.resource == "neurons" or error.words in allowed:
            return None
        raise


@given(st.integers(0, 10**5), st.integers(4, 20), st.booleans(), st.integers(0, 1))
@settings(max_examples=60, deadline=None)
@example(74868, 17, False, 0)  # fewer inputs than the limit without those of weight 0
def test_outputs_and_values_of_random_networks_stay(seed: int, limit: int, signed: bool, bias: int) -> None:
    network = random_network(seed, levels=3, input_levels=15)
    context = Context(None, _chip(fan_in=limit, signed_spikes=signed, bias=BiasFormat(40, 0, bias)))
    if not signed:
        network = SplitSigned().run(network, context).graph
    made = _made(network, context, ("values of a partial sum",))
    if made is None:
        return
    assert not complaints(made.graph)
    assert max(_synapses(made.graph, bias).values()) <= limit
    assert made.changed == (max(_synapses(network, bias).values()) > limit)
    assert signed or not any(p.signed and p.sends for p in made.graph.graph)
    samples = random_samples(network, seed, 8)
    wanted, found = (run_integer(n, samples, record=True) for n in (network, made.graph))
    for name, value in wanted.values.items():
        np.testing.assert_array_equal(found.values[name], value)
    for name, value in wanted.outputs.items():
        np.testing.assert_array_equal(found.outputs[name], value)


def test_biases_with_exponents_are_ones_that_the_chip_holds() -> None:
    target = _chip(fan_in=6, signed_spikes=False, bias=BiasFormat(6, 20))
    context = Context(None, target)
    for seed in range(30):
        network = SplitSigned().run(random_network(seed, levels=3, input_levels=15), context).graph
        made = _made(network, context, ("of a bias", "values of a partial sum"))
        for p in () if made is None else made.graph.graph:
            if ".part" in p.name:
                odd = np.abs(p.bias[p.bias != 0])
                assert all(
                    int(b) >> max(int(b).bit_length() - 5, 0) << max(int(b).bit_length() - 5, 0) == b
                    for b in odd
                )


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"membrane_bits": 8}, "of a membrane"), ({"graded_payload_bits": 4}, "bits of an event")],
)
def test_sums_that_the_chip_cannot_hold_are_refused(changes: dict[str, object], words: str) -> None:
    network = random_network(1, levels=15, input_levels=255)
    with pytest.raises(DoesNotFit, match=words):
        SplitExact(coding("graded")).run(network, Context(None, _chip(fan_in=4, **changes)))


def test_too_few_neurons_are_told_with_their_number() -> None:
    network = random_network(1, levels=3, input_levels=3)
    target = _chip(fan_in=4, neurons=network.neurons, rows=1, columns=1)
    with pytest.raises(DoesNotFit, match="exact partial sums") as caught:
        SplitExact(coding("graded")).run(network, Context(None, target))
    assert caught.value.limit == network.neurons < caught.value.used
