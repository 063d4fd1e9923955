import numpy as np

from nmcompiler.evaluate.integer import encode_inputs
from nmcompiler.testing import random_network, random_stream


def test_little_changes_from_frame_to_frame_and_the_stream_still_moves() -> None:
    for seed in range(6):
        network = random_network(seed)
        encoded = encode_inputs(network, random_stream(network, seed, 100))
        for port in network.inputs:
            population, q = network.graph.node(port.node), encoded[port.name].reshape(100, -1)
            assert q.min() >= population.lowest
            assert q.max() <= population.levels
            assert 0 < (np.diff(q, axis=0) != 0).mean() < 0.15
            assert (q[0] != q[-1]).any()


def test_equal_seeds_give_equal_streams() -> None:
    network = random_network(3)
    first, again, other = (random_stream(network, seed, 20) for seed in (1, 1, 2))
    for name, frames in first.items():
        assert frames.shape[0] == 20
        assert np.array_equal(frames, again[name])
        assert not np.array_equal(frames, other[name])
