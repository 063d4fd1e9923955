"""Says which nodes of a file are of a form that the table of operators does not have."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from nmcompiler.errors import InputFileError
from nmcompiler.frontend.forms import Facts
from nmcompiler.frontend.reader import closing_tensors
from nmcompiler.frontend.registry import find
from nmcompiler.frontend.source import Source, parse
from nmcompiler.frontend.values import Refusal

__all__ = ["unmet_forms"]

_CONSTANT_RESULTS = frozenset({"Shape"})


def unmet_forms(data: bytes, name: str) -> tuple[str, ...]:
    """Returns a sentence for everything in an ONNX file that is not in the table of operators.

    Nothing is compiled: an operator's form is a property of the file.

    Args:
        data: The file.
        name: Its name, for messages.
    """
    try:
        source = parse(data, name)
    except InputFileError as error:
        return (str(error),)
    return tuple(_of_nodes(source))


def _kind(source: Source, name: str) -> int:
    if name in source.constants:
        return int(onnx.helper.np_dtype_to_tensor_dtype(source.constants[name].dtype))
    return source.types.get(name, 0)


def _of_nodes(source: Source) -> Iterator[str]:
    signals = {entry.name for entry in source.inputs}
    closing = closing_tensors(source)
    used = frozenset(n for _, node in source.nodes for n in node.input) | frozenset(source.outputs)
    for label, node in source.nodes:
        depending = frozenset(k for k, n in enumerate(node.input) if n in signals)
        if not depending:
            continue  # it is computed while the file is read
        if 0 in depending if node.op_type == "CastLike" else node.op_type not in _CONSTANT_RESULTS:
            signals.update(filter(None, node.output))
        try:
            forms = find(node.domain, node.op_type, source.opset(node.domain)).forms
        except Refusal as refusal:
            yield f"{node.op_type} '{label}': {refusal.reason}"
            continue
        kinds = tuple(_kind(source, n) for n in node.input)
        ends = all(output in closing for output in node.output if output)
        facts = Facts(node, depending, source.constants, kinds, ends, used)
        yield from (f"{node.op_type} '{label}': {f.sentence}" for f in forms if not f.holds(facts))
