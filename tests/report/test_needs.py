"""What layers need, held against a walk over every neuron, route and weight of programs on random cores."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from nmcompiler.program.layout import BLOCK_COLUMNS, BlockKind
from nmcompiler.program.usage import block_facts, core_usage
from nmcompiler.report.needs import SHARED_OUT, fewest_cores, layer_blocks, needs_of
from nmcompiler.target.model import CoreType, Crossbar, Limits
from nmcompiler.testing import random_network, suited_network, tiny_target
from nmcompiler.testing.chain import placed_program
from nmcompiler.testing.programs import random_program


def axons_read(program, block):
    """The neurons that a block reads, axon by axon, each with the delay of its spikes."""
    runs, first, count = program.arrays["runs"], *(program.column(k)[block] for k in ("run0", "run_n"))
    axons = {int(a0) + k for a0, n, *_ in runs[first : first + count] for k in range(n)}
    return {
        (int(gid) + k, int(delay))
        for gid, n, core, axon0, delay in program.arrays["routes"]
        for k in range(n)
        if core == program.column("core")[block] and int(axon0) + k in axons
    }


@pytest.mark.parametrize("seed", range(6))
def test_needs_are_those_of_every_neuron_on_its_own(seed):
    program = random_program(seed)
    needs = needs_of(program, block_facts(program))
    graph = program.golden.network.graph
    read = set()
    for number, population in enumerate(graph):
        if population.role == "input":
            assert number not in needs.layers
            continue
        blocks = [b for b, k in enumerate(program.column("population")) if k == number]
        mine = set().union(*(axons_read(program, b) for b in blocks))
        read |= mine
        layer = needs.layers[number]
        assert layer["neurons"] == population.size
        assert layer["state_bits"] == population.size * program.target.membrane_bits
        assert layer["input_axons"] == len(mine)
    placed = [p for p in graph if p.role != "input"]
    assert needs.network["neurons"] == sum(p.size for p in placed)
    assert needs.network["input_axons"] == len(read)
    gid0, core = program.column("gid0"), program.column("core")
    sending = {g for g, _ in read if core[np.searchsorted(gid0, g, side="right") - 1] >= 0}
    assert needs.network["output_axons"] == len(sending)


@pytest.mark.parametrize("seed", range(8))
def test_cores_use_at_least_what_is_needed(seed):
    program = random_program(seed)
    needs, usage = needs_of(program, block_facts(program)), core_usage(program)
    for name in SHARED_OUT:
        assert needs.network[name] <= usage.used[name].sum()
    for name in ("neurons", "state_bits"):
        assert needs.network[name] == usage.used[name].sum()


@pytest.mark.parametrize("seed", range(1, 16, 2))
def test_a_kernel_is_needed_once_however_often_it_is_stored(seed):
    program = random_program(seed)
    facts, kinds = block_facts(program), program.column("kind")
    needs = needs_of(program, facts)
    first, channels = program.column("c0"), program.column("channels")
    for number, blocks in layer_blocks(program).items():
        ranges = {}
        for block in blocks:
            key = int(first[block]), int(first[block] + channels[block])
            ranges[key] = max(int(facts.synapse_bits[block]), ranges.get(key, 0))
        assert needs.layers[number]["synapse_bits"] == most_apart(ranges)
        stored = facts.synapse_bits[blocks].sum()
        assert needs.layers[number]["synapse_bits"] <= stored
        if len(ranges) < len(blocks) and (kinds[blocks] == BlockKind.SHARED_CONV).all():
            assert needs.layers[number]["synapse_bits"] < stored


def most_apart(ranges, below=0):
    """The most that disjoint ranges from a channel on hold together."""
    return max(
        (bits + most_apart(ranges, end) for (start, end), bits in ranges.items() if start >= below), default=0
    )


def test_of_boxes_whose_channels_overlap_those_count_that_hold_most_together():
    program = random_program(1)
    facts = block_facts(program)
    number, blocks = next((k, b) for k, b in layer_blocks(program).items() if len(b) >= 4)
    boxes = [(0, 2, 50), (0, 1, 10), (1, 2, 30), (2, 1, 7)]  # first channel, channels, bits: 50 + 7 > 10 + 30
    arrays, bits = program.arrays["blocks"].copy(), facts.synapse_bits.copy()
    bits[blocks] = 0
    for block, (first, channels, held) in zip(blocks, boxes, strict=False):
        arrays[block, BLOCK_COLUMNS.index("c0")] = first
        arrays[block, BLOCK_COLUMNS.index("channels")] = channels
        bits[block] = held
    changed = program.with_arrays(blocks=arrays)
    needs = needs_of(changed, replace(facts, synapse_bits=bits))
    assert needs.layers[number]["synapse_bits"] == 57


@pytest.mark.parametrize("seed", range(4))
def test_needs_do_not_depend_on_the_cuts(seed):
    network = random_network(seed)
    found = []
    for neurons in (12, 40, 4000):
        program, _ = placed_program(network, tiny_target(neurons=neurons, weight_sharing=False), "phase")
        found.append(needs_of(program, block_facts(program)).network)
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("seed", [2, 4])
def test_a_neuron_is_copied_where_its_spikes_reach_fewer_axons_than_they_need(seed):
    chip = tiny_target(
        neurons=60, input_axons=160, weight_bits=4, crossbar=Crossbar(4, 9), axon_fan_out=1, max_chips=4
    )
    program, _ = placed_program(suited_network(seed, chip), chip, "phase", seed=seed)
    found, usage = needs_of(program, block_facts(program)).network, core_usage(program)
    axons = set(_typed_axons(program))
    on_host = int(program.column("n")[program.column("core") < 0].sum())
    copies = sum(n - 1 for n in Counter(source for source, *_ in axons if source >= on_host).values())
    assert 0 < copies <= len(program.table("copies"))
    assert found["neurons"] == program.boxed[program.column("core") >= 0].sum() + copies
    assert found["input_axons"] == len(axons)
    assert all(found[name] <= usage.used[name].sum() for name in SHARED_OUT)


def _typed_axons(program):
    """Every axon that is fed: neuron or the one it is a copy of, delay, and type."""
    originals = dict(program.table("copies").tolist())
    kinds = {
        (core, first + k): kind
        for core, first, count, kind in program.table("axon_types").tolist()
        for k in range(count)
    }
    for gid, n, core, axon, delay in program.arrays["routes"].tolist():
        for k in range(n):
            yield originals.get(gid + k, gid + k), delay, kinds[core, axon + k]


def test_several_compartments_and_axons_are_counted():
    network = random_network(4, levels=7)
    one, _ = placed_program(network, tiny_target(neurons=4000), "phase")
    two, _ = placed_program(
        network, tiny_target(neurons=4000, compartments_per_neuron=2, axons_per_source=2), "phase"
    )
    single, double = (needs_of(p, block_facts(p)).network for p in (one, two))
    for name in ("neurons", "state_bits", "input_axons"):
        assert double[name] == 2 * single[name]
    assert double["output_axons"] == single["output_axons"]


def test_channels_of_a_pixel_are_one_axon_where_they_travel_along():
    network = random_network(4, levels=7)
    by_neuron, _ = placed_program(network, tiny_target(neurons=4000), "phase")
    by_pixel = replace(by_neuron, target=replace(by_neuron.target, axon_unit="pixel"))
    neurons, pixels = (needs_of(p, block_facts(p)).network["input_axons"] for p in (by_neuron, by_pixel))
    assert 0 < pixels < neurons


def test_the_fewest_cores_are_of_the_kind_that_holds_most():
    small = tiny_target(neurons=10)
    mixed = replace(small, core_types=(CoreType(1, Limits(neurons=10)), CoreType(1, Limits(neurons=30))))
    assert fewest_cores(small, "neurons", 60) == 6
    assert fewest_cores(small, "neurons", 61) == 7
    assert fewest_cores(small, "neurons", 0) == 1
    assert fewest_cores(mixed, "neurons", 60) == 2
    assert fewest_cores(small, "thresholds", 60) is None
