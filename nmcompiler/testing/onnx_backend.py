"""The frontend and the float evaluator as an ``onnx.backend``, so that ONNX's own test-suite can judge them.

``onnx.backend.test.BackendTest(FrontendBackend, __name__)`` makes the suite's cases. A case may end with an
``NmcError``: the frontend refuses what it cannot compile.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.base import Backend, BackendRep

from nmcompiler.errors import InputFileError, NmcError
from nmcompiler.evaluate.float import run_float
from nmcompiler.evaluate.host import apply_host_ops
from nmcompiler.frontend.reader import known_outputs, read_model_bytes
from nmcompiler.ir.kernels import Array
from nmcompiler.ir.layers import Model

__all__ = ["FrontendBackend", "FrontendRep", "choices", "frozen", "named_inputs"]


_COMPANION = "nmc.companion"


class FrontendRep(BackendRep):
    """A model that is read when its inputs are known, since the suite feeds weights as inputs.

    Args:
        model: The file.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Returns the graph outputs in the types that the file declares.

        Args:
            inputs: One for each graph input that is no initialiser; inputs that the frontend only takes as
                constants become initialisers. Axis 0 is the batch where the frontend reads it as one; else
                the inputs are one sample.
            kwargs: Not used; the protocol of ``onnx.backend`` has it.

        Raises:
            UnsupportedModel: A node cannot be compiled, whichever inputs are constants.
            InputFileError: The structure of the file is not one the frontend reads.
        """
        feeds = named_inputs(self._model, inputs)
        refusals: dict[tuple[str, ...], NmcError] = {}
        for free in choices(feeds):
            try:
                return _answers(frozen(self._model, feeds, free), {n: feeds[n] for n in free})
            except NmcError as error:
                refusals[free] = error
        for refusal in (e for free, e in refusals.items() if len(free) <= 1):
            raise refusal  # the first input is the data in nearly all cases, and all others are weights
        raise InputFileError("no input of the model is a tensor")


class FrontendBackend(Backend):
    """Reads ONNX files with the frontend of the compiler and executes them with the float evaluator."""

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> FrontendRep:
        """Returns a handle to run a model."""
        return FrontendRep(model)

    @classmethod
    def run_node(
        cls, node: onnx.NodeProto, inputs: Any, device: str = "CPU", outputs_info: Any = None, **kwargs: Any
    ) -> tuple[Any, ...]:
        """Returns the outputs of one operator, of the opset ``opset_version`` or else the newest."""
        arrays = [np.asarray(value) for value in inputs]
        declared = [
            onnx.helper.make_tensor_value_info(n, onnx.helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
            for n, a in zip(filter(None, node.input), arrays, strict=True)
        ]
        results = [onnx.helper.make_value_info(n, onnx.TypeProto()) for n in node.output if n]
        graph = onnx.helper.make_graph([node], "node", declared, results)
        version = int(kwargs.get("opset_version", onnx.defs.onnx_opset_version()))
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", version)])
        return cls.prepare(model, device).run(arrays)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether a device is the CPU."""
        return device == "CPU"


def named_inputs(model: onnx.ModelProto, inputs: Sequence[Any]) -> dict[str, Any]:
    """Returns the inputs of a case by name, numbers as arrays."""
    given = {i.name for i in model.graph.initializer}
    names = [i.name for i in model.graph.input if i.name not in given]
    return dict(zip(names, (np.asarray(v) if _is_number(v) else v for v in inputs), strict=False))


