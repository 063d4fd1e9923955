"""Weights two by two: what tables say each axon weighs, entry by entry, and networks of eight-bit values."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.sim import Simulator, kernels, lanes
from nmcompiler.sim.load import load
from nmcompiler.sim.pairs import Pairs
from nmcompiler.testing.networks import random_network, random_samples

from .paths import assert_alike, by_groups, by_steps, convolution
from .test_engine import assembled, placed
from .test_step_programs import any_program


def written_out(links, tables, weights, paired: bool) -> dict:
    """The sum of the weights from each neuron of a source block to each of the targets, link by link."""
    sums: dict = {}
    rows = links.view(np.int64)
    for row in rows:
        source, first, axons, pattern = (
            int(row[c]) for c in (kernels.SOURCE, kernels.FIRST, kernels.AXONS, kernels.PATTERN)
        )
        for k in range(int(tables.patterns[pattern]), int(tables.patterns[pattern + 1])):
            offset, target, length = tables.segments.view(np.int64)[k].tolist()
            for j in range(axons):
                step = j // 2 if paired else j
                at = int(row[kernels.WEIGHT]) + step * int(row[kernels.WEIGHT_STRIDE]) + offset
                for i in range(length):
                    weight = weights[at + i][j % 2] if paired else weights[at + i]
                    key = (source, first + j, int(row[kernels.INTO]) + target + i)
                    sums[key] = sums.get(key, 0) + int(weight)
    return {key: weight for key, weight in sums.items() if weight}


def assert_weigh_the_same(made) -> int:
    """Returns in how many blocks links were made longer."""
    loaded, longer = load(made), 0
    pairs = Pairs(loaded)
    kept = []
    for groups in loaded.groups:
        links = np.concatenate([np.zeros((0, 12), np.uint64), *(g.resting for g in groups)])
        kept.append((links, pairs.paired(links)))
    two = pairs.weights.view(np.int16).reshape(-1, 2)
    for links, paired in kept:
        plain = written_out(links, loaded, loaded.weights, paired=False)
        assert written_out(paired, pairs, two, paired=True) == plain
        longer += len(links) > 0 and paired[:, kernels.AXONS].mean() > links[:, kernels.AXONS].mean()
    return longer


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 100_000), n=st.sampled_from([1, 7, 40, 130]))
def test_any_links_weigh_the_same_two_by_two(seed, n):
    assert_weigh_the_same(any_program(np.random.default_rng(seed), "graded", n, hidden={"fire_start": 6}))


@pytest.mark.parametrize("seed", range(8))
def test_links_of_random_networks_weigh_the_same_two_by_two(seed):
    assert_weigh_the_same(assembled(random_network(seed), "graded"))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), neurons=st.integers(12, 34))
def test_links_of_networks_in_small_parts_weigh_the_same_two_by_two(seed, neurons):
    """Where rows of weights are kept may be where others of the program stand."""
    assert_weigh_the_same(placed(random_network(seed), "graded", neurons=neurons))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [((5, 5), 1, 2), ((3, 3), 2, 1), ((1, 4), 1, 0)])
@pytest.mark.parametrize("neurons", [10_000, 40])
def test_pixels_of_first_layers_become_runs_of_axons(channels, kernel, stride, padding, neurons):
    network = convolution((9, 8, channels), kernel, stride, padding)
    made = placed(network, "phase", neurons=neurons)
    assert assert_weigh_the_same(made)
    links = Simulator(made)._groups.resting
    assert (links[links[:, lanes.CHUNK] == 0, lanes.AXONS] == channels * kernel[1]).any()


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10_000), samples=st.sampled_from([1, 16, 19]), name=st.sampled_from(["phase", "ttfs"])
)
def test_values_of_eight_bits_are_the_same_as_in_steps(seed, samples, name):
    network = random_network(seed, levels=255)
    made, x = assembled(network, name), random_samples(network, seed, samples)
    if Simulator(made).certificate.windowed:
        assert_alike(by_groups(made, x), by_steps(made, x))


def test_a_first_layer_is_the_same_as_in_steps():
    network = convolution((9, 8, 3), (3, 3), padding=1)
    made, x = placed(network, "phase", neurons=60), random_samples(network, 2, 33)
    assert_alike(by_groups(made, x), by_steps(made, x))
