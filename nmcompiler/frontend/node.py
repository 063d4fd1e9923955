"""One ONNX node as its handler sees it: typed attributes, and operands that are wires or constants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from nmcompiler.errors import InputFileError
from nmcompiler.frontend.values import Counted, Hosted, MixesSamples, Refusal, Value, Wire
from nmcompiler.ir.kernels import Array

__all__ = ["INTEGERS", "Node"]

INTEGERS = frozenset(
    getattr(onnx.TensorProto, f"{sign}INT{bits}") for sign in ("", "U") for bits in (2, 4, 8, 16, 32, 64)
)
"""Element types of whole numbers."""


@dataclass(frozen=True, eq=False)
class Node:
    """A node with its operands resolved.

    Attributes:
        name: Name in the file, or one made from operator and position; unique among nodes.
        op: Operator.
        opset: Version of the operator's domain that the file asks for.
        attributes: Attributes by name, text decoded.
        operands: Values by position; None where an optional operand is left out.
        operand_names: Tensor names by position, empty where left out.
        closes: Whether nothing but graph outputs follow.
        batch: Size of the batch dimension that the file declares, None where it is free.
        outputs: Number of outputs that the file names.
        batched: Whether axis 0 of all tensors is the batch; else every axis is like any other.
        operand_types: Element types of ``onnx.TensorProto`` by position, 0 where one is not known.
    """

    name: str
    op: str
    opset: int
    attributes: Mapping[str, Any]
    operands: tuple[Value | None, ...]
    operand_names: tuple[str, ...]
    closes: bool
    batch: int | None
    outputs: int = 1
    batched: bool = True
    operand_types: tuple[int, ...] = ()

    def spare_batch(self, axis: int, reason: str, hint: str = "") -> None:
        """Refuses for a reason what works along an axis that is the batch."""
        if self.batched and axis == 0:
            raise MixesSamples(reason, hint)

    def reshaped(self, wire: Wire, shape: tuple[int, ...]) -> Wire:
        """Returns a wire in another shape, or refuses where the sizes differ or the batch is lost."""
        if self.batched and shape[:1] != (1,):
            raise MixesSamples(
                f"puts samples and features into one axis (shape {list(shape)} for one sample)",
                "keep the batch as axis 0",
            )
        return wire.reshaped(shape)

    def spare_integers(self, reason: str) -> None:
        """Refuses what rounds integers, where the first operand holds some."""
        if self.operand_types and self.operand_types[0] in INTEGERS:
            raise Refusal(reason, "cast to float in front of it")

    def integer(self, name: str, default: int) -> int:
        """Returns an integer attribute."""
        return int(self._attribute(name, default, int))

    def number(self, name: str, default: float) -> float:
        """Returns a floating-point attribute."""
        return float(self._attribute(name, default, float | int))

    def text(self, name: str, default: str) -> str:
        """Returns a text attribute."""
        return str(self._attribute(name, default, str))

    def integers(self, name: str) -> tuple[int, ...] | None:
        """Returns a list of integers, or None where the attribute is missing."""
        if name not in self.attributes:
            return None
        values = self._attribute(name, [], list)
        if not all(isinstance(v, int) for v in values):
            raise Refusal(f"attribute '{name}' is no list of integers")
        return tuple(values)

    def _attribute(self, name: str, default: Any, kind: Any) -> Any:
        """Returns an attribute, or refuses one that is not of the type that the operator wants."""
        value = self.attributes.get(name, default)
        if not isinstance(value, kind):
            raise Refusal(f"attribute '{name}' has the wrong type ({type(value).__name__})")
        return value

    def has(self, slot: int) -> bool:
        """Whether an operand is given."""
        return slot < len(self.operands) and self.operands[slot] is not None

    def is_constant(self, slot: int) -> bool:
        """Whether an operand is given and constant."""
        return self.has(slot) and isinstance(self.operands[slot], np.ndarray | Counted)

    def wire(self, slot: int = 0) -> Wire:
        """Returns an operand that depends on the input, or refuses."""
        value = self.operands[slot] if self.has(slot) else None
        if isinstance(value, Wire):
            return value
        if isinstance(value, Hosted):
            raise Refusal(f"follows {value.ops[-1].op}, which runs on the host after the last layer")
        raise Refusal(
            f"operand {slot} must depend on the input, and is {'constant' if self.has(slot) else 'missing'}"
        )

    def constant(self, slot: int) -> Array:
        """Returns a constant operand of any dtype, or refuses; NaN and infinity are errors of the file."""
        value = self.raw_constant(slot)
        if value.dtype.kind not in "iubSUO" and not np.isfinite(value).all():
            count = int(np.count_nonzero(~np.isfinite(value)))
            raise InputFileError(
                f"'{self.operand_names[slot]}', read by {self.op} '{self.name}', "
                f"has {count} of {value.size} values that are not finite (NaN or infinity)",
                hint="train again or repair the file",
                node=self.name,
            )
        return value

    def raw_constant(self, slot: int) -> Array:
        """Returns a constant operand in which infinities may mean something, or refuses."""
        value = self.operands[slot] if self.has(slot) else None
        if isinstance(value, Counted):
            return value.for_a_sample()
        if isinstance(value, np.ndarray):
            return value
        if value is None:
            raise Refusal(f"operand {slot} is missing")
        raise Refusal(
            f"operand {slot} ('{self.operand_names[slot]}') must be constant, and depends on the input"
        )

    def weights(self, slot: int) -> Array:
        """Returns a constant operand as float32 or float64, or refuses integers beside real numbers."""
        value = self.constant(slot)
        signals = [t for v, t in zip(self.operands, self.operand_types, strict=True) if isinstance(v, Wire)]
        if value.dtype.kind in "iub" and not INTEGERS.issuperset(signals):
            raise Refusal("computes with integers beside floating-point numbers", "cast to float first")
        return value if value.dtype in (np.float32, np.float64) else value.astype(np.float64)
