from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler_backends.mixed_signal.analog import build, full_scale
from nmcompiler_backends.mixed_signal.tiles import BlockTiles
from nmcompiler_backends.mixed_signal.variation import Chip, PcmDevice, RramDevice, SynapseDevice

from .chips import DAY, STILL


def tiles_of(seed, signed=False, copies=1):
    """Random tiles; every row is driven by one neuron."""
    rng = np.random.default_rng(seed)
    rows, n, tiles = (int(k) for k in rng.integers([3, 1, 1], [20, 6, 4]))
    weights = rng.integers(-127, 128, (rows, n)) * (rng.random((rows, n)) < 0.7)
    weights[:, rng.random(n) < 0.1] = 0
    tile = np.unique(np.sort(rng.integers(0, tiles, rows)), return_inverse=True)[1]
    wired = (weights != 0) | (rng.random((rows, n)) < 0.5)
    copies = rng.integers(1, copies + 1, tile.max() + 1)
    return BlockTiles(3, weights, wired, tile, np.arange(rows), np.arange(rows), signed, copies)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_without_variation_the_weights_are_the_programs_whole_numbers(seed):
    tiles = tiles_of(seed)
    for chip, device in ((None, None), (Chip(seed), STILL)):
        made = build(tiles, chip, device, 8, 4.0, DAY)
        assert made.weights.dtype == np.float32
        assert np.array_equal(made.weights, tiles.weights)


@pytest.mark.parametrize("device", [PcmDevice(), RramDevice()])
@pytest.mark.parametrize("seed", range(6))
def test_a_weight_is_the_difference_of_two_devices_scaled_by_its_column(seed, device):
    tiles, chip = tiles_of(seed), Chip(seed)
    made = build(tiles, chip, device, 8, None, DAY)
    scale = np.zeros(tiles.weights.shape)
    for row, column in np.ndindex(*scale.shape):
        scale[row, column] = np.abs(tiles.weights[tiles.tile == tiles.tile[row], column]).max()
    held = {
        side: device.conductances(
            np.maximum(sign * tiles.weights, 0) / np.maximum(scale, 1),
            DAY,
            lambda source, side=side: chip.normals(f"block 3 {side}", source, scale.shape),
        )
        for side, sign in (("plus", 1), ("minus", -1))
    }
    expected = np.where(tiles.wired, (held["plus"] - held["minus"]) * scale, 0)
    np.testing.assert_allclose(made.weights, expected, rtol=0, atol=2**-8)
    assert np.abs(made.weights - tiles.weights).max() > 0.1


@pytest.mark.parametrize("seed", range(6))
def test_a_synapse_is_off_by_its_own_factor_and_its_column_by_a_gain(seed):
    tiles, chip = replace(tiles_of(seed), full=127), Chip(seed)
    made = build(tiles, chip, SynapseDevice.of(0.3, 0.2), 8, None, 0.0)
    expected = np.zeros(tiles.weights.shape)
    gains = np.maximum(0.1, 1 + 0.2 * chip.normals("block 3 columns", "gain", tiles.column_scale.shape))
    for side, sign in (("plus", 1), ("minus", -1)):
        factors = np.maximum(0, 1 + 0.3 * chip.normals(f"block 3 {side}", "weight", expected.shape))
        expected += sign * np.maximum(sign * tiles.weights, 0) * factors
    for row, column in np.ndindex(*expected.shape):
        expected[row, column] *= gains[tiles.tile[row], column]
    np.testing.assert_allclose(made.weights, expected, rtol=0, atol=2**-7)
    assert np.abs(made.weights - tiles.weights).max() > 0.1


def test_columns_of_synapses_are_read_in_the_same_steps():
    for seed in range(4):
        unit = build(replace(tiles_of(seed), full=127), None, None, 8, 4.0, 0.0).unit
        assert (unit == unit[:, :1]).all()


@pytest.mark.parametrize("seed", range(4))
def test_copies_of_a_row_are_devices_of_their_own_and_average(seed):
    tiles, chip, device = tiles_of(seed, copies=4), Chip(seed), PcmDevice()
    once = replace(tiles, copies=np.ones_like(tiles.copies))
    first = build(once, chip, device, 8, None, DAY).weights - tiles.weights
    found = build(tiles, chip, device, 8, None, DAY).weights - tiles.weights
    single = tiles.copies[tiles.tile] == 1
    assert np.array_equal(found[single], first[single]) or not single.any()
    several = tiles.copies[tiles.tile] > 1
    assert not several.any() or (found[several] != first[several]).any()


