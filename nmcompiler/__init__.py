"""nmcompiler compiles trained ONNX networks to neuromorphic chips and proves what it made."""
