"""What the work of a step costs in time."""

from dataclasses import replace

import numpy as np
import pytest

from nmcompiler.target.figures import Figure
from nmcompiler.target.step_time import core_times_ns, hop_times_ns, whole_chip_times_ns
from nmcompiler.testing import tiny_target


def chip(**values):
    figures = {key: Figure(value, "made up", "modelled", "marginal") for key, value in values.items()}
    return replace(tiny_target(), figures=figures, compartments_per_neuron=2)


SYNOPS, NEURONS, SPIKES = np.array([5.0, 7.0]), np.array([3, 4]), np.array([1.0, 0.5])


def test_parts_without_a_figure_are_counted_only():
    found = core_times_ns(chip(), SYNOPS, NEURONS, SPIKES)
    assert {what: ns for what, (_, ns) in found.items()} == {
        "synops": None,
        "neuron updates": None,
        "spikes sent": None,
    }
    assert found["neuron updates"][0].tolist() == [6, 8]
    assert found["synops"][0].tolist() == SYNOPS.tolist()


def test_parts_cost_what_their_figures_say():
    target = chip(
        time_per_synop_ns=2,
        time_per_weight_read_ns=3,
        time_per_neuron_update_active_ns=10,
        time_per_neuron_update_inactive_ns=1,
        time_per_spike_ns=4,
    )
    found = {what: ns.tolist() for what, (_, ns) in core_times_ns(target, SYNOPS, NEURONS, SPIKES).items()}
    assert found == {
        "synops": [10, 14],
        "weight reads": [15, 21],
        # 2 compartments of one neuron spike of 6, and one of 8
        "neuron updates": [2 * 10 + 4, 1 * 10 + 7],
        "spikes sent": [4, 2],
    }


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ({}, None),
        ({"time_per_hop_ns": 2}, [2, 2, 2, 2]),
        ({"time_per_hop_east_west_ns": 3, "time_per_hop_north_south_ns": 5}, [3, 3, 5, 5]),
        ({"time_per_hop_north_south_ns": 5}, [0, 0, 5, 5]),
    ],
)
def test_links_cost_what_is_known_of_their_direction(figures, expected):
    found = hop_times_ns(chip(**figures))
    assert (found is None) if expected is None else found.tolist() == expected


def test_a_step_has_parts_that_no_work_changes():
    assert whole_chip_times_ns(chip()) == {}
    assert whole_chip_times_ns(chip(time_per_barrier_ns=9, shortest_step_ns=4)) == {
        "barrier": 9,
        "shortest step": 4,
    }
