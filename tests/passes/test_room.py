"""What a neuron reads is what the mapper would count for the same kernels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.ir.kernels import Conv, Dense, Kernel, Shape, Sparse
from nmcompiler.ir.layers import Clip, Layer, MaxPool
from nmcompiler.passes.kernel_algebra import to_sparse
from nmcompiler.passes.room import Reads, Room
from nmcompiler.target import CoreType, Limits
from nmcompiler.testing.targets import tiny_target

SOURCE: Shape = (4, 5, 6)


def _layer(**fields: object) -> Layer:
    return Layer("x", "Conv", SOURCE, activation=Clip(0.0), **fields)  # type: ignore[arg-type]


def _kernel(kind: int, rng: np.random.Generator) -> tuple[Kernel, Shape]:
    if kind == 0:
        return Dense(rng.normal(size=(3, 120))), (1, 1, 3)
    if kind == 1:
        return Conv(rng.normal(size=(2, 3, 3, 4)), groups=2, target_channel=1), (3, 3, 6)
    size = int(rng.integers(1, 40))
    return Sparse(rng.integers(0, 8, size), rng.integers(0, 120, size), rng.normal(size=size)), (2, 1, 4)


@given(st.integers(0, 2), st.booleans(), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_the_neuron_that_reads_most_is_counted(kind: int, pixels: bool, seed: int) -> None:
    kernel, target = _kernel(kind, np.random.default_rng(seed))
    chip = replace(tiny_target(), axon_unit="pixel" if pixels else "neuron")
    found = Room.of(chip).reads([(_layer(), kernel)], target)
    synapses = to_sparse(kernel, SOURCE, target)
    pairs = {(int(r), int(c)) for r, c in zip(synapses.rows, synapses.columns, strict=True)}
    axons = {(r, c // SOURCE[2] if pixels else c) for r, c in pairs}
    most, most_axons = (max(sum(r == row for r, _ in each) for row in range(64)) for each in (pairs, axons))
    assert found == Reads(most, most_axons)


def test_edges_into_different_channels_are_different_neurons() -> None:
    kernel = Conv(np.ones((1, 1, 6, 2)))
    edges = [(_layer(), kernel), (_layer(), replace(kernel, target_channel=2))]
    assert Room.of(tiny_target()).reads(edges, (4, 5, 4)) == Reads(6, 6)
    assert Room.of(tiny_target()).reads(edges[:1] * 2, (4, 5, 4)) == Reads(12, 12)


def test_a_pooled_source_is_read_as_its_terms_and_a_signed_one_as_two_halves() -> None:
    kernel = Conv(np.ones((1, 1, 6, 2)))
    pooled = _layer(max_pool=MaxPool((2, 2), (2, 2)), shape=(2, 2, 6))
    assert Room.of(tiny_target()).reads([(pooled, kernel)], (2, 2, 2)) == Reads(18, 18)
    signed = replace(_layer(), activation=Clip())
    without_signs = tiny_target(signed_spikes=False)
    assert Room.of(tiny_target()).reads([(signed, kernel)], (4, 5, 2)) == Reads(6, 6)
    assert Room.of(without_signs).reads([(signed, kernel)], (4, 5, 2)) == Reads(12, 12)
    pixels = replace(without_signs, axon_unit="pixel")
    assert Room.of(pixels).reads([(signed, kernel)], (4, 5, 2)) == Reads(12, 1)


@pytest.mark.parametrize(
    ("limits", "holds"),
    [
        ({}, True),
        ({"fan_in": 10}, True),
        ({"fan_in": 9}, False),
        ({"input_axons": 7}, False),
        ({"input_axons": 8}, True),
        ({"synapse_bits": 79}, False),
        ({"synapse_bits": 80}, True),
    ],
)
def test_each_limit_of_a_core_counts(limits: dict[str, int], holds: bool) -> None:
    room = Room.of(tiny_target(**{"input_axons": None, **limits}))  # type: ignore[arg-type]
    assert room.holds(Reads(10, 8)) is holds


def test_one_kind_of_core_must_hold_all() -> None:
    kinds = (CoreType(2, Limits(fan_in=10)), CoreType(2, Limits(input_axons=5)))
    room = Room.of(replace(tiny_target(), core_types=kinds))
    assert room.holds(Reads(10, 99))
    assert room.holds(Reads(99, 5))
    assert not room.holds(Reads(11, 6))


def test_a_room_lies_within_another_that_holds_at_least_as_much() -> None:
    small, large = Room.of(tiny_target(fan_in=5)), Room.of(tiny_target(fan_in=6))
    assert small.within(large)
    assert not large.within(small)
    pixels = replace(small, pixels=True)
    assert small.within(pixels)
    assert not pixels.within(small)
    halves = replace(small, signs=False)
    assert halves.within(small)
    assert not small.within(halves)
