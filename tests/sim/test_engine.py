"""The simulator against answers by hand, a slow model, and the integer network."""

import time
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.codings import CODINGS, coding
from nmcompiler.errors import InputFileError, NotVerified, UsageError
from nmcompiler.evaluate.integer import run_integer
from nmcompiler.ir.cores import Traffic
from nmcompiler.mapping import MapOptions, map_network
from nmcompiler.program.assemble import assemble, boundless_cores
from nmcompiler.program.layout import Program
from nmcompiler.sim import Record, RunResult, Simulator, decode, encode
from nmcompiler.sim import engine as engine_module
from nmcompiler.testing import boundless_target, tiny_target
from nmcompiler.testing.adversarial import ADVERSARIAL, adversarial_network
from nmcompiler.testing.networks import random_network, random_samples

from . import reference
from .handmade import block, program, with_column

ALL = Record(values=True, membranes=True)
WINDOWED = tuple(name for name, code in CODINGS.items() if code.windowed)


def by_gid(made: Program, result: RunResult, sample: int, membranes: bool) -> dict[int, int]:
    """What was recorded of one sample, by number of the neuron."""
    arrays = result.membranes if membranes else result.values
    found = {}
    for b in Simulator(made)._loaded.blocks:
        for i, position in enumerate(b.positions.tolist()):
            found[b.gid0 + i] = int(arrays[b.population][sample, position])
    return found


def assert_equals_reference(made: Program, x: dict, **options) -> RunResult:
    result = Simulator(made).run(x, record=ALL, **options)
    inputs = [b for b in Simulator(made)._loaded.blocks if b.is_input]
    q = [{} for _ in range(result.samples)]
    for b, encoded in zip(inputs, encode(made, x), strict=True):
        for s, row in enumerate(encoded.tolist()):
            q[s] |= {b.gid0 + i: v for i, v in enumerate(row)}
    slow = reference.run(made, q)
    for s in range(result.samples):
        values = by_gid(made, result, s, False)
        assert values == {gid: slow.values[s].get(gid, 0) for gid in values}
        reached = by_gid(made, result, s, True)
        assert {gid: reached[gid] for gid in slow.membranes[s]} == slow.membranes[s]
    assert int(result.spikes.sum()) == slow.spikes == int(result.spikes_per_block.sum())
    assert (result.synops, result.hops, result.saturations) == (slow.synops, slow.hops, slow.saturations)
    return result


def assert_same(a: RunResult, b: RunResult) -> None:
    for name in ("outputs", "values", "membranes"):
        assert all(np.array_equal(x, y) for x, y in zip(getattr(a, name), getattr(b, name), strict=True)), (
            name
        )
    for name in ("spikes", "spikes_per_block", "synops_per_block", "hops_per_block"):
        assert np.array_equal(getattr(a, name), getattr(b, name)), name
    assert (a.synops, a.hops, a.saturations) == (b.synops, b.hops, b.saturations)


def converted(network, name, target):
    code = coding(name)
    return code.convert(network, target, input_encoding=code.input_encodings[0])


def assembled(network, name, **changes) -> Program:
    target = boundless_target(**changes)
    spiking = converted(network, name, target)
    return assemble(spiking, boundless_cores(spiking), target)


# --- by hand ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WINDOWED)
@pytest.mark.parametrize("literal", [False, True])
def test_two_neurons_give_the_answer_computed_by_hand(name, literal):
    result = Simulator(program(name)).run(np.array([[3, 1], [0, 3], [1, 0]]), record=ALL, literal=literal)
    # membranes 2 + 3·a − 2·b and 2 + a + 2·b, values ⌊v / 4⌋ within 0 … 3, read-out −1 + p + 2·q
    assert result.membranes[1].tolist() == [[9, 7], [-4, 8], [5, 3]]
    assert result.values[0].tolist() == [[3, 1], [0, 3], [1, 0]]
    assert result.values[1].tolist() == [[2, 1], [0, 2], [1, 0]]
    assert result.outputs[0].tolist() == [[3], [3], [0]]
    assert result.windowed is not literal
    assert result.literal_samples == (3 if literal else 2)


def test_counters_by_hand():
    result = Simulator(program("rate-sync")).run(np.array([[3, 1]]))
    assert result.spikes.tolist() == [4, 3, 0]
    # an input spike reaches both neurons, a neuron's spike the read-out
    assert result.synops_per_block.tolist() == [8, 3, 0]
    # from (0, 0) to (0, 1) one link; from (0, 1) to (2, 3) two along the row and two along the column
    assert result.hops_per_block.tolist() == [4, 12, 0]


