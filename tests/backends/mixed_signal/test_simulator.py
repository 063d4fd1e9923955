from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from nmcompiler.errors import DoesNotFit, InputFileError, NotVerified, UsageError
from nmcompiler.evaluate.integer import run_integer
from nmcompiler.sim import Record
from nmcompiler.testing import random_network, random_samples
from nmcompiler.testing.chain import placed_program
from nmcompiler.testing.programs import random_program
from nmcompiler_backends.mixed_signal.backend import MixedSignalBackend
from nmcompiler_backends.mixed_signal.simulator import CrossbarSimulator
from nmcompiler_backends.mixed_signal.variation import Chip, PcmDevice, RramDevice, SynapseDevice

from ...exactness.checks import counters
from .chips import DAY, RESOLUTION_TO_SPARE, chip, drawn, multiplying, on_tiles, placed_graded, still

EVERYTHING = Record(values=True, membranes=True)


def differing(simulator, samples):
    """Outputs, activations and membranes that are not the golden network's, and the run."""
    spiking = simulator.program.golden
    result = simulator.run(samples, record=EVERYTHING)
    golden = run_integer(spiking.network, samples, record=True)
    wrong = 0
    for port, read in zip(simulator.program.outputs, result.outputs, strict=True):
        wrong += int((port.read(read) != golden.outputs[port.name].reshape(len(read), -1)).sum())
    for number, population in enumerate(spiking.network.graph):
        if population.role == "input":
            continue
        found = result.membranes[number]
        wrong += int((found != golden.membranes[population.name].reshape(found.shape)).sum())
        if population.sends:
            found = result.values[number]
            wrong += int((found != golden.values[population.name].reshape(found.shape)).sum())
    return wrong, result


def placed(seed, target):
    network = random_network(seed)
    program, spiking = placed_program(network, target, "phase", backend=MixedSignalBackend(), seed=seed)
    return replace(program, golden=spiking), random_samples(spiking.network, seed, 10)


@pytest.mark.parametrize("seed", range(0, 24, 2))
def test_without_variation_scattered_tiles_are_the_golden_network(seed):
    """On random cores: signed spikes, chips that fire on v > θ, ADCs with resolution to spare."""
    made = random_program(seed)
    program = on_tiles(made, rows=5, adc_deviations=None)
    samples = random_samples(made.golden.network, seed, 10)
    for simulator in (CrossbarSimulator(program), still(program), still(program, None)):
        wrong, result = differing(simulator, samples)
        assert wrong == 0
        assert result.saturations == 0


def synapses(program, weight_cv=0.0, gain_cv=0.0, adc_bits=RESOLUTION_TO_SPARE, seed=1):
    return CrossbarSimulator(program, Chip(seed), SynapseDevice.of(weight_cv, gain_cv), adc_bits, None)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_without_variation_one_shot_of_values_is_the_golden_network(seed):
    try:
        program, samples = placed_graded(seed, multiplying(adc_deviations=None))
    except DoesNotFit:
        reject()
    samples = {name: x[:10] for name, x in samples.items()}
    for simulator in (CrossbarSimulator(program), synapses(program), synapses(program, adc_bits=None)):
        wrong, result = differing(simulator, samples)
        assert wrong == 0
        assert result.saturations == 0


@pytest.mark.parametrize("bits", [1, 3, 5])
@pytest.mark.parametrize("seed", range(0, 12, 2))
def test_values_wider_than_a_shot_take_several(seed, bits):
    """On random cores: values to 255 and below 0, chips that fire on v > θ."""
    made = random_program(seed, "graded")
    program = on_tiles(made, name="brainscales2-mac", rows=5, adc_deviations=None, input_bits=bits)
    samples = random_samples(made.golden.network, seed, 10)
    for simulator in (CrossbarSimulator(program), synapses(program)):
        wrong, result = differing(simulator, samples)
        assert wrong == 0
        assert result.saturations == 0


def test_each_source_of_variation_of_synapses_alone_changes_the_chip():
    program, samples = placed_graded(3)
    for sources, changed in ((("weight",), {"weight_cv": 0.2}), (("gain",), {"gain_cv": 0.2})):
        simulator = synapses(program, adc_bits=None, **changed)
        assert simulator.drawn == {
            "chip_seed": 1,
            "sources": list(sources),
            "adc_bits": None,
            "read_after_s": None,
        }
        assert differing(simulator, samples)[0] > 0


