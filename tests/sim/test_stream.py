"""Streams: every frame gives what it gives alone, and neurons send only what changes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.codings import CODINGS
from nmcompiler.errors import InputFileError, UsageError
from nmcompiler.evaluate.integer import run_integer
from nmcompiler.sim import Record, Simulator, certificate, encode
from nmcompiler.sim import engine as engine_module
from nmcompiler.testing import adversarial_network, random_network, random_stream, tiny_target
from nmcompiler.testing.chain import placed_program

from . import reference
from .handmade import program, with_column
from .test_engine import ALL, assert_same

X = np.array([[3, 1], [3, 0], [3, 0], [0, 3], [1, 3]])


@pytest.mark.parametrize("literal", [False, True])
def test_a_stream_by_hand(literal):
    result = Simulator(program("graded")).run(X, record=ALL, literal=literal, stream=True)
    # membranes 2 + 3·a − 2·b and 2 + a + 2·b, values ⌊v / 4⌋ within 0 … 3, read-out −1 + p + 2·q
    assert result.membranes[1].tolist() == [[9, 7], [11, 5], [11, 5], [-4, 8], [-1, 9]]
    assert result.values[1].tolist() == [[2, 1], [2, 1], [2, 1], [0, 2], [0, 2]]
    assert result.values[0].tolist() == X.tolist()
    assert result.outputs[0].tolist() == [[3], [3], [3], [3], [3]]
    # inputs: both, the second, none, both, the first; hidden: both, none, none, both, none
    assert result.spikes.tolist() == [6, 4, 0]
    assert result.synops == 6 * 2 + 4
    assert result.windowed is not literal


def test_a_train_of_a_stream_holds_the_changes():
    result = Simulator(program("graded")).run(X, record=Record(trains=True), stream=True)
    assert result.trains[0][:, 0].tolist() == [[3, 1], [0, -1], [0, 0], [-3, 3], [1, 0]]
    assert result.trains[1][:, 1].tolist() == [[2, 1], [0, 0], [0, 0], [-2, 1], [0, 0]]


@settings(max_examples=40, deadline=None)
@given(
    bits=st.integers(3, 9),
    weights=st.lists(st.integers(-9, 9), min_size=6, max_size=6),
    signed=st.tuples(st.integers(0, 1), st.integers(0, 1)),
    fires_when=st.sampled_from(["ge", "gt"]),
    steps=st.integers(1, 2),
)
def test_a_stream_equals_the_slow_model_even_where_it_saturates(bits, weights, signed, fires_when, steps):
    made = program("graded", membrane_bits=bits, weights=weights, fires_when=fires_when)
    made = with_column(with_column(made, 1, signed=signed[1], steps=steps), 0, signed=signed[0], steps=steps)
    x = np.array([[3, 3], [-3, 3], [-3, -3], [1, 2], [1, 2]])
    result = Simulator(made).run(x, record=ALL, stream=True)
    q = [dict(enumerate(row)) for row in encode(made, {"x": x})[0].tolist()]
    slow = reference.run(made, q, stream=True)
    for s, values in enumerate(slow.values):
        assert [*result.values[0][s], *result.values[1][s]] == [values[gid] for gid in range(4)]
        assert result.membranes[1][s].tolist() == [slow.membranes[s][gid] for gid in (2, 3)]
        assert result.outputs[0][s].tolist() == [slow.membranes[s][4]]
    counted = (int(result.spikes.sum()), result.synops, result.hops, result.saturations)
    assert counted == (slow.spikes, slow.synops, slow.hops, slow.saturations)


def changes_of(values):
    """Closed form: the first values that are not 0, and every one that is another than the one before."""
    start = np.zeros_like(values[:1])
    return int(np.count_nonzero(np.diff(np.concatenate([start, values]).astype(np.int64), axis=0)))


@pytest.mark.parametrize("seed", [None, 1, 2, 5, 8])
def test_a_stream_of_two_hundred_frames_equals_frame_by_frame(seed):
    """Skips over several windows (None: over four, into a residual sum) add up while changes are sparse."""
    network = adversarial_network("long-skip") if seed is None else random_network(seed)
    chip = tiny_target(neurons=12, max_chips=4, fires_when="gt" if seed == 2 else "ge")
    made, spiking = placed_program(network, chip, "graded")
    frames = random_stream(network, 0, 200)
    stream = Simulator(made).run(frames, record=ALL, stream=True)
    alone = Simulator(made).run(frames, record=ALL)
    golden = run_integer(spiking.network, frames, record=True)
    assert stream.windowed
    for name in ("outputs", "values", "membranes"):
        pairs = zip(getattr(stream, name), getattr(alone, name), strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs), name
    for number, population in enumerate(spiking.network.graph):
        if population.role != "readout":
            values = golden.values[population.name].reshape(200, -1)
            assert np.array_equal(stream.values[number], values)
            assert stream.spikes[number] == changes_of(values)
        if population.role != "input":
            reached = golden.membranes[population.name].reshape(200, -1)
            assert np.array_equal(stream.membranes[number], reached)
    assert stream.spikes.sum() < alone.spikes.sum() / 2
    assert stream.synops < alone.synops / 2
    assert stream.hops < alone.hops / 2
    assert_same(stream, Simulator(made).run(frames, record=ALL, literal=True, stream=True))


@pytest.mark.parametrize("literal", [False, True])
def test_tiles_threads_and_parts_of_a_stream_change_nothing(literal, monkeypatch):
    made, _ = placed_program(random_network(5), tiny_target(max_chips=4), "graded")
    frames = random_stream(random_network(5), 0, 40)
    whole = Simulator(made).run(frames, record=ALL, stream=True)
    monkeypatch.setattr(engine_module, "_TILE_SAMPLES", 7)
    assert_same(whole, Simulator(made).run(frames, record=ALL, stream=True, literal=literal, threads=3))
    simulator = Simulator(made)
    stream, spikes = simulator.start_stream(), 0
    for part in (slice(0, 1), slice(1, 19), slice(19, 19), slice(19, 40)):
        mine = {name: x[part] for name, x in frames.items()}
        # Both paths leave the same state, so a stream may go on with either.
        run = simulator.run(mine, record=ALL, literal=literal != (part.start == 1), stream=stream)
        for name in ("outputs", "values", "membranes"):
            pairs = zip(getattr(whole, name), getattr(run, name), strict=True)
            assert all(np.array_equal(a[part], b) for a, b in pairs), name
        spikes = spikes + run.spikes
    assert spikes.tolist() == whole.spikes.tolist()


def test_a_stream_at_the_limit_of_its_registers_never_saturates():
    """Between old and new values a membrane stays within the bounds of the certificate."""
    made = program("graded", membrane_bits=5)
    assert certificate(made).windowed
    grid = np.array([[a, b] for a in range(4) for b in range(4)])
    x = grid[np.random.default_rng(0).integers(16, size=300)]
    assert Simulator(made).run(x, stream=True, literal=True).saturations == 0


# --- what cannot be a stream ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(set(CODINGS) - {"graded"}))
def test_other_codes_refuse_a_stream(name):
    with pytest.raises(UsageError, match=rf"'{name}' cannot run a stream.*graded"):
        Simulator(program(name)).run(X, stream=True)


def test_a_chip_without_signed_spikes_refuses_a_stream():
    made = program("graded", target=tiny_target(signed_spikes=False))
    with pytest.raises(UsageError, match="events with a sign, which target 'tiny' has not"):
        Simulator(made).run(X, stream=True)


def test_an_event_must_hold_the_changes():
    """Values from −3 to 3 change by up to 6: three bits and a sign."""
    signed = with_column(program("graded", target=tiny_target(graded_payload_bits=3)), 1, signed=1)
    with pytest.raises(UsageError, match=r"layer '1', whose values reach 3, take 4 bits.*3 bits"):
        Simulator(signed).run(X, stream=True)
    enough = with_column(program("graded", target=tiny_target(graded_payload_bits=4)), 1, signed=1)
    assert Simulator(enough).run(X, stream=True).samples == 5


def test_a_threshold_below_one_divides_nothing():
    with pytest.raises(InputFileError, match="threshold below 1"):
        Simulator(program("graded", theta=[0, 1])).run(X)
