"""Runs ONNX's own backend test-suite and says how each case ends."""

from __future__ import annotations

import re
import unittest
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import onnx
import pytest
from onnx.backend.test import BackendTest

from nmcompiler.errors import NmcError
from nmcompiler.frontend.registry import find
from nmcompiler.frontend.values import Refusal
from nmcompiler.testing.onnx_backend import FrontendBackend, FrontendRep

BEYOND = {
    "number types that no spiking network computes with": (
        r"rounds to (?!FLOAT\b|DOUBLE)\w+|integers, which round or wrap around|is not a tensor of numbers"
        r"|gives a sequence"
    ),
    "works across the samples of a batch": (
        r"axis 0|across the samples|joins samples|over samples|moves the batch|takes away the batch"
        r"|in front of the batch|joins the samples|repeats samples|samples and features into one axis"
        r"|differs from sample to sample"
        r"|cannot give the shape \[(24|4, 2, 3|0, 2, 3, 4)\] to a tensor of shape \[1, 3, 4\]"
    ),
    "training": r"training_mode|and is not computed",
    "three spatial axes": r"3 spatial axes|weight of shape \[1, 2, 3, 3, 3\]",
    "answers that no input changes": r"does not depend on any input",
    "products and quotients of two signals": r"product of two tensors|divides by a tensor",
    "tensors without elements": r"leaves nothing|shape \[3, 4, 0\]|parts \[8, 0\]",
    "forms of Resize and Pad that are not in the table (nearest, whole factors; zeros)": (
        r"Resize '\w+': (makes|antialias|coordinates|aligns|mode|keeps)|only zeros can be left out"
    ),
    "no tensor with a batch axis": r"no input of the model is a tensor",
}
"""What a compiler of float networks that takes axis 0 as the batch cannot be asked, by its own sentence."""


@dataclass(frozen=True)
class Outcome:
    case: str
    kind: str  # passed, refused, wrong, unexpected
    operators: frozenset[str]
    known: bool  # all operators are in the frontend's table, in the version that the case asks for
    sentence: str

    @property
    def beyond(self) -> str | None:
        """Why the case is none of the frontend's business, None where it is."""
        if self.kind != "refused":
            return None
        return next((why for why, pattern in BEYOND.items() if re.search(pattern, self.sentence)), None)


class _Watched(FrontendBackend):
    """Remembers the model of the case at hand: the suite does not hand it out."""

    model = onnx.ModelProto()

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: object) -> FrontendRep:
        _Watched.model = model
        return super().prepare(model, device)


def run_suite(scratch: Path, monkeypatch: pytest.MonkeyPatch, real: Iterable[str]) -> list[Outcome]:
    """Runs all cases that need no download; of the large networks those whose names are given."""
    monkeypatch.setenv("ONNX_HOME", str(scratch))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy warns where the suite's own references overflow
        cases = BackendTest(_Watched, __name__).test_cases
        return [
            _outcome(case, name)
            for category, case in sorted(cases.items())
            for name in sorted(vars(case))
            if name.endswith("_cpu") and ("Real" not in category or name.removesuffix("_cpu") in real)
        ]


def _outcome(case: type[unittest.TestCase], name: str) -> Outcome:
    _Watched.model = onnx.ModelProto()
    kind, sentence = "passed", ""
    try:
        getattr(case(name), name)()
    except NmcError as error:
        kind, sentence = "refused", str(error)
    except AssertionError as error:
        kind, sentence = "wrong", " ".join(str(error).split())
    except Exception as error:  # the point of the suite: nothing else may ever be raised
        kind, sentence = "unexpected", f"{type(error).__name__}: {error}"
    nodes = _Watched.model.graph.node
    return Outcome(name, kind, frozenset(n.op_type for n in nodes), _known(_Watched.model, nodes), sentence)


def _known(model: onnx.ModelProto, nodes: Iterable[onnx.NodeProto]) -> bool:
    opset = {o.domain: o.version for o in model.opset_import}
    try:
        for node in nodes:
            if node.op_type != "Constant":
                find(node.domain, node.op_type, opset.get(node.domain, 0))
    except Refusal:
        return False
    return True


def per_operator(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """How many passed cases each operator is in."""
    return dict(sorted(Counter(op for o in outcomes if o.kind == "passed" for op in o.operators).items()))
