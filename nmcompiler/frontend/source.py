"""What stands in an ONNX file, checked and sorted: live nodes in order, inputs, outputs, constants."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import networkx as nx
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from nmcompiler.errors import InputFileError
from nmcompiler.frontend.constants import initialisers
from nmcompiler.frontend.functions import inlined
from nmcompiler.frontend.values import LARGEST_SIZE
from nmcompiler.ir.kernels import Array

__all__ = ["Source", "SourceInput", "parse"]


@dataclass(frozen=True)
class SourceInput:
    """A graph input.

    Attributes:
        name: Its name.
        batch: Size of the first dimension, None where it is free or there is none.
        shape: The other dimensions.
        is_scalar: Whether there is no dimension at all.
    """

    name: str
    batch: int | None
    shape: tuple[int, ...]
    is_scalar: bool = False

    @property
    def whole(self) -> tuple[int, ...] | None:
        """All dimensions, None where the first is free."""
        if self.is_scalar:
            return ()
        return None if self.batch is None else (self.batch, *self.shape)


@dataclass(frozen=True, eq=False)
class Source:
    """A file whose structure is sound.

    Attributes:
        model: The file, local functions inlined.
        inputs: Graph inputs, initialisers left out.
        constants: Initialisers by name.
        nodes: Nodes that some output depends on, sorted, each with its name.
        shapes: Inferred shapes by tensor where all dimensions but the first are known; 0 for a free first.
        types: Element types of ``onnx.TensorProto`` by tensor, where they are known.
    """

    model: onnx.ModelProto
    inputs: tuple[SourceInput, ...]
    constants: Mapping[str, Array]
    nodes: tuple[tuple[str, onnx.NodeProto], ...]
    shapes: Mapping[str, tuple[int, ...]]
    types: Mapping[str, int]

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the graph outputs."""
        return tuple(o.name for o in self.model.graph.output)

    def opset(self, domain: str) -> int:
        """Returns the version of a domain that the file asks for, 0 where it names none."""
        versions = {_domain(o.domain): int(o.version) for o in self.model.opset_import}
        return versions.get(_domain(domain), 0)


def parse(data: bytes, name: str) -> Source:
    """Reads the bytes of an ONNX file.

    Args:
        data: The file.
        name: Name for messages.

    Raises:
        InputFileError: It is no ONNX file, or its structure is not sound.
    """
    model = _decode(data, name)
    _check_opset(model, name)
    model = inlined(model, name)
    graph = model.graph
    constants = initialisers(graph)
    inputs = tuple(_input(value) for value in graph.input if value.name not in constants)
    if not inputs:
        raise InputFileError(f"{name}: the graph has no input")
    named = _named(graph)
    producers = _producers(named, {i.name for i in inputs} | set(constants))
    for output in graph.output:
        if (
            output.name not in producers
            and output.name not in constants
            and all(i.name != output.name for i in inputs)
        ):
            raise InputFileError(f"{name}: nothing computes the graph output '{output.name}'")
    live = _live(graph, named, producers)
    nodes = _sorted(live, producers, name)
    known = {i.name for i in inputs} | set(constants)
    _check_operands(nodes, producers, known, name)
    return Source(model, inputs, constants, nodes, *_inferred(model))


def _decode(data: bytes, name: str) -> onnx.ModelProto:
    try:
        model = onnx.load_model_from_string(data)
    except DecodeError as error:
        raise InputFileError(
            f"{name} is not an ONNX file, or it is not whole", hint="export the model again"
        ) from error
    if not model.graph.node or not model.graph.output or not model.opset_import:
        raise InputFileError(f"{name} is not a whole ONNX file: it holds no graph with nodes and outputs")
    _check_text(model.graph, name)
    return model


