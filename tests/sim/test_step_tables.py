"""Tables for steps by rows: how links are sorted and split, and what adds up in sixteen bits."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nmcompiler.codings import CODINGS
from nmcompiler.sim import Simulator, kernels, rows, stepwise

from .handmade import wired, with_column
from .paths import TRAINS, assert_alike, by_rows, by_steps, grid

CODES = sorted(CODINGS)
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
    others, alone = stepwise._alone(made, 9)
    assert others[:, kernels.WEIGHT].tolist() == [7, 51]
    assert alone[:, kernels.FIRST].tolist() == [3, 4, 5, 6]
    assert alone[:, kernels.PATTERN].tolist() == [1, 9, 1, 1]
    assert alone[:, kernels.WEIGHT].tolist() == [30, 0, 50, 60]


@pytest.mark.parametrize(
    "made", [links(), links((0, 2, 0, 1), (2, 3, 9, 1)), links((0, 1, 1, 0), (2, 1, 2, 0), (9, 1, 3, 0))]
)
def test_axons_stay_with_the_others_where_none_or_few_stand_alone(made):
    others, alone = stepwise._alone(made, 9)
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
    split = stepwise._split(made, most)

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
    straight, others = stepwise._straight(loaded, loaded.groups[1][0].moving)
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


N, L, W = rows.GROUP_IS_NARROW, rows.LINK_IS_NARROW, rows.IS_WIDE
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


# --- what a program may hold though nothing compiles it ---------------------------------------------------


@pytest.mark.parametrize("code", CODES)
def test_a_segment_without_a_synapse_brings_nothing(code):
    pattern = [(0, 3, 0), (0, 0, 2), (1, 60, 0)]
    made = wired(code, [{"n": 3, "levels": 3}], 70, [(0, 3, 0, 0, 0, 1, 0)], [pattern], range(1, 6))
    left = assert_equals_plain(made, grid(3, 3, 6))
    assert left["membranes"][1][:, :2].any()
    assert not left["membranes"][1][:, 2:].any()


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("move", [0, 1])
@pytest.mark.parametrize("axons", [1, 4])
def test_runs_may_begin_below_what_their_segments_reach(code, move, axons):
    """Below the weights of the program and the neurons of the block."""
    runs = [(0, axons, 0, -7, -5, 1, move)]
    made = wired(code, [{"n": 4, "levels": 3}], 9, runs, [[(5, 8, 2), (6, 7, 1)]], range(1, 20))
    assert assert_equals_plain(made, grid(4, 3, 6))["membranes"][1].any()


@pytest.mark.parametrize("code", CODES)
def test_read_outs_send_nothing_to_those_behind_them(code):
    made = wired(code, [{"n": 2, "levels": 3}], 2, [(0, 2, 0, 0, 0, 2, 0)], [[(0, 0, 2)]], [9, 8, 7, 6])
    made = with_column(made, 1, levels=0, steps=2)
    made = replace(made, total_steps=made.total_steps + 9)
    assert_equals_plain(made, np.full((4, 2), 3))


def test_axons_without_any_segment_are_passed_over():
    made = wired("phase", [{"n": 4, "levels": 3}], 9, [(0, 4, 0, 0, 0, 1, 1)], [[]], [1])
    made = made.with_arrays(segments=np.zeros((0, 3), np.int32), patterns=np.zeros(3, np.int32))
    assert_equals_plain(made, grid(4, 3, 6))


# --- programs that nothing compiles -----------------------------------------------------------------------


def any_program(rng, code, n, **options):
    """Runs of any stride and pattern, also over the bounds of inputs, from one to three inputs."""
    fed = []
    for _ in range(rng.integers(1, 4)):
        levels = int(rng.choice([1, 3, 7]))
        steps = CODINGS[code].steps(levels)
        late = {} if CODINGS[code].windowed else {"steps": int(rng.integers(1, 9))}
        fed.append(
            {"n": int(rng.choice([1, 2, 17, 56, 57, 63, 64, 65, 130])), "levels": levels, "steps": steps,
             "signed": int(rng.integers(0, 2)), "delay": int(rng.integers(1, 4)),
             "fire_start": int(rng.integers(0, 3))}
            | late
        )  # fmt: skip
    axons = sum(f["n"] for f in fed)
    widest = int(rng.choice([1, 100, 3000, WIDEST]))
    weights = rng.integers(-widest, widest + 1, 4000)
    segments, runs = [], []
    for p in range(rng.integers(1, 6)):
        first = int(rng.integers(0, axons))
        count = int(rng.integers(1, axons - first + 1)) if rng.random() < 0.7 else 1
        move = int(rng.choice([0, 0, 1, 1, -1, 2, -3]))
        count = min(count, 1 + (n - 1) // abs(move)) if move else count
        room = n - (count - 1) * abs(move)
        pattern = []
        for _ in range(rng.integers(0, 4)):
            length = int(rng.integers(0, min(100, room) + 1)) if rng.random() < 0.7 else 1
            pattern.append((int(rng.integers(0, 300)), int(rng.integers(0, room - length + 1)), length))
        # What a run begins with may lie below its block where its segments do not.
        low = int(rng.integers(0, 200)) if rng.random() < 0.3 else 0
        segments.append([(w + low, a + low, length) for w, a, length in pattern])
        stride = 1 if rng.random() < 0.5 else int(rng.integers(-6, 7))
        weight = 0 if stride >= 0 else -stride * (count - 1)
        into = 0 if move >= 0 else -move * (count - 1)
        runs.append((first, count, p, into - low, weight - low, stride, move))
    runs += runs[:1]
    options |= {
        "theta": int(rng.integers(1, 20 * widest)),
        "v0": rng.integers(-99, 99, n),
        "membrane_bits": 28,
    }
    return wired(code, fed, n, runs, segments, weights, **options)


def any_samples(rng, made, samples):
    """Values of all inputs; some samples are silent in all."""
    x = {}
    for k, port in enumerate(made.inputs):
        levels = int(made.column("levels")[k])
        q = rng.integers(-levels, levels + 1, (samples, port.shape[0]))
        q[rng.random(samples) < 0.2] = levels
        x[port.name] = q * (rng.random(q.shape) < rng.random((samples, 1))) * (rng.random((samples, 1)) < 0.8)
    return x


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 100_000),
    code=st.sampled_from(CODES),
    n=st.sampled_from([1, 2, 15, 16, 17, 48, 63, 64, 65, 130, 200]),
)
def test_programs_that_nothing_compiles_equal_the_plain_steps(seed, code, n):
    rng = np.random.default_rng(seed)
    made = any_program(rng, code, n)
    assume(Simulator(made)._steps is not None)
    assert_equals_plain(made, any_samples(rng, made, 9))
