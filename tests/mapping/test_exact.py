"""Proofs that no partition has fewer cores."""

from dataclasses import replace

import pytest

from nmcompiler.mapping import MapOptions, map_network
from nmcompiler.mapping.bounds import lower_bound
from nmcompiler.mapping.exact import MOST_CORES, proved_more_than
from nmcompiler.mapping.needs import network_needs
from nmcompiler.target.model import CoreType, Limits
from tests.mapping.mapping_oracle import Builder, chip


def pairs(*sizes):
    """Layers of one channel each, of given sizes, whose kernels are of one weight."""
    builder = Builder().add("x", (1, 1, 1), "input")
    for i, size in enumerate(sizes):
        builder.add(f"p{i}", (1, 1, size), "readout").dense("x", f"p{i}")
    return builder


@pytest.mark.parametrize(
    ("sizes", "most", "fewest"), [((3, 3, 3, 3), 1, 4), ((5, 1, 1), 1, 4), ((3, 5), 2, 3)]
)
def test_counts_that_no_sum_shows_are_proved(sizes, most, fewest):
    builder = pairs(*sizes)
    target = replace(chip(Limits(neurons=3)), populations_per_core=most)
    needs = network_needs(builder.spiking(), target)
    assert proved_more_than(needs, fewest - 1)
    assert not proved_more_than(needs, fewest)
    assert (
        len(map_network(builder.spiking(), target, builder.traffic(), MapOptions(place=False)).cores)
        == fewest
    )


def test_whole_channels_of_kernels_are_proved_to_need_more_than_their_bits():
    """Three kernels of 72 weights each: a core of 100 holds one, though two cores have bits for all."""
    builder = Builder().add("x", (4, 4, 8), "input").add("y", (4, 4, 3), "readout").conv("x", "y")
    target = chip(Limits(synapse_bits=8 * 110))
    needs = network_needs(builder.spiking(), target)
    assert lower_bound(needs, target, 1) == 2
    # a corner reads 4 × 8 weights alone: what a channel brings at least is less than its kernel
    assert not proved_more_than(needs, 2)


def test_nothing_is_said_of_many_cores_or_of_cores_of_several_types():
    needs = network_needs(pairs(40).spiking(), chip(Limits(neurons=1)))
    assert not proved_more_than(needs, MOST_CORES + 1)
    assert proved_more_than(needs, MOST_CORES)
    kinds = (CoreType(2, Limits(neurons=1)), CoreType(2, Limits(neurons=2)))
    assert not proved_more_than(network_needs(pairs(40).spiking(), chip(kinds=kinds, rows=2, columns=2)), 1)
