"""The frontend and the float evaluator as an ``onnx.backend``, so that ONNX's own test-suite can judge them.

``onnx.backend.test.BackendTest(FrontendBackend, __name__)`` makes the suite's cases. A case may end with an
``NmcError``: the frontend refuses what it cannot compile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.base import Backend, BackendRep

from nmcompiler.errors import InputFileError, NmcError
from nmcompiler.evaluate.float import run_float
from nmcompiler.evaluate.host import apply_host_ops
from nmcompiler.frontend.reader import read_model_bytes
from nmcompiler.ir.kernels import Array
from nmcompiler.ir.layers import Model

__all__ = ["FrontendBackend", "FrontendRep"]


_COMPANION = "nmc.companion"
_RANK_FREE = frozenset(
    [
        "Abs",
        "Add",
        "Cast",
        "Clip",
        "Div",
        "Dropout",
        "Elu",
        "Exp",
        "HardSigmoid",
        "Identity",
        "LeakyRelu",
        "Max",
        "Min",
        "Mul",
        "Neg",
        "Relu",
        "Sigmoid",
        "Sub",
        "Sum",
        "Tanh",
    ]
)
"""Operators that mean the same with one more axis in front of all operands."""


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
            inputs: ``(N, …)`` for each graph input that is no initialiser. Axis 0 is the batch, as
                everywhere in the frontend; inputs that the frontend only takes as constants become
                initialisers. Where all operators are element by element and axis 0 is refused as batch,
                the inputs are taken as one sample.
            kwargs: Not used; the protocol of ``onnx.backend`` has it.

        Raises:
            UnsupportedModel: A node cannot be compiled, whichever inputs are constants.
            InputFileError: The structure of the file is not one the frontend reads.
        """
        given = {i.name for i in self._model.graph.initializer}
        names = [i.name for i in self._model.graph.input if i.name not in given]
        feeds = dict(zip(names, (np.asarray(v) if _is_number(v) else v for v in inputs), strict=False))
        refusals: dict[tuple[str, ...], NmcError] = {}
        for model, values in self._framings(feeds):
            for free in _choices(values):
                try:
                    answers = _answers(_frozen(model, values, free), {n: values[n] for n in free})
                except NmcError as error:
                    refusals.setdefault(free, error)
                else:
                    return answers if values is feeds else tuple(a[0] for a in answers)
        for free, refusal in refusals.items():
            if len(free) == 1:  # the first input is the data in nearly all cases, and all others are weights
                raise refusal
        raise InputFileError("no input of the model is a tensor with a batch axis")

    def _framings(self, feeds: dict[str, Any]) -> Iterator[tuple[onnx.ModelProto, dict[str, Any]]]:
        """Yields the file as it is and, where that changes nothing, with an axis of one sample in front."""
        yield self._model, feeds
        if {node.op_type for node in self._model.graph.node} <= _RANK_FREE:
            model = onnx.ModelProto()
            model.CopyFrom(self._model)
            for value in (*model.graph.input, *model.graph.output):
                value.type.tensor_type.shape.dim.insert(0, onnx.TensorShapeProto.Dimension(dim_value=1))
            yield model, {n: v[None] if isinstance(v, np.ndarray) and v.ndim else v for n, v in feeds.items()}


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


def _choices(feeds: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yields sets of inputs that may stay free: all where they share a batch axis, then one at a time."""
    batched = [n for n, v in feeds.items() if isinstance(v, np.ndarray) and v.ndim > 0]
    # Which of several inputs is a weight is not written anywhere; samples have equal ranks and one batch.
    alike = len({(feeds[n].ndim, len(feeds[n])) for n in batched}) == 1
    if len(batched) == len(feeds) > 1 and alike:
        yield tuple(batched)
    yield from ((name,) for name in batched)


def _is_number(value: Any) -> bool:
    return isinstance(value, np.ndarray | np.generic) or np.isscalar(value)


def _frozen(model: onnx.ModelProto, feeds: dict[str, Any], free: Sequence[str]) -> bytes:
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
    shape: list[str | int | None] = ["N", 1, 1, 1]
    port, answer = (onnx.helper.make_tensor_value_info(end, onnx.TensorProto.FLOAT, shape) for end in ends)
    graph.input.extend([*kept, port])
    graph.output.append(answer)
    graph.initializer.append(numpy_helper.from_array(np.ones((1, 1, 1, 1), np.float32), _COMPANION))
    graph.node.append(onnx.helper.make_node("Conv", [ends[0], _COMPANION], [ends[1]], name=_COMPANION))
    data: bytes = copy.SerializeToString()
    return data


def _answers(data: bytes, samples: dict[str, Array]) -> tuple[Array, ...]:
    model = read_model_bytes(data, "model.onnx")
    count = len(next(iter(samples.values())))
    companion = np.zeros((count, 1, 1, 1), np.float32)
    outputs = run_float(model, {**samples, f"{_COMPANION}.x": companion}).outputs
    declared = {o.name: o.type.tensor_type.elem_type for o in onnx.load_model_from_string(data).graph.output}
    return tuple(
        _finished(model, k, outputs[port.name], declared[port.name])
        for k, port in enumerate(model.outputs)
        if not port.name.startswith(_COMPANION)
    )


def _finished(model: Model, k: int, value: Array, elem_type: int) -> Array:
    """Returns an output after the operators that close the network on the host."""
    answer: Array = apply_host_ops(model.outputs[k].host_ops, value)
    if elem_type == onnx.TensorProto.UNDEFINED:
        return answer
    return answer.astype(onnx.helper.tensor_dtype_to_np_dtype(elem_type))
