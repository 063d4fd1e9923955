"""Reads ONNX files into the layer graph: wiring is resolved here, nothing is folded or fused.

The reader is imported with its first use: those who only read samples need no ``onnx``.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nmcompiler.frontend.reader import read_model, read_model_bytes

__all__ = ["read_model", "read_model_bytes"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from nmcompiler.frontend import reader

    return getattr(reader, name)
