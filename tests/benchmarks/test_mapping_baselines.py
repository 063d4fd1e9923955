import numpy as np
import pytest

from tests.benchmarks.mapping_baselines import ALL, LEGAL, OWN, _verdict, adjacency, bisected, kahip, metis


def grid(side: int):
    """Vertices of a square, each joined to its neighbours."""
    number = np.arange(side * side).reshape(side, side)
    a = np.concatenate([number[:, :-1].reshape(-1), number[:-1].reshape(-1)])
    b = np.concatenate([number[:, 1:].reshape(-1), number[1:].reshape(-1)])
    return adjacency(a, b, np.ones(len(a)), side * side)


def test_equal_pairs_add_up_in_either_direction():
    graph = adjacency(np.array([0, 2, 2]), np.array([2, 0, 1]), np.array([1.0, 2.0, 1.0]), 4)
    assert graph.start.tolist() == [0, 1, 2, 4, 4]
    assert graph.neighbour.tolist() == [2, 2, 0, 1]
    assert graph.weight.tolist() == [1000, 333, 1000, 333]


def test_a_part_of_a_graph_keeps_its_edges_in_the_order_of_its_vertices():
    part = grid(3).part(np.array([4, 1, 8]))
    assert part.start.tolist() == [0, 1, 2, 2]
    assert part.neighbour.tolist() == [1, 0]


def test_halving_again_and_again_orders_all_vertices():
    def halves(graph, parts, sizes):
        assert (parts, sizes) == (2, None)
        return np.arange(len(graph.start) - 1) < (len(graph.start) - 1) // 2

    assert bisected(grid(4), halves).tolist() == list(range(16))
    # One that does not divide is divided in the middle.
    assert bisected(grid(4), lambda graph, *_: np.zeros(len(graph.start) - 1)).tolist() == list(range(16))


@pytest.mark.parametrize(("package", "cut"), [("pymetis", metis), ("kahip", kahip)])
def test_a_square_is_cut_into_balanced_blocks_along_few_edges(package, cut):
    pytest.importorskip(package)
    graph = grid(8)
    blocks = cut(graph, 4, None)
    assert np.bincount(blocks).tolist() == [16] * 4
    owner = np.repeat(np.arange(64), np.diff(graph.start))
    assert (blocks[owner] != blocks[graph.neighbour]).sum() // 2 <= 20  # four squares: 16
    order = bisected(graph, cut)
    assert sorted(order.tolist()) == list(range(64))
    heavy = np.where(np.arange(64) < 8, 7, 1)
    blocks = cut(graph, 2, heavy)
    assert np.bincount(blocks, heavy) == pytest.approx(56, abs=4)


def test_the_best_of_the_legal_and_of_all_are_told_apart():
    def row(traffic, step, breaks="nothing"):
        return {"traffic": traffic, "step ns": step, "breaks": breaks}

    rows = {"ours": row(80.0, 5.0), "a": row(100.0, 10.0), "b": row(160.0, 4.0), "c": row(40.0, 2.0, "axons")}
    rows["our cores, elsewhere"] = row(90.0, 5.0)
    legal, every, own = (_verdict("net", rows, among) for among in (LEGAL, ALL, OWN))
    assert (legal["best by traffic"], legal["best by step"]) == ("a", "b")
    assert (legal["lower %"], legal["step lower %"]) == pytest.approx((20.0, -25.0))
    assert (every["best by traffic"], every["best by step"]) == ("c", "c")
    assert (every["lower %"], every["step lower %"]) == pytest.approx((-100.0, -150.0))
    assert (own["best by traffic"], own["step lower %"]) == ("our cores, elsewhere", 0.0)
    unpriced = _verdict("net", {k: {**r, "step ns": None} for k, r in rows.items()}, ALL)
    assert "step lower %" not in unpriced
