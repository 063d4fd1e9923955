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
from typing import Any

import onnx
import pytest
from onnx.backend.test import BackendTest

from nmcompiler.errors import InputFileError, NmcError
from nmcompiler.frontend.form_check import unmet_forms
from nmcompiler.frontend.registry import find
from nmcompiler.frontend.values import Refusal
from nmcompiler.testing.onnx_backend import FrontendBackend, FrontendRep, choices, frozen, named_inputs

SMALL = frozenset({"test_squeezenet", "test_shufflenet"})  # of the large networks, those that take seconds


@dataclass(frozen=True)
class Outcome:
    case: str
    kind: str  # passed, refused, wrong, unexpected
    operators: frozenset[str]
    known: bool  # all operators are in the frontend's table, in the version that the case asks for
    formed: bool  # known, and all nodes are of a form that the table has
    sentence: str


class _WatchedRep(FrontendRep):
    def run(self, inputs: Any, **kwargs: object) -> tuple[Any, ...]:
        _Watched.inputs = inputs
        return super().run(inputs, **kwargs)


class _Watched(FrontendBackend):
    """Remembers the case at hand: the suite does not hand it out."""

    model = onnx.ModelProto()
    inputs: Any = ()

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: object) -> FrontendRep:
        _Watched.model = model
        return _WatchedRep(model)


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
    _Watched.model, _Watched.inputs = onnx.ModelProto(), ()
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
    known = _known(_Watched.model, nodes)
    formed = known and _formed(_Watched.model, _Watched.inputs)
    return Outcome(name, kind, frozenset(n.op_type for n in nodes), known, formed, sentence)


def _formed(model: onnx.ModelProto, inputs: Any) -> bool:
    """Whether all nodes are of a form that the table has, with some choice of what the weights are."""
    feeds = named_inputs(model, inputs)
    for free in choices(feeds):
        try:
            data = frozen(model, feeds, free)
        except InputFileError:
            continue
        if not unmet_forms(data, "model.onnx"):
            return True
    return False


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


def counted(outcomes: Iterable[Outcome]) -> dict[str, list[int]]:
    """How many cases pass, and of how many: all, by names of operators, and by their forms."""
    outcomes = list(outcomes)
    groups = {
        "cases": outcomes,
        "operators in the table": [o for o in outcomes if o.known],
        "forms in the table": [o for o in outcomes if o.formed],
    }
    return {name: [sum(o.kind == "passed" for o in group), len(group)] for name, group in groups.items()}


if __name__ == "__main__":  # python -m tests.frontend.onnx_suite: writes down what passes today
    record = Path(__file__).parent.parent / "data" / "onnx_conformance.json"
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        ended = run_suite(Path(folder), patch, SMALL)
    shares = counted(ended)
    print("\n".join(f"{passed} of {count} {name} pass" for name, (passed, count) in shares.items()))
    record.write_text(json.dumps({"shares": shares, "passed": per_operator(ended)}, indent=1) + "\n")
