"""Populations that are spread over all cores: every limit counted from scratch, and what that is good for."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.errors import DoesNotFit
from nmcompiler.mapping.needs import network_needs
from nmcompiler.mapping.partition import OutOfCores, TooSpread, partition
from nmcompiler.mapping.portfolio import best_partition, quality
from nmcompiler.mapping.spread import Spread
from nmcompiler.target.model import Limits
from tests.mapping.mapping_oracle import Builder, chip, networks, positions
from tests.mapping.test_filled import check, limits
from tests.mapping.test_work import scheduled


def spread(needs, count, thrift=0.0, even=1.2):
    parted = Spread(needs, None, count=count, thrift=thrift, even=even)
    for population in reversed(list(needs.populations.values())):
        parted.add(population)
    for core in parted.cores:
        core.settle()
    return parted


@given(
    networks(), limits(), st.integers(1, 6), st.sampled_from([0.0, 50.0]), st.sampled_from([1.0, 1.3, 9.0])
)
@settings(max_examples=60, deadline=None)
def test_every_limit_holds_and_usage_is_exact(builder, limit, count, thrift, even):
    spiking, target = builder.spiking(), chip(limit)
    try:
        parted = spread(network_needs(spiking, target), count, thrift, even)
    except (DoesNotFit, TooSpread, OutOfCores):
        return
    check(parted, spiking, target)
    assert len(parted.cores) == count


@given(st.tuples(*[st.integers(1, 7)] * 3), st.integers(1, 9))
@settings(max_examples=80, deadline=None)
def test_shares_are_about_equal_and_leave_nothing_out(shape, count):
    builder = Builder().add("x", (1, 1, 2), "input").add("a", shape, "readout").dense("x", "a")
    parted = spread(network_needs(builder.spiking(), chip(Limits())), count)
    held = [[p for piece in core.pieces for p in positions(piece.box)] for core in parted.cores]
    assert sorted(p for some in held for p in some) == sorted(np.ndindex(*shape))
    used = sum(bool(some) for some in held)
    assert used <= min(count, int(np.prod(shape)))
    if min(shape[:2]) > 1 and shape[0] * shape[1] >= count:
        assert 2 * used >= count
        assert max(map(len, held)) <= 2 * shape[2] * -(-shape[0] * shape[1] // count)


def chain():
    builder = Builder().add("x", (12, 9, 2), "input")
    for k, source in enumerate("xabc"):
        builder.add("abcd"[k], (12, 9, 4)).conv(source, "abcd"[k])
    return builder.add("out", (1, 1, 8), "readout").dense("d", "out")


def test_layers_that_are_spread_are_faster_and_their_rows_stay_together():
    builder, target = chain(), chip(Limits(neurons=500))
    needs = network_needs(scheduled(builder), target, builder.traffic())
    layered = partition(needs, None)
    spreaded = spread(needs, len(layered.cores))
    assert quality(spreaded).time < 0.6 * quality(layered).time
    for core in spreaded.cores:
        rows = {piece.box.y0 for piece in core.pieces if piece.needs.name != "out"}
        assert max(rows) - min(rows) <= 1  # the same rows of each layer
    assert quality(best_partition(needs, None)).time <= quality(spreaded).time * 1.03


@pytest.mark.parametrize("thrift", [0.0, 1e9])
def test_memory_is_saved_for_its_price(thrift):
    """Rows of a convolution share its kernel, which every core then stores; channels divide it."""
    builder = chain()
    needs = network_needs(builder.spiking(), chip(Limits(synapse_bits=10_000)), builder.traffic())
    parted = spread(needs, 4, thrift, 9.0)
    stored = sum(core.used["synapse_bits"] for core in parted.cores)
    convolutions = 8 * (9 * 2 * 4 + 3 * 9 * 4 * 4)
    dense = 8 * 12 * 9 * 4 * 8
    assert stored == convolutions + dense if thrift else stored > 2 * convolutions + dense


def test_what_does_not_fit_is_refused():
    builder = chain()
    needs = network_needs(builder.spiking(), chip(Limits(neurons=300)), builder.traffic())
    with pytest.raises(OutOfCores):
        spread(needs, 5)
    small = replace(chip(Limits(neurons=300)), populations_per_core=2)
    with pytest.raises(OutOfCores):
        spread(network_needs(builder.spiking(), small), 9)
