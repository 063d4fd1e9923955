"""Reads an ONNX file into a layer graph, or says everything that stands against it."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import onnx

from nmcompiler.errors import InputFileError, NmcError, RefusedNode, UnsupportedModel
from nmcompiler.frontend.builder import Builder
from nmcompiler.frontend.constants import fold
from nmcompiler.frontend.no_elements import known, results_without_elements
from nmcompiler.frontend.node import INTEGERS, Node
from nmcompiler.frontend.outputs import connect_outputs
from nmcompiler.frontend.registry import find
from nmcompiler.frontend.side_files import with_side_files
from nmcompiler.frontend.source import Source, parse
from nmcompiler.frontend.values import Counted, Layout, MixesSamples, Refusal, Relayout, Unknown, Value
from nmcompiler.ir.kernels import Array
from nmcompiler.ir.layers import InputPort, Model

__all__ = ["closing_tensors", "known_outputs", "read_model", "read_model_bytes", "read_source"]

_T = TypeVar("_T")


def read_model(path: Path) -> Model:
    """Reads an ONNX file into a layer graph.

    Raises:
        InputFileError: The file cannot be read, or its structure, shapes or weights are not sound.
        UnsupportedModel: Some nodes cannot be compiled; it names all of them.
    """
    return read_model_bytes(read_source(path), path.name)


def read_source(path: Path) -> bytes:
    """Returns the bytes of an ONNX file, with the weights that it stores in files beside it.

    Raises:
        InputFileError: The file, or one beside it that it needs, cannot be read.
    """
    try:
        return with_side_files(path.read_bytes(), path.parent)
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the path
        reason = getattr(error, "strerror", None) or error
        raise InputFileError(f"model file '{path}' cannot be read ({reason})") from None


def read_model_bytes(data: bytes, name: str) -> Model:
    """Reads the bytes of an ONNX file into a layer graph.

    Args:
        data: The file.
        name: The file's name, for messages; its stem names the model.

    Raises:
        InputFileError: The bytes are no ONNX file, or its structure, shapes or weights are not sound.
        UnsupportedModel: Some nodes cannot be compiled; it names all of them.
    """
    source = parse(data, name)
    if any(entry.is_scalar for entry in source.inputs):
        return _named(_without_batch(source, name, "an input has no axis at all"), name)
    mixing: list[str] = []
    try:
        return _named(_built(source, name, mixing, batched=True), name)
    except (UnsupportedModel, InputFileError) as error:
        if not mixing or any(entry.whole is None for entry in source.inputs):
            raise
        first = error
    try:
        return _named(_without_batch(source, name, f"{mixing[0]} works across axis 0"), name)
    except (UnsupportedModel, InputFileError) as error:
        # Whichever way of reading leaves less to mend is the one to tell of.
        closer = _count(error) < _count(first)
        raise (error if closer else first) from None


def known_outputs(data: bytes, name: str) -> dict[str, Array]:
    """Returns the graph outputs that depend on no element of an input, such as those without elements.

    A network has only those that a layer can stand for. Where the batch is free none is said to be known.

    Args:
        data: The file.
        name: Its name, for messages.

    Raises:
        InputFileError: The bytes are no ONNX file, or its structure, shapes or weights are not sound.
    """
    source = parse(data, name)
    if any(entry.whole is None for entry in source.inputs):
        return {}
    values = _settled(lambda pinned: _Walk(source, name, pinned, [], batched=False).values())
    return {o: value for o in source.outputs if isinstance(value := values[o], np.ndarray)}


def _named(model: Model, name: str) -> Model:
    return dataclasses.replace(model, name=Path(name).stem)


def _count(error: NmcError) -> int:
    return len(error.nodes) if isinstance(error, UnsupportedModel) else 1


def _without_batch(source: Source, name: str, reason: str) -> Model:
    """Reads a file of which each input as a whole is one sample, and says so."""
    model = _built(source, name, [], batched=False)
    shapes = ", ".join(f"{list(port.shape)} for '{port.name}'" for port in model.inputs)
    said = f"read without a batch, since {reason}: each sample is one whole input, of the shape {shapes}"
    return dataclasses.replace(model, warnings=(*model.warnings, said))


def _built(source: Source, name: str, mixing: list[str], *, batched: bool) -> Model:
    """Walks over the nodes until all layouts are settled; ``mixing`` gets the nodes that mix axis 0."""

    def model(pinned: Mapping[str, Layout]) -> Model:
        mixing.clear()
        return _Walk(source, name, pinned, mixing, batched=batched).model()

    return _settled(model)


def _settled(walk: Callable[[Mapping[str, Layout]], _T]) -> _T:
    """Returns the result of a walk with the layouts that earlier walks asked for."""
    pinned: dict[str, Layout] = {}
    while True:
        try:
            return walk(pinned)
        except Relayout as wish:
            pinned[wish.layer] = wish.layout


class _Walk:
    """One pass over the nodes in order.

    Args:
        source: The file.
        name: Its name, for messages.
        pinned: Layouts found in earlier passes.
        mixing: Gets the nodes that work across axis 0 where that is the batch.
        batched: Whether axis 0 is the batch.
    """

    def __init__(
        self, source: Source, name: str, pinned: Mapping[str, Layout], mixing: list[str], *, batched: bool
    ) -> None:
        self._source = source
        self._name = name
        self._mixing = mixing
        self._batched = batched
        self._builder = Builder(pinned, batched=batched)
        self._types = dict(source.types)
        self._whole_numbers: list[str] = []
        self._values: dict[str, Value] = dict(source.constants)
        self._refused: list[RefusedNode] = []
        self._closing = closing_tensors(source)
        self._read = {n for _, node in source.nodes for n in node.input} | set(source.outputs)

    def model(self) -> Model:
        """Returns the whole model, its name still empty."""
        inputs = self._walk()
        if self._refused:
            raise UnsupportedModel(self._refused, asked=self._name)
        self._check_work()
        for output in self._source.outputs:
            if isinstance(self._values[output], np.ndarray | Counted):
                self._mixing.append(f"output '{output}'")  # constants have no batch
        outputs = connect_outputs(
            self._builder, [(o, self._values[o]) for o in self._source.outputs], self._name
        )
        graph = self._builder.pruned([port.node for port in outputs])
        return Model("", graph, tuple(inputs), outputs, self._builder.macs, self._warnings())

    def values(self) -> Mapping[str, Value]:
        """Returns the value of every tensor, wires from nowhere and unknown ones behind refused nodes."""
        self._walk()
        return self._values

    def _walk(self) -> list[InputPort]:
        """Sets the values of all tensors and returns the input ports."""
        inputs = []
        for entry in self._source.inputs:
            shape = entry.shape if self._batched else entry.whole or ()
            self._values[entry.name], port = self._builder.input(entry.name, shape)
            inputs.append(port)
        for name, proto in self._source.nodes:
            self._visit(name, proto)
        return inputs

    def _warnings(self) -> tuple[str, ...]:
        if not self._whole_numbers:
            return ()
        named = ", ".join(self._whole_numbers[:3]) + (", …" if len(self._whole_numbers) > 3 else "")
        return (f"integers are computed without limits, where ONNX lets them wrap around: {named}",)

    def _visit(self, name: str, proto: onnx.NodeProto) -> None:
        """Sets the values of a node's outputs, or notes why that cannot be."""
        try:
            results = self._compute(name, proto)
            for k, output in enumerate(proto.output):
                if k >= len(results) and output in self._read:
                    raise Refusal(f"its output {k} ('{output}') is used, and is not computed")
        except Refusal as refusal:
            if isinstance(refusal, MixesSamples):
                self._mixing.append(f"{proto.op_type} '{name}'")
            self._refused.append(RefusedNode(name, proto.op_type, refusal.reason, refusal.hint))
            results = tuple(self._stand_in(output) for output in proto.output)
        self._values.update(zip(proto.output, results, strict=False))

    def _compute(self, name: str, proto: onnx.NodeProto) -> tuple[Value, ...]:
        operands = tuple(self._values[n] if n else None for n in proto.input)
        constants = [v for v in operands if v is None or isinstance(v, np.ndarray | Counted)]
        domain = "" if proto.domain == "ai.onnx" else proto.domain
        kinds = self._operand_types(proto, operands)
        if domain == "" and not _has_subgraph(proto):
            if len(constants) == len(operands):
                return self._folded(proto, constants)
            opsets = self._source.model.opset_import
            nothing = results_without_elements(proto, operands, kinds, opsets, batched=self._batched)
            if nothing is not None:
                return nothing
        operator = find(domain, proto.op_type, self._source.opset(domain))
        if any(isinstance(v, Unknown) for v in operands):
            return tuple(self._stand_in(output) for output in proto.output)
        node = Node(
            name,
            proto.op_type,
            self._source.opset(domain),
            _attributes(proto),
            operands,
            tuple(proto.input),
            all(output in self._closing for output in proto.output if output),
            self._source.inputs[0].batch if self._batched else None,
            len(proto.output),
            self._batched,
            kinds,
        )
        result = operator.handler(node, self._builder)
        self._note_type(name, proto, kinds)
        results = result if isinstance(result, tuple) else (result,)
        return tuple(
            known(value, self._types.get(output, 0), batched=self._batched)
            for output, value in zip(proto.output, results, strict=False)
        )

    def _operand_types(self, proto: onnx.NodeProto, operands: tuple[Value | None, ...]) -> tuple[int, ...]:
        tensors = (v.one if isinstance(v, Counted) else v for v in operands)
        return tuple(
            self._types.get(n, 0)
            if not isinstance(v, np.ndarray)
            else onnx.helper.np_dtype_to_tensor_dtype(v.dtype)
            for n, v in zip(proto.input, tensors, strict=True)
        )

    def _note_type(self, name: str, proto: onnx.NodeProto, operand_types: tuple[int, ...]) -> None:
        """Notes arithmetic of integers, and the type of a result that inference does not know."""
        self._types.setdefault(proto.output[0], operand_types[0] if operand_types else 0)
        if proto.op_type in _ARITHMETIC and INTEGERS.intersection(operand_types):
            self._whole_numbers.append(f"{proto.op_type} '{name}'")

    def _folded(self, proto: onnx.NodeProto, operands: list[Array | Counted | None]) -> tuple[Value, ...]:
        """Returns the constant results of a node, for one sample and two where that differs."""
        opsets = self._source.model.opset_import
        ones = fold(proto, [v.one if isinstance(v, Counted) else v for v in operands], opsets)
        if not any(isinstance(v, Counted) for v in operands):
            return ones
        twos = fold(proto, [v.two if isinstance(v, Counted) else v for v in operands], opsets)
        return tuple(
            one if np.array_equal(one, two) else Counted(one, two)
            for one, two in zip(ones, twos, strict=True)
        )

    def _stand_in(self, output: str) -> Value:
        """Returns a value for the output of a refused node, so that what follows can still be judged."""
        shape = self._source.shapes.get(output)
        if shape is not None and self._batched:
            shape = (1, *shape[1:])
        try:
            return Unknown() if shape is None or 0 in shape else self._builder.reserve(shape)
        except Refusal:
            return Unknown()

    def _check_work(self) -> None:
        """Refuses a model that only moves values about."""
        if all(layer.is_input for layer in self._builder.graph):
            reason = "moves values or runs on the host, and no layer is left for the chip"
            idle = [(n, p) for n, p in self._source.nodes if p.op_type != "Constant"]
            raise UnsupportedModel([RefusedNode(n, p.op_type, reason) for n, p in idle], asked=self._name)