def test_outputs_are_decoded_to_the_units_of_the_network():
    made = program("phase")
    (y,) = decode(made, Simulator(made).run(np.array([[3, 1], [1, 0]])).outputs)
    assert y.dtype == np.float32
    assert y.tolist() == [[1.5], [0.0]]


def test_a_train_holds_each_digit_in_its_step():
    result = Simulator(program("phase")).run(np.array([[3, 1]]), record=Record(trains=True))
    assert result.trains[0][0].tolist() == [[1, 0], [1, 1], [0, 0], [0, 0], [0, 0]]
    assert result.trains[1][0].tolist() == [[0, 0], [0, 0], [1, 0], [0, 1], [0, 0]]
    assert not result.windowed


@pytest.mark.parametrize("name", WINDOWED)
def test_a_chip_that_fires_above_the_threshold_starts_one_higher(name):
    ge = program(name)
    gt = program(name, fires_when="gt", v0=[3, 0])
    x = np.array([[a, b] for a in range(4) for b in range(4)])
    assert_same(Simulator(ge).run(x, record=ALL), Simulator(gt).run(x, record=ALL))
    assert_equals_reference(gt, {"x": x})


def test_two_routes_to_one_axon_add_up():
    made = program("phase")
    routes = np.concatenate([made.arrays["routes"], made.arrays["routes"][:1]])
    doubled = made.with_arrays(routes=routes)
    result = assert_equals_reference(doubled, {"x": np.array([[1, 0], [0, 1]])})
    assert result.membranes[1].tolist() == [[8, 4], [-2, 6]]


def test_a_dropped_route_silences_what_it_fed():
    made = program("phase")
    result = Simulator(made.with_arrays(routes=made.arrays["routes"][1:])).run([[3, 3]], record=ALL)
    assert result.membranes[1].tolist() == [[2, 2]]


@pytest.mark.parametrize("name", [*WINDOWED, "rate"])
@pytest.mark.parametrize("delay", [1, 2, 3, 2**31 - 1])
def test_longer_delays_are_executed_as_written(name, delay):
    made = program(name)
    routes = made.arrays["routes"].copy()
    routes[0, 4] = delay
    assert_equals_reference(made.with_arrays(routes=routes), {"x": np.array([[3, 1], [2, 3]])})


def test_a_block_may_feed_itself():
    """No network asks for it, but a mutated program may."""
    made = program("rate", total_steps=9)
    routes = np.concatenate([made.arrays["routes"], [[2, 2, 0, 0, 2]]]).astype(np.int32)
    assert_equals_reference(made.with_arrays(routes=routes), {"x": np.array([[3, 1], [2, 3]])})


@pytest.mark.parametrize("signed", [0, 1, 2])
@pytest.mark.parametrize("encoding", ["current", "spikes"])
def test_rate_equals_the_slow_model(signed, encoding):
    made = program("rate", current=[-1, 2], theta=[5, 1])
    made = with_column(made, 1, signed=signed, shift=1, steps=4)
    made = replace(made, inputs=(replace(made.inputs[0], encoding=encoding),), total_steps=12)
    x = np.array([[a, b] for a in range(4) for b in range(4)])
    assert_equals_reference(made, {"x": x})


# --- saturation -----------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from([*WINDOWED, "rate"]),
    bits=st.integers(3, 9),
    weights=st.lists(st.integers(-9, 9), min_size=6, max_size=6),
    signed=st.integers(0, 1),
    fires_when=st.sampled_from(["ge", "gt"]),
)
def test_every_clipped_register_is_counted(name, bits, weights, signed, fires_when):
    made = program(name, membrane_bits=bits, weights=weights, fires_when=fires_when, current=[3, -2])
    made = with_column(with_column(made, 1, signed=signed), 0, signed=signed)
    x = np.array([[3, 3], [-3, 3], [-3, -3], [1, 2]])
    result = assert_equals_reference(made, {"x": x})
    assert result.windowed is False or result.saturations == 0


def test_narrow_registers_do_saturate():
    result = Simulator(program("rate-sync", membrane_bits=3)).run(np.array([[3, 1]]))
    assert result.saturations > 0
    assert not result.windowed


