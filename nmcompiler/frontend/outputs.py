"""Gives every graph output a layer of its own to be read from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nmcompiler.errors import InputFileError
from nmcompiler.frontend.builder import Builder, Term
from nmcompiler.frontend.no_elements import is_empty
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.values import Hosted, Value, Wire
from nmcompiler.ir.kernels import Array
from nmcompiler.ir.layers import OutputPort

__all__ = ["connect_outputs"]


def connect_outputs(
    builder: Builder, values: Sequence[tuple[str, Value]], model_name: str
) -> tuple[OutputPort, ...]:
    """Returns the output ports; adds layers of op ``Output`` where the layer read is not free for that.

    Args:
        builder: The finished graph.
        values: Name and value of each graph output.
        model_name: Name for messages.

    Raises:
        InputFileError: An output has no elements, or does not depend on the input.
    """
    taken: set[str] = set()
    ports = []
    for name, value in values:
        wire = value.wire if isinstance(value, Hosted) else value
        node = Node(name, "Output", 0, {}, (), (), True, None, batched=builder.batched)
        if is_empty(wire):
            raise InputFileError(f"{model_name}: output '{name}' has no elements")
        if isinstance(wire, np.ndarray) and not builder.batched and wire.dtype.kind in "fiub":
            _check_finite(wire, name, model_name)
            wire = builder.constant(node, wire)
        if not isinstance(wire, Wire):
            raise InputFileError(f"{model_name}: output '{name}' does not depend on any input")
        layer = _own_layer(builder, wire, taken)
        if layer is None:
            wire = builder.sum(node, [Term(wire)])
            layer = builder.sources.whole(wire.ids)
        if layer is None:
            raise AssertionError("an output layer holds exactly its output")
        taken.add(builder.sources.names[layer])
        ops = value.ops if isinstance(value, Hosted) else ()
        order = builder.sources.positions(layer, wire.ids.ravel()).astype(np.int64)
        ports.append(
            OutputPort(
                name, wire.shape[1 if builder.batched else 0 :], builder.sources.names[layer], order, ops
            )
        )
    return tuple(ports)


def _check_finite(constant: Array, name: str, model_name: str) -> None:
    count = int(np.count_nonzero(~np.isfinite(constant)))
    if count:
        raise InputFileError(
            f"{model_name}: output '{name}' does not depend on any input, and {count} of its "
            f"{constant.size} values are not finite (NaN or infinity)"
        )


def _own_layer(builder: Builder, wire: Wire, taken: set[str]) -> int | None:
    """Returns the layer that the output can be read from as it is."""
    index = builder.sources.whole(wire.ids)
    if index is None:
        return None
    name = builder.sources.names[index]
    layer = builder.graph.node(name)
    linear = layer.activation.is_identity and layer.max_pool is None and not layer.is_input
    free = name not in taken and not builder.graph.out_edges(name)
    return index if linear and free else None
