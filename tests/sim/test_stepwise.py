"""Steps block after block, against the plain steps and the slow model."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.codings import CODINGS
from nmcompiler.codings.rate import Rate
from nmcompiler.program.assemble import assemble, boundless_cores
from nmcompiler.sim import Simulator, rows
from nmcompiler.sim.jit import jit
from nmcompiler.sim.literal import run_literally
from nmcompiler.sim.stepwise import run_steps
from nmcompiler.target.model import Dynamics
from nmcompiler.testing import adversarial_network, boundless_target
from nmcompiler.testing.networks import random_network, random_samples

from .handmade import dense, program, with_column
from .paths import ALL, TRAINS, assert_alike, by_rows, by_steps, grid, left_by, with_copies
from .test_engine import assembled, assert_equals_reference, assert_same

CODES = sorted(CODINGS)
GRID = np.array([[a, b] for a in range(4) for b in range(4)])


def drawn(name, seed, bits, **changes):
    """Registers that few values leave unclipped: five inputs, nine neurons, three read-outs."""
    rng = np.random.default_rng(seed)
    reach = 2 ** (bits - 1)
    weights = rng.integers(-min(reach, 2**15 - 1), min(reach, 2**15 - 1), (5, 9)) // 4
    options = {
        "theta": rng.integers(1, max(2, reach // 3), 9),
        "v0": rng.integers(-reach // 2, reach // 2, 9),
        "current": [*rng.integers(-reach // 8, reach // 8 + 1, 9), 3],
        "membrane_bits": bits,
    }
    return dense(name, (5, 7), weights, rng.integers(-99, 100, (9, 3)), **(options | changes))


def without_rows(made, x, **options):
    """Asserts that the program is refused and that it runs by plain loops all the same."""
    assert Simulator(made)._steps is None
    assert_equals_reference(made, {"x": x}, literal=True, **options)


def assert_same_by_any_number(made, x=GRID):
    whole = Simulator(made).run(x, record=ALL, literal=True)
    alone = [Simulator(made).run(x[s : s + 1], record=ALL, literal=True) for s in range(len(x))]
    for field in ("outputs", "values", "membranes"):
        rows = zip(getattr(whole, field), *(getattr(r, field) for r in alone), strict=True)
        assert all(np.array_equal(a, np.concatenate(b)) for a, *b in rows), field
    assert np.array_equal(whole.spikes_per_neuron, sum(r.spikes_per_neuron for r in alone))
    assert whole.saturations == sum(r.saturations for r in alone)


# --- what it computes -----------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(
    name=st.sampled_from(CODES),
    seed=st.integers(0, 10_000),
    bits=st.integers(8, 24),
    signed=st.tuples(st.integers(0, 1), st.integers(0, 1)),
    above=st.booleans(),
    delay=st.integers(1, 5),
    shift=st.integers(0, 3),
)
def test_narrow_registers_are_clipped_as_in_the_plain_steps(name, seed, bits, signed, above, delay, shift):
    fires_when = "gt" if above else "ge"
    made = drawn(name, seed, bits, signed=signed, fires_when=fires_when, delay=delay, shift=shift)
    x = grid(5, 5, 32, seed, bool(signed[0]))
    assert_alike(by_rows(made, x), by_steps(made, x, TRAINS))


@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize("bits", [8, 24])
def test_clipped_registers_are_counted(name, bits):
    made = drawn(name, 1, bits, signed=(1, 1), v0=np.full(9, 2 ** (bits - 1) - 2))
    left = by_rows(made, grid(5, 5, 16, signed=True))
    assert left["saturations"][0] > 0
    assert_alike(left, by_steps(made, grid(5, 5, 16, signed=True), TRAINS))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    bits=st.integers(8, 24),
    dynamics=st.builds(
        Dynamics, reset=st.sampled_from(["subtract", "zero"]), floor=st.sampled_from([None, 0, -3, 2])
    ),
    signed=st.tuples(st.integers(0, 1), st.integers(0, 2)),
    above=st.booleans(),
    waits=st.integers(0, 6),
)
def test_rate_with_all_that_neurons_may_do(seed, bits, dynamics, signed, above, waits):
    fires_when = "gt" if above else "ge"
    made = drawn("rate", seed, bits, signed=signed, dynamics=dynamics, fires_when=fires_when)
    made = with_column(replace(made, total_steps=made.total_steps + waits), 1, fire_start=1 + waits)
    x = grid(5, 5, 16, seed, bool(signed[0]))
    assert_alike(by_rows(made, x), by_steps(made, x, TRAINS))


def test_spikes_that_are_taken_back_are_among_them():
    """Or the test above would not see them."""
    made = drawn("rate", 3, 16, signed=(1, 2), theta=4, v0=2, current=[0] * 10)
    trains = by_rows(made, grid(5, 5, 16, signed=True))["trains"]
    assert (trains[1] < 0).any()
    assert (trains[1].sum(axis=1) >= 0).all()


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), name=st.sampled_from(CODES), bits=st.sampled_from([24, 11]))
def test_random_networks_equal_the_plain_steps(seed, name, bits):
    network = random_network(seed)
    made = replace(assembled(network, name), membrane_bits=bits)
    x = random_samples(network, seed, 16)
    assert_alike(by_rows(made, x), by_steps(made, x, TRAINS))


@pytest.mark.parametrize("name", CODES)
def test_bits_axon_types_and_copies_equal_the_plain_steps(name):
    made, x = with_copies(name)
    x = {port: samples[:32] for port, samples in x.items()}
    assert_alike(by_rows(made, x), by_steps(made, x, TRAINS))


@pytest.mark.parametrize("settle", [0, 2])
@pytest.mark.parametrize("kind", ["long-skip", "mixed-levels", "ties"])
def test_skips_that_are_delayed_arrive_when_they_should(kind, settle):
    network = adversarial_network(kind)
    target = boundless_target(signed_spikes=True)
    spiking = Rate(settle).convert(network, target, input_encoding="current")
    made = assemble(spiking, boundless_cores(spiking), target)
    x = random_samples(network, 1, 16)
    assert_alike(by_rows(made, x), by_steps(made, x, TRAINS))


@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize("delay", [2, 5, 2**31 - 1])
def test_delays_that_the_code_does_not_expect_are_executed_as_written(name, delay):
    made = program(name)
    routes = made.arrays["routes"].copy()
    routes[0, 4] = delay
    late = made.with_arrays(routes=routes)
    assert_alike(by_rows(late, GRID), by_steps(late, GRID, TRAINS))
    assert_equals_reference(late, {"x": GRID}, literal=True)


def test_two_delays_from_one_block_arrive_apart():
    made = program("rate", total_steps=9)
    routes = np.concatenate([made.arrays["routes"], [[0, 2, 0, 0, 3]]]).astype(np.int32)
    made = made.with_arrays(routes=routes)
    assert_alike(by_rows(made, GRID), by_steps(made, GRID, TRAINS))
    assert_equals_reference(made, {"x": GRID}, literal=True)


@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize("samples", [1, 15, 64, 65])
def test_every_number_of_samples_is_run_block_after_block(name, samples, monkeypatch):
    made, x = drawn(name, 2, 12, signed=(1, 1)), grid(5, 5, samples, signed=True)
    slow = by_steps(made, x, TRAINS)

    def plain(*_):
        raise AssertionError("plain steps")

    monkeypatch.setattr("nmcompiler.sim.engine.run_literally", plain)
    result = Simulator(made).run(x, record=TRAINS, literal=True)
    for field in ("outputs", "values", "membranes", "trains"):
        assert all(np.array_equal(a, b) for a, b in zip(getattr(result, field), slow[field], strict=True))
    assert np.array_equal(result.spikes_per_neuron, slow["spikes per neuron"][0])
    assert result.saturations == slow["saturations"][0]


def test_samples_of_a_tile_may_begin_anywhere():
    made, x = drawn("phase", 2, 12), grid(5, 5, 40)
    loaded = Simulator(made)._loaded

    def in_three_parts(steps, encoded, rows, store):
        run_literally(loaded, encoded, slice(0, 7), store)
        run_steps(steps, encoded, slice(7, 39), store)
        return run_literally(loaded, encoded, slice(39, 40), store)

    whole, parts = by_steps(made, x), left_by(in_three_parts, Simulator(made)._steps, made, x, ALL)
    for name in ("outputs", "values", "membranes"):
        assert all(np.array_equal(a, b) for a, b in zip(parts[name], whole[name], strict=True)), name


@pytest.mark.parametrize("name", CODES)
def test_lanes_and_plain_loops_give_one_result(name, monkeypatch):
    """Whole runs, tiles and counters included."""
    made, x = drawn(name, 4, 14), grid(5, 5, 150)
    lanes = Simulator(made).run(x, record=TRAINS, literal=True, threads=2)
    monkeypatch.setattr("nmcompiler.sim.engine.steps_of", lambda *_: None)
    assert_same(lanes, Simulator(made).run(x, record=TRAINS, literal=True))


@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize("bits", [24, 11])
def test_a_code_that_promises_nothing_executes_every_step(name, bits, monkeypatch):
    made, x = drawn(name, 5, bits, signed=(1, 1)), grid(5, 5, 16, signed=True)
    promised = by_rows(made, x)
    monkeypatch.setattr(type(CODINGS[name]), "keeps", False)
    assert not Simulator(made)._steps.limits[rows.KEEPS]
    assert_alike(by_rows(made, x), promised)


def test_samples_of_any_layout_take_one_compilation():
    made, x = drawn("phase", 5, 24), grid(5, 5, 16)
    whole = Simulator(made).run(x, literal=True, record=ALL)
    kernel = jit(rows.run_steps)
    before = len(kernel.signatures)
    other = Simulator(made).run(np.asfortranarray(x), literal=True, record=ALL)
    one = Simulator(made).run(x[:1], literal=True, record=ALL)
    assert len(kernel.signatures) == before
    assert_same(whole, other)
    assert np.array_equal(one.outputs[0], whole.outputs[0][:1])


# --- what it leaves to the plain loops --------------------------------------------------------------------


def test_chips_that_compare_every_event_run_by_plain_loops():
    made = program("rate", dynamics=Dynamics("zero", 0, "event"))
    assert Simulator(made)._steps is None
    small = Simulator(made).run(GRID[:5], record=ALL)
    large = Simulator(made).run(np.tile(GRID[:5], (4, 1)), record=ALL)
    assert np.array_equal(large.values[1], np.tile(small.values[1], (4, 1)))


@pytest.mark.parametrize("source", [2, 4])
def test_blocks_that_feed_themselves_or_earlier_ones_run_by_plain_loops(source):
    """Neurons that feed themselves, and a read-out with levels that feeds the neurons before it."""
    made = with_column(program("rate", total_steps=9), 2, levels=3, steps=3)
    routes = np.concatenate([made.arrays["routes"], [[source, 1, 0, 0, 2]]]).astype(np.int32)
    without_rows(made.with_arrays(routes=routes), GRID)


@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize(
    "wide", [{"v0": [2**28, -1]}, {"v0": [-(2**28), -1]}, {"theta": [2**28, 1]}, {"theta": [2**26, 1]}]
)
def test_registers_beyond_twenty_eight_bits_run_by_plain_loops(name, wide):
    without_rows(program(name, membrane_bits=45, **wide), GRID)


def test_currents_beyond_twenty_eight_bits_run_by_plain_loops():
    without_rows(program("rate", membrane_bits=45, current=[-(2**28), 0]), GRID)


def test_values_beyond_sixteen_bits_run_by_plain_loops():
    made = dense("graded", (40_000, 3), [[1, -2], [3, 1]], [[1], [2]], theta=9000)
    without_rows(made, grid(2, 40_000, 17))


@pytest.mark.parametrize("name", ["phase", "ttfs", "rate-sync"])
def test_registers_just_below_the_limit_run_by_rows(name):
    largest = 2**28 - 1 - 3 * 32767
    made = dense(
        name, (3, 3), [[32767, 1]], [[1], [2]], v0=[largest, -largest], theta=2**25, membrane_bits=45
    )
    x = grid(1, 3, 16)
    assert_alike(by_rows(made, x), by_steps(made, x, TRAINS))


# --- spikes at other times than the code's --------------------------------------------------------------


@pytest.mark.parametrize("bits", [32, 45])
def test_a_dendrite_that_no_window_ends_grows_beyond_thirty_two_bits(bits):
    """What blocks can reach says nothing of spikes that come at the wrong time."""
    made = program("phase", membrane_bits=bits, window_starts=(0,), total_steps=60)
    without_rows(made, GRID)
    narrow = replace(made, membrane_bits=24)
    assert_alike(by_rows(narrow, GRID), by_steps(narrow, GRID, TRAINS))


def test_arrivals_beyond_thirty_two_bits_are_lifted_to_a_floor():
    made = dense(
        "rate", (3, 3), [[-30_000, 1], [-20_000, 2]], [[1], [2]],
        shift=17, theta=2**17, dynamics=Dynamics("zero", 0), current=[0, 0, 0],
    )  # fmt: skip
    x = grid(2, 3, 16)
    assert Simulator(made)._steps is None
    result = Simulator(made).run(x, record=ALL)
    assert (result.values[1][:, 0] == 0).all()
    assert result.values[1][:, 1].any()
    assert result.saturations == 0


@pytest.mark.parametrize("floor", [-(2**20), -(2**40)])
def test_a_floor_below_all_registers_changes_nothing(floor):
    made = program("rate", dynamics=Dynamics("subtract", floor))
    plain = by_rows(program("rate"), GRID)
    assert_alike(by_rows(made, GRID), plain)


@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize("block", [0, 1])
@pytest.mark.parametrize("shifted", [-2, 6])
def test_what_fires_outside_the_sample_is_left_out(name, block, shifted):
    made = with_column(program(name), block, fire_start=shifted)
    made = replace(made, total_steps=7)
    assert_same_by_any_number(made)


@pytest.mark.parametrize("name", [c for c in CODES if c != "rate"])
def test_a_block_that_fires_for_longer_than_its_values_need_runs_by_plain_loops(name):
    """In ``graded`` it sends what changes: up to twice its levels, or a change that 16 bits cannot hold."""
    made = with_column(program(name, total_steps=50), 1, steps=40)
    without_rows(made, GRID)


def test_a_change_of_twice_the_levels_is_exact():
    weights, back = np.full((2, 2), 127), np.full((2, 1), 127)
    made = dense("graded", (255, 255), weights, back, v0=-3000, theta=10, signed=(1, 1))
    made = with_column(made, 1, fire_start=0, steps=2)
    assert_same_by_any_number(made, grid(2, 255, 33, signed=True))
