"""Counts of neurons that compare after every event, against one neuron and one event at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nmcompiler.evaluate.linear import apply
from nmcompiler.ir.kernels import Array, Conv, Dense, Kernel
from nmcompiler.passes.rate_arrivals import Events, event_rows, events_at
from nmcompiler.passes.refit import Positions
from nmcompiler.target.model import Dynamics


def _count(
    events: Events,
    row: int,
    c: int,
    theta: float,
    start: float,
    current: float,
    wait: int,
    dynamics: Dynamics,
) -> int:
    """One neuron, all in plain Python numbers."""
    v, count = start, 0
    floor = -np.inf if dynamics.floor is None else 0.0

    def add(amount: float, compares: bool) -> None:
        nonlocal v, count
        v = max(v + amount, floor)
        if compares and v >= theta:
            v = 0.0 if dynamics.reset == "zero" else v - theta
            count += 1

    for t in range(events.steps + wait):
        if t >= wait:
            add(current, True)
        if t < events.steps:
            for e, w in enumerate(events.weights[:, c].tolist()):
                sent = int(events.spikes[row, t, e])
                for _ in range(abs(sent) if w else 0):
                    add(w if sent > 0 else -w, t >= wait)
            if events.merged[row, t, c]:
                add(float(events.merged[row, t, c]), t >= wait)
    return count


@given(
    seed=st.integers(0, 10_000),
    wait=st.integers(0, 2),
    reset=st.sampled_from(["subtract", "zero"]),
    floor=st.sampled_from([None, 0]),
    sign=st.sampled_from([1, -1]),
)
@example(seed=256, wait=1, reset="subtract", floor=0, sign=-1)  # a start below the floor, and no event for it
@settings(max_examples=40, deadline=None)
def test_counts_are_those_of_one_neuron_and_one_event_at_a_time(
    seed: int, wait: int, reset: str, floor: int | None, sign: int
) -> None:
    rng = np.random.default_rng(seed)
    dynamics = Dynamics("zero" if reset == "zero" else "subtract", floor, "event")
    rows, steps, sources, channels = 2, 4, 3, 2
    # Quarters are exact in float32, so that ties fall the same way.
    events = Events(
        rng.integers(-1, 3, (rows, steps, sources)).astype(np.int8),
        (rng.integers(-6, 7, (sources, channels)) / 4).astype(np.float32),
        (rng.integers(-1, 2, (rows, steps, channels)) / 4).astype(np.float32),
    )
    theta = (rng.integers(1, 6, channels) / 4).astype(np.float32)
    start, current = ((rng.integers(-4, 5, (rows, channels)) / 4).astype(np.float32) for _ in range(2))
    found = events.counts(theta, start, current, wait, sign, dynamics)
    turned = Events(events.spikes, sign * events.weights, sign * events.merged)
    for r in range(rows):
        for c in range(channels):
            numbers = float(theta[c]), float(start[r, c]), float(current[r, c])
            assert found[r, c] == _count(turned, r, c, *numbers, wait, dynamics)


def _kernels(rng: np.random.Generator) -> list[tuple[Kernel, tuple[int, int, int], tuple[int, int, int]]]:
    return [
        (Dense(rng.normal(size=(5, 12))), (2, 3, 2), (1, 1, 5)),
        (Dense(rng.normal(size=(12, 12))), (2, 3, 2), (2, 3, 2)),
        (Conv(rng.normal(size=(3, 3, 2, 4)), padding=(1, 1)), (4, 4, 2), (4, 4, 4)),
        (Conv(rng.normal(size=(3, 3, 1, 4)), padding=(1, 1), groups=4), (4, 4, 4), (4, 4, 4)),
    ]


@pytest.mark.parametrize("which", range(4))
def test_the_events_of_a_layer_add_up_to_its_sums(which: int) -> None:
    rng = np.random.default_rng(which)
    kernel, source, shape = _kernels(rng)[which]
    train = rng.integers(-1, 3, (3, 6, *source)).astype(np.int32)
    at = Positions.spread(6, shape, 20)
    wanted: Array = at.of(apply(kernel, train.sum(axis=0).astype(np.float64), shape))
    found = events_at([(kernel, train)], at, shape)
    assert found.steps == 3
    assert np.allclose(found.total, wanted, atol=1e-4)
    # Without a threshold in reach nothing is sent, whatever the order.
    silent = np.zeros_like(wanted, np.float32)
    assert not found.counts(np.full(shape[2], 1e6, np.float32), silent, silent, 0, 1, Dynamics()).any()


def test_layers_with_many_sources_are_looked_at_in_fewer_positions() -> None:
    small, large = (
        event_rows([Dense(np.zeros((10, n)))], [(1, 1, n)], (1, 1, 10), 16) for n in (100, 100_000)
    )
    assert small > large >= 16