def test_copies_make_the_spread_smaller_by_their_root():
    rows = 400
    weights = np.full((rows, 1), 60)
    weights[0] = 127
    tiles = BlockTiles(
        0, weights, np.ones((rows, 1), bool), np.zeros(rows, np.int64), *[np.arange(rows)] * 2, False, None
    )
    spread = {
        copies: (
            build(replace(tiles, copies=np.array([copies])), Chip(5), RramDevice(), None, None, DAY).weights
            - weights
        )[1:].std()
        for copies in (1, 9)
    }
    assert spread[9] == pytest.approx(spread[1] / 3, rel=0.12)


def test_columns_without_weights_are_not_read():
    tiles = BlockTiles(
        0,
        np.zeros((4, 2), np.int64),
        np.ones((4, 2), bool),
        np.zeros(4, np.int64),
        *[np.arange(4)] * 2,
        False,
        np.ones(1, np.int64),
    )
    made = build(tiles, Chip(0), PcmDevice(), 8, 4.0, DAY)
    assert not made.weights.any()
    assert not made.unit.any()


def test_large_sums_are_held_in_64_bits():
    tiles = BlockTiles(
        0,
        np.full((600, 1), 2**15),
        np.ones((600, 1), bool),
        np.zeros(600, np.int64),
        *[np.arange(600)] * 2,
        False,
        np.ones(1, np.int64),
    )
    assert build(tiles, None, None, None, None, DAY).weights.dtype == np.float64


@given(st.integers(0, 2**32 - 1), st.integers(1, 31))
@settings(max_examples=30, deadline=None)
def test_sums_of_stepped_weights_and_digits_are_exact_in_any_order(seed, digit):
    tiles, rng = replace(tiles_of(seed), digit=digit, full=127), np.random.default_rng(seed)
    made = build(tiles, Chip(seed), SynapseDevice.of(0.3, 0.3), None, None, 0.0)
    digits = rng.integers(0, digit + 1, len(tiles.weights))
    digits[rng.random(len(digits)) < 0.5] = digit
    for t in range(tiles.tiles):
        mine = made.tile(t)
        order = rng.permutation(mine.stop - mine.start)
        terms = digits[mine, None][order].astype(made.weights.dtype) * made.weights[mine][order]
        added = np.add.accumulate(terms, axis=0)[-1]
        assert np.array_equal(
            added, digits[mine].astype(np.longdouble) @ made.weights[mine].astype(np.longdouble)
        )


@given(st.integers(0, 2**32 - 1), st.booleans(), st.sampled_from([None, 1.0, 4.0]), st.integers(1, 31))
@settings(max_examples=40, deadline=None)
def test_the_adc_reaches_as_far_as_the_most_demanding_column(seed, signed, deviations, digit):
    tiles = replace(tiles_of(seed, signed), digit=digit)
    values = np.arange(digit + 1)
    expected = []
    for t in range(tiles.tiles):
        needs = []
        for column in tiles.weights[tiles.tile == t].T:
            x = column / max(np.abs(column).max(), 1)
            most = digit * (np.abs(x).sum() if signed else max(x[x > 0].sum(), -x[x < 0].sum()))
            usual = np.inf
            if deviations is not None:
                usual = abs(x.sum()) * values.mean() + deviations * np.sqrt(x @ x) * values.std()
            needs.append(min(most, usual))
        expected.append(1.2 * max(needs))
    np.testing.assert_allclose(full_scale(tiles, deviations), expected)
    if deviations is None:
        made = build(tiles, None, None, 8, None, DAY)
        worst = np.array([np.abs(tiles.weights[tiles.tile == t]).sum(axis=0) for t in range(tiles.tiles)])
        if not signed:
            worst = (
                np.array(
                    [
                        np.maximum(w[tiles.tile == t], 0).sum(axis=0)
                        for w in (tiles.weights, -tiles.weights)
                        for t in range(tiles.tiles)
                    ]
                )
                .reshape(2, tiles.tiles, -1)
                .max(axis=0)
            )
        assert (digit * worst <= (made.largest + 0.01) * made.unit).all()
