"""Forms of operators that the frontend compiles, said of a node by the model that it stands in.

An operator stands in the table with its forms. A node of another form is refused by its handler; the forms
are what documents list, and what ONNX's own test-suite is counted by.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import onnx

from nmcompiler.frontend.node import INTEGERS
from nmcompiler.ir.kernels import Array

__all__ = [
    "ENDS",
    "FIRST_SIGNAL",
    "HOLDS_VALUES",
    "INFERENCE",
    "ONE_FACTOR",
    "REAL",
    "VALUES",
    "Facts",
    "Form",
    "holds_integers",
]


@dataclass(frozen=True)
class Facts:
    """What a model says of one of its nodes.

    Attributes:
        node: The node.
        signals: Positions of the operands that depend on an input.
        constants: Values of constant operands by tensor name, where no node computes them.
        kinds: Element types of the operands, 0 where one is not known.
        ends: Whether nothing reads its results but graph outputs and what the host computes.
        used: Tensors that are read, graph outputs included.
    """

    node: onnx.NodeProto
    signals: frozenset[int]
    constants: Mapping[str, Array]
    kinds: tuple[int, ...]
    ends: bool
    used: frozenset[str]

    def attribute(self, name: str, default: int) -> int:
        """Returns an integer attribute."""
        return next((int(a.i) for a in self.node.attribute if a.name == name), default)


@dataclass(frozen=True)
class Form:
    """A form that a node must have.

    Attributes:
        sentence: What is asked of the node.
        holds: Whether a node has it.
    """

    sentence: str
    holds: Callable[[Facts], bool]


def _inference(facts: Facts) -> bool:
    if facts.node.op_type != "Dropout":
        return not facts.attribute("training_mode", 0)
    ratio, flag, *_ = (*(facts.constants.get(name) for name in facts.node.input[1:3]), None, None)
    trains = flag is not None and bool(flag.any())
    return not trains or (ratio is not None and not ratio.any())


def _holds_values(facts: Facts) -> bool:
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16)
    wide = (*floats, onnx.TensorProto.BFLOAT16)
    source, *rest = facts.kinds
    kind = facts.attribute("to", rest[0] if rest else 0)
    return facts.ends or kind in wide or holds_integers(kind, source)


def holds_integers(kind: int, source: int) -> bool:
    """Whether an element type is one of integers that holds all those of another."""
    if source == onnx.TensorProto.BOOL:
        return kind in INTEGERS
    if kind not in INTEGERS or source not in INTEGERS:
        return False
    (low, high), (lowest, highest) = _ends(source), _ends(kind)
    return lowest <= low and high <= highest


def _ends(kind: int) -> tuple[int, int]:
    """Returns the smallest and the largest number of an integer type."""
    name = onnx.TensorProto.DataType.Name(kind)
    bits = int(name.lstrip("UINT"))
    return (0, 2**bits - 1) if name.startswith("U") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


FIRST_SIGNAL = Form("only its first operand depends on the input", lambda f: f.signals <= {0})
ONE_FACTOR = Form("of its first two operands one is constant", lambda f: not f.signals >= {0, 1})
INFERENCE = Form("it is not in training mode, or drops nothing", _inference)
ENDS = Form("nothing follows but operators that the host computes", lambda f: f.ends)
HOLDS_VALUES = Form("the type holds the values, or the cast ends the network", _holds_values)
REAL = Form(
    "its values are real numbers: integers would be rounded", lambda f: not INTEGERS.intersection(f.kinds[:1])
)
VALUES = Form(
    "its values alone are used, not their positions",
    lambda f: not f.used & set(filter(None, f.node.output[1:])),
)
