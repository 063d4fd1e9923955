"""One small handler per ONNX operator; a new file in this package is found without being listed."""
