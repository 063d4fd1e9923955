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
                initialisers.
            kwargs: Not used; the protocol of ``onnx.backend`` has it.

        Raises:
            UnsupportedModel: A node cannot be compiled, whichever inputs are constants.
            InputFileError: The structure of the file is not one the frontend reads.
        """
        given = {i.name for i in self._model.graph.initializer}
        names = [i.name for i in self._model.graph.input if i.name not in given]
        feeds = dict(zip(names, inputs, strict=False))
        first: NmcError | None = None
        for free in _choices(feeds):
            try:
                return _answers(_frozen(self._model, feeds, free), {n: feeds[n] for n in free})
            except NmcError as error:
                first = first or error
        raise first or InputFileError("no input of the model is a tensor with a batch axis")


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
    one_by_one = [(name,) for name in batched]
    if len(batched) == len(feeds) > 1 and len({len(feeds[n]) for n in batched}) == 1:
        # Which of several inputs is a weight is not written anywhere; ranks tell: samples have equal ones.
        if len({feeds[n].ndim for n in batched}) == 1:
            yield tuple(batched)
    yield from one_by_one


def _frozen(model: onnx.ModelProto, feeds: dict[str, Any], free: Sequence[str]) -> bytes:
    """Returns the file with the values of all other inputs as initialisers."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    kept = [i for i in model.graph.input if i.name not in feeds or i.name in free]
    constants = {n: v for n, v in feeds.items() if n not in free}
    for name, value in constants.items():
        if not isinstance(value, np.ndarray):
            raise InputFileError(f"input '{name}' is no tensor")
        copy.graph.initializer.append(numpy_helper.from_array(value, name))
    del copy.graph.input[:]
    copy.graph.input.extend(kept)
    data: bytes = copy.SerializeToString()
    return data


def _answers(data: bytes, samples: dict[str, Array]) -> tuple[Array, ...]:
    model = read_model_bytes(data, "model.onnx")
    outputs = run_float(model, samples).outputs
    declared = {o.name: o.type.tensor_type.elem_type for o in onnx.load_model_from_string(data).graph.output}
    return tuple(_finished(model, k, outputs[p.name], declared[p.name]) for k, p in enumerate(model.outputs))


def _finished(model: Model, k: int, value: Array, elem_type: int) -> Array:
    """Returns an output after the operators that close the network on the host."""
    answer: Array = apply_host_ops(model.outputs[k].host_ops, value)
    if elem_type == onnx.TensorProto.UNDEFINED:
        return answer
    return answer.astype(onnx.helper.tensor_dtype_to_np_dtype(elem_type))
