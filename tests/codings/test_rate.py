"""Free-running rate: when its populations start, and that its numbers fit the chip."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.codings import CODINGS, Coding
from nmcompiler.codings.rate import Rate
from nmcompiler.evaluate.rate import waiting
from nmcompiler.target.model import BiasFormat, ThresholdFormat
from nmcompiler.testing.networks import random_network
from nmcompiler.testing.targets import tiny_target


@given(seed=st.integers(0, 10_000), settle=st.integers(0, 5), steps=st.integers(1, 9))
@settings(max_examples=25, deadline=None)
def test_all_sources_arrive_together_and_hidden_populations_wait(seed: int, settle: int, steps: int) -> None:
    network = random_network(seed, levels=steps)
    schedule = Rate(settle).schedule(network, timesteps=steps)
    for p in network.graph:
        sources = network.graph.predecessors(p.name)
        if sources:
            assert waiting(schedule, p.name, sources) == (settle if p.role == "hidden" else 0)
        assert schedule.slots[p.name].fire_end <= schedule.total_steps
    assert schedule.total_steps == max(s.fire_end for s in schedule.slots.values())


def test_waiting_costs_its_steps_in_every_hidden_layer() -> None:
    network = random_network(3, levels=4)
    total = [Rate(k).schedule(network, timesteps=4).total_steps for k in range(4)]
    hidden = max(Rate().schedule(network, timesteps=4).slots[p.node].fire_start for p in network.outputs) - 1
    assert np.diff(total).tolist() == [hidden] * 3


@given(
    seed=st.integers(0, 10_000),
    settle=st.integers(0, 3),
    mantissa=st.integers(4, 14),
    exponent=st.integers(0, 3),
)
@settings(max_examples=25, deadline=None)
def test_currents_are_the_nearest_that_the_chip_holds(
    seed: int, settle: int, mantissa: int, exponent: int
) -> None:
    target = tiny_target(bias=BiasFormat(mantissa, exponent), threshold=ThresholdFormat(16))
    network = random_network(seed, levels=5)
    schedule = Rate(settle).schedule(network, timesteps=5)
    most = 2 ** (mantissa - 1) - 1
    for p in network.graph:
        if p.role == "input" or np.abs(p.bias).max() > 5 * most:
            continue
        made = Rate(settle).neurons(network, p.name, schedule.slots[p.name], target)
        steps = 5 + (settle if p.role == "hidden" else 0)
        for held in np.unique(made.current).tolist():
            assert any(held % 2**e == 0 and abs(held) <= most * 2**e for e in range(exponent + 1))
        error = np.abs(made.current * steps - p.bias * 2**made.shift) / steps
        assert error.max() <= 2**exponent / 2
        if p.role == "hidden":
            assert made.theta.max() < 2**16 or made.shift == 0
            assert np.array_equal(made.v0, made.theta // 2 + settle * made.current)


def test_a_readout_starts_at_zero() -> None:
    network = random_network(1, levels=4)
    schedule = Rate(2).schedule(network, timesteps=4)
    name = network.outputs[0].node
    assert not Rate(2).neurons(network, name, schedule.slots[name], tiny_target()).v0.any()


@pytest.mark.parametrize("settle", [0, 3])
def test_the_name_does_not_depend_on_settling(settle: int) -> None:
    assert Rate(settle).schedule(random_network(0, levels=2), timesteps=2).coding == "rate"


@pytest.mark.parametrize("code", CODINGS.values(), ids=lambda code: code.name)
def test_only_a_code_without_windows_is_settled(code: Coding) -> None:
    network = random_network(3, levels=4)
    plain, settled = (c.schedule(network, timesteps=4) for c in (code.settled(0), code.settled(3)))
    assert (plain == settled) == code.windowed
    assert code.windowed or settled == Rate(3).schedule(network, timesteps=4)
