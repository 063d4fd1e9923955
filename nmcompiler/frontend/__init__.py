"""Reads ONNX files into the layer graph: wiring is resolved here, nothing is folded or fused."""

from nmcompiler.frontend.reader import read_model, read_model_bytes

__all__ = ["read_model", "read_model_bytes"]
