"""Whatever the mapping, a program computes its golden network: partitions of every kind, placed by chance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nmcompiler.errors import DoesNotFit
from nmcompiler.mapping import mapper
from nmcompiler.mapping.filled import Filled, Style, static_shares
from nmcompiler.mapping.partition import Partition, complete
from nmcompiler.program.lift import check_lift
from nmcompiler.program.usage import core_usage
from nmcompiler.target import Mesh
from nmcompiler.testing import random_network, random_samples, tiny_target
from nmcompiler.testing.chain import placed_program

from .checks import WINDOWED, mismatches, nothing_wrong
from .test_oracle_agrees import compare

STYLES = st.builds(
    Style,
    depth=st.integers(1, 3),
    cap=st.sampled_from([1.0, 0.7]),
    weight=st.sampled_from([0.0, 4.0]),
    beside=st.sampled_from([0.0, 0.5]),
    tries=st.integers(1, 2),
    space=st.booleans(),
)


def made(kind, needs, chips):
    """A partition of one kind, or None where the network does not fit it."""
    if kind == "regular":
        parted = Partition(needs, chips)
    else:
        parted = Filled(needs, chips, style=kind, shares=static_shares(needs))
    return parted if complete(parted) else None


def by_chance(seed):
    """A placement that knows nothing of traffic."""

    def place(board, kinds, nets, **_):
        spots = np.random.default_rng(seed).permutation(len(board.row))[: len(kinds)]
        return board.spots(spots)

    return place


@given(
    seed=st.integers(0, 40),
    kind=st.one_of(st.just("regular"), STYLES),
    code=st.sampled_from(sorted(WINDOWED)),
    neurons=st.integers(9, 40),
    chance=st.one_of(st.none(), st.integers(0, 99)),
    refined=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_every_mapping_computes_the_golden_network(
    tmp_path_factory, seed, kind, code, neurons, chance, refined
):
    target = replace(
        tiny_target(neurons=neurons, signed_spikes=seed % 2 == 0, cores=12, rows=3, columns=4), max_chips=9
    )
    network = random_network(seed, levels=7)
    with pytest.MonkeyPatch.context() as patch:
        partitions = []

        def chosen(needs, chips, progress=None, *, to_refine=False):
            assert to_refine == refined
            partitions.append(made(kind, needs, chips))
            assume(partitions[-1] is not None)
            return partitions[-1:]

        patch.setattr(mapper, "candidates", chosen)
        if chance is not None:
            patch.setattr(mapper, "place", by_chance(chance))
        try:
            program, spiking = placed_program(network, target, code, seed=4 * refined)
        except DoesNotFit:
            assume(False)
    assert len(program.arrays["cores"]) == len(partitions[-1].cores)
    assert check_lift(program, spiking).ok
    assert core_usage(program).broken() == []
    samples = random_samples(spiking.network, seed, 2)
    wrong, _ = mismatches(program, spiking, samples)
    assert nothing_wrong(wrong)
    compare(program, samples, tmp_path_factory.mktemp("p") / "p.nmc")


def test_a_mesh_of_other_sides_changes_places_alone():
    network, programs = random_network(3, levels=7), []
    for rows, columns in ((1, 48), (48, 1), (6, 8)):
        target = replace(
            tiny_target(neurons=12, cores=48, rows=rows, columns=columns), mesh=Mesh(rows, columns)
        )
        programs.append(placed_program(network, target, "phase")[0])
    for program in programs[1:]:
        for name in ("blocks", "runs", "weights", "theta", "v0", "routes"):
            assert np.array_equal(program.arrays[name], programs[0].arrays[name])
