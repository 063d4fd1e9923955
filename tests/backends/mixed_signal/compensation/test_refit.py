from __future__ import annotations

import numpy as np
import pytest

from nmcompiler.compensate import calibration_of
from nmcompiler_backends.mixed_signal.compensation.refit import _STRENGTHS, ReadoutRefit, _left_out, ridge

from ..chips import damaged, off_by, placed


def slow_left_out(x, y, penalty):
    """Fits without each sample in turn; the offset is not held down."""
    total = 0.0
    for k in range(len(x)):
        rest, aim = np.delete(x, k, 0), np.delete(y, k, 0)
        centred = rest - rest.mean(0)
        w = np.linalg.solve(
            centred.T @ centred + penalty * np.eye(x.shape[1]), centred.T @ (aim - aim.mean(0))
        )
        total += float(((aim.mean(0) + (x[k] - rest.mean(0)) @ w - y[k]) ** 2).sum())
    return total


@pytest.mark.parametrize("strength", [_STRENGTHS[0], 1.0, _STRENGTHS[-1]])
def test_the_closed_form_is_what_leaving_each_sample_out_gives(strength):
    rng = np.random.default_rng(3)
    x, y = rng.normal(0, 2, (12, 4)), rng.normal(0, 3, (12, 2))
    left, size, _ = np.linalg.svd(x - x.mean(0), full_matrices=False)
    found = _left_out(left, size, y - y.mean(0), strength)
    assert found == pytest.approx(slow_left_out(x, y, strength), rel=1e-9)


def test_a_linear_fault_is_found_and_noise_is_held_down():
    rng = np.random.default_rng(4)
    x = rng.integers(0, 16, (200, 30)).astype(float)
    truth = rng.normal(0, 2, (30, 3))
    weights, offset = ridge(x, x @ truth + 7)
    np.testing.assert_allclose(weights, truth, atol=0.05)
    np.testing.assert_allclose(x @ weights + offset, x @ truth + 7, atol=0.5)
    noise, _ = ridge(x[:40], rng.normal(0, 50, (40, 3)))
    assert np.abs(noise).max() < 1


def test_inputs_that_never_change_get_no_weights():
    weights, offset = ridge(np.full((5, 2), 3.0), np.arange(5.0)[:, None])
    assert not weights.any()
    assert offset == pytest.approx(2)


def test_read_outs_with_other_weights_are_set_right():
    program, samples = placed(3)
    calibration = calibration_of(program, samples)
    levels, rng, bent = program.column("levels"), np.random.default_rng(0), []

    def bend(block, weights, tile):
        if not levels[block]:
            bent.append(block)
            weights += rng.integers(-3, 4, weights.shape)

    session = damaged(program, bend)
    before = off_by(session.simulator(), calibration)
    ReadoutRefit().apply(session, calibration, bent)
    after = off_by(session.simulator(), calibration)
    assert sum(after[b] for b in bent) < 0.2 * sum(before[b] for b in bent)
