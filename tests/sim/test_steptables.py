"""Tables for steps by rows: how links are sorted and split, and what adds up in sixteen bits."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmcompiler.sim import Simulator, columns, kernels, rows, steptables

from .handmade import wired
from .paths import TRAINS, assert_alike, by_rows, by_steps, grid
from .test_step_programs import any_program

WIDEST = 32767


def links(*some):
    """Links of ``(first, axons, weight, weight stride)``, each of pattern 1 and into a neuron of its own."""
    made = np.zeros((len(some), 12), np.uint64)
    made[:, kernels.PATTERN], made[:, kernels.INTO] = 1, np.arange(len(some))
    columns = [kernels.FIRST, kernels.AXONS, kernels.WEIGHT, kernels.WEIGHT_STRIDE]
    for row, values in zip(made, some, strict=True):
        row[columns] = np.array(values).view(np.uint64)
    return made


def assert_equals_plain(made, x):
    left = by_rows(made, x)
    assert_alike(left, by_steps(made, x, TRAINS))
    return left


# --- links ------------------------------------------------------------------------------------------------


def test_axons_that_stand_alone_have_one_link_for_each_source():
    """Gaps are filled with links to nothing; a second one of a source stays with those of more axons."""
    made = links((5, 1, 50, 0), (3, 1, 30, 0), (0, 2, 7, 1), (5, 1, 51, 0), (6, 1, 60, 0))
    others, alone = steptables._alone(made, 9)
    assert others[:, kernels.WEIGHT].tolist() == [7, 51]
    assert alone[:, kernels.FIRST].tolist() == [3, 4, 5, 6]
    assert alone[:, kernels.PATTERN].tolist() == [1, 9, 1, 1]
    assert alone[:, kernels.WEIGHT].tolist() == [30, 0, 50, 60]


@pytest.mark.parametrize(
    "made", [links(), links((0, 2, 0, 1), (2, 3, 9, 1)), links((0, 1, 1, 0), (2, 1, 2, 0), (9, 1, 3, 0))]
)
def test_axons_stay_with_the_others_where_none_or_few_stand_alone(made):
    others, alone = steptables._alone(made, 9)
    assert others is made
    assert alone.shape == (0, 12)


@given(
    some=st.lists(
        st.tuples(st.integers(0, 50), st.integers(1, 40), st.integers(200, 300), st.integers(-5, 5)),
        max_size=4,
    ),
    most=st.integers(1, 45),
)
def test_links_are_split_into_as_many_axons_as_add_up(some, most):
    made = links(*some)
    split = steptables._split(made, most)

    def rows_of(table):
        return [
            (e[kernels.FIRST] + j, e[kernels.WEIGHT] + j * e[kernels.WEIGHT_STRIDE], e[kernels.INTO])
            for e in table.view(np.int64).tolist()
            for j in range(e[kernels.AXONS])
        ]

    assert rows_of(split) == rows_of(made)
    assert (split[:, kernels.AXONS] <= most).all()
    assert len(split) == sum(-(-axons // most) for _, axons, _, _ in some)


def test_axons_with_one_target_each_are_straight():
    """Weights and targets next to each other; the offsets of their only segment are added."""
    runs = [
        (0, 4, p, 1, 2, stride, move)
        for p, stride, move in ((0, 1, 1), (1, 1, 1), (2, 1, 1), (0, 2, 1), (0, 1, 2))
    ]
    made = wired(
        "phase", [{"n": 4, "levels": 3}], 20, runs, [[(3, 5, 1)], [(3, 5, 2)], [(3, 5, 1)] * 2], range(30)
    )
    loaded = Simulator(made)._loaded
    straight, others = steptables._straight(loaded, loaded.groups[1][0].moving)
    assert straight[:, [kernels.PATTERN, kernels.WEIGHT, kernels.INTO]].tolist() == [[0, 5, 6]]
    assert len(others) == 4
    assert_equals_plain(made, grid(4, 3, 8))


# --- sums of sixteen bits ---------------------------------------------------------------------------------


def summed(code, totals, levels=1, signed=0, **hidden):
    """One neuron; input k of two neurons adds up to ``totals[k]`` at most, or is below it where negative."""
    weights = [w for total in totals for w in (total // 2, total - total // 2)]
    fed = [{"n": 2, "levels": levels, "signed": signed} for _ in totals]
    runs = [(0, len(weights), 0, 0, 0, 1, 0)]
    theta = 2**20 if code == "graded" else 2**18
    return wired(code, fed, 1, runs, [[(0, 0, 1)]], weights, hidden=hidden, theta=theta, membrane_bits=32)


def widths(made):
    """Group and width of what the first block that is not fed receives, and whether it is wide."""
    steps = Simulator(made)._steps
    fed = len(made.inputs)
    mine = steps.received[:fed]
    return mine[:, [rows.GROUP, rows.WIDTH]].tolist(), int(steps.blocks[fed, rows.WIDE])


def all_extremes(made, levels, signed=False):
    """Every input largest, smallest, or silent: 3 ** inputs samples."""
    choices = [levels, -levels if signed else 0, 0]
    which = np.stack(np.meshgrid(*[choices] * len(made.inputs)), -1).reshape(-1, len(made.inputs))
    return {port.name: np.repeat(which[:, [k]], port.shape[0], 1) for k, port in enumerate(made.inputs)}


N, L, W = columns.GROUP_IS_NARROW, columns.LINK_IS_NARROW, columns.IS_WIDE
EDGES = {
    "one input": ([WIDEST], [[0, N]]),
    "one input too much": ([WIDEST + 1], [[1, L]]),
    "least": ([-WIDEST], [[0, N]]),
    "below the least": ([-WIDEST - 1], [[1, L]]),
    "together": ([16384, 16383], [[0, N], [0, N]]),
    "one too much together": ([16384, 16384], [[0, N], [1, N]]),
    "below the least together": ([-16384, -16384], [[0, N], [1, N]]),
    "of both signs": ([WIDEST, -WIDEST, 1], [[0, N], [0, N], [1, N]]),
    "wide between": ([9, WIDEST + 1, 9, 9], [[0, N], [1, L], [2, N], [2, N]]),
    "wide twice": ([WIDEST + 1, WIDEST + 1, 9], [[1, L], [2, L], [3, N]]),
}


@pytest.mark.parametrize(("totals", "expected"), EDGES.values(), ids=EDGES)
@pytest.mark.parametrize("code", ["phase", "graded"])
def test_sums_at_the_edge_of_sixteen_bits_are_exact(totals, expected, code):
    made = summed(code, totals)
    assert widths(made) == (expected, int(expected[-1][0] > 0))
    left = assert_equals_plain(made, all_extremes(made, 1))
    extremes = left["membranes"][len(totals)]
    assert extremes.min() == sum(t for t in totals if t < 0)
    assert extremes.max() == sum(t for t in totals if t > 0)


@pytest.mark.parametrize("code", ["phase", "graded"])
def test_signed_sources_fill_sixteen_bits_on_both_sides(code):
    made = summed(code, [16000, 16767], signed=1)
    assert widths(made) == ([[0, N], [0, N]], 0)
    assert_equals_plain(made, all_extremes(made, 1, True))
    made = summed(code, [16000, 16768], signed=1)
    assert widths(made) == ([[0, N], [1, N]], 1)
    assert_equals_plain(made, all_extremes(made, 1, True))


def test_what_is_taken_back_counts_in_sums_of_both_signs():
    made = summed("phase", [20_000, -20_000])
    assert widths(made) == ([[0, N], [0, N]], 0)
    assert_equals_plain(made, all_extremes(made, 1))
    made = summed("phase", [20_000, -20_000], signed=1)
    assert widths(made) == ([[0, N], [1, N]], 1)
    assert_equals_plain(made, all_extremes(made, 1, True))


@pytest.mark.parametrize(
    ("total", "levels", "expected"),
    [
        (257, 127, [0, N]),
        (258, 127, [0, N]),
        (259, 127, [1, L]),
        (516, 127, [1, L]),
        (518, 127, [1, W]),
        (2 * WIDEST, 2, [1, W]),
    ],
)
def test_products_at_the_edge_of_sixteen_bits_are_exact(total, levels, expected):
    made = summed("graded", [total], levels, 1)
    assert widths(made)[0] == [expected]
    assert_equals_plain(made, all_extremes(made, levels, True))


@pytest.mark.parametrize("shift", [0, 1, 5])
def test_sums_are_counted_before_they_are_shifted(shift):
    for total, expected in ((WIDEST, [0, N]), (WIDEST + 1, [1, L])):
        made = summed("phase", [total], shift=shift)
        assert widths(made)[0] == [expected]
        assert_equals_plain(made, all_extremes(made, 1))


# --- weights and values of full width ---------------------------------------------------------------------


def test_a_weight_that_cannot_be_turned_over_runs_by_plain_loops():
    for weight in (-WIDEST, -WIDEST - 1):
        made = wired(
            "phase", [{"n": 1, "levels": 3, "signed": 1}], 1, [(0, 1, 0, 0, 0, 1, 0)], [[(0, 0, 1)]], [weight]
        )
        x = grid(1, 3, 5, signed=True)
        if weight == -WIDEST:
            assert_equals_plain(made, x)
        else:
            assert Simulator(made)._steps is None
            run = Simulator(made).run(x, record=TRAINS, literal=True)
            assert np.array_equal(run.membranes[1], by_steps(made, x)["membranes"][1])


@pytest.mark.parametrize("levels", [1, 2, 255])
@pytest.mark.parametrize("signed", [0, 1])
def test_widest_weights_times_values_are_exact(levels, signed):
    rng = np.random.default_rng(levels)
    weights = rng.choice([WIDEST, -WIDEST], 20 * 19)
    fed = [{"n": 20, "levels": levels, "signed": signed}]
    made = wired("graded", fed, 19, [(0, 20, 0, 0, 0, 19, 0)], [[(0, 0, 19)]], weights, membrane_bits=32)
    left = assert_equals_plain(made, grid(20, levels, 8, signed=bool(signed)))
    assert abs(left["membranes"][1]).max() > levels * WIDEST


def test_more_weights_than_places_have_bits_run_by_plain_loops(monkeypatch):
    made = summed("phase", [9])
    assert Simulator(made)._steps is not None
    monkeypatch.setattr(steptables, "_MOST_WEIGHTS", 2)
    assert Simulator(made)._steps is None


@given(seed=st.integers(0, 10_000))
def test_patterns_stand_once_more_with_segments_of_one_target(seed):
    made = any_program(np.random.default_rng(seed), "graded", 40, hidden={"fire_start": 6})
    loaded = Simulator(made)._loaded
    patterns, segments = steptables._patterns(loaded)
    count = len(loaded.patterns) - 1
    of = [segments[low:high].view(np.int64).tolist() for low, high in pairwise(patterns)]
    assert of[:count] == [
        loaded.segments[low:high].view(np.int64).tolist() for low, high in pairwise(loaded.patterns)
    ]
    moved = set(loaded.links[loaded.links[:, kernels.TARGET_STRIDE] != 0, kernels.PATTERN].tolist())
    assert of[count] == []
    for k, plain in enumerate(of[:count]):
        units = [[w + i, a + i, 1] for w, a, length in plain for i in range(length)]
        assert of[count + 1 + k] == (units if k in moved else [])