# --- networks -------------------------------------------------------------------------------------------


def assert_equals_network(network, made, samples, result) -> None:
    """Compares values and membranes at firing of every population with the golden executor."""
    golden = run_integer(network, samples, record=True)
    for number, population in enumerate(network.graph):
        pairs = []
        if population.role != "readout":
            pairs.append((result.values[number], golden.values[population.name]))
        if population.role != "input":
            pairs.append((result.membranes[number], golden.membranes[population.name]))
        for ours, theirs in pairs:
            assert np.array_equal(ours, theirs.reshape(result.samples, -1)), population.name


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), name=st.sampled_from(WINDOWED), fires_when=st.sampled_from(["ge", "gt"]))
def test_both_paths_equal_the_integer_network(seed, name, fires_when):
    network = random_network(seed)
    made = assembled(network, name, fires_when=fires_when)
    samples = random_samples(network, seed, 5)
    windowed = Simulator(made).run(samples, record=ALL)
    literal = Simulator(made).run(samples, record=ALL, literal=True)
    assert windowed.windowed
    assert_same(windowed, literal)
    assert literal.saturations == 0
    assert_equals_network(network, made, samples, windowed)


@pytest.mark.parametrize("kind", sorted(ADVERSARIAL))
@pytest.mark.parametrize("name", WINDOWED)
def test_both_paths_equal_adversarial_networks(kind, name):
    network = adversarial_network(kind)
    made = assembled(network, name)
    samples = random_samples(network, 3, 6)
    windowed = Simulator(made).run(samples, record=ALL)
    assert_same(windowed, Simulator(made).run(samples, record=ALL, literal=True))
    assert_equals_network(network, made, samples, windowed)


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10_000), name=st.sampled_from([*WINDOWED, "rate"]), bits=st.sampled_from([24, 9]))
def test_random_networks_equal_the_slow_model(seed, name, bits):
    network = random_network(seed, levels=3)
    made = replace(assembled(network, name), membrane_bits=bits)
    assert_equals_reference(made, random_samples(network, seed, 1))


def placed(network, name, **limits) -> Program:
    target = tiny_target(**limits)
    spiking = converted(network, name, target)
    traffic = Traffic({p.name: np.ones(p.shape) for p in network.graph})
    return assemble(spiking, map_network(spiking, target, traffic, MapOptions(moves=0, atom_moves=0)), target)


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10_000), name=st.sampled_from(WINDOWED))
def test_placed_on_many_cores_only_hops_are_added(seed, name):
    network = random_network(seed)
    samples = random_samples(network, seed, 3)
    one = assembled(network, name)
    many = placed(network, name, neurons=40, rows=32, columns=32)
    alone, spread = (Simulator(made).run(samples, record=ALL) for made in (one, many))
    for field in ("outputs", "values", "membranes"):
        pairs = zip(getattr(alone, field), getattr(spread, field), strict=True)
        assert all(np.array_equal(x, y) for x, y in pairs), field
    assert np.array_equal(alone.spikes, spread.spikes)
    assert alone.synops == spread.synops
    assert_same(spread, Simulator(many).run(samples, record=ALL, literal=True))


@pytest.mark.parametrize("name", [*WINDOWED, "rate"])
def test_a_placed_network_equals_the_slow_model(name):
    network = random_network(4, levels=3)
    made = placed(network, name, neurons=32)
    result = assert_equals_reference(made, random_samples(network, 4, 1))
    assert result.hops > 0


@pytest.mark.parametrize("name", WINDOWED)
@pytest.mark.parametrize("start", [2**31, -(2**31) - 2, 2**40])
def test_membranes_beyond_thirty_two_bits_are_exact(name, start):
    made = program(name, membrane_bits=45, v0=[start, -1], theta=[2**30 + 1, 1])
    result = assert_equals_reference(made, {"x": np.array([[3, 1], [0, 3]])})
    assert result.windowed


def without_lanes(monkeypatch) -> None:
    """All runs go by plain loops."""
    monkeypatch.setattr(engine_module, "tables", lambda *_: None)
    monkeypatch.setattr(engine_module, "steps_of", lambda *_: None)


