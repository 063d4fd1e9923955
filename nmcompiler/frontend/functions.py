"""Functions that a file defines itself: they are written out where they are called."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnx

from nmcompiler.errors import InputFileError

__all__ = ["inlined"]

_MOST_NODES = 100_000
_Key = tuple[str, str, str]


def inlined(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """Returns a model without functions of its own.

    Args:
        model: The file.
        name: Its name, for messages.

    Raises:
        InputFileError: Functions call each other in a cycle, or come to too many nodes: forty functions
            that call the one before them twice come to 2⁴⁰.
    """
    if not model.functions:
        return model
    bodies = {_key(f): f for f in model.functions}
    sizes: dict[_Key, int] = {}
    for key in bodies:
        _measure(key, bodies, sizes, name)
    if _size(model.graph.node, sizes) > _MOST_NODES:
        raise InputFileError(
            f"{name}: its functions come to more than {_MOST_NODES} nodes where they are called",
            hint="export the model without functions",
        )
    from onnx import inliner  # few files define functions of their own

    try:
        return inliner.inline_local_functions(model)
    except (RuntimeError, ValueError) as error:
        raise InputFileError(f"{name}: its functions cannot be written out ({error})") from error


def _key(function: onnx.FunctionProto) -> _Key:
    return (function.domain, function.name, function.overload)


def _measure(start: _Key, bodies: dict[_Key, onnx.FunctionProto], sizes: dict[_Key, int], name: str) -> None:
    """Sets the number of nodes that a function comes to, and those of all that it calls."""
    path: list[_Key] = [start]
    while path:
        key = path[-1]
        if key in sizes:
            path.pop()
            continue
        open_calls = [c for c in _calls(bodies[key].node) if c in bodies and c not in sizes]
        if not open_calls:
            sizes[key] = _size(bodies[key].node, sizes)
        elif open_calls[0] in path:
            raise InputFileError(f"{name}: its function '{open_calls[0][1]}' calls itself")
        else:
            path.append(open_calls[0])


def _size(nodes: Iterable[onnx.NodeProto], sizes: dict[_Key, int]) -> int:
    return sum(sizes.get(call, 1) for call in _calls(nodes))


def _calls(nodes: Iterable[onnx.NodeProto]) -> Iterator[_Key]:
    """Yields what each node calls, the nodes of subgraphs included."""
    for node in nodes:
        yield (node.domain, node.op_type, node.overload)
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                yield from _calls(graph.node)
