from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nmcompiler.program.usage import core_usage
from nmcompiler.report.core_map import core_map_facts
from nmcompiler.report.facts import population_names
from nmcompiler.testing import tiny_target
from nmcompiler.testing.programs import random_program


def map_of(program):
    return core_map_facts(program, population_names(program), core_usage(program))


@pytest.mark.parametrize("seed", range(6))
def test_every_core_has_its_place_its_layers_and_its_fill(seed):
    program = random_program(seed)
    found, usage, names = map_of(program), core_usage(program), population_names(program)
    mesh = program.target.mesh
    assert (found["rows"], found["columns"]) == (mesh.rows, mesh.columns)
    places = [[c["chip"], c["row"], c["column"]] for c in found["cores"]]
    assert places == program.arrays["cores"].tolist()
    core, population, n = (program.column(k) for k in ("core", "population", "n"))
    assert [c["pass"] for c in found["cores"]] == program.turns.tolist()
    for entry in found["cores"]:
        held = {names[p]: n[(core == entry["core"]) & (population == p)].sum() for p in set(population)}
        assert set(entry["layers"]) == {name for name, count in held.items() if count}
        counts = [held[name] for name in entry["layers"]]
        assert counts == sorted(counts, reverse=True)
        shares = [u / limit for c, _, u, limit in usage.rows() if c == entry["core"] and limit]
        assert entry["fill"] == max(shares)


def test_without_limits_no_core_is_full():
    program = random_program(1)
    free = replace(program, target=tiny_target(neurons=None, input_axons=None))
    assert {core["fill"] for core in map_of(free)["cores"]} == {None}
    assert np.unique([core["core"] for core in map_of(free)["cores"]]).size == len(program.arrays["cores"])
