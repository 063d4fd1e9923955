"""The layer-by-layer executor of the rate code is what the chip does, and what a slow neuron does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.codings.rate import Rate
from nmcompiler.evaluate.rate import fire, input_train, run_rate, waiting
from nmcompiler.ir.schedule import Schedule, Slot
from nmcompiler.passes import Context, SplitSigned
from nmcompiler.program.assemble import assemble
from nmcompiler.sim import Record, Simulator
from nmcompiler.testing.networks import random_network, random_samples
from nmcompiler.testing.programs import random_cores
from nmcompiler.testing.targets import tiny_target


@given(
    seed=st.integers(0, 10_000),
    steps=st.sampled_from([1, 2, 5, 8]),
    settle=st.integers(0, 3),
    signed=st.booleans(),
    encoding=st.sampled_from(["current", "spikes"]),
    fires_when=st.sampled_from(["ge", "gt"]),
    spikes=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_the_chip_counts_what_the_network_counts_layer_by_layer(
    seed: int, steps: int, settle: int, signed: bool, encoding: str, fires_when: str, spikes: bool
) -> None:
    target = tiny_target(signed_spikes=signed, fires_when=fires_when, membrane_bits=32)
    most = steps if encoding == "spikes" else None
    network = random_network(seed, levels=steps, output_levels=steps if spikes else 0, input_levels=most)
    if not signed:
        network = SplitSigned().run(network, Context(None, target)).graph
    spiking = Rate(min(settle, steps)).convert(network, target, input_encoding=encoding, timesteps=steps)
    program = assemble(spiking, random_cores(spiking, seed), target)
    samples = random_samples(network, seed, 3)
    wanted = run_rate(spiking, samples)
    found = Simulator(program).run(samples, record=Record(values=True, membranes=True))
    assert found.saturations == 0
    assert found.values is not None
    for number, population in enumerate(network.graph):
        if population.fires:
            assert np.array_equal(
                found.values[number].reshape(-1), wanted.counts[population.name].reshape(-1)
            ), population.name
    for port, shown, results in zip(network.outputs, program.outputs, found.outputs, strict=True):
        unit = 1 if spikes else 2 ** spiking.neurons[port.node].shift
        read = shown.read(results).reshape(-1) / unit
        assert np.array_equal(read, wanted.outputs[port.name].reshape(-1))
    events = sum(int(n.sum()) for n in wanted.spikes.values())
    assert int(found.spikes_per_neuron.sum()) == events


def _slow(
    sums: list[int], theta: int, start: int, current: int, signed: int, wait: int
) -> tuple[int, list[int]]:
    """One neuron in plain Python."""
    v, count, sent = start, 0, []
    for j in range(len(sums) + wait):
        v += sums[j] if j < len(sums) else 0
        if j < wait:
            continue
        v += current
        s = 0
        if v >= theta:
            s = 1
        elif v < 0 and (signed == 1 or (signed == 2 and count > 0)):
            s = -1
        v -= s * theta
        count += s
        sent.append(s)
    return count, sent


@given(
    sums=st.lists(st.integers(-30, 30), min_size=1, max_size=12),
    theta=st.integers(1, 20),
    start=st.integers(-5, 20),
    current=st.integers(-5, 5),
    signed=st.sampled_from([0, 1, 2]),
    wait=st.integers(0, 4),
)
def test_a_neuron_fires_as_a_slow_one(
    sums: list[int], theta: int, start: int, current: int, signed: int, wait: int
) -> None:
    train = np.zeros((len(sums), 1), np.int8)
    arrive = np.array(sums, np.float32)[:, None]
    count = fire(arrive, *(np.array([n], np.float32) for n in (theta, start, current)), signed, wait, train)
    assert (int(count[0]), train[:, 0].tolist()) == _slow(sums, theta, start, current, signed, wait)


@given(q=st.lists(st.integers(-60, 60), min_size=1, max_size=5), steps=st.integers(1, 16))
def test_inputs_are_spread_as_the_code_spreads_them(q: list[int], steps: int) -> None:
    values = np.array(q).reshape(1, 1, 1, -1)
    train = input_train(values, steps)
    assert np.array_equal(train, Rate().encode(values, Slot(0, 0, steps, 60, True)))
    assert np.array_equal(input_train(values * steps, steps), np.stack([values] * steps))


def test_sources_that_arrive_in_different_steps_are_refused() -> None:
    slots = {name: Slot(0, 0, 4, 4, False) for name in "abc"}
    with pytest.raises(ValueError, match="'c' arrive in the steps"):
        waiting(Schedule("rate", (0,), 9, slots, {("a", "c"): 3}), "c", ["a", "b"])
