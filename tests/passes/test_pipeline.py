"""The pipeline names the pass that breaks a graph or its promise."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest

from nmcompiler.errors import NotVerified, UsageError
from nmcompiler.ir.layers import Model
from nmcompiler.ir.network import Network
from nmcompiler.passes import EXACT, Context, FoldLinear, Keeps, Note, PassResult, Pipeline, close
from nmcompiler.testing.networks import random_network, random_samples
from nmcompiler.testing.targets import tiny_target
from tests.passes.random_models import ModelBuilder


@dataclass(frozen=True)
class _AddToOutput:
    """Adds something to the bias of the layer that is read."""

    name: ClassVar[str] = "add-to-output"
    amount: float = 0.0
    keeps: Keeps = EXACT  # type: ignore[misc]

    def run(self, graph: Model, context: Context) -> PassResult[Model]:
        changed = graph.graph.copy()
        layer = changed.node(graph.outputs[0].node)
        changed.replace(replace(layer, bias=layer.bias + self.amount))
        return PassResult(replace(graph, graph=changed), True, (Note(layer.name, "shifted"),))


@dataclass(frozen=True)
class _ShiftReadout:
    name: ClassVar[str] = "shift-readout"
    keeps: ClassVar[Keeps] = EXACT
    theta: int = 1

    def run(self, graph: Network, context: Context) -> PassResult[Network]:
        changed = graph.graph.copy()
        readout = changed.node(graph.outputs[0].node)
        changed.replace(replace(readout, bias=readout.bias + 1, theta=readout.theta * self.theta))
        return PassResult(replace(graph, graph=changed), True)


def _model() -> tuple[Model, Context]:
    b = ModelBuilder()
    model = b.model(b.dense(b.relu(b.conv(b.input((4, 4, 1)), 2)), 2))
    return model, Context(b.samples(8), tiny_target())


def test_passes_run_in_order_and_their_notes_add_up() -> None:
    model, context = _model()
    result = Pipeline((_AddToOutput(0.0), _AddToOutput(0.0)), verify=True).run(model, context)
    assert result.changed
    assert [note.text for note in result.notes] == ["shifted", "shifted"]


def test_a_pass_that_changes_an_answer_is_named() -> None:
    model, context = _model()
    with pytest.raises(NotVerified, match="pass 'add-to-output' changes output"):
        Pipeline((FoldLinear(), _AddToOutput(1e-6)), verify=True).run(model, context)


def test_answers_may_move_within_what_a_pass_declares() -> None:
    model, context = _model()
    Pipeline((_AddToOutput(1e-6, close(1e-3)),), verify=True).run(model, context)
    with pytest.raises(NotVerified, match=r"allowed: 0\.001 of its range"):
        Pipeline((_AddToOutput(1.0, close(1e-3)),), verify=True).run(model, context)


def test_answers_are_compared_only_where_asked() -> None:
    model, context = _model()
    assert Pipeline((_AddToOutput(1.0),)).run(model, context).changed
    with pytest.raises(UsageError, match="without calibration"):
        Pipeline((_AddToOutput(1.0),), verify=True).run(model, replace(context, calibration=None))


def test_exact_passes_on_networks_are_compared_bit_by_bit() -> None:
    network = random_network(1)
    context = Context(random_samples(network, 1, 4), tiny_target())
    with pytest.raises(NotVerified, match="pass 'shift-readout' changes output"):
        Pipeline((_ShiftReadout(),), verify=True).run(network, context)


def test_a_malformed_graph_is_refused_before_the_next_pass() -> None:
    network = random_network(1)
    with pytest.raises(NotVerified, match=r"'shift-readout' is not well formed: .* thresholds"):
        Pipeline((_ShiftReadout(2),)).run(network, Context(None, tiny_target()))


def test_no_passes_change_nothing() -> None:
    model, context = _model()
    passes: tuple[FoldLinear, ...] = ()
    result = Pipeline(passes).run(model, context)
    assert result.graph is model
    assert not result.changed
    assert np.shape(result.notes) == (0,)