def _check_text(graph: onnx.GraphProto, name: str) -> None:
    """Refuses names that are no text: protobuf hands them out as bytes."""
    names = [value.name for value in (*graph.input, *graph.output, *graph.initializer)]
    for node in graph.node:
        names += [node.name, node.op_type, node.domain, *node.input, *node.output]
        names += [attribute.name for attribute in node.attribute]
    if not all(isinstance(text, str) for text in names):
        raise InputFileError(
            f"{name} is damaged: it has names that are no text", hint="export the model again"
        )


def _domain(domain: str) -> str:
    return "" if domain == "ai.onnx" else domain


def _check_opset(model: onnx.ModelProto, name: str) -> None:
    newest = onnx.defs.onnx_opset_version()
    for entry in model.opset_import:
        if _domain(entry.domain) == "" and not 1 <= entry.version <= newest:
            raise InputFileError(
                f"{name} asks for opset {entry.version}",
                allowed=f"1 to {newest}, the newest that the installed onnx package knows",
                hint="convert the file or update onnx",
            )


def _input(value: onnx.ValueInfoProto) -> SourceInput:
    """Returns a graph input, or an error that names every dimension that is not known."""
    if not value.type.HasField("tensor_type") or value.type.tensor_type.elem_type == onnx.TensorProto.STRING:
        raise InputFileError(f"input '{value.name}' is not a tensor of numbers")
    if value.type.tensor_type.HasField("shape") and not value.type.tensor_type.shape.dim:
        return SourceInput(value.name, None, (), is_scalar=True)
    if not value.type.tensor_type.HasField("shape"):
        raise InputFileError(
            f"input '{value.name}' has no known shape",
            hint=f"state it, as in --input-shape {value.name}=1x3x32x32",
        )
    dims = value.type.tensor_type.shape.dim
    free = [
        f"dimension {k}" + (f" ('{d.dim_param}')" if d.dim_param else "")
        for k, d in enumerate(dims)
        if k > 0 and not d.HasField("dim_value")
    ]
    if free:
        raise InputFileError(
            f"{' and '.join(free)} of input '{value.name}' {'is' if len(free) == 1 else 'are'} free",
            allowed="only the first dimension, the batch, may be free",
            hint=f"pin {'it' if len(free) == 1 else 'them'} with --input-shape {_example(value)}",
        )
    shape = tuple(int(d.dim_value) for d in dims[1:])
    size = 1
    for k, length in enumerate(shape, 1):
        if length < 1:
            raise InputFileError(f"dimension {k} of input '{value.name}' is {length}", allowed="at least 1")
        size *= length
    if size > LARGEST_SIZE:
        raise InputFileError(
            f"input '{value.name}' has the shape {list(shape)}",
            allowed=f"at most {LARGEST_SIZE} elements a sample",
        )
    batch = int(dims[0].dim_value) if dims[0].HasField("dim_value") and dims[0].dim_value > 0 else None
    return SourceInput(value.name, batch, shape)


def _example(value: onnx.ValueInfoProto) -> str:
    """Returns the value of ``--input-shape`` that pins an input, names where the user has to fill in."""
    dims = value.type.tensor_type.shape.dim[1:]
    sizes = [str(d.dim_value) if d.HasField("dim_value") else (d.dim_param or "N").upper() for d in dims]
    return f"{value.name}={'x'.join(('1', *sizes))}"


def _named(graph: onnx.GraphProto) -> list[tuple[str, onnx.NodeProto]]:
    """Returns the nodes with unique names: their own, or operator and position in the file."""
    own = {node.name for node in graph.node}
    used: set[str] = set()
    named = []
    for k, node in enumerate(graph.node):
        stem = node.name or f"{node.op_type}_{k}"
        name, count = stem, 2
        while name in used or (name != node.name and name in own):
            name, count = f"{stem}_{count}", count + 1
        used.add(name)
        named.append((name, node))
    return named


