"""Routes resolved to links, static fan-out and hops, and damaged programs refused."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmcompiler.errors import InputFileError
from nmcompiler.sim.load import load
from nmcompiler.sim.routes import destinations, overlaps, route_tree

from .handmade import program, with_column
from .paths import convolution
from .test_engine import placed

INTERVALS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 12)), max_size=8)


@given(INTERVALS, INTERVALS)
def test_overlaps_are_those_of_every_pair(a, b):
    ends = [np.array([[f, f + n] for f, n in x], np.int64).reshape(-1, 2).T for x in (a, b)]
    found = {tuple(map(int, row)) for row in zip(*overlaps(*ends[0], *ends[1]), strict=True)}
    wanted = set()
    for i, (f, n) in enumerate(a):
        for j, (g, m) in enumerate(b):
            first, end = max(f, g), min(f + n, g + m)
            if end > first:
                wanted.add((i, j, first, end))
    assert found == wanted


CORES = st.tuples(st.integers(0, 5), st.integers(0, 5))


@given(CORES, st.lists(CORES, min_size=1, max_size=6))
def test_tree_links_are_the_union_of_the_routes(source, destinations):
    links = set()
    for row, column in destinations:
        r, c = source
        while c != column:
            step = 1 if column > c else -1
            links.add((r, c, r, c + step))
            c += step
        while r != row:
            step = 1 if row > r else -1
            links.add((r, c, r + step, c))
            r += step
    tree = route_tree(source, destinations)
    assert sum(tree.links) == len(links)
    steps = {"east": (0, 1), "west": (0, -1), "south": (1, 0), "north": (-1, 0)}
    for r, c, (direction, (down, right)) in product(range(6), range(6), steps.items()):
        assert tree.crosses(direction, r, c) == ((r, c, r + down, c + right) in links)


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(1, 6), st.integers(0, 3)), max_size=8))
def test_destinations_are_the_cores_of_every_neuron_and_no_range_spans_two_blocks(drawn):
    routes = np.array([(gid, n, core, 0, 1) for gid, n, core in drawn], np.int64).reshape(-1, 5)
    found = {}
    for first, end, reached in destinations(routes, np.array([0, 4, 9])):
        assert not any(first < edge < end for edge in (4, 9))
        found |= {gid: set(reached) for gid in range(first, end)}
    wanted = {}
    for gid, n, core in drawn:
        for neuron in range(gid, gid + n):
            wanted.setdefault(neuron, set()).add(core)
    assert found == wanted


def test_a_run_fed_by_two_routes_becomes_two_links():
    made = program("phase", routes=[(1, 1, 0, 0, 1), (0, 1, 0, 1, 2), (2, 2, 1, 5, 1)])
    links = load(made).links_of(1).astype(np.int64)
    # (first source, axons, first weight, delay): axon 0 is fed by input 1, axon 1 by input 0
    assert links[:, [2, 3, 6, 10]].tolist() == [[1, 1, 0, 1], [0, 1, 2, 2]]


def test_a_route_across_blocks_is_split_between_them():
    made = program("phase", routes=[(1, 2, 0, 0, 1)])
    links = load(made).links_of(1).astype(np.int64)
    assert links[:, [1, 2, 3, 6]].tolist() == [[0, 1, 1, 0], [1, 0, 1, 2]]


def test_chips_stand_in_one_row():
    made = program("phase", cores=[(1, 0, 1), (2, 2, 3)])
    columns = made.target.mesh.columns
    hops = load(made).hops
    assert hops.tolist() == [columns + 1, columns + 1, columns + 4, columns + 4, 0]


def test_fan_out_counts_synapses_of_weight_zero():
    assert load(program("phase", weights=[0, 0, 0, 0, 0, 0])).fanout.tolist() == [2, 2, 1, 1, 0]


@pytest.mark.parametrize(
    ("array", "row", "column", "value"),
    [
        ("runs", 0, 2, 7),
        ("runs", 0, 3, 1),
        ("runs", 0, 3, -1),
        ("runs", 0, 4, 1),
        ("runs", 0, 5, 9),
        ("runs", 0, 6, 1),
        ("segments", 0, 0, -1),
        ("segments", 0, 1, 2),
        ("segments", 0, 2, 3),
        ("segments", 1, 2, -1),
        ("routes", 0, 0, -1),
        ("routes", 0, 1, 99),
        ("routes", 0, 2, 2),
        ("routes", 0, 3, -1),
        ("routes", 0, 4, 0),
    ],
)
def test_an_entry_that_points_outside_is_refused(array, row, column, value):
    made = program("phase")
    damaged = made.arrays[array].copy()
    damaged[row, column] = value
    with pytest.raises(InputFileError, match="damaged"):
        load(made.with_arrays(**{array: damaged}))


@pytest.mark.parametrize(
    ("row", "columns"),
    [
        (1, {"gid0": 3}),
        (1, {"n": 3}),
        (1, {"core": 2}),
        (1, {"core": -1}),
        (0, {"core": 0}),
        (1, {"param0": 2}),
        (1, {"param_n": 0}),
        (1, {"run0": 2}),
        (1, {"weight_n": 3}),
        (1, {"weight0": 3}),
        (1, {"shift": -1}),
        (1, {"c0": 1}),
        (1, {"population": 3}),
        (1, {"kind": 0, "core": -1}),
        (1, {"steps": 90}),
        (1, {"levels": 2**31}),
    ],
)
def test_a_block_that_points_outside_is_refused(row, columns):
    with pytest.raises(InputFileError, match="damaged"):
        load(with_column(program("phase"), row, **columns))


def test_patterns_out_of_order_are_refused():
    with pytest.raises(InputFileError, match="patterns"):
        load(program("phase", patterns=[0, 3, 2]))


def test_registers_too_wide_for_the_simulator_are_refused():
    with pytest.raises(InputFileError, match="registers of 64 bits"):
        load(program("phase", membrane_bits=64))


def test_digits_beyond_the_integers_of_the_kernels_are_refused():
    made = program("phase", total_steps=100)
    with pytest.raises(InputFileError, match="fires for 70 steps"):
        load(with_column(made, 1, steps=70))
    with pytest.raises(InputFileError, match="threshold"):
        load(with_column(made, 1, steps=62))


@pytest.mark.parametrize(
    ("code", "encoding"),
    [("phase", "current"), ("ttfs", "graded"), ("graded", "spikes"), ("rate", "graded"), ("rate", "host")],
)
def test_an_input_that_enters_as_its_code_does_not_know_is_refused(code, encoding):
    made = program(code)
    with pytest.raises(InputFileError, match=f"enters as '{encoding}', and its coding is '{code}'"):
        load(replace(made, inputs=(replace(made.inputs[0], encoding=encoding),)))


def test_an_input_with_more_levels_than_steps_cannot_enter_as_spikes():
    made = with_column(program("rate"), 0, levels=4)
    with pytest.raises(InputFileError, match="4 levels for spikes in 3 steps"):
        load(made)
    load(replace(made, inputs=(replace(made.inputs[0], encoding="current"),)))


def test_blocks_with_equal_weights_share_them():
    """Parts of one layer have the same weights on every core; nothing else may change."""
    made = placed(convolution((9, 8, 3), (3, 3)), "graded", neurons=60)
    loaded = load(made)
    first, count = made.column("weight0"), made.column("weight_n")
    held = [made.arrays["weights"][f : f + n].tobytes() for f, n in zip(first, count, strict=True)]
    for at, n, own in zip(loaded.weight0.tolist(), count.tolist(), held, strict=True):
        assert loaded.weights[at : at + n].astype(made.arrays["weights"].dtype).tobytes() == own
    assert len(loaded.weights) == sum(len(w) for w in {(len(h), h): h for h in held}.values()) // 2
    assert len(loaded.weights) < len(made.arrays["weights"])
