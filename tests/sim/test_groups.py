"""Windows by lanes against the plain windows, the steps and integer division."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.codings import CODINGS
from nmcompiler.codings.rate_sync import RateSync
from nmcompiler.sim import Record, Simulator, kernels, lanes
from nmcompiler.sim.groups import tables
from nmcompiler.sim.lanes import CHUNK, FLOAT32, MODES, SHORT
from nmcompiler.testing.adversarial import ADVERSARIAL, adversarial_network
from nmcompiler.testing.networks import random_network, random_samples

from .handmade import dense, program
from .paths import ALL, assert_alike, by_groups, by_steps, by_windows, grid, with_copies
from .test_engine import assembled, assert_equals_reference, assert_same, placed

WINDOWED = sorted(name for name, code in CODINGS.items() if code.windowed)
SAMPLES = [1, 15, 16, 17, 33]


def assert_three_ways(made, x) -> dict:
    assert Simulator(made).certificate.windowed
    left = by_groups(made, x)
    assert_alike(left, by_windows(made, x))
    assert_alike(left, by_steps(made, x))
    return left


# --- what it computes -----------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    name=st.sampled_from(WINDOWED),
    samples=st.sampled_from(SAMPLES),
    fires_when=st.sampled_from(["ge", "gt"]),
)
def test_random_networks_are_the_same_three_ways(seed, name, samples, fires_when):
    network = random_network(seed)
    made = assembled(network, name, fires_when=fires_when)
    assert_three_ways(made, random_samples(network, seed, samples))


@pytest.mark.parametrize("kind", sorted(ADVERSARIAL))
@pytest.mark.parametrize("name", WINDOWED)
def test_adversarial_networks_are_the_same_three_ways(kind, name):
    network = adversarial_network(kind)
    assert_three_ways(assembled(network, name), random_samples(network, 3, 17))


@pytest.mark.parametrize("name", WINDOWED)
def test_hops_of_a_placed_network_are_the_same_three_ways(name):
    network = random_network(4)
    left = assert_three_ways(placed(network, name, neurons=40), random_samples(network, 4, 19))
    assert left["hops"][0].sum() > 0


@pytest.mark.parametrize("name", WINDOWED)
def test_bits_axon_types_and_copies_are_the_same_three_ways(name):
    assert_three_ways(*with_copies(name))


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(WINDOWED),
    seed=st.integers(0, 10_000),
    samples=st.sampled_from(SAMPLES),
    signed=st.tuples(st.integers(0, 1), st.integers(0, 1)),
    fires_when=st.sampled_from(["ge", "gt"]),
    shift=st.integers(0, 3),
)
def test_weights_of_any_size_are_the_same_three_ways(name, seed, samples, signed, fires_when, shift):
    rng = np.random.default_rng(seed)
    largest = 2 ** rng.integers(1, 16)
    weights = rng.integers(-largest, largest, (40, 11))
    made = dense(
        name, (15, 10), weights, rng.integers(-largest, largest, (11, 9)),
        theta=rng.integers(1, 99 * largest, 11), v0=rng.integers(-largest, largest, 11),
        signed=signed, fires_when=fires_when, shift=shift, membrane_bits=32,
    )  # fmt: skip
    assert_three_ways(made, grid(40, 15, samples, seed, bool(signed[0])))


@pytest.mark.parametrize("name", WINDOWED)
@pytest.mark.parametrize(
    ("weight", "chunk"), [(1, 128), (16, 8), (17, 0), (128, 0), (129, 0), (32767, 0), (-32768, 0)]
)
def test_products_are_added_in_sixteen_bits_only_as_far_as_eight_fit(name, weight, chunk):
    made = dense(
        name, (255, 3), np.full((300, 3), weight), np.eye(3, dtype=int), theta=2**30, membrane_bits=40,
        v0=[0, 2**29, 2**30 - 1], signed=(1, 1),
    )  # fmt: skip
    if abs(weight) * 300 * 255 >= 2**30:  # fewer inputs, or sums need more than 32 bits
        weights = np.full((100, 3), weight)
        made = dense(
            name, (255, 3), weights, np.eye(3, dtype=int), theta=2**28, membrane_bits=40, signed=(1, 1)
        )
    simulator = Simulator(made)
    links = simulator._groups.resting[: simulator._groups.blocks[1, lanes.RESTING_END]]
    assert links[:, CHUNK].tolist() == [chunk]
    assert links[:, CHUNK][0] * abs(weight) * 255 <= 32767
    assert not simulator._groups.blocks[1, SHORT]
    assert_three_ways(made, grid(simulator._loaded.blocks[0].n, 255, 16, signed=True))


@pytest.mark.parametrize("name", WINDOWED)
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("shift", [0, 2])
@pytest.mark.parametrize(("inputs", "short"), [(18, 1), (19, 0)])
def test_what_fits_sixteen_bits_altogether_is_kept_in_them(name, sign, shift, inputs, short):
    """18 inputs bring up to 18 · 7 · 260 = 32760 to the first neuron, half of it to the second."""
    weights = np.full((inputs, 3), 260) * sign
    weights[::2, 1] *= -1
    made = dense(
        name, (7, 15), weights, np.eye(3, dtype=int), theta=2185 << shift, v0=[0, 5000, -9000], signed=(0, 1),
        shift=shift, membrane_bits=32,
    )  # fmt: skip
    assert Simulator(made)._groups.blocks[1, SHORT] == short
    x = grid(inputs, 7, 17)
    left = assert_three_ways(made, x)
    reached = np.array([0, 5000, -9000]) + ((x.astype(int) @ weights) << shift)
    assert np.array_equal(left["membranes"][1], reached)


def test_links_keep_their_columns():
    simulator = Simulator(program("phase"))
    loaded = simulator._loaded
    links = simulator._groups.resting[: simulator._groups.blocks[1, lanes.RESTING_END]]
    kept = ("SOURCE", "FIRST", "AXONS", "PATTERN", "INTO", "WEIGHT", "WEIGHT_STRIDE", "TARGET_STRIDE")
    for name in kept:
        ours, theirs = links[:, getattr(lanes, name)], loaded.links_of(1)[:, getattr(kernels, name)]
        assert np.array_equal(ours, theirs), name


@pytest.mark.parametrize("name", WINDOWED)
def test_nothing_but_what_is_recorded_depends_on_the_record(name):
    """Membranes that are kept have places of their own, all others share one."""
    network = random_network(7)
    made = assembled(network, name)
    x = random_samples(network, 7, 33)
    full = by_groups(made, x)
    assert [m.any() for m in full["membranes"]].count(True) >= 2
    for record in (Record(), Record(values=True), Record(membranes=True)):
        left = by_groups(made, x, record)
        for field in ("outputs", "spikes per neuron"):
            assert all(np.array_equal(a, b) for a, b in zip(left[field], full[field], strict=True))
        for field, kept in (("values", record.values), ("membranes", record.membranes)):
            pairs = zip(left[field] or (), full[field] if kept else (), strict=True)
            assert all(np.array_equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("name", WINDOWED)
@pytest.mark.parametrize("samples", SAMPLES)
def test_a_run_by_lanes_equals_a_run_by_plain_windows(name, samples, monkeypatch):
    network = random_network(9)
    made, x = assembled(network, name), random_samples(network, 9, samples)
    monkeypatch.setattr("nmcompiler.sim.engine._GROUPED_SAMPLES", 16)
    lanes = Simulator(made).run(x, record=ALL, threads=2)
    monkeypatch.setattr("nmcompiler.sim.engine.tables", lambda *_: None)
    assert_same(lanes, Simulator(made).run(x, record=ALL))


# --- the quotient -----------------------------------------------------------------------------------------


def quotients(theta, levels, v0, signed, fires_when):
    """Values that neurons of these thresholds and membranes send, and which floats they are divided in."""
    made = dense(
        "graded", (1, levels), np.zeros((1, len(v0)), int), np.zeros((len(v0), 1), int),
        theta=theta, v0=v0, signed=(0, signed), fires_when=fires_when, membrane_bits=40,
    )  # fmt: skip
    single = bool(Simulator(made)._groups.blocks[1, FLOAT32])
    return by_groups(made, np.zeros((1, 1)))["values"][1][0], single


def assert_divides(theta, levels, v0, single, signed=1, fires_when="ge"):
    above = int(fires_when == "gt")
    v0 = np.asarray(v0, np.int64)
    # A signed membrane may be turned over, and has to fit 32 bits then too.
    v0 = v0[np.abs(v0) <= 2**31 - 3 - signed * theta]
    found, in_single = quotients(theta, levels, v0 + above, signed, fires_when)
    assert in_single == single
    lowest = -levels if signed else 0
    assert np.array_equal(found, np.clip(v0 // theta, lowest, levels))


def around_multiples(theta, levels):
    k = np.arange(-levels - 2, levels + 3)
    return np.unique(k[:, None] * theta + np.array([-1, 0, 1, theta // 2]))


@pytest.mark.parametrize("fires_when", ["ge", "gt"])
@pytest.mark.parametrize("signed", [0, 1])
@pytest.mark.parametrize("levels", [1, 2, 3, 10, 255, 256, 4095, 32767])
def test_the_largest_thresholds_of_short_floats_divide_exactly(levels, signed, fires_when):
    largest = (2**21 - 1) // (levels + 2)
    assert_divides(largest, levels, around_multiples(largest, levels), True, signed, fires_when)
    assert_divides(largest + 1, levels, around_multiples(largest + 1, levels), False, signed, fires_when)


@settings(max_examples=25, deadline=None)
@given(theta=st.integers(1, 2**20), levels=st.integers(1, 32767), signed=st.integers(0, 1), data=st.data())
def test_every_quotient_is_the_floor(theta, levels, signed, data):
    """Membranes at and around multiples of θ, as far as 32 bits go, and beyond what is clipped."""
    most = min(levels + 2, (2**31 - 2) // theta)
    k = np.array(data.draw(st.lists(st.integers(-most, most), min_size=1, max_size=200)))
    around = k[:, None] * theta + np.array([-1, 0, 1, theta - 1])
    v0 = np.concatenate([around.reshape(-1), [2**31 - 2, -(2**31) + 2, 2**24 + 1, -(2**24) - 1]])
    assert_divides(theta, levels, v0, (levels + 2) * theta < 2**21, signed)


@pytest.mark.parametrize(("theta", "levels"), [(1, 255), (3, 1000), (7, 32767), (63, 32767), (8191, 254)])
def test_every_membrane_of_some_thresholds_is_divided_exactly(theta, levels):
    reach = min((levels + 3) * theta, 300_000)
    assert_divides(theta, levels, np.arange(-reach, reach + 1), True)


@pytest.mark.parametrize("theta", [2**21, 2**24 + 1, 2**30 - 1, 2**30, 2**31 - 2, 2**40])
def test_thresholds_too_large_for_short_floats_divide_exactly(theta):
    v0 = np.array([k * theta + d for k in (-2, -1, 0, 1, 2) for d in (-1, 0, 1)])
    assert_divides(theta, 3, v0, False, signed=int(theta < 2**30))


def test_thresholds_of_one_block_may_be_of_any_size():
    rng = np.random.default_rng(0)
    theta = 2 ** rng.integers(0, 30, 500) + rng.integers(0, 2, 500)
    v0 = np.clip(rng.integers(-9, 10, 500) * theta + rng.integers(-1, 2, 500), -(2**30), 2**30)
    found, single = quotients(theta, 7, v0, 1, "ge")
    assert not single
    assert np.array_equal(found, np.clip(v0 // theta, -7, 7))


# --- what it leaves to the plain loops --------------------------------------------------------------------


def assert_plain(made, x):
    assert Simulator(made)._groups is None
    result = assert_equals_reference(made, {"x": x})
    assert result.windowed


def test_values_beyond_sixteen_bits_run_by_plain_loops():
    widest = dense("graded", (32767, 32767), [[1, -2], [3, 1]], [[1], [2]])
    assert_three_ways(widest, grid(2, 32767, 17))
    for levels in ((32768, 3), (3, 32768)):
        assert_plain(dense("graded", levels, [[9000, -2], [9000, 1]], [[1], [2]], membrane_bits=40),
                     grid(2, levels[0], 17))  # fmt: skip


@pytest.mark.parametrize("name", WINDOWED)
@pytest.mark.parametrize("start", [2**31 - 3, -(2**31) - 2])
def test_sums_beyond_thirty_two_bits_run_by_plain_loops(name, start):
    weights = [[1, 1], [0, 1]]
    x = grid(2, 3, 17)
    within = start - 3 if start > 0 else start + 3
    for v0, fits in ((start, False), (within, True)):
        made = dense(name, (3, 3), weights, [[1], [2]], v0=[v0, 0], theta=2**30 - 1, membrane_bits=40)
        if fits:
            assert_three_ways(made, x)
        else:
            assert_plain(made, x)


@pytest.mark.parametrize("start", [-(2**31), -(2**31) + 1])
def test_the_lowest_membrane_of_a_chip_that_fires_above_is_no_positive_one(start):
    made = dense("phase", (3, 3), [[3, 1]], [[1], [2]], v0=[start, 0], membrane_bits=40, fires_when="gt")
    assert (Simulator(made)._groups is None) == (start == -(2**31))
    result = Simulator(made).run(grid(1, 3, 17), record=ALL)
    assert result.windowed
    assert_equals_reference(made, {"x": grid(1, 3, 17)})
    assert not result.values[1][:, 0].any()


class _Twice(RateSync):
    """A code whose values take two spikes and one more for each level: none that lanes can count."""

    def spikes_per_value(self, levels):
        return 2 + np.arange(levels + 1)


def test_spikes_that_are_counted_otherwise_run_by_plain_loops(monkeypatch):
    made, x = program("rate-sync"), np.array([[a, b] for a in range(4) for b in range(4)])
    usual = Simulator(made).run(x, record=ALL)
    other = Simulator(made)
    loaded = replace(other._loaded, coding=_Twice())
    assert tables(loaded, other._reach) is None
    monkeypatch.setattr("nmcompiler.sim.engine.load", lambda _: loaded)
    result = Simulator(made).run(x, record=ALL, check=False)
    assert result.windowed
    for field in ("outputs", "values", "membranes"):
        pairs = zip(getattr(usual, field), getattr(result, field), strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs)
    assert np.array_equal(result.spikes_per_neuron[:4], usual.spikes_per_neuron[:4] + 2 * len(x))


@pytest.mark.parametrize("name", WINDOWED)
@pytest.mark.parametrize("levels", [3, 200])
def test_spikes_are_counted_as_the_code_says(name, levels):
    made = dense(name, (levels, levels), [[3, 1], [-2, 2]], [[1], [2]])
    ready = Simulator(made)._groups
    q = np.arange(levels + 1)
    counted = {"popcount": np.bitwise_count(q), "value": q, "one": np.minimum(q, 1)}[MODES[ready.mode]]
    assert np.array_equal(counted, CODINGS[name].spikes_per_value(levels))


def test_a_program_without_links_runs_by_lanes():
    made = program("phase")
    silent = made.with_arrays(routes=made.arrays["routes"][:0])
    left = assert_three_ways(silent, grid(2, 3, 17))
    assert not left["synops"][0].any()