@pytest.mark.parametrize("lanes", [True, False])
@pytest.mark.parametrize("name", [*WINDOWED, "rate"])
def test_the_number_of_threads_and_the_tiles_change_nothing(name, lanes, monkeypatch):
    network = random_network(5)
    made = assembled(network, name)
    samples = random_samples(network, 5, 23)
    one = Simulator(made).run(samples, record=ALL)
    monkeypatch.setattr(engine_module, "_TILE_SAMPLES", 4)
    monkeypatch.setattr(engine_module, "_GROUPED_SAMPLES", 16)
    if not lanes:
        without_lanes(monkeypatch)
    seen = []
    for threads in (1, 2, 3):
        told = seen.append if threads == 2 else len
        other = Simulator(made).run(
            samples,
            record=ALL,
            threads=threads,
            progress=lambda work, done, of, told=told: told([work, done, of]),
        )
        assert_same(one, other)
    # Two threads share what fits one tile, in whole groups where samples are run in lanes.
    ends = (3, 7, 11, 15, 19, 23) if not lanes else (11, 23) if name == "rate" else (16, 23)
    assert seen == [["running", done, 23] for done in ends]


def test_a_tile_of_many_small_blocks_takes_more_samples(monkeypatch):
    monkeypatch.setattr(engine_module, "_TILE_NEURONS", 1)
    without_lanes(monkeypatch)
    network = random_network(5)
    samples = random_samples(network, 5, 23)
    sizes, results = [], []
    for least in (0, 10**6):
        monkeypatch.setattr(engine_module, "_BLOCK_NEURONS", least)
        made = Simulator(assembled(network, "rate"))
        monkeypatch.setattr(engine_module, "_MOST_TILE_NEURONS", 7 * made.program.neurons)
        done = [0]
        results.append(made.run(samples, record=ALL, progress=lambda _, n, of, done=done: done.append(n)))
        sizes.append(max(high - low for low, high in pairwise(done)))
    assert 1 == sizes[0] < sizes[1] <= 7
    assert_same(*results)


@pytest.mark.parametrize(("held", "ends"), [(0, [*range(1, 49)]), (20, [16, 32, 48]), (1000, [48])])
def test_tiles_of_steps_hold_no_more_than_they_may(held, ends, monkeypatch):
    network = random_network(5)
    made, samples = Simulator(assembled(network, "rate")), random_samples(network, 5, 48)
    assert made._steps.bytes_per_sample > sum(b.n for b in made._loaded.blocks) / 8
    monkeypatch.setattr(engine_module, "_MOST_SENT", held * made._steps.bytes_per_sample)
    seen = []
    made.run(samples, progress=lambda _, done, of: seen.append(done))
    assert seen == ends


@pytest.mark.parametrize(
    ("path", "lanes"),
    [("run_grouped", True), ("run_steps", True), ("run_windowed", False), ("run_literally", False)],
)
def test_an_interrupt_ends_a_run_between_tiles(path, lanes, monkeypatch):
    monkeypatch.setattr(engine_module, "_TILE_SAMPLES", 1)
    monkeypatch.setattr(engine_module, "_GROUPED_SAMPLES", 16)
    if not lanes:
        without_lanes(monkeypatch)
    begun = []
    true = getattr(engine_module, path)

    def counted(*arguments):
        begun.append(arguments)
        time.sleep(0.002)
        return true(*arguments)

    monkeypatch.setattr(engine_module, path, counted)

    def interrupt(work, done, of):
        raise KeyboardInterrupt

    tiles, literal = 200, path in ("run_steps", "run_literally")
    x = np.ones((tiles * (16 if lanes else 1), 2))
    with pytest.raises(KeyboardInterrupt):
        Simulator(program("phase")).run(x, threads=2, progress=interrupt, literal=literal, check=False)
    assert 0 < len(begun) < tiles


# --- checks ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lanes", [True, False])
def test_a_difference_between_the_paths_is_an_error(lanes, monkeypatch):
    """What is compared with the steps is the path that the run takes."""
    made = program("phase")
    if not lanes:
        without_lanes(monkeypatch)
    path = "run_grouped" if lanes else "run_windowed"
    true = getattr(engine_module, path)

    def wrong(*arguments):
        counters = true(*arguments)
        return replace(counters, counts=counters.counts + 1)

    monkeypatch.setattr(engine_module, path, wrong)
    with pytest.raises(NotVerified, match="differ in spikes"):
        Simulator(made).run([[3, 1]] * 5)