def choices(feeds: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yields sets of inputs that may stay free: all of them, then one at a time.

    Which of several inputs is a weight is not written anywhere. None is free where there is none, or where
    the first one, which is the data in nearly all cases, has no elements: then all others are weights.
    """
    tensors = tuple(n for n, v in feeds.items() if isinstance(v, np.ndarray) and v.size)
    if len(tensors) == len(feeds) > 1:
        yield tensors
    yield from ((name,) for name in tensors)
    first = next(iter(feeds.values()), np.zeros(0))
    if isinstance(first, np.ndarray) and not first.size:
        yield ()


def _is_number(value: Any) -> bool:
    return isinstance(value, np.ndarray | np.generic) or np.isscalar(value)


def frozen(model: onnx.ModelProto, feeds: dict[str, Any], free: Sequence[str]) -> bytes:
    """Returns the file with the values of all other inputs as initialisers.

    A layer of its own from input to output is added: a file that only moves values about is no network
    for a chip and is refused, which is not what the suite asks.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    kept = [i for i in model.graph.input if i.name not in feeds or i.name in free]
    for name, value in feeds.items():
        if name not in free:
            if not isinstance(value, np.ndarray):
                raise InputFileError(f"input '{name}' is no tensor")
            graph.initializer.append(numpy_helper.from_array(value, name))
    del graph.input[:]
    ends = [f"{_COMPANION}.{end}" for end in ("x", "y")]
    shape = [1, 1, 1, 1]
    port, answer = (onnx.helper.make_tensor_value_info(end, onnx.TensorProto.FLOAT, shape) for end in ends)
    graph.input.extend([*kept, port])
    graph.output.append(answer)
    graph.initializer.append(numpy_helper.from_array(np.ones((1, 1, 1, 1), np.float32), _COMPANION))
    graph.node.append(onnx.helper.make_node("Conv", [ends[0], _COMPANION], [ends[1]], name=_COMPANION))
    data: bytes = copy.SerializeToString()
    return data


def _answers(data: bytes, feeds: dict[str, Array]) -> tuple[Array, ...]:
    names = [o.name for o in onnx.load_model_from_string(data).graph.output]
    try:
        answers = _computed(data, feeds)
    except InputFileError:  # all nodes are read, and an output is perhaps one that no layer can give
        known = {n: v for n, v in known_outputs(data, "model.onnx").items() if not _fits_a_layer(v)}
        if not known:
            raise
        answers = {**_computed(_without(data, known), feeds), **known}
    return tuple(answers[n] for n in names if not n.startswith(_COMPANION))


def _fits_a_layer(constant: Array) -> bool:
    """Whether a constant can be the answer of a layer: there is some, and it is finite."""
    return bool(constant.size) and (constant.dtype.kind != "f" or bool(np.isfinite(constant).all()))


def _without(data: bytes, outputs: Iterable[str]) -> bytes:
    """Returns a file without some of the graph's outputs."""
    model = onnx.load_model_from_string(data)
    kept = [o for o in model.graph.output if o.name not in set(outputs)]
    del model.graph.output[:]
    model.graph.output.extend(kept)
    rest: bytes = model.SerializeToString()
    return rest


def _computed(data: bytes, feeds: dict[str, Array]) -> dict[str, Array]:
    """Returns what the layers of a file, and the host behind them, answer by the name of the output."""
    model = read_model_bytes(data, "model.onnx")
    ports = {port.name: port for port in model.inputs}
    alone = len(ports[f"{_COMPANION}.x"].shape) == 4  # read without a batch: all is one sample
    # Float64: some cases end in a Softmax of values of 10¹⁰, in which float32 makes noise decide.
    samples = {n: np.asarray(v[None] if alone else v, np.float64) for n, v in feeds.items()}
    counts = {len(v) for v in samples.values()} or {1}
    if len(counts) > 1:
        raise InputFileError(f"the inputs have different numbers of samples ({sorted(counts)})")
    companion = np.zeros((counts.pop(), *ports[f"{_COMPANION}.x"].shape))
    outputs = run_float(model, {**samples, f"{_COMPANION}.x": companion}).outputs
    declared = {o.name: o.type.tensor_type.elem_type for o in onnx.load_model_from_string(data).graph.output}
    answers = {
        port.name: _finished(model, k, outputs[port.name], declared[port.name])
        for k, port in enumerate(model.outputs)
    }
    return {n: a[0] for n, a in answers.items()} if alone else answers


def _finished(model: Model, k: int, value: Array, elem_type: int) -> Array:
    """Returns an output after the operators that close the network on the host."""
    answer: Array = apply_host_ops(model.outputs[k].host_ops, value)
    if elem_type == onnx.TensorProto.UNDEFINED:
        return answer
    return answer.astype(onnx.helper.tensor_dtype_to_np_dtype(elem_type))
