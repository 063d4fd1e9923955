"""What the host computes from the read-out: operators that close a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from nmcompiler.ir.kernels import Array
from nmcompiler.ir.layers import HOST_CASTS, HostOp

__all__ = ["apply_host_ops"]


def apply_host_ops(ops: Sequence[HostOp], y: Array) -> Array:
    """Returns what the operators make of the outputs ``(N, *shape)`` of a network, float64 or int64."""
    for op in ops:
        y = _RULES[op.op](op, y)
    return y


def _log_softmax(op: HostOp, y: Array) -> Array:
    shifted = y - y.max(axis=op.axes, keepdims=True)
    result: Array = shifted - np.log(np.exp(shifted).sum(axis=op.axes, keepdims=True))
    return result


def _softmax(op: HostOp, y: Array) -> Array:
    return np.asarray(np.exp(_log_softmax(op, y)))


def _arg_max(op: HostOp, y: Array) -> Array:
    return np.asarray(y.argmax(axis=op.axes[0], keepdims=op.keeps_axis))


def _arg_max_last(op: HostOp, y: Array) -> Array:
    axis = op.axes[0]
    return np.asarray(y.shape[axis] - 1 - np.flip(y, axis).argmax(axis=axis, keepdims=op.keeps_axis))


def _sigmoid(op: HostOp, y: Array) -> Array:
    return np.asarray(np.exp(-np.logaddexp(0, -y)))  # no overflow for large |y|


def _tanh(op: HostOp, y: Array) -> Array:
    return np.asarray(np.tanh(y))


def _cast(op: HostOp, y: Array) -> Array:
    """Rounds as ONNX's reference evaluator does, from float32 as a chip's outputs are."""
    from onnx import TensorProto, defs, helper  # few networks end so, and this takes time to import
    from onnx.reference import ReferenceEvaluator

    modes = ("Unsaturated", "Down", "Nearest")
    mode = next((m for m in modes if op.op.startswith(f"Cast{m}")), "")
    kind = TensorProto.DataType.Value(op.op.removeprefix(f"Cast{mode}"))
    how = {"round_mode": mode.lower()} if mode in modes[1:] else {"saturate": int(not mode)}
    cast = helper.make_node("Cast", ["y"], ["z"], to=kind, **how)
    ends = [helper.make_value_info(name, helper.make_tensor_type_proto(1, None)) for name in "yz"]
    graph = helper.make_graph([cast], "cast", ends[:1], ends[1:])
    opset = helper.make_opsetid("", defs.onnx_opset_version())
    given = y if y.dtype.kind in "iu" else y.astype(np.float32)
    (made,) = ReferenceEvaluator(helper.make_model(graph, opset_imports=[opset])).run(None, {"y": given})
    return np.asarray(made).astype(np.float64)


_RULES: Mapping[str, Callable[[HostOp, Array], Array]] = {
    "Softmax": _softmax,
    "LogSoftmax": _log_softmax,
    "ArgMax": _arg_max,
    "ArgMaxLast": _arg_max_last,
    "Sigmoid": _sigmoid,
    "Tanh": _tanh,
    **dict.fromkeys(HOST_CASTS, _cast),
}
