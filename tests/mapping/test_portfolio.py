"""The best of several partitions."""

from dataclasses import replace

from nmcompiler.mapping import portfolio
from nmcompiler.mapping.needs import network_needs
from nmcompiler.mapping.partition import partition
from nmcompiler.mapping.portfolio import best, candidates, quality
from nmcompiler.target.model import Limits
from tests.mapping.mapping_oracle import Builder, chip
from tests.mapping.test_mapper import GENERIC, lenet


def needs(limits):
    target = replace(chip(limits, cores=256, rows=16, columns=16), membrane_bits=24)
    return network_needs(lenet().spiking(), target, lenet().traffic())


def test_it_is_no_worse_than_the_one_with_boxes_of_one_size():
    wanted = needs(GENERIC)
    chosen, plain = quality(best(candidates(wanted, None))), quality(partition(wanted, None))
    assert chosen.cores < plain.cores


def test_of_large_ones_with_as_many_cores_the_first_is_kept_unmeasured(monkeypatch):
    builder = Builder().add("x", (4, 4, 1), "input").add("y", (4, 4, 2)).conv("x", "y")
    target = chip(Limits(neurons=1), cores=64, rows=8, columns=8)  # a core for each neuron, however it is cut
    wanted, measured = network_needs(builder.spiking(), target, builder.traffic()), []
    monkeypatch.setattr(portfolio, "quality", lambda parted: measured.append(parted) or quality(parted))
    best(candidates(wanted, None))
    assert len(measured) > 1, "there was something to choose from"
    measured.clear()
    monkeypatch.setattr(portfolio, "_LARGE", 32)
    chosen = best(candidates(wanted, None))
    assert not measured
    assert len(chosen.cores) == 32


def test_a_large_network_that_takes_no_core_too_many_is_cut_once(monkeypatch):
    builder = Builder().add("x", (4, 4, 1), "input").add("y", (4, 4, 2)).add("z", (4, 4, 1))
    builder.conv("x", "y").conv("y", "z")
    wanted = network_needs(builder.spiking(), chip(Limits(neurons=1), cores=64, rows=8, columns=8))
    made, told = [], []
    monkeypatch.setattr(portfolio, "partition", lambda *a: made.append(a) or partition(*a))
    assert len(candidates(wanted, None)) > 1
    assert made
    made.clear()
    monkeypatch.setattr(portfolio, "_LARGE", 48)
    (parted,) = candidates(wanted, None, lambda *a: told.append(a))
    assert not made
    assert len(parted.cores) == 48
    assert told == [("partition", done, 2) for done in range(3)]
