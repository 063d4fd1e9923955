"""Why layers were cut: counted in the program, and nothing that the mapper said."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from nmcompiler.program.usage import block_facts, core_usage
from nmcompiler.report.cuts import cut_facts, network_rows
from nmcompiler.report.facts import population_names
from nmcompiler.report.needs import needs_of
from nmcompiler.testing import random_network, tiny_target
from nmcompiler.testing.chain import placed_program
from nmcompiler.testing.programs import random_program


def cuts_of(program):
    facts = block_facts(program)
    return cut_facts(program, population_names(program), core_usage(program, facts), needs_of(program, facts))


def rows_of(program):
    facts = block_facts(program)
    return {
        r["resource"]: r for r in network_rows(program, core_usage(program, facts), needs_of(program, facts))
    }


@pytest.mark.parametrize("seed", range(8))
def test_boxes_cover_every_layer_once_and_the_largest_is_one_of_them(seed):
    program = random_program(seed)
    placed = [p for p in program.golden.network.graph if p.role != "input"]
    cuts = cuts_of(program)
    assert [cut["layer"] for cut in cuts] == [p.name for p in placed]
    for cut, population in zip(cuts, placed, strict=True):
        shape = [cut["shape"][side] for side in ("rows", "columns", "channels")]
        assert shape == list(population.shape)
        number = population_names(program).index(population.name)
        covered = np.zeros(population.shape, int)
        boxes = []
        for block in np.flatnonzero(program.column("population") == number):
            y, x, c, h, w, d = (
                program.column(k)[block] for k in ("y0", "x0", "c0", "height", "width", "channels")
            )
            covered[y : y + h, x : x + w, c : c + d] += 1
            boxes.append((h, w, d))
        assert (covered == 1).all()
        assert cut["boxes"] == len(boxes)
        largest = tuple(cut["largest_box"][side] for side in ("rows", "columns", "channels"))
        assert largest in boxes
        assert math.prod(largest) == max(map(math.prod, boxes))


@pytest.mark.parametrize("seed", range(8))
def test_what_binds_is_the_fullest_of_the_layers_own_cores(seed):
    program = random_program(seed)
    usage, core, population = core_usage(program), program.column("core"), program.column("population")
    on = {c: set(population[core == c].tolist()) for c in range(len(usage.limits))}
    for cut in cuts_of(program):
        number = population_names(program).index(cut["layer"])
        cores = [c for c in on if number in on[c]]
        own = [c for c in cores if on[c] == {number}]
        assert cut["shared_cores"] == len(cores) - len(own)
        binds = cut["binds"]
        assert binds["shared"] == (not own)
        assert binds["core"] in (own or cores)
        assert binds["used"] == usage.used[binds["resource"]][binds["core"]]
        for c in own or cores:
            for name in ("neurons", "input_axons"):  # what this chip limits
                share = usage.used[name][c] / getattr(usage.limits[c], name)
                assert share <= binds["used"] / binds["limit"]


@pytest.mark.parametrize("seed", range(6))
def test_no_partition_has_fewer_cores_than_one_resource_demands(seed):
    network = random_network(seed)
    program, _ = placed_program(
        network, tiny_target(neurons=16, synapse_bits=4096, output_axons=64, thresholds=8), "phase"
    )
    for cut in cuts_of(program):
        number = population_names(program).index(cut["layer"])
        cores = set(program.column("core")[program.column("population") == number].tolist())
        assert set(cut["at_least"]) == {
            "neurons", "input_axons", "output_axons", "synapse_bits", "thresholds"
        }  # fmt: skip
        assert 1 <= max(cut["at_least"].values()) <= len(cores)
        assert cut["at_least"]["neurons"] == -(-math.prod(cut["shape"].values()) // 16)
    rows = rows_of(program)
    used = len(program.arrays["cores"])
    assert max(row["cores"] for row in rows.values()) <= used
    assert sum(row["fullest_on"] for row in rows.values()) == used
    assert rows["neurons"]["used"] == rows["neurons"]["need"]
    assert all(row["need"] <= row["used"] for row in rows.values())


def test_where_nothing_is_limited_nothing_binds():
    program = random_program(1)
    free = replace(program, target=tiny_target(neurons=None, input_axons=None))
    assert all(cut["binds"] is None and cut["at_least"] == {} for cut in cuts_of(free))
    assert rows_of(free) == {}
