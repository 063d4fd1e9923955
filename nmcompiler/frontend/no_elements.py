"""Tensors without elements: an axis of length 0 makes a tensor known, whatever it depends on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from nmcompiler.frontend.constants import inferred
from nmcompiler.frontend.values import Counted, Value, Wire
from nmcompiler.ir.kernels import Array

__all__ = ["is_empty", "known", "results_without_elements"]


def is_empty(value: Value | None) -> bool:
    """Whether a value is a tensor without elements."""
    tensor = value.one if isinstance(value, Counted) else value.ids if isinstance(value, Wire) else value
    return isinstance(tensor, np.ndarray) and not tensor.size


def known(value: Value, kind: int, *, batched: bool) -> Value:
    """Returns a wire without elements as the constant that it is, every other value as it is.

    Args:
        value: Any result of a node.
        kind: Its element type of ``onnx.TensorProto``, 0 where that is not known.
        batched: Whether axis 0 is the batch; then the constant is counted in samples.
    """
    if not isinstance(value, Wire) or value.ids.size:
        return value
    shapes = [value.shape, (2, *value.shape[1:])] if batched else [value.shape]
    return _constant(shapes, kind)


def results_without_elements(
    node: onnx.NodeProto,
    operands: Sequence[Value | None],
    kinds: Sequence[int],
    opsets: Sequence[onnx.OperatorSetIdProto],
    *,
    batched: bool,
) -> tuple[Value, ...] | None:
    """Returns the results of a node that reads wires beside a tensor without elements, such as their sum.

    Args:
        node: The node, of ONNX's own domain and without subgraphs.
        operands: Values by position, None where left out.
        kinds: Element types of the operands.
        opsets: The file's operator sets.
        batched: Whether axis 0 of wires is the batch.

    Returns:
        None where some result has elements, or where that cannot be said: it is for the operator to compute.
    """
    usable = all(v is None or isinstance(v, Wire | Counted | np.ndarray) for v in operands)
    if not usable or not any(is_empty(v) for v in operands) or node.op_type == "Slice":
        return None  # ONNX's inference can abort the process on a Slice
    found = []
    for count in (1, 2) if batched else (1,):
        constants: dict[str, Array] = {}
        wires: dict[str, tuple[int, tuple[int, ...]]] = {}
        for name, value, kind in zip(node.input, operands, kinds, strict=True):
            if isinstance(value, Wire):
                wires[name] = (kind, (count, *value.shape[1:]) if batched else value.shape)
            elif value is not None:
                constants[name] = _of(value, count)
        results = inferred(node, constants, opsets, wires)
        if not all(output in results and 0 in results[output][1] for output in node.output if output):
            return None
        found.append(results)
    return tuple(
        _constant([results[output][1] for results in found], found[0][output][0]) if output else np.zeros(0)
        for output in node.output
    )


def _of(value: Value, count: int) -> Array:
    """Returns a constant operand as it is for one or two samples."""
    if isinstance(value, Counted):
        return value.one if count == 1 else value.two
    if not isinstance(value, np.ndarray):
        raise AssertionError("operands are wires and constants")
    return value


def _constant(shapes: Sequence[tuple[int, ...]], kind: int) -> Value:
    """Returns a tensor without elements; of two shapes, one for each number of samples, where they differ."""
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind or onnx.TensorProto.FLOAT)
    made = [np.zeros(shape, dtype) for shape in dict.fromkeys(shapes)]
    return Counted(made[0], made[1]) if len(made) > 1 else made[0]
