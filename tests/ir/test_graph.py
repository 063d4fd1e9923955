from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmcompiler.ir.graph import Graph


@dataclass(frozen=True)
class Node:
    name: str
    value: int = 0


def diamond():
    graph = Graph()
    for name in ("out", "left", "right", "in"):
        graph.add(Node(name))
    graph.connect("in", "left", 1)
    graph.connect("in", "right", 2)
    graph.connect("right", "out", 4)
    graph.connect("left", "out", 3)
    return graph


def test_names_are_topological_and_ties_keep_the_order_of_adding():
    assert diamond().names() == ("in", "left", "right", "out")


def test_parallel_edges_are_kept():
    graph = Graph()
    graph.add(Node("x"))
    graph.add(Node("sum"))
    graph.connect("x", "sum", 1)
    graph.connect("x", "sum", 2)
    assert [e.payload for e in graph.in_edges("sum")] == [1, 2]
    assert graph.predecessors("sum") == ("x",)


def test_a_copy_changes_on_its_own():
    graph = diamond()
    other = graph.copy()
    other.replace(Node("in", 7))
    other.remove("left")
    assert graph.node("in").value == 0
    assert "left" in graph
    assert "left" not in other


def test_a_name_is_taken_once():
    graph = diamond()
    with pytest.raises(ValueError, match="exists already"):
        graph.add(Node("in"))


def test_edges_need_both_ends():
    with pytest.raises(KeyError):
        diamond().connect("in", "nowhere", 1)


def test_disconnect_removes_the_in_edges_of_a_node_only():
    graph = diamond()
    graph.disconnect("out")
    assert graph.in_edges("out") == ()
    assert len(graph.out_edges("in")) == 2


NAMES = st.sampled_from("abcde")


@given(
    nodes=st.permutations("abcde"),
    edges=st.lists(st.tuples(NAMES, NAMES).filter(lambda ends: ends[0] < ends[1])),
    cut=NAMES,
)
def test_the_order_of_edges_is_that_of_adding_also_in_a_copy(nodes, edges, cut):
    graph = Graph()
    for name in nodes:
        graph.add(Node(name))
    for k, (source, target) in enumerate(edges):
        graph.connect(source, target, k)
    for made in (graph, graph.copy(), graph.copy().copy()):
        assert made.names() == graph.names()
        for name in nodes:
            mine = [(k, source) for k, (source, target) in enumerate(edges) if target == name]
            sources = dict.fromkeys(source for _, source in mine)
            wanted = [k for first in sources for k, source in mine if source == first]
            assert made.predecessors(name) == tuple(sources)
            assert [e.payload for e in made.in_edges(name)] == wanted
            assert made.out_edges(name) == graph.out_edges(name)
    other = graph.copy()
    other.disconnect(cut)
    other.connect("a", "e", "late")
    assert "late" in [e.payload for e in other.in_edges("e")]
    assert len(graph.edges()) == len(edges)
