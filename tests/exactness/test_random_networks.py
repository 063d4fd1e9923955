"""Random and adversarial networks on chips that force many cores: nothing may differ, however they run."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from nmcompiler.errors import DoesNotFit
from nmcompiler.evaluate.integer import encode_inputs
from nmcompiler.program.lift import check_lift
from nmcompiler.registry import targets
from nmcompiler.sim import Simulator
from nmcompiler.testing import (
    ADVERSARIAL,
    adversarial_network,
    boundless_target,
    random_network,
    random_samples,
    tiny_target,
)
from nmcompiler.testing.chain import placed_program
from nmcompiler.testing.networks import evaluate_naively, inner_share

from .checks import CODES, WINDOWED, counters, mismatches, nothing_wrong

DECLARING = sorted((name, code) for name, (_, t) in targets().items() for code in {*t.codings} & {*WINDOWED})
SMALL = 10_000  # neurons of all chips: any random network fits larger ones
FIRST_SEED = {"phase": 1000, "rate-sync": 0, "ttfs": 2000, "graded": 3000}


def tiny(seed):
    """A tiny chip, another one for every seed: sharing or not, ge or gt, signed spikes or halves."""
    return tiny_target(
        neurons=12 + seed % 23,
        weight_sharing=seed % 2 == 0,
        signed_spikes=seed % 3 != 0,
        fires_when="gt" if seed % 5 == 0 else "ge",
        max_chips=4,
    )


@pytest.mark.parametrize("code", WINDOWED)
@pytest.mark.parametrize("seed", range(100))
def test_a_random_network_is_exact_on_many_cores(seed, code):
    network = random_network(seed + FIRST_SEED[code])
    program, spiking = placed_program(network, tiny(seed), code, seed=seed)
    samples = random_samples(spiking.network, seed, 12)
    assert check_lift(program, spiking).ok
    wrong, two = mismatches(program, spiking, samples, threads=2)
    assert nothing_wrong(wrong)
    wrong, literal = mismatches(program, spiking, samples, threads=1, literal=True)
    assert nothing_wrong(wrong)
    assert counters(two) == counters(literal)
    assert literal.saturations == 0
    if code == "ttfs":
        assert literal.spikes_per_neuron.max() <= 12  # one a sample


def test_random_networks_keep_their_activations_inside():
    """Saturated or silent networks would hide faults: most values lie strictly between the ends."""
    shares = []
    for seed in range(100):
        network = random_network(seed)
        encoded = encode_inputs(network, random_samples(network, seed, 16))
        inputs = {port.node: encoded[port.name] for port in network.inputs}
        shares.append(inner_share(network, evaluate_naively(network, inputs)))
    assert np.mean(shares) >= 0.3
    assert np.mean(np.array(shares) >= 0.3) >= 0.9


@pytest.mark.parametrize(("target", "code"), DECLARING)
@pytest.mark.parametrize("seed", range(10))
def test_a_random_network_is_exact_on_every_target_that_declares_the_code(seed, code, target):
    chip = targets()[target][1]
    try:
        program, spiking = placed_program(random_network(seed), chip, code)
    except DoesNotFit as refused:
        assert (chip.neurons or SMALL) * chip.max_chips < SMALL
        pytest.skip(refused.sentence())
    assert check_lift(program, spiking).ok
    wrong, _ = mismatches(program, spiking, random_samples(spiking.network, seed, 12))
    assert nothing_wrong(wrong)


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("fires_when", ["ge", "gt"])
@pytest.mark.parametrize("code", WINDOWED)
@pytest.mark.parametrize("kind", sorted(ADVERSARIAL))
def test_an_adversarial_network_is_exact(kind, code, fires_when, signed):
    if kind == "membrane-limit" and not signed:
        pytest.skip("the off half of a membrane at its lower limit does not fit; quantisation leaves it room")
    target = tiny_target(neurons=7, signed_spikes=signed, fires_when=fires_when)
    network = adversarial_network(kind, above=int(fires_when == "gt"))
    program, spiking = placed_program(network, target, code)
    assert check_lift(program, spiking).ok
    samples = random_samples(spiking.network, 0, 24)
    for literal in (False, True):
        wrong, result = mismatches(program, spiking, samples, literal=literal)
        assert nothing_wrong(wrong)
        assert result.saturations == 0


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), code=st.sampled_from(CODES))
def test_cores_and_placement_change_no_spike(seed, code):
    network = random_network(seed, levels=7)
    steps = 300 if code == "rate" else None
    one, spiking = placed_program(network, boundless_target(), code, timesteps=steps)
    samples = random_samples(spiking.network, seed, 3)
    reference = Simulator(one).run(samples)
    for placement in (1, 2):
        try:
            many, _ = placed_program(network, tiny_target(), code, seed=placement, timesteps=steps)
        except DoesNotFit:
            reject()  # another network is drawn, so that 25 are compared all the same
        result = Simulator(many).run(samples, threads=placement)
        assert all(np.array_equal(a, b) for a, b in zip(reference.outputs, result.outputs, strict=True))
        assert result.spikes.tolist() == reference.spikes.tolist()
        assert result.saturations == reference.saturations
