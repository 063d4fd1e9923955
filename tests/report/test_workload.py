"""The work of cores and links, held against a walk over every single event, synapse and link."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from nmcompiler.report.workload import DIRECTIONS, by_neuron, workload
from nmcompiler.sim import Simulator
from nmcompiler.testing import random_samples
from nmcompiler.testing.programs import random_program

STEPS = {"east": (0, 1), "west": (0, -1), "south": (1, 0), "north": (-1, 0)}


def synapses(program, core, axon):
    """How many synapses an axon of a core reaches, by block."""
    runs, patterns, segments = (program.arrays[k] for k in ("runs", "patterns", "segments"))
    reached = Counter()
    for block in np.flatnonzero(program.column("core") == core):
        first, count = program.column("run0")[block], program.column("run_n")[block]
        for axon0, n, pattern, *_ in runs[first : first + count]:
            if axon0 <= axon < axon0 + n:
                reached[int(block)] += int(segments[patterns[pattern] : patterns[pattern + 1], 2].sum())
    return reached


def crossed(start, end):
    """The links of one route, along the row and then along the column: ``(direction, row, column)``."""
    (row, column), found = start, []
    while column != end[1]:
        name = "east" if end[1] > column else "west"
        found.append((name, row, column))
        column += STEPS[name][1]
    while row != end[0]:
        name = "south" if end[0] > row else "north"
        found.append((name, row, column))
        row += STEPS[name][0]
    return found


def walked(program, sent):
    """Synops by block, by core, links by name, link counts by block: event by event."""
    cores = [(int(r), int(chip * program.target.mesh.columns + c)) for chip, r, c in program.arrays["cores"]]
    by_block, by_core, links, block_links = Counter(), Counter(), Counter(), Counter()
    for block, (gid0, n, core) in enumerate(
        zip(*(program.column(k) for k in ("gid0", "n", "core")), strict=True)
    ):
        for gid in range(gid0, gid0 + n):
            start = cores[core] if core >= 0 else (0, 0)
            tree = set()
            for first, count, to, axon0, _ in program.arrays["routes"]:
                if first <= gid < first + count:
                    tree.update(crossed(start, cores[to]))
                    for target, synops in synapses(program, to, axon0 + gid - first).items():
                        by_block[target] += int(sent[gid]) * synops
                        by_core[int(to)] += int(sent[gid]) * synops
            for link in tree:
                links[link] += int(sent[gid])
                block_links[block, link[0] in ("south", "north")] += int(sent[gid])
    return by_block, by_core, links, block_links


@pytest.mark.parametrize("seed", range(6))
def test_the_work_is_that_of_every_event_on_its_own(seed):
    program = random_program(seed)
    sent = np.random.default_rng(seed).integers(0, 4, program.neurons)
    work = workload(program, sent)
    by_block, by_core, links, block_links = walked(program, sent)
    assert work.block_synops.tolist() == [by_block[b] for b in range(len(work.block_synops))]
    assert work.synops.sum(axis=0).tolist() == [by_core[c] for c in range(len(work.neurons))]
    total = work.links.sum(axis=0)
    found = {(DIRECTIONS[d], r, c): total[d, r, c] for d, r, c in np.argwhere(total).tolist()}
    assert found == {link: count for link, count in links.items() if count}
    expected = [[block_links[b, axis] for axis in (False, True)] for b in range(len(work.block_links))]
    assert work.block_links.tolist() == expected


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("code", ["phase", "ttfs", "rate"])
def test_totals_are_the_simulators(seed, code):
    program = random_program(seed, code)
    result = Simulator(program).run(random_samples(program.golden.network, seed, 3))
    work = workload(program, result.spikes_per_neuron)
    assert work.synops.sum() == work.block_synops.sum() == result.synops
    assert work.block_links.sum() == work.links.sum() == result.hops
    assert work.block_spikes.tolist() == result.spikes_per_block.tolist()


def test_work_is_counted_in_the_steps_in_which_its_source_fires():
    program = random_program(1)
    one = np.zeros(program.neurons, np.int64)
    one[0] = 1
    work = workload(program, one)
    mine = [program.column("fire_start")[0], program.column("steps")[0]]
    slot = work.slots.tolist().index(mine)
    assert work.synops[slot].sum() > 0
    assert work.synops.sum() == work.synops[slot].sum()


def test_values_of_populations_find_their_neurons():
    program = random_program(2)
    graph = program.golden.network.graph
    values = [np.arange(p.size).reshape(p.shape) + 1000 * k for k, p in enumerate(graph)]
    found = by_neuron(program, values)
    expected = np.concatenate([v.reshape(-1) for v in values])
    assert sorted(found) == sorted(expected)
    populations = np.repeat(program.column("population"), program.column("n"))
    assert (found // 1000 == populations).all()