_ARITHMETIC = frozenset({"Abs", "Add", "Gemm", "MatMul", "Mul", "Neg", "Sub"})


def _has_subgraph(proto: onnx.NodeProto) -> bool:
    return any(a.HasField("g") or a.graphs for a in proto.attribute)


def _attributes(proto: onnx.NodeProto) -> dict[str, object]:
    """Returns the attributes of a node as Python values, or refuses those that ONNX does not allow."""
    values: dict[str, object] = {}
    for attribute in proto.attribute:
        try:
            value = onnx.helper.get_attribute_value(attribute)
        except ValueError as error:
            raise Refusal(f"attribute '{attribute.name}' cannot be read: {error}") from error
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        values[attribute.name] = value if isinstance(value, str | int | float) else _list(value)
    return values


def _list(value: object) -> object:
    """Returns repeated fields as lists; tensors, graphs and types as they are."""
    return list(value) if isinstance(value, Sequence) else value


def closing_tensors(source: Source) -> set[str]:
    """Returns the tensors that nothing reads but graph outputs and operators that pass the host's values."""
    readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
    for _, node in source.nodes:
        for operand in node.input:
            readers[operand].append(node)
    closing: set[str] = set()
    for _, node in reversed(source.nodes):
        for output in filter(None, node.output):
            if all(_passes(source, r) and set(filter(None, r.output)) <= closing for r in readers[output]):
                closing.add(output)
    return closing


def _passes(source: Source, node: onnx.NodeProto) -> bool:
    try:
        return find(node.domain, node.op_type, source.opset(node.domain)).transparent
    except Refusal:
        return False
