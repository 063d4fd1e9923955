"""Writes the sizes that a user states into a model whose inputs leave them free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from nmcompiler.errors import UsageError, nearest

__all__ = ["with_input_shapes"]


def with_input_shapes(data: bytes, shapes: Mapping[str, Sequence[int]]) -> bytes:
    """Returns an ONNX file with the free dimensions of its inputs pinned.

    Args:
        data: The file.
        shapes: For each input to pin, all its dimensions. The first is the batch: 1 leaves it as it is.

    Raises:
        UsageError: There is no such input, or the file says otherwise.
    """
    if not shapes:
        return data
    try:
        model = onnx.ModelProto.FromString(data)
    except DecodeError:
        return data  # said better by whoever reads the file
    stored = {tensor.name for tensor in model.graph.initializer}
    inputs = {value.name: value for value in model.graph.input if value.name not in stored}
    for name, shape in shapes.items():
        if name not in inputs:
            raise UsageError(
                f"--input-shape names '{name}', which is no input of the model", hint=nearest(name, inputs)
            )
        _pin(inputs[name], tuple(shape))
    pinned: bytes = model.SerializeToString(deterministic=True)
    return pinned


def _pin(value: onnx.ValueInfoProto, shape: tuple[int, ...]) -> None:
    stated = f"--input-shape {value.name}={'x'.join(map(str, shape))}"
    if not shape or min(shape) < 1:
        raise UsageError(f"{stated} has a size below 1")
    dims = value.type.tensor_type.shape.dim
    if not dims:
        for _ in shape:
            dims.add()
    if len(dims) != len(shape):
        raise UsageError(
            f"{stated} has {len(shape)} dimensions",
            allowed=f"{len(dims)}, the batch included, as in the model",
        )
    for k, (dim, size) in enumerate(zip(dims, shape, strict=True)):
        fixed = dim.HasField("dim_value") and (k > 0 or dim.dim_value > 0)
        if k == 0 and size == 1:
            continue
        if fixed and dim.dim_value != size:
            raise UsageError(f"{stated} contradicts the model", allowed=f"{dim.dim_value} in dimension {k}")
        dim.dim_value = size
