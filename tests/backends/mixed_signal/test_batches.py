"""How many samples analog chips run at a time."""

from __future__ import annotations

from nmcompiler_backends.mixed_signal.batches import tile_samples


def test_samples_of_small_networks_share_a_tile_and_every_thread_has_one():
    assert tile_samples(25, 1000, 1000, 1) == 250
    assert tile_samples(25, 1000, 100, 1) == 100
    assert tile_samples(25, 1000, 250, 4) == 63


def test_a_tile_is_no_smaller_than_a_digital_one_and_takes_some_memory_at_most():
    assert tile_samples(25, 2**30, 1000, 1) == 25
    assert tile_samples(1, 2**20, 1000, 1) == 16
    assert tile_samples(25, 1000, 0, 2) == 25
