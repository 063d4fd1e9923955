import numpy as np
import pytest

from nmcompiler.registry import find_target
from tests.benchmarks.bench_mapping import layered, text
from tests.benchmarks.mapping_scale import (
    convolutions,
    dense_layers,
    dense_scale,
    growth,
    growth_series,
    slope,
)

PARTS = ("needs", "partition", "refinement", "nets", "placement", "figures")


@pytest.mark.parametrize("side", [3, 6])
def test_dense_layers_are_those_of_the_list_of_edges(side):
    found, wanted = dense_layers(side, 4), layered("dense", side, 4)
    for part in ("source", "spikes", "start", "cores"):
        assert np.array_equal(getattr(found, part), getattr(wanted, part)), part


def test_dense_layers_are_placed_better_than_at_random():
    row = dense_scale(side=16, moves=2_000)
    edges = 14 * 16 * 16
    assert 0 < row["cost"] < edges / 2 * (2 * 16 / 3)  # two random places are 2/3 of a side apart


@pytest.mark.parametrize("neurons", [10_000, 70_000])
def test_a_grown_network_has_about_the_neurons_asked_for(neurons):
    spiking, traffic = convolutions(neurons, find_target("loihi2")[1])
    assert spiking.network.neurons == pytest.approx(neurons, rel=0.05)
    assert all(traffic.spikes[p.name].shape == p.shape for p in spiking.network.graph)


@pytest.mark.parametrize("effort", ["low", "normal"])
@pytest.mark.usefixtures("normal_effort")
def test_growth_is_measured_part_by_part(effort):
    rows = list(growth(6_000, sizes=(2_000, 6_000, 10_000), chip="loihi1", effort=effort))
    assert [row["neurons"] for row in rows[:-2]] == [
        pytest.approx(2_000, rel=0.2),
        pytest.approx(6_000, rel=0.2),
    ]
    assert rows[0]["cores"] < rows[1]["cores"]
    for row in rows[:-2]:
        seconds = [row[f"{part} s"] for part in PARTS]
        assert 0 < sum(seconds) <= row["s"]
        assert (row["refinement s"] > 0) == (effort == "normal")
    assert {*PARTS, "all", "n·log n"} <= rows[-1].keys()
    assert (
        rows[-1]["all"]
        == rows[-2]["all"]
        == pytest.approx(slope(*zip(*growth_series(rows)["all"], strict=True)))
    )
    series = growth_series(rows)
    assert [n for n, _ in series["all"]] == [row["neurons"] for row in rows[:-2]]
    assert all(text(row) for row in rows)


def test_the_slope_is_the_exponent():
    n = [10.0, 100.0, 1000.0]
    assert slope(n, [7 * x**1.5 for x in n]) == pytest.approx(1.5)
    assert slope(n, [1.0, 10.0, 1000.0]) == pytest.approx(1.5)  # 1 and 2 in turn
