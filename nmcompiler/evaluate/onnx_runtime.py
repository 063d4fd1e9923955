"""Runs an ONNX file with onnxruntime: the judge of what the float network answers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import onnxruntime

from nmcompiler.ir.kernels import Array

__all__ = ["run_onnx"]

_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(uint16)": np.uint16,
    "tensor(int16)": np.int16,
    "tensor(uint32)": np.uint32,
    "tensor(int32)": np.int32,
    "tensor(uint64)": np.uint64,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
}


def run_onnx(
    source: bytes, samples: Mapping[str, Array], *, batch: int = 256, threads: int = 1
) -> dict[str, Array]:
    """Returns every output of an ONNX file by name, ``(N, …)``, graph optimisations off.

    A batch size that is baked into the file is obeyed; the last batch is filled up with its last sample.
    Samples that have an axis more than the inputs are whole inputs each, and run one at a time.

    Args:
        source: The file.
        samples: ``(N, …)`` for each input by name; cast to the dtype that the file asks for.
        batch: Samples at a time where the file leaves that free.
        threads: Threads of onnxruntime.
    """
    session = _session(source, threads)
    if all(samples[i.name].ndim == len(i.shape) + 1 for i in session.get_inputs()):
        return _one_by_one(session, samples)
    feeds = {i.name: _cast(samples[i.name], i.type) for i in session.get_inputs()}
    fixed = [i.shape[0] for i in session.get_inputs() if i.shape and isinstance(i.shape[0], int)]
    step = fixed[0] if fixed else batch
    names = [o.name for o in session.get_outputs()]
    total = len(next(iter(feeds.values())))
    parts: dict[str, list[Array]] = {name: [] for name in names}
    for start in range(0, total, step):
        count = min(step, total - start)
        rows = np.minimum(np.arange(start, start + (step if fixed else count)), total - 1)
        for name, value in zip(
            names, session.run(names, {k: v[rows] for k, v in feeds.items()}), strict=True
        ):
            parts[name].append(np.asarray(value)[:count])
    return {name: np.concatenate(values) for name, values in parts.items()}


def _one_by_one(session: onnxruntime.InferenceSession, samples: Mapping[str, Array]) -> dict[str, Array]:
    names = [o.name for o in session.get_outputs()]
    feeds = {i.name: _cast(samples[i.name], i.type) for i in session.get_inputs()}
    count = len(next(iter(feeds.values())))
    rows = [session.run(names, {k: v[n, ...] for k, v in feeds.items()}) for n in range(count)]
    return {name: np.stack([np.asarray(row[k]) for row in rows]) for k, name in enumerate(names)}


def _session(source: bytes, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(_without_names(source), options, providers=["CPUExecutionProvider"])


def _without_names(source: bytes) -> bytes:
    """Returns the file with nodes' names taken away where two are the same, which onnxruntime refuses."""
    model = onnx.load_model_from_string(source)
    names = [node.name for node in model.graph.node if node.name]
    if len(set(names)) == len(names):
        return source
    for node in model.graph.node:
        node.name = ""
    cleaned: bytes = model.SerializeToString()
    return cleaned


def _cast(array: Array, kind: str) -> Array:
    return np.ascontiguousarray(array, dtype=_DTYPES[kind])
