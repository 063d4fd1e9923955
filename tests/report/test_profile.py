from __future__ import annotations

import pytest

from nmcompiler.report.energy import LayerEvents
from nmcompiler.report.profile import profile_facts, profile_text
from nmcompiler.sim import Profile
from nmcompiler.testing.chain import placed_program
from nmcompiler.testing.networks import random_network


@pytest.fixture
def made():
    from nmcompiler.testing import tiny_target

    return placed_program(random_network(3), tiny_target(), "phase")[0]


def test_seconds_of_blocks_add_up_by_layer(made):
    population = made.column("population")
    profile = Profile(len(population))
    profile.seconds[:] = range(1, len(population) + 1)
    layers = [LayerEvents(f"layer{k}", synops=10 * k) for k in range(int(population.max()) + 1)]
    rows = profile_facts(made, profile, layers)
    for k, row in enumerate(rows):
        mine = sum(i + 1 for i, p in enumerate(population.tolist()) if p == k)
        assert row == {
            "layer": f"layer{k}",
            "synops": 10 * k,
            "seconds": mine,
            "synops_per_second": pytest.approx(10 * k / mine),
        }


def test_what_was_not_timed_has_no_rows(made):
    assert profile_facts(made, Profile(len(made.column("n"))), []) is None
    assert list(profile_text(None)) == ["profile: this chip's simulator does not time its layers"]


def test_lines_hold_shares_and_rates():
    rows = [
        {"layer": "image", "synops": 0, "seconds": 0.5, "synops_per_second": 0.0},
        {"layer": "conv", "synops": 3_000_000_000, "seconds": 1.5, "synops_per_second": 2e9},
    ]
    head, first, second = profile_text(rows)
    assert head.split() == ["layer", "synops", "seconds", "share", "Gsynop/s"]
    assert first.split() == ["image", "0", "0.500", "25.0%", "0.00"]
    assert second.split() == ["conv", "3,000,000,000", "1.500", "75.0%", "2.00"]
