"""What a session of crossbars shows, what it sets, and what it keeps to itself."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

import nmcompiler_backends.mixed_signal.compensation as compensation
from nmcompiler.compensate import calibration_of, chosen, compensate, compensated, session_of
from nmcompiler.errors import UsageError
from nmcompiler.registry import backend
from nmcompiler.session import ChipSession
from nmcompiler.sim import Record
from nmcompiler_backends.mixed_signal.session import CrossbarSession

from .chips import placed, placed_graded, still

CODES = pytest.mark.parametrize("made", [placed, placed_graded])

EVERYTHING = Record(values=True, membranes=True)


def test_a_session_shows_nothing_that_was_drawn():
    program, _ = placed(3)
    session = session_of(backend("mixed-signal"), program, 1)
    shown = {name for name in dir(session) if not name.startswith("_")}
    assert shown == {"program", "ranges", "trim", "span", "configure", "measure", "simulator"}
    protocol = {name for name in vars(ChipSession) if not name.startswith("_")}
    assert shown == protocol | {"program"}


def test_methods_of_compensation_use_the_session_and_nothing_behind_it():
    for path in Path(compensation.__file__).parent.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
        own = [node for node in attributes if isinstance(node.value, ast.Name) and node.value.id == "self"]
        used = {node.attr for node in attributes if node not in own}
        assert not {name for name in used if name.startswith("_")}, path.name
        assert not used & {"simulator", "analog", "held", "layout", "chip", "device"}, path.name
        imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        inside = {name for name in imported if name.startswith("nmcompiler_backends.mixed_signal.")}
        allowed = ("nmcompiler_backends.mixed_signal.compensation", "nmcompiler_backends.mixed_signal.tiles")
        assert all(name.startswith(allowed) for name in inside), path.name


@CODES
def test_sums_of_tiles_and_bias_are_the_golden_membranes_on_a_chip_that_does_not_vary(made):
    program, samples = made(3)
    calibration = calibration_of(program, samples)
    simulator = still(program)
    measured = CrossbarSession(simulator).measure(samples)
    assert set(measured.spikes) == set(calibration.values)
    for block, sent in measured.spikes.items():
        assert np.array_equal(sent, calibration.values[block])
    assert set(measured.adc) == set(measured.peaks) == set(simulator.analog)
    loaded = simulator._loaded
    for block, read in measured.adc.items():
        mine = slice(loaded.blocks[block].gid0, loaded.blocks[block].gid0 + loaded.blocks[block].n)
        start = loaded.v0[mine] - loaded.above
        assert np.array_equal(read.sum(axis=1) + start, calibration.membranes[block])


def test_a_chip_that_nobody_trimmed_is_the_chip_of_its_seed():
    program, samples = placed(5)
    chips = backend("mixed-signal")
    one, other = (
        simulator.run(samples, record=EVERYTHING)
        for simulator in (session_of(chips, program, 4).simulator(), chips.simulator(program, chip_seed=4))
    )
    assert all(map(np.array_equal, one.membranes, other.membranes))


@CODES
@pytest.mark.parametrize("seed", [3, 5])
def test_measurements_after_partial_trims_are_those_of_a_fresh_session(seed, made):
    """Layers that were run before are not run again: only where nothing before them changed."""
    program, samples = made(seed)
    session = session_of(backend("mixed-signal"), program, 2)
    rng = np.random.default_rng(seed)
    session.measure(samples)
    for block in sorted(session.measure(samples).adc):
        gain = session.trim["gain"].copy()
        mine = session.span("gain", block)
        gain[mine] = rng.integers(12_000, 20_000, gain[mine].shape)
        session.configure({"gain": gain})
        fresh = session_of(backend("mixed-signal"), program, 2)
        fresh.configure(session.trim)
        later = [b for b in session.measure(samples).adc if b >= block][:3]
        found, wanted = session.measure(samples, later), fresh.measure(samples)
        for b in later:
            assert np.array_equal(found.adc[b], wanted.adc[b])
        for b, sent in found.spikes.items():
            assert np.array_equal(sent, wanted.spikes[b])


@CODES
def test_a_compensated_chip_is_the_same_for_any_threads_and_any_batch(made):
    program, samples = made(3)
    chips = backend("mixed-signal")
    calibration, methods = calibration_of(program, samples), chosen(chips, program, "all")
    first, again = (compensated(chips, program, 6, calibration, methods) for _ in range(2))
    whole = first.run(samples, record=EVERYTHING)
    threaded = again.run(samples, record=EVERYTHING, threads=4)
    parts = [again.run({n: x[k::7] for n, x in samples.items()}, record=EVERYTHING) for k in range(7)]
    for number, membranes in enumerate(whole.membranes):
        assert np.array_equal(membranes, threaded.membranes[number])
        for k, part in enumerate(parts):
            assert np.array_equal(membranes[k::7], part.membranes[number])


@CODES
@pytest.mark.parametrize("seed", [3, 5, 8])
def test_compensation_of_a_chip_without_variation_changes_no_value(seed, made):
    program, samples = made(seed)
    calibration = calibration_of(program, samples)
    session = CrossbarSession(still(program))
    compensate(session, chosen(backend("mixed-signal"), program, "all"), calibration)
    result = session.simulator().run(samples, record=EVERYTHING)
    for block in still(program)._loaded.blocks:
        if not block.is_input:
            found = result.membranes[block.population][:, block.positions]
            assert np.array_equal(found, calibration.membranes[block.index])


@pytest.mark.parametrize(
    ("trim", "found"),
    [
        ({"gian": np.zeros(3, np.int64)}, "no trim 'gian'; did you mean 'gain'"),
        ({"gain": np.zeros(3, np.int64)}, "one for each neuron"),
        ({"adc-range": None}, "code 0; allowed: 1 to 1023"),
        ({"tile-scale": -1}, "code -1; allowed: 0 to 65535"),
        ({"gain": 0.5}, "whole numbers"),
    ],
)
def test_codes_that_a_chip_does_not_have_are_refused_in_a_sentence(trim, found):
    program, _ = placed(3)
    session = session_of(backend("mixed-signal"), program, 1)
    name, codes = next(iter(trim.items()))
    if not isinstance(codes, np.ndarray):
        codes = np.full(session.ranges[name].count, 0 if codes is None else codes)
    before = session.trim
    with pytest.raises(UsageError) as refused:
        session.configure({name: codes})
    assert found in refused.value.sentence()
    assert all(np.array_equal(codes, before[name]) for name, codes in session.trim.items())


def test_sources_and_methods_that_do_not_exist_are_refused():
    program, _ = placed(3)
    with pytest.raises(UsageError, match="did you mean 'drift'"):
        session_of(backend("mixed-signal"), program, 1, ["drfit"])
    with pytest.raises(UsageError, match="did you mean 'column'"):
        chosen(backend("mixed-signal"), program, "colum,output")
    assert [m.name for m in chosen(backend("mixed-signal"), program, "output,adc-range")] == [
        "adc-range",
        "output",
    ]


def test_one_source_alone_varies():
    program, samples = placed(3)
    chips = backend("mixed-signal")
    runs = {
        source: session_of(chips, program, 1, [source]).simulator().run(samples).outputs[0]
        for source in chips.sources(program)
    }
    assert set(runs) == {"programming", "drift", "read"}
    assert not np.array_equal(runs["programming"], runs["drift"])
    assert session_of(chips, program, 1, ["read"]).simulator().drawn["sources"] == ["read"]
