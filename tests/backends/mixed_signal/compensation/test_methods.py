"""Each method against one planted defect."""

from __future__ import annotations

import numpy as np
import pytest

from nmcompiler.compensate import calibration_of, chosen, compensate
from nmcompiler.registry import backend
from nmcompiler_backends.mixed_signal.trims import ONE, RANGE_ONE

from ..chips import damaged, off_by, placed, placed_graded

SEEDS = [3, 5, 8]
CODES = pytest.mark.parametrize("made", [placed, placed_graded])


def trimmed(program, session, calibration, names):
    before = off_by(session.simulator(), calibration)
    compensate(session, chosen(backend("mixed-signal"), program, names), calibration)
    return before, off_by(session.simulator(), calibration)


@CODES
@pytest.mark.parametrize("seed", SEEDS)
def test_a_tile_that_conducts_too_little_gets_its_scale(seed, made):
    program, samples = made(seed)
    calibration = calibration_of(program, samples)
    touched = []

    def weaken(block, weights, tile):
        if not touched and np.abs(weights[tile(0)]).any():
            touched.append(block)
            weights[tile(0)] *= 0.8

    session = damaged(program, weaken)
    before, after = trimmed(program, session, calibration, "tile-scale")
    codes = session.trim["tile-scale"]
    mine = session.span("tile-scale", touched[0])
    assert codes[mine][0] == pytest.approx(1.25 * ONE, rel=0.03)
    assert after[touched[0]] < 0.1 * before[touched[0]]
    assert (np.delete(codes, mine.start) == ONE).all()


@CODES
@pytest.mark.parametrize("seed", SEEDS)
def test_adcs_reach_as_far_as_shrunken_currents_need(seed, made):
    """An ADC of few bits resolves a third of the current three times better after it."""
    program, samples = made(seed)
    calibration = calibration_of(program, samples)

    def shrink(block, weights, tile):
        weights *= 0.3

    session = damaged(program, shrink, adc_bits=9)
    methods = {m.name: m for m in backend("mixed-signal").compensations(program)}
    largest = 2**8 - 1
    method = type(methods["adc-range"])(largest)
    compensate(session, [method], calibration)
    peaks = session.measure(samples).peaks
    reached = np.concatenate([peaks[block] for block in sorted(peaks)])
    assert (reached <= largest).all()
    used = reached > 8
    assert used.any()
    assert (reached[used] > 0.7 * largest).mean() > 0.8
    assert (session.trim["adc-range"][used] < RANGE_ONE).all()


def test_an_adc_that_clips_is_given_more_range():
    program, samples = placed(3)
    calibration = calibration_of(program, samples)

    def double(block, weights, tile):
        weights *= 3

    session = damaged(program, double, adc_bits=9)
    methods = {m.name: m for m in backend("mixed-signal").compensations(program)}
    clipped = session.simulator().run(samples).saturations
    compensate(session, [type(methods["adc-range"])(2**8 - 1)], calibration)
    assert clipped > 0
    assert session.simulator().run(samples).saturations == 0


@CODES
@pytest.mark.parametrize("name", ["column", "output"])
def test_columns_with_another_gain_get_it_back(name, made):
    program, samples = made(3)
    samples = {port: np.concatenate([x] * 4) for port, x in samples.items()}
    calibration = calibration_of(program, samples)
    levels = program.column("levels")
    chosen_blocks = []

    def bend(block, weights, tile):
        if bool(levels[block]) == (name == "column") and not chosen_blocks:
            chosen_blocks.append(block)
            weights[:, ::2] *= 0.7
            weights[:, 1::2] *= 1.2

    before, after = trimmed(program, damaged(program, bend), calibration, name)
    assert before[chosen_blocks[0]] > 0
    assert after[chosen_blocks[0]] < 0.3 * before[chosen_blocks[0]]
