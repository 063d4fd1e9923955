import numpy as np
import pytest

from nmcompiler.errors import UsageError
from nmcompiler.ir.kernels import Conv, Dense, Sparse
from nmcompiler.ir.network import Network
from nmcompiler.testing import ADVERSARIAL, adversarial_network, evaluate_naively, random_network
from nmcompiler.testing.networks import inner_share, random_samples

NETWORKS = [random_network(seed) for seed in range(60)]


def integers(network: Network, seed: int, count: int) -> dict[str, np.ndarray]:
    samples = random_samples(network, seed, count)
    values = {}
    for port in network.inputs:
        node = network.graph.node(port.node)
        x = samples[port.name].reshape(count, -1)[:, port.order].reshape(count, *node.shape)
        q = np.floor((x - node.offset) / node.scale + 0.5)
        values[port.node] = np.clip(q, node.lowest, node.levels).astype(np.int64)
    return values


def test_enough_activations_lie_between_their_bounds() -> None:
    shares = [inner_share(n, evaluate_naively(n, integers(n, 5, 20))) for n in NETWORKS]
    assert np.mean(shares) > 0.3
    assert np.mean(np.array(shares) > 0.2) > 0.95


def test_networks_cover_every_kind_of_kernel_and_population() -> None:
    kernels = [e.payload.kernel for n in NETWORKS for e in n.graph.edges()]
    convs = [k for k in kernels if isinstance(k, Conv)]
    assert any(isinstance(k, Dense) for k in kernels)
    assert any(isinstance(k, Sparse) for k in kernels)
    for attribute, plain in (("stride", (1, 1)), ("dilation", (1, 1)), ("groups", 1), ("target_channel", 0)):
        assert any(getattr(k, attribute) != plain for k in convs)
    hidden = [p for n in NETWORKS for p in n.graph if p.role == "hidden"]
    assert {p.signed for p in hidden} == {False, True}
    assert {1, 3, 7, 10, 15} <= {p.levels for p in hidden}
    assert {np.shape(p.theta) == (1, 1, 1) for p in hidden} == {False, True}
    assert any(
        len(n.graph.in_edges(p.name)) > len(n.graph.predecessors(p.name)) for n in NETWORKS for p in n.graph
    )
    assert all(np.abs(k.weight).max(initial=0) <= 127 for k in kernels)


def test_samples_reach_both_ends_of_the_range() -> None:
    network = random_network(3)
    for port in network.inputs:
        q = integers(network, 0, 8)[port.node]
        node = network.graph.node(port.node)
        assert (q[0] == node.levels).all()
        assert (q[1] == node.lowest).all()


def test_levels_can_be_given() -> None:
    network = random_network(0, levels=10)
    assert {p.levels for p in network.graph if p.role == "hidden"} == {10}


def test_equal_seeds_give_equal_networks() -> None:
    first, second = random_network(9), random_network(9)
    assert first.graph.names() == second.graph.names()
    for a, b in zip(first.graph.edges(), second.graph.edges(), strict=True):
        assert np.array_equal(a.payload.kernel.weight, b.payload.kernel.weight)


@pytest.mark.parametrize("kind", ADVERSARIAL)
def test_adversarial_networks_use_their_levels(kind: str) -> None:
    network = adversarial_network(kind, membrane_bits=16)
    values = evaluate_naively(network, integers(network, 0, 40))
    assert all(len(np.unique(values[p.name])) > 1 for p in network.graph)


def test_ties_lie_exactly_on_and_below_the_step() -> None:
    network = adversarial_network("ties")
    for population in network.graph:
        if population.role == "hidden":
            gap = (population.bias + population.theta // 2) % population.theta
            assert np.isin(gap, (np.zeros_like(gap), population.theta - 1)).all()


def test_on_and_off_halves_are_never_active_together() -> None:
    network = adversarial_network("off-halves")
    values = evaluate_naively(network, integers(network, 1, 100))
    on, off = (values[p.name] for p in network.graph if p.role == "hidden")
    assert not ((on > 0) & (off > 0)).any()


@pytest.mark.parametrize(("bits", "above"), [(16, 0), (24, 1)])
def test_the_membrane_limit_is_reached_and_not_passed(bits: int, above: int) -> None:
    network = adversarial_network("membrane-limit", membrane_bits=bits, above=above)
    population = network.graph.node("p1")
    source = network.graph.node("input0")
    (edge,) = network.graph.in_edges("p1")
    full = edge.payload.kernel.weight.sum(axis=1) * source.levels
    assert (full + population.v0.ravel() + above).tolist() == [2 ** (bits - 1) - 1, -(2 ** (bits - 1))]


def test_an_unknown_kind_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'ties'"):
        adversarial_network("tie")
