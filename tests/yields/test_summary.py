from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.yields.summary import histogram, losses, spread, survivors

_HITS = st.integers(1, 400).flatmap(
    lambda n: st.tuples(st.just(n), st.lists(st.integers(0, n), min_size=1, max_size=60))
)


@settings(max_examples=60)
@given(_HITS)
def test_figures_are_those_of_numpy(drawn: tuple[int, list[int]]) -> None:
    samples, hits = drawn
    shares = [h / samples for h in hits]
    found = spread(shares)
    assert found is not None
    assert found["mean"] == pytest.approx(np.mean(shares))
    assert (found["worst"], found["best"]) == (min(shares), max(shares))
    assert found["median"] == pytest.approx(np.median(shares))
    assert found["quantile_05"] == pytest.approx(np.quantile(shares, 0.05))
    if len(hits) > 1:
        assert found["standard_deviation"] == pytest.approx(np.std(shares, ddof=1))
    else:
        assert found["standard_deviation"] is None


def test_figures_do_not_depend_on_the_order_of_chips() -> None:
    shares = np.random.default_rng(0).uniform(size=101)
    assert spread(list(shares)) == spread(sorted(shares, reverse=True))


def test_a_chip_that_loses_exactly_the_limit_is_lost() -> None:
    # 5 of 1,000 answers are half a point; in rounded shares 0.97 − 0.965 would be less.
    found = survivors([970, 966, 965, 964, 972], 970, 1000, 0.5)
    assert (found["chips"], found["share"]) == (3, 0.6)
    assert survivors([970, 969], 970, 1000, 0.1)["chips"] == 1


def test_losses_are_points_against_the_ideal_chip() -> None:
    found = losses([90, 92, 98], 95, 100)
    assert found is not None
    assert (found["mean"], found["worst"]) == (pytest.approx(5 / 3), 5)


def test_without_chips_nothing_is_said() -> None:
    assert spread([]) is None
    assert losses([], 5, 10) is None
    assert histogram([[], []], 10) == []
    assert survivors([], 5, 10, 1)["share"] is None


@settings(max_examples=80)
@given(_HITS, st.integers(0, 59))
def test_a_histogram_holds_every_chip_once_and_has_few_bins(drawn: tuple[int, list[int]], cut: int) -> None:
    samples, hits = drawn
    groups = [hits[:cut], hits[cut:]]
    bins = histogram(groups, samples)
    assert len(bins) <= 12
    assert [sum(b["counts"][k] for b in bins) for k in range(2)] == [len(g) for g in groups]
    for lower, upper in pairwise(bins):
        assert lower["to"] == upper["from"]
    assert bins[0]["from"] <= min(hits) / samples + 1e-12
    assert max(hits) / samples <= bins[-1]["to"]
    assert bins[0]["to"] - bins[0]["from"] >= 1 / samples - 1e-12


def test_bins_have_round_edges() -> None:
    bins = histogram([[931, 944, 968]], 1000)
    assert [b["from"] for b in bins] == pytest.approx([0.93, 0.935, 0.94, 0.945, 0.95, 0.955, 0.96, 0.965])
    assert [b["counts"][0] for b in bins] == [1, 0, 1, 0, 0, 0, 0, 1]


@pytest.mark.parametrize("samples", [1, 7, 60, 1000])
def test_no_bin_reaches_beyond_all_answers(samples: int) -> None:
    bins = histogram([[samples, samples, samples // 2]], samples)
    assert bins[-1]["to"] == 1
    assert bins[-1]["counts"][0] >= 2
