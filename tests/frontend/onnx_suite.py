"""Runs ONNX's own backend test-suite and says how each case ends."""

from __future__ import annotations

import json
import tempfile
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

SMALL = frozenset({"test_squeezenet", "test_shufflenet"})  # of the large networks, those that take seconds


@dataclass(frozen=True)
class Outcome:
    case: str
    kind: str  # passed, refused, wrong, unexpected
    operators: frozenset[str]
    known: bool  # all operators are in the frontend's table, in the version that the case asks for
    sentence: str


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


if __name__ == "__main__":  # python -m tests.frontend.onnx_suite: writes down what passes today
    record = Path(__file__).parent.parent / "data" / "onnx_conformance.json"
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        passed = per_operator(run_suite(Path(folder), patch, SMALL))
    record.write_text(json.dumps({"passed": passed}, indent=1) + "\n")
