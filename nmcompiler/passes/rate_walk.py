"""Trains of populations that compare after every event, on calibration samples, as compiled code."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nmcompiler.codings.rate import Rate
from nmcompiler.evaluate.rate_events import Origin, synapses, turns
from nmcompiler.ir.kernels import Array
from nmcompiler.ir.network import Population
from nmcompiler.ir.spiking import NeuronParameters
from nmcompiler.sim.jit import jit
from nmcompiler.target.model import Dynamics

__all__ = ["walked"]

_FARTHEST = 1 << 60  # no register is this large


def walked(
    sources: Sequence[Origin],
    population: Population,
    neurons: NeuronParameters,
    dynamics: Dynamics,
    wait: int,
) -> Array:
    """Returns what ``send_by_event`` does, ``(T, N, h, w, c)`` int32, in the chip's own kernel."""
    steps, samples = sources[0].train.shape[:2]
    tile = population.size
    order = turns(sources, dynamics.ties)
    columns = [column for source in sources for column in synapses(source, population.shape)]
    reached = [columns[k] for k in order]
    sizes = [source.size for source in sources]
    offsets = np.repeat(np.cumsum([0, *sizes[:-1]]), sizes)
    starts = np.cumsum([0, *(len(targets) for targets, _ in reached)])
    targets, weights = (np.concatenate([column[i] for column in reached]).astype(np.int64) for i in (0, 1))
    sent = np.concatenate([s.train.reshape(steps, -1) for s in sources], axis=1).astype(np.int64)
    theta, start, current = (
        np.broadcast_to(numbers, population.shape).reshape(-1).astype(np.int64)
        for numbers in (neurons.theta, neurons.v0, neurons.current)
    )
    v, fired = np.tile(start, samples), np.zeros(tile * samples, np.int64)
    table = (
        starts,
        targets,
        weights << neurons.shift,
        offsets[order],
        np.repeat(sizes, sizes)[order],
        np.concatenate([np.arange(size) for size in sizes])[order],
        np.zeros(len(offsets), np.int64),
    )
    floor = -_FARTHEST if dynamics.floor is None else dynamics.floor
    numbers = (int(dynamics.reset == "zero"), 0, floor, -_FARTHEST, _FARTHEST)
    train = np.zeros((steps, samples * tile), np.int32)
    silent = np.zeros((1, sent.shape[1]), np.int64)
    for t in range(steps + wait):
        arriving = sent[t : t + 1] if t < steps else silent
        jit(Rate.walk)(*table, arriving, 0, v, fired, current, theta, tile, int(t >= wait), 1, *numbers)
        if t >= wait:
            train[t - wait] = fired
    return train.reshape(steps, samples, *population.shape)
