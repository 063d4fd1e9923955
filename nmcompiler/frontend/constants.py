"""Constant tensors of a file: initialisers, and nodes whose operands are all constant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import numpy_helper

from nmcompiler.errors import InputFileError
from nmcompiler.frontend.values import LARGEST_SIZE, Refusal

if TYPE_CHECKING:
    from nmcompiler.ir.kernels import Array

__all__ = ["fold", "initialisers"]

_RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)


def initialisers(graph: onnx.GraphProto) -> dict[str, Array]:
    """Returns the tensors stored in the file by name, sparse ones filled up."""
    found = {tensor.name: _array(tensor) for tensor in graph.initializer}
    for tensor in graph.sparse_initializer:
        found[tensor.values.name] = _filled(tensor)
    return found


def _array(tensor: onnx.TensorProto) -> Array:
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        files = [entry.value for entry in tensor.external_data if entry.key == "location"]
        raise InputFileError(
            f"tensor '{tensor.name}' is stored outside the model, in {', '.join(repr(f) for f in files)}",
            allowed="bytes of a model in one file, initialisers beside a model that is read from its path",
            hint="save it with onnx.save_model(model, path, save_as_external_data=False)",
        )
    try:
        return numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError) as error:
        raise InputFileError(f"tensor '{tensor.name}' cannot be read: {error}") from error


def _filled(tensor: onnx.SparseTensorProto) -> Array:
    """Returns a sparse tensor as a dense one; indices are flat or one row per value."""
    name, dims = tensor.values.name, tuple(tensor.dims)
    if int(np.prod(dims, dtype=np.float64)) > LARGEST_SIZE or min(dims, default=1) < 0:
        raise InputFileError(f"sparse tensor '{name}' has the shape {list(dims)}")
    values, indices = _array(tensor.values), _array(tensor.indices)
    result = np.zeros(int(np.prod(dims)), values.dtype)
    try:
        flat = indices if indices.ndim == 1 else np.ravel_multi_index(tuple(indices.T), dims)
        result[flat] = values
    except (IndexError, ValueError, TypeError) as error:
        raise InputFileError(
            f"sparse tensor '{name}' has indices or values that do not fit {list(dims)}"
        ) from error
    return result.reshape(dims)


def fold(
    node: onnx.NodeProto, operands: Sequence[Array | None], opsets: Sequence[onnx.OperatorSetIdProto]
) -> tuple[Array, ...]:
    """Computes a node whose operands are all constant with ONNX's reference evaluator, or refuses.

    Args:
        node: The node, without subgraphs.
        operands: Values by position, None where left out.
        opsets: The file's operator sets.
    """
    if node.op_type in _RANDOM:
        raise Refusal("draws random numbers")
    feeds: Mapping[str, Array] = {
        name: value for name, value in zip(node.input, operands, strict=True) if value is not None
    }
    from onnx.reference import ReferenceEvaluator  # slow to import, and most files have nothing to fold

    unknown = onnx.TypeProto()
    graph = onnx.helper.make_graph(
        [node],
        "constants",
        [
            onnx.helper.make_tensor_value_info(n, onnx.helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)
            for n, v in feeds.items()
        ],
        [onnx.helper.make_value_info(n, unknown) for n in node.output if n],
    )
    try:
        results = ReferenceEvaluator(onnx.helper.make_model(graph, opset_imports=list(opsets))).run(
            None, dict(feeds)
        )
    except Exception as error:  # whatever a reference implementation raises is a fault of this node
        raise Refusal(f"cannot be computed from constants: {error}") from error
    return tuple(np.asarray(r) for r in results)