def _producers(named: list[tuple[str, onnx.NodeProto]], given: set[str]) -> dict[str, int]:
    """Returns the position of the node that writes each tensor."""
    producers: dict[str, int] = {}
    for k, (name, node) in enumerate(named):
        for output in filter(None, node.output):
            if output in producers or output in given:
                raise InputFileError(
                    f"tensor '{output}' is written twice, the second time by {node.op_type} '{name}'"
                )
            producers[output] = k
    return producers


def _operands(node: onnx.NodeProto) -> Iterator[str]:
    """Yields all tensors that a node reads, those of its subgraphs included."""
    yield from filter(None, node.input)
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            inner = {n for child in graph.node for n in child.output}
            inner |= {i.name for i in graph.input} | {i.name for i in graph.initializer}
            for child in graph.node:
                yield from (n for n in _operands(child) if n not in inner)
            yield from (o.name for o in graph.output if o.name not in inner)


def _live(
    graph: onnx.GraphProto, named: list[tuple[str, onnx.NodeProto]], producers: Mapping[str, int]
) -> dict[int, tuple[str, onnx.NodeProto]]:
    """Returns the nodes that some graph output depends on."""
    waiting = [producers[o.name] for o in graph.output if o.name in producers]
    live: set[int] = set()
    while waiting:
        k = waiting.pop()
        if k not in live:
            live.add(k)
            waiting += [producers[n] for n in _operands(named[k][1]) if n in producers]
    return {k: named[k] for k in sorted(live)}


def _sorted(
    live: Mapping[int, tuple[str, onnx.NodeProto]], producers: Mapping[str, int], name: str
) -> tuple[tuple[str, onnx.NodeProto], ...]:
    """Returns the nodes in topological order, ties in file order, or an error that names a cycle's nodes."""
    order: nx.DiGraph[int] = nx.DiGraph()
    order.add_nodes_from(live)
    for k, (_, node) in live.items():
        order.add_edges_from((producers[n], k) for n in _operands(node) if n in producers)
    try:
        return tuple(live[k] for k in nx.lexicographical_topological_sort(order))
    except nx.NetworkXUnfeasible as error:
        stuck = sorted(k for k, _ in nx.find_cycle(order))
        names = ", ".join(f"'{live[k][0]}'" for k in stuck)
        raise InputFileError(f"{name}: the nodes {names} feed each other in a cycle") from error


def _check_operands(
    nodes: tuple[tuple[str, onnx.NodeProto], ...], producers: Mapping[str, int], known: set[str], name: str
) -> None:
    for label, node in nodes:
        for operand in filter(None, node.input):
            if operand not in producers and operand not in known:
                raise InputFileError(
                    f"{name}: {node.op_type} '{label}' reads '{operand}', which nothing computes", node=label
                )


def _without_slices(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns a model without Slice nodes: ONNX's inference aborts the process on one of a negative axis."""
    if not any(_slices(node) for node in model.graph.node):
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.node[:]
    copy.graph.node.extend(node for node in model.graph.node if not _slices(node))
    return copy


def _slices(node: onnx.NodeProto) -> bool:
    graphs = (graph for a in node.attribute for graph in (a.g, *a.graphs))
    return node.op_type == "Slice" or any(_slices(child) for graph in graphs for child in graph.node)


def _inferred(model: onnx.ModelProto) -> tuple[dict[str, tuple[int, ...]], dict[str, int]]:
    """Returns the shapes and element types that ONNX's inference finds.

    Shapes only serve to go on after a refused node.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    types = {i.name: i.type.tensor_type.elem_type for i in model.graph.input}
    try:
        graph = onnx.shape_inference.infer_shapes(_without_slices(model)).graph
    except (onnx.shape_inference.InferenceError, ValueError, RuntimeError):
        return shapes, types
    for value in (*graph.value_info, *graph.output):
        if value.type.tensor_type.elem_type:
            types[value.name] = value.type.tensor_type.elem_type
        dims = value.type.tensor_type.shape.dim
        if dims and all(d.dim_value > 0 for d in dims[1:]):
            shapes[value.name] = tuple(int(d.dim_value) for d in dims)
    return shapes, types
