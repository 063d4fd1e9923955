from __future__ import annotations

from dataclasses import dataclass

import pytest

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
