"""The certificate: what it proves holds, and it proves what it can."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.codings import CODINGS, coding
from nmcompiler.program.assemble import assemble, boundless_cores
from nmcompiler.sim import Simulator, certificate
from nmcompiler.target.model import Dynamics
from nmcompiler.testing import boundless_target
from nmcompiler.testing.chain import placed_program
from nmcompiler.testing.networks import random_network, random_samples
from nmcompiler.testing.suited import suited_network

from .handmade import program, with_column

WINDOWED = tuple(name for name, code in CODINGS.items() if code.windowed)
# In `program`, v0 = 2, θ = 4: membranes of neuron 0 lie within 2 − 6 … 2 + 9, of neuron 1 within 2 … 11;
# the read-out within −1 … 8.


@pytest.mark.parametrize("name", WINDOWED)
def test_the_smallest_registers_that_suffice_are_proved(name):
    assert certificate(program(name, membrane_bits=5)).proved == (True, True)
    assert certificate(program(name, membrane_bits=4)).proved == (False, False)


@pytest.mark.parametrize("name", WINDOWED)
def test_blocks_are_proved_one_by_one(name):
    made = program(name, membrane_bits=8, weights=[100, 1, -2, 2, 1, 2])
    assert certificate(made).proved == (False, True)
    assert not Simulator(made).run([[1, 1]]).windowed


def test_a_membrane_exactly_at_the_limit_is_proved():
    at_limit = program("rate-sync", membrane_bits=8, v0=[127 - 9, -1])
    assert certificate(at_limit).proved[0]
    above = program("rate-sync", membrane_bits=8, v0=[127 - 8, -1])
    assert not certificate(above).proved[0]
    result = Simulator(above).run([[3, 0]])
    assert result.saturations > 0


def test_signed_sources_count_in_both_directions():
    made = program("rate-sync", membrane_bits=5)
    assert certificate(with_column(made, 0, signed=1)).proved == (False, True)


@pytest.mark.parametrize("name", WINDOWED)
@pytest.mark.parametrize(
    ("row", "columns"),
    [
        (1, {"fire_start": -1}),  # before everything has arrived
        (1, {"steps": -1}),  # too short for its values
        (0, {"steps": -1}),
        (0, {"fire_start": 20}),  # outside the sample
        (1, {"signed": 2}),
        (2, {"fire_start": -1}),
    ],
)
def test_programs_that_are_out_of_time_are_not_proved(name, row, columns):
    made = program(name)
    made = with_column(made, row, **{c: int(made.column(c)[row]) + d for c, d in columns.items()})
    assert not certificate(made).windowed
    assert not Simulator(made).run([[3, 1]]).windowed


def test_a_phase_that_starts_early_is_not_proved():
    """Its digits would double once more before the window ends."""
    made = program("phase", window_starts=(0, 3, 5), total_steps=6)
    late = with_column(with_column(made, 1, fire_start=3), 2, fire_start=5)
    assert not certificate(late).windowed
    assert certificate(with_column(late, 0, fire_start=1)).windowed


def test_a_ttfs_that_starts_early_is_not_proved():
    """Its spikes would count once more before the window ends, and those of the step before not at all."""
    made = program("ttfs", window_starts=(0, 4, 7), total_steps=8)
    late = with_column(with_column(made, 1, fire_start=4), 2, fire_start=7)
    assert not certificate(late).windowed
    assert certificate(with_column(late, 0, fire_start=1)).windowed


def test_a_delay_that_misses_the_window_is_not_proved():
    made = program("rate-sync")
    routes = made.arrays["routes"].copy()
    routes[1, 4] = 2
    assert certificate(made.with_arrays(routes=routes)).proved == (True, False)


def test_a_threshold_of_zero_is_not_proved():
    assert certificate(program("phase", theta=[0, 1])).proved[0] is False


@pytest.mark.parametrize("name", [*WINDOWED, "rate"])
def test_random_networks_on_wide_registers_are_proved(name):
    for seed in range(5):
        made = replace(_assembled(seed, name), membrane_bits=40)
        assert all(certificate(made).proved)


def test_rate_is_never_windowed():
    assert not certificate(_assembled(1, "rate")).windowed


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from([*WINDOWED, "rate"]),
    bits=st.integers(3, 7),
    weights=st.lists(st.integers(-9, 9), min_size=6, max_size=6),
    v0=st.lists(st.integers(-8, 8), min_size=2, max_size=2),
    theta=st.integers(1, 9),
    signed=st.tuples(st.integers(0, 1), st.integers(0, 1)),
)
def test_what_is_proved_never_saturates(name, bits, weights, v0, theta, signed):
    made = program(
        name, membrane_bits=bits, weights=weights, v0=v0, theta=[theta, 1], current=[v0[1], -v0[0]]
    )
    made = with_column(with_column(made, 0, signed=signed[0]), 1, signed=signed[1])
    x = np.array([[a, b] for a in range(-3, 4) for b in range(-3, 4)])
    result = Simulator(made).run(x, literal=True)
    if all(certificate(made).proved):
        assert result.saturations == 0


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), name=st.sampled_from([*WINDOWED, "rate"]), bits=st.integers(8, 16))
def test_proved_networks_never_saturate_under_full_scale_inputs(seed, name, bits):
    made = replace(_assembled(seed, name), membrane_bits=bits)
    if all(certificate(made).proved):
        samples = random_samples(random_network(seed, levels=3), seed, 4)
        assert Simulator(made).run(samples, literal=True).saturations == 0


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    bits=st.integers(8, 16),
    reset=st.sampled_from(["subtract", "zero"]),
    floor=st.sampled_from([None, 0]),
    compares=st.sampled_from(["step", "event"]),
)
def test_what_is_proved_of_other_neurons_never_saturates(seed, bits, reset, floor, compares):
    target = boundless_target(
        dynamics=Dynamics(reset, floor, compares),
        signed_spikes=False,
        input_encodings=("spikes",),
        readout=("spikes",),
    )
    network = random_network(seed, levels=3, output_levels=3)
    made, spiking = placed_program(network, target, "rate", timesteps=255)
    made = replace(made, membrane_bits=bits)
    if all(certificate(made).proved):
        samples = random_samples(spiking.network, seed, 4)
        assert Simulator(made).run(samples, literal=True).saturations == 0


def test_a_membrane_that_forgets_needs_room_for_one_event_only():
    proved = []
    for dynamics in (Dynamics(), Dynamics("zero", 0, "event")):
        target = boundless_target(
            dynamics=dynamics, signed_spikes=False, input_encodings=("spikes",), readout=("spikes",)
        )
        target = replace(target, bias=None)
        made, _ = placed_program(suited_network(2, target, levels=15), target, "rate", timesteps=255)
        theta = int(made.arrays["theta"].max())
        room = (theta + 130).bit_length() + 1
        proved.append(all(certificate(replace(made, membrane_bits=room)).proved))
    assert proved == [False, True]


def _assembled(seed, name):
    target = boundless_target()
    code = coding(name)
    network = random_network(seed, levels=3)
    spiking = code.convert(network, target, input_encoding=code.input_encodings[0])
    return assemble(spiking, boundless_cores(spiking), target)
