"""Streams of frames in which little changes from one to the next."""

from __future__ import annotations

import numpy as np

from nmcompiler.ir.kernels import Array
from nmcompiler.ir.network import Network, Population

__all__ = ["random_stream"]

_JITTER = 0.02  # share of the values that change by one in a frame


def random_stream(network: Network, seed: int, frames: int) -> dict[str, Array]:
    """Returns consecutive frames for every input port, each ``(frames, *port.shape)`` float64.

    A bright patch drifts over a still background, and here and there a value jitters by one.
    """
    rng = np.random.default_rng([seed, 2])
    samples = {}
    for port in network.inputs:
        population = network.graph.node(port.node)
        q = _drift(rng, population, frames).reshape(frames, *population.shape)
        flat = np.zeros((frames, int(np.prod(port.shape))))
        flat[:, port.order] = (population.scale * q + population.offset).reshape(frames, -1)
        samples[port.name] = flat.reshape(frames, *port.shape)
    return samples


def _drift(rng: np.random.Generator, population: Population, frames: int) -> Array:
    """Returns integers ``(frames, size)`` of a population."""
    low, high, size = population.lowest, population.levels, population.size
    background = rng.integers(low, high + 1, size)
    patch = rng.integers(low, high + 1, max(1, size // 16))
    place = rng.integers(size)
    q = np.empty((frames, size), np.int64)
    for frame in q:
        moved = rng.random(size) < _JITTER
        background = np.clip(background + moved * rng.choice((-1, 1), size), low, high)
        frame[:] = background
        frame[(place + np.arange(len(patch))) % size] = patch
        place += int(rng.random() < 0.2)
    return q
