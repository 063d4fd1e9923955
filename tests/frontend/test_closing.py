"""Operators that close a network and stay on the host."""

from __future__ import annotations

import pytest

from nmcompiler.errors import UnsupportedModel
from nmcompiler.frontend import read_model_bytes
from nmcompiler.ir.layers import HostOp

from .models import model, node, weights


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax", "ArgMax"])
def test_a_closing_operator_stays_on_the_host(op: str) -> None:
    data = model([node("Gemm", ["x", "w"], "a"), node(op, ["a"], "y", axis=-1)], (4,), {"w": weights(4, 3)})
    port = read_model_bytes(data, "net.onnx").outputs[0]
    assert (port.host_ops, port.shape, port.node) == ((HostOp(op, (1,)),), (3,), "a")


@pytest.mark.parametrize(
    ("op", "attributes", "reason"),
    [
        ("ArgMax", {}, "across the samples"),
        ("Softmax", {"axis": -2}, "across the samples"),
        ("Softmax", {"axis": 2}, "has axis 2"),
    ],
)
def test_a_closing_operator_that_the_host_cannot_do_is_refused(
    op: str, attributes: dict, reason: str
) -> None:
    data = model(
        [node("Gemm", ["x", "w"], "a"), node(op, ["a"], "y", **attributes)], (4,), {"w": weights(4, 3)}
    )
    with pytest.raises(UnsupportedModel, match=reason):
        read_model_bytes(data, "net.onnx")


def test_closing_operators_may_follow_each_other() -> None:
    nodes = [
        node("Gemm", ["x", "w"], "a"),
        node("Softmax", ["a"], "b"),
        node("Identity", ["b"], "c"),
        node("ArgMax", ["c"], "y", axis=1),
    ]
    data = model(nodes, (4,), {"w": weights(4, 3)})
    closing = (HostOp("Softmax", (1,)), HostOp("ArgMax", (1,)))
    assert read_model_bytes(data, "net.onnx").outputs[0].host_ops == closing