@pytest.mark.parametrize("name", WINDOWED)
def test_few_samples_leave_no_lanes_empty(name, monkeypatch):
    made = program(name)
    x = np.array([[a, b] for a in range(4) for b in range(2)])
    many = Simulator(made).run(x, record=ALL)
    monkeypatch.setattr(engine_module, "run_grouped", None)
    few = [Simulator(made).run(x[i : i + 4], record=ALL) for i in (0, 4)]
    for field in ("outputs", "values", "membranes"):
        rows = zip(getattr(many, field), *(getattr(r, field) for r in few), strict=True)
        assert all(np.array_equal(a, np.concatenate(b)) for a, *b in rows), field
    assert np.array_equal(many.spikes_per_neuron, few[0].spikes_per_neuron + few[1].spikes_per_neuron)
    with pytest.raises(TypeError):
        Simulator(made).run(x[:5])


def test_a_stream_is_compared_with_the_steps_too(monkeypatch):
    true = engine_module.run_windowed

    def wrong(*arguments):
        counters = true(*arguments)
        return replace(counters, counts=counters.counts + 1)

    monkeypatch.setattr(engine_module, "run_windowed", wrong)
    with pytest.raises(NotVerified, match="differ in spikes"):
        Simulator(program("graded")).run([[3, 1]], stream=True)


def test_no_samples_give_empty_results():
    result = Simulator(program("phase")).run(np.zeros((0, 2)))
    assert result.outputs[0].shape == (0, 1)
    assert result.synops == 0


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.zeros((1, 3)), "shape"),
        (np.array([[np.nan, 0]]), "finite"),
        (np.array([["a", "b"]]), "type"),
        ({"z": np.zeros((1, 2))}, "no samples for input 'x'"),
    ],
)
def test_samples_that_do_not_suit_are_refused(x, words):
    with pytest.raises(InputFileError, match=words):
        Simulator(program("phase")).run(x)


def test_a_run_needs_a_thread():
    with pytest.raises(UsageError):
        Simulator(program("phase")).run([[0, 0]], threads=0)


def test_one_population_may_lie_on_several_cores():
    """Neuron 1 of the hidden population moves to the read-out's core; gids stay those of the blocks."""
    made = program("phase")
    whole = Simulator(made).run(np.array([[3, 1], [2, 2]]), record=ALL)
    hidden = {"levels": 3, "window": 1, "fire_start": 2, "steps": 2}
    runs = [(0, 2, 1, 0, 0, 2, 0), (0, 2, 1, 0, 0, 2, 0), (5, 1, 1, 0, 1, 1, 0), (6, 1, 1, 0, 0, 1, 0)]
    split = made.with_arrays(
        blocks=np.array(
            [
                block(0, 2, 0, kind=0, core=-1, levels=3, steps=2, param_n=0),
                block(2, 1, 1, core=1, c0=1, **hidden, weight0=1, weight_n=3, run_n=1),
                block(3, 1, 1, core=0, **hidden, weight_n=3, run0=1, run_n=1),
                block(
                    4, 1, 2, core=1, window=2, fire_start=4, steps=1, param0=1, weight0=4, weight_n=2,
                    run0=2, run_n=2,
                ),
            ]
        ),
        runs=np.array(runs, np.int32),
        routes=np.array([(0, 2, 0, 0, 1), (0, 2, 1, 0, 1), (2, 2, 1, 5, 1)], np.int32),
    )  # fmt: skip
    result = assert_equals_reference(split, {"x": np.array([[3, 1], [2, 2]])})
    assert np.array_equal(result.values[1], whole.values[1])
    assert np.array_equal(result.outputs[0], whole.outputs[0])


@given(
    samples=st.integers(0, 400),
    size=st.integers(1, 70),
    group=st.sampled_from([1, 16]),
    threads=st.integers(1, 5),
)
def test_tiles_are_of_equal_size_and_as_many_for_each_thread(samples, size, group, threads):
    size *= group
    tiles = engine_module._shared_out(samples, size, group, threads)
    assert [i for t in tiles for i in range(t.start, t.stop)] == list(range(samples))
    lengths = [t.stop - t.start for t in tiles]
    assert all(0 < n <= size for n in lengths)
    assert all(n % group == 0 for n in lengths[:-1])
    groups = [-(-n // group) for n in lengths]
    assert max(groups, default=0) - min(groups, default=0) <= 1
    assert len(tiles) % threads == 0 or len(tiles) == -(-samples // group)
