"""Functions become gains: the best ones, and never silently."""

from __future__ import annotations

import numpy as np
import pytest

from nmcompiler.errors import UsageError
from nmcompiler.evaluate.float import run_float
from nmcompiler.ir.kernels import Array, identity
from nmcompiler.ir.layers import LocalNorm, Model
from nmcompiler.ir.verify import complaints
from nmcompiler.passes import Context, Linearise, Pipeline, float_passes
from nmcompiler.testing.targets import tiny_target
from tests.passes.random_models import ModelBuilder


def _model(norm: LocalNorm, silent: int | None = None) -> tuple[Model, dict[str, Array]]:
    """A convolution, a ReLU, the norm and a dense layer; 20 samples."""
    b = ModelBuilder()
    x = b.relu(b.conv(b.input((4, 4, 2)), 5))
    if silent is not None:
        b.graph.node("conv1").bias[..., silent] = -100.0
    x = b.add("LRN", (4, 4, 5), [(x, identity(5))], function=norm)
    return b.model(b.dense(x, 3)), b.samples(20)


def _context(samples: dict[str, Array] | None) -> Context:
    return Context(samples, tiny_target())


STRONG = LocalNorm(size=3, alpha=2.0, beta=0.75, bias=1.0)


def test_gains_are_those_of_least_squares_and_the_ratio_is_the_measured_one() -> None:
    model, samples = _model(STRONG)
    result = Linearise().run(model, _context(samples))
    assert result.changed
    assert not complaints(result.graph)
    layers = run_float(model, samples, record=True).layers
    x, y = (layers[name].reshape(-1, 5) for name in ("relu2", "lrn3"))
    best = np.array([np.linalg.lstsq(x[:, [c]], y[:, c], rcond=None)[0][0] for c in range(5)])
    (edge,) = result.graph.graph.in_edges("lrn3")
    np.testing.assert_allclose(edge.payload.kernel.weight.reshape(-1), best, rtol=1e-9)
    replaced = run_float(result.graph, samples, record=True).layers["lrn3"].reshape(-1, 5)
    ratio = 10 * np.log10(np.sum(y**2) / np.sum((y - replaced) ** 2))
    (note,) = result.notes
    assert note.warning
    assert note.layer == "lrn3"
    assert note.sqnr_db == pytest.approx(ratio, rel=1e-9)
    assert f"{ratio:.1f} dB" in note.text
    assert "20 samples" in note.text


def test_a_function_that_is_a_gain_is_replaced_without_loss_and_folds_away() -> None:
    model, samples = _model(LocalNorm(size=3, alpha=0.0, beta=2.0, bias=2.0))
    result = Pipeline(float_passes(), verify=True).run(model, _context(samples))
    assert [layer.op for layer in result.graph.graph] == ["Input", "Conv", "Gemm"]
    wanted, found = (run_float(m, samples).outputs["gemm4"] for m in (model, result.graph))
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)
    (warned,) = (note for note in result.notes if note.warning)
    assert warned.sqnr_db == 200.0


def test_a_channel_that_calibration_never_saw_takes_the_median_gain() -> None:
    model, samples = _model(STRONG, silent=2)
    (edge,) = Linearise().run(model, _context(samples)).graph.graph.in_edges("lrn3")
    gain = edge.payload.kernel.weight.reshape(-1)
    assert gain[2] == pytest.approx(np.median(np.delete(gain, 2)))


def test_without_functions_nothing_changes_and_without_samples_nothing_is_guessed() -> None:
    b = ModelBuilder()
    plain = b.model(b.dense(b.input((4, 4, 2)), 3))
    assert Linearise().run(plain, _context(None)).graph is plain
    with pytest.raises(UsageError, match="LRN can only be replaced with calibration samples"):
        Linearise().run(_model(STRONG)[0], _context(None))
