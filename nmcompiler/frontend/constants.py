"""Constant tensors of a file: initialisers, and nodes whose operands are all constant."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import numpy_helper

from nmcompiler.errors import InputFileError
from nmcompiler.frontend.values import LARGEST_SIZE, Refusal

if TYPE_CHECKING:
    from nmcompiler.ir.kernels import Array

__all__ = ["fold", "inferred", "initialisers"]

_MOST_WEIGHTS = 1 << 27  # of one tensor; the largest layer of VGG-19 has 2**26.6
_SHAPE_SIZE = 64  # a constant of at most so many values may be a shape, axes or scales
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
    _check_result(node, feeds, opsets)
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
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of means of nothing, for instance: NaN is said where it is read
            results = ReferenceEvaluator(onnx.helper.make_model(graph, opset_imports=list(opsets))).run(
                None, dict(feeds)
            )
    except Exception as error:  # whatever a reference implementation raises is a fault of this node
        raise Refusal(f"cannot be computed from constants: {error}") from error
    if not all(isinstance(r, np.ndarray | np.generic | int | float) for r in results):
        raise Refusal("gives a sequence, a map or nothing, and only tensors are supported")
    return tuple(np.asarray(r) for r in results)


def _check_result(
    node: onnx.NodeProto, feeds: Mapping[str, Array], opsets: Sequence[onnx.OperatorSetIdProto]
) -> None:
    """Refuses results too large to be weights before they are made: a shape in a file costs it nothing."""
    for _, dims in inferred(node, feeds, opsets).values():
        shape = [max(1, n) for n in dims]
        if math.prod(shape) > _MOST_WEIGHTS:
            raise Refusal(f"makes a constant of shape {shape}: at most {_MOST_WEIGHTS} values are allowed")


def inferred(
    node: onnx.NodeProto,
    constants: Mapping[str, Array],
    opsets: Sequence[onnx.OperatorSetIdProto],
    others: Mapping[str, tuple[int, tuple[int, ...]]] = MappingProxyType({}),
) -> dict[str, tuple[int, tuple[int, ...]]]:
    """Returns the element types and shapes that ONNX's inference finds for the results of one node.

    Args:
        node: The node.
        constants: Its constant operands by name.
        opsets: The file's operator sets.
        others: Element types and shapes of its other operands.

    Returns:
        By name; −1 for a length that is not known, and no entry for a result of which nothing is known.
    """
    kinds = {n: (onnx.helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for n, v in constants.items()}
    graph = onnx.helper.make_graph(
        [node],
        "node",
        [onnx.helper.make_tensor_value_info(n, *kind) for n, kind in {**kinds, **others}.items()],
        [],
        [numpy_helper.from_array(v, n) for n, v in constants.items() if v.size <= _SHAPE_SIZE],
    )
    model = onnx.helper.make_model(graph, opset_imports=list(opsets))
    try:
        values = onnx.shape_inference.infer_shapes(model, data_prop=True).graph.value_info
    except (onnx.shape_inference.InferenceError, ValueError, RuntimeError):
        return {}  # said better by whoever computes the node
    return {
        v.name: (
            v.type.tensor_type.elem_type,
            tuple(int(d.dim_value) if d.HasField("dim_value") else -1 for d in v.type.tensor_type.shape.dim),
        )
        for v in values
        if v.type.tensor_type.HasField("shape")
    }
