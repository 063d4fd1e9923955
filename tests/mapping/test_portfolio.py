"""The best of several partitions."""

from dataclasses import replace

from nmcompiler.mapping import portfolio
from nmcompiler.mapping.needs import network_needs
from nmcompiler.mapping.partition import partition
from nmcompiler.mapping.portfolio import best_partition, quality
from nmcompiler.target.model import Limits
from tests.mapping.mapping_oracle import chip
from tests.mapping.test_mapper import GENERIC, lenet


def needs(limits):
    target = replace(chip(limits, cores=256, rows=16, columns=16), membrane_bits=24)
    return network_needs(lenet().spiking(), target, lenet().traffic())


def test_it_is_no_worse_than_the_one_with_boxes_of_one_size():
    wanted = needs(GENERIC)
    best, plain = quality(best_partition(wanted, None)), quality(partition(wanted, None))
    assert best.cores < plain.cores


def test_of_large_ones_with_as_many_cores_the_first_is_kept_unmeasured(monkeypatch):
    def measured(parted):
        raise AssertionError("takes long where there are many cores")

    wanted = needs(Limits(neurons=400))
    monkeypatch.setattr(portfolio, "_LARGE", 2)
    monkeypatch.setattr(portfolio, "quality", measured)
    assert len(best_partition(wanted, None).cores) <= len(partition(wanted, None).cores)
