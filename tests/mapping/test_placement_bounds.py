"""Bounds, against every placement there is, and by hand."""

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.mapping.nets import HOST
from nmcompiler.mapping.placement_bounds import placement_bounds
from nmcompiler.mapping.route import Positions, max_link_load, tree_sizes, unicast_cost
from tests.mapping.test_route import build


@st.composite
def small_nets(draw):
    rows, columns = draw(st.sampled_from([(1, 2), (1, 4), (2, 2), (2, 3), (3, 2), (4, 1)]))
    cores = draw(st.integers(1, min(5, rows * columns)))
    groups = []
    for source in draw(st.lists(st.integers(HOST, cores - 1), min_size=1, max_size=5)):
        others = sorted(draw(st.sets(st.integers(HOST, cores - 1), min_size=1)) - {source})
        if others:
            groups.append((source, others))
    spikes = np.array([draw(st.integers(0, 9)) for _ in groups], np.float64)
    return build(groups, spikes), cores, rows, columns


@settings(max_examples=80, deadline=None)
@given(small_nets())
def test_no_placement_is_below_the_bounds(case):
    nets, cores, rows, columns = case
    bounds = placement_bounds(nets, cores, rows, columns)
    for spots in permutations(product(range(rows), range(columns)), cores):
        at = Positions(*np.array([*spots, (0, 0)]).T)
        assert nets.spikes @ tree_sizes(at, nets) >= bounds.cost - 1e-9
        assert unicast_cost(at, nets) >= bounds.unicast_cost - 1e-9
        assert max_link_load(at, nets) >= bounds.max_link_load - 1e-9


def test_partners_are_spread_over_rings():
    star = build([(0, list(range(1, 14)))], np.array([2.0]))
    found = placement_bounds(star, 14, 9, 9)
    # 4 partners at distance 1, 8 at 2, one at 3; each leaf sees the centre at distance 1; half the sum
    assert found.unicast_cost == (2 * (4 + 16 + 3) + 13 * 2) / 2
    assert found.cost == 2 * 13  # a link into each
    assert found.max_link_load == 2
    # In three rows there are only 4, 6 and 6 positions at these distances.
    assert placement_bounds(star, 14, 3, 9).unicast_cost == (2 * (4 + 12 + 9) + 13 * 2) / 2
    host = build([(HOST, [0, 1, 2])], np.array([1.0]))
    assert placement_bounds(host, 3, 4, 4).unicast_cost == 0 + 1 + 1
    assert placement_bounds(host, 3, 4, 4).cost == 2


@pytest.mark.parametrize(("rows", "columns", "ports"), [(5, 5, 4), (1, 5, 2), (5, 1, 2)])
def test_what_a_core_sends_leaves_over_the_links_beside_it(rows, columns, ports):
    sent = build([(0, [k]) for k in (1, 2, 3, 4)], np.array([3.0, 3.0, 3.0, 3.0]))
    assert placement_bounds(sent, 5, rows, columns).max_link_load == 12 / ports
    received = build([(k, [0]) for k in (1, 2, 3, 4)], np.array([3.0, 3.0, 3.0, 3.0]))
    assert placement_bounds(received, 5, rows, columns).max_link_load == 12 / ports


def test_the_host_enters_by_its_corner_unless_a_core_stands_there():
    fed = build([(HOST, [0]), (HOST, [1]), (HOST, [0, 1])], np.array([10.0, 4.0, 1.0]))
    found = placement_bounds(fed, 2, 3, 3)
    # Core 0 stands in the corner: 4 + 1 spikes pass two links; the net to both is not divided.
    assert found.max_link_load == (4 + 1) / 2
    alone = build([(HOST, [0])], np.array([8.0]))
    assert placement_bounds(alone, 1, 3, 3).max_link_load == 0
    assert placement_bounds(alone, 1, 1, 1).max_link_load == 0
