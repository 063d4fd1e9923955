"""What is drawn for a block: its spread, its floor, and what does not vary."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nmcompiler_backends.mixed_signal.array.circuits import build, varying
from nmcompiler_backends.mixed_signal.array.plan import plan_of

from .chips import analog, drawn, placed


def circuits(program, chip):
    plan = plan_of(program)
    return [(p, build(plan.loaded, p, chip)) for p in plan.blocks.values()]


@pytest.mark.parametrize("code", ["phase", "rate"])
def test_ideal_circuits_hold_what_the_program_says(code):
    program, _ = placed(5, code)
    loaded = plan_of(program).loaded
    for plan, made in circuits(program, None):
        mine = slice(plan.block.gid0, plan.block.gid0 + plan.block.n)
        assert np.array_equal(made.weights, plan.rows.weights)
        assert np.array_equal(made.theta, loaded.theta[mine])
        assert np.array_equal(made.start, loaded.v0[mine])
        assert np.array_equal(made.current, loaded.current[mine])
        assert (made.gain == 1).all()
        assert np.isinf(made.tau).all()


def test_factors_have_the_spread_of_the_target_and_never_turn_a_sign():
    program, _ = placed(5, weight_cv=0.5, threshold_cv=0.3, gain_cv=0.1, synapse_copies=1)
    weights, thresholds = [], []
    for seed in range(200):
        for plan, made in circuits(program, drawn(program, seed)):
            held = plan.rows.weights != 0
            weights.append(made.weights[held] / plan.rows.weights[held])
            thresholds.append((made.theta / made.nominal)[made.nominal > 0])
            assert (made.gain > 0).all()
    w, t = np.concatenate(weights), np.concatenate(thresholds)
    assert w.min() == 0
    assert t.min() == pytest.approx(0.1)
    # Mean of max(0, 1 + 0.5·N): 1 + 0.5·(φ(2) − 2·Φ(−2)) = 1.0042.
    assert abs(w.mean() - 1.0042) < 5 * 0.5 / np.sqrt(w.size)
    assert w.std() == pytest.approx(0.49, rel=0.02)
    assert t.std() == pytest.approx(0.3, rel=0.05)


def test_copies_of_a_synapse_average_as_far_as_the_fan_in_has_room():
    program, _ = placed(5, weight_cv=0.2, synapse_copies=4)
    for plan, ideal in circuits(program, None):
        most = np.bincount(plan.rows.synapses[2]).max()
        assert plan.copies == min(4, 4096 // (most + 1))
        held = ideal.weights != 0
        seen = [build(plan_of(program).loaded, plan, drawn(program, s)).weights[held] for s in range(100)]
        factors = np.array(seen) / ideal.weights[held]
        if factors.size > 5000:
            assert factors.std() == pytest.approx(0.2 / np.sqrt(plan.copies), rel=0.04)
    kind = program.target.core_types[0]
    small = replace(kind, limits=replace(kind.limits, fan_in=int(most) * 2 + 2))
    tight = plan_of(replace(program, target=replace(program.target, core_types=(small,))))
    assert tight.blocks[plan.block.index].copies == 2


def test_a_bias_is_one_more_synapse_and_the_start_of_a_membrane_none():
    program, _ = placed(5)
    for plan, made in circuits(program, drawn(program, 4, ("weight",))):
        ideal = build(plan_of(program).loaded, plan, None)
        half = 0 if plan.block.is_readout else ideal.nominal // 2
        bias = ideal.start - half
        assert np.array_equal(made.start[bias == 0], ideal.start[bias == 0])
        moved = bias != 0
        assert ((made.start - half)[moved] / bias[moved] >= 0).all()
        assert not moved.any() or (made.start != ideal.start).any()


def test_only_what_was_published_varies():
    assert varying(analog().neuron_array) == ("weight", "threshold", "gain")
    assert varying(analog(gain_cv=None, threshold_cv=0.0).neuron_array) == ("weight",)
    assert varying(analog(time_constant_cv=0.1).neuron_array) == ("weight", "threshold", "gain")
    leaky = analog(time_constant_cv=0.1, tau_steps=9.0).neuron_array
    assert varying(leaky) == ("weight", "threshold", "gain", "time-constant")