def test_a_chip_of_synapses_is_the_same_for_any_threads_and_any_batch():
    program, samples = placed_graded(3)
    whole = synapses(program, 0.2, 0.2, 8, seed=5).run(samples, record=EVERYTHING)
    threaded = synapses(program, 0.2, 0.2, 8, seed=5).run(samples, record=EVERYTHING, threads=4)
    part = synapses(program, 0.2, 0.2, 8, seed=5).run(
        {name: x[1::3] for name, x in samples.items()}, record=EVERYTHING
    )
    other = synapses(program, 0.2, 0.2, 8, seed=6).run(samples, record=EVERYTHING)
    for number, membranes in enumerate(whole.membranes):
        assert np.array_equal(membranes, threaded.membranes[number])
        assert np.array_equal(membranes[1::3], part.membranes[number])
    assert any((a != b).any() for a, b in zip(whole.membranes, other.membranes, strict=True))


@pytest.mark.parametrize(("code", "name"), [("phase", "pcm-crossbar"), ("graded", "brainscales2-mac")])
def test_counters_are_those_of_the_digital_simulator(code, name):
    made = random_program(4, code)
    samples = random_samples(made.golden.network, 4, 10)
    from nmcompiler.sim import Simulator

    digital = Simulator(made).run(samples, record=replace(EVERYTHING, trains=True))
    tiles = on_tiles(made, name=name)
    analog = CrossbarSimulator(tiles).run(samples, record=replace(EVERYTHING, trains=True))
    assert counters(analog) == counters(digital)
    assert all(map(np.array_equal, analog.trains, digital.trains))
    assert all(map(np.array_equal, analog.values, digital.values))


def test_a_wrong_weight_is_seen():
    made = random_program(2)
    program = on_tiles(made)
    weights = made.arrays["weights"].copy()
    weights[np.argmax(np.abs(weights))] += 1
    changed = program.with_arrays(weights=weights)
    samples = random_samples(made.golden.network, 2, 40)
    assert differing(CrossbarSimulator(program), samples)[0] == 0
    assert differing(CrossbarSimulator(changed), samples)[0] > 0


def test_a_seed_is_a_chip_bit_for_bit_for_any_threads_and_any_batch():
    program, _ = placed(3, chip(rows=16, columns=16, tiles_per_core=16))
    samples = random_samples(program.golden.network, 3, 70)
    whole = drawn(program, 5).run(samples, record=EVERYTHING)
    threaded = drawn(program, 5).run(samples, record=EVERYTHING, threads=4)
    parts = [
        drawn(program, 5).run({name: x[k::7] for name, x in samples.items()}, record=EVERYTHING)
        for k in range(7)
    ]
    other = drawn(program, 6).run(samples, record=EVERYTHING)
    for number, membranes in enumerate(whole.membranes):
        assert np.array_equal(membranes, threaded.membranes[number])
        for k, part in enumerate(parts):
            assert np.array_equal(membranes[k::7], part.membranes[number])
    assert counters(whole) == counters(threaded)
    assert any((a != b).any() for a, b in zip(whole.membranes, other.membranes, strict=True))


@pytest.mark.parametrize("part", ["programming", "drift", "read"])
def test_each_source_of_variation_alone_changes_the_chip(part):
    program, samples = placed(3, chip())
    only = replace(PcmDevice(None, None, None), **{part: getattr(PcmDevice(), part)})
    simulator = drawn(program, 1, only, None)
    assert simulator.drawn["sources"] == [part]
    assert differing(simulator, samples)[0] > 0


def test_an_adc_of_few_bits_deviates_and_a_narrow_one_clips():
    program, samples = placed(3, chip(adc_deviations=None))
    assert differing(CrossbarSimulator(program, adc_bits=4), samples)[0] > 0
    assert differing(CrossbarSimulator(program, adc_bits=4), samples)[1].saturations == 0
    narrow = on_tiles(program, adc_deviations=0.05)
    assert differing(CrossbarSimulator(narrow, adc_bits=12), samples)[1].saturations > 0


def test_membranes_on_a_drifted_chip_shrink_by_the_mean_drift():
    """Of one layer, before errors add up: its devices are mostly at ν = 0.049."""
    program, _ = placed(3, chip())
    samples = random_samples(program.golden.network, 3, 40)
    first = next(k for k, p in enumerate(program.golden.network.graph) if p.role != "input")
    v0 = program.golden.network.graph.node(program.golden.network.graph.names()[first]).v0
    drift = replace(PcmDevice(None, None, None), drift=PcmDevice().drift)
    before = CrossbarSimulator(program).run(samples, record=EVERYTHING).membranes[first]
    after = drawn(program, 1, drift, None).run(samples, record=EVERYTHING).membranes[first]
    start = np.broadcast_to(
        v0, program.golden.network.graph.node(program.golden.network.graph.names()[first]).shape
    ).reshape(-1)
    a, b = (before - start).astype(float).ravel(), (after - start).astype(float).ravel()
    assert (a @ b) / (a @ a) == pytest.approx((DAY / 20) ** -0.052, abs=0.04)


def test_the_time_is_one_that_was_published():
    program, samples = placed(3, chip())
    with pytest.raises(UsageError, match="never published"):
        drawn(program, 1, RramDevice(), read_after_s=3600.0).run(samples)


def test_shared_weights_and_unproved_programs_are_refused():
    shared = random_program(1)
    samples = random_samples(shared.golden.network, 1, 2)
    with pytest.raises(InputFileError, match="SHARED_CONV"):
        CrossbarSimulator(on_tiles(shared)).run(samples)
    late = random_program(2)
    late = replace(on_tiles(late), window_starts=(0,) * len(late.window_starts))
    with pytest.raises(NotVerified, match="certificate"):
        CrossbarSimulator(late).run(random_samples(late.golden.network, 2, 2))


def test_streams_are_refused():
    program, samples = placed(3, chip())
    with pytest.raises(UsageError, match="stream"):
        CrossbarSimulator(program).run(samples, stream=True)


def test_what_was_drawn_is_said():
    program, _ = placed(3, chip())
    assert CrossbarSimulator(program).drawn is None
    assert CrossbarSimulator(program, Chip(9), PcmDevice(), 8, DAY).drawn == {
        "chip_seed": 9,
        "sources": ["programming", "drift", "read"],
        "adc_bits": 8,
        "read_after_s": DAY,
    }


def test_max_pools_are_the_digital_peripherys_where_the_target_says_so():
    """They then are exact on any chip, take no devices, and are counted as before."""
    on_chip = chip(rows=16, columns=16, tiles_per_core=32, digital_terms=8)
    programs = (placed(seed, on_chip) for seed in range(40))
    made, samples = next((m, x) for m, x in programs if CrossbarSimulator(m).layout.digital)
    analog, digital = (
        CrossbarSimulator(on_tiles(made, rows=16, digital_terms=terms), Chip(1), RramDevice(), 8, DAY)
        for terms in (0, 8)
    )
    pools = set(digital.layout.digital)
    assert pools
    assert set(digital.analog) == set(analog.analog) - pools
    ideal = [CrossbarSimulator(s.program) for s in (analog, digital)]
    assert [differing(s, samples)[0] for s in ideal] == [0, 0]
    assert counters(ideal[0].run(samples)) == counters(ideal[1].run(samples))
    # Every pool of the drawn chip is the difference of what its own sources sent.
    result = digital.run(samples, record=EVERYTHING)
    loaded = digital._loaded
    count = result.samples
    sent = np.zeros((count, loaded.neurons), np.int64)
    for block in loaded.blocks:
        if not block.is_readout:
            sent[:, block.gid0 : block.gid0 + block.n] = result.values[block.population][:, block.positions]
    for index, whole in digital.layout.digital.items():
        block = loaded.blocks[index]
        v = np.zeros((count, block.n), np.int64)
        np.add.at(v.T, whole.targets, (sent[:, whole.sources] * whole.weights).T)
        assert np.array_equal(v, result.membranes[block.population][:, block.positions])


def test_axons_with_the_same_weights_share_a_row_where_the_periphery_adds():
    """A row is then driven by their sum, as the terms of a max pool that add up to the maximum."""
    on_chip = chip(rows=16, columns=16, tiles_per_core=32, digital_terms=8)
    for seed in range(40):
        made, samples = placed(seed, on_chip)
        merged = CrossbarSimulator(made).layout.tiles
        apart = CrossbarSimulator(on_tiles(made, rows=16, digital_terms=0)).layout.tiles
        saved = {i: len(apart[i].weights) - len(t.weights) for i, t in merged.items()}
        assert all(count >= 0 for count in saved.values())
        if any(saved.values()):
            break
    assert any(saved.values())
    assert differing(CrossbarSimulator(made), samples)[0] == 0
    for index, tiles in merged.items():
        assert np.array_equal(np.unique(tiles.sources), np.unique(apart[index].sources))


def test_neurons_with_a_threshold_or_other_weights_stay_on_tiles():
    made = random_program(2)
    program = on_tiles(made, digital_terms=10_000)
    weights = made.arrays["weights"].copy()
    plain = CrossbarSimulator(program.with_arrays(weights=np.where(weights < 0, -2, 2).astype(np.int16)))
    assert not plain.layout.digital
