from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from nmcompiler.report.core_map_text import CoreMap, fits_by_default


def facts_of(cores, rows=8, columns=16, layers=("a", "b")):
    """A map with cores ``(chip, row, column, layers, fill)``."""
    listed = [
        {
            **{"core": k, "pass": 0, "chip": chip, "row": row, "column": column},
            **{"layers": list(held), "fill": fill},
        }
        for k, (chip, row, column, held, fill) in enumerate(cores)
    ]
    return {
        "layers": [{"name": name} for name in layers],
        "core_map": {"rows": rows, "columns": columns, "cores": listed},
    }


def drawn(facts, width=80, shades=False):
    return list(CoreMap(facts).lines(width, shades=shades))


def test_a_core_shows_its_largest_layer_and_its_fill():
    facts = facts_of([(0, 1, 2, ["a", "b"], 0.42), (0, 3, 4, ["b"], 1.0), (0, 3, 2, ["b"], None)])
    assert drawn(facts) == [
        "   2  4",
        "1  A4 .",
        "3  B  B9",
        "left out: 6 rows and 14 columns of the mesh where no core is in use",
        "A a  B b",
        "digit: tenths of its fullest resource that a core uses",
    ]


def test_shades_stand_for_quarters():
    levels = (0.0, 0.24, 0.25, 0.5, 0.75, 1.0)
    facts = facts_of([(0, 0, k, ["a"], fill) for k, fill in enumerate(levels)], rows=1, columns=6)
    assert drawn(facts, shades=True)[1] == "0  A░ A░ A▒ A▓ A█ A█"


def test_only_a_terminal_gets_shades():
    def printed(terminal, encoding="utf-8"):
        file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        console = Console(
            file=file, width=80, force_terminal=terminal, color_system=None, legacy_windows=False
        )
        console.print(CoreMap(facts_of([(0, 0, 0, ["a"], 1.0)])))
        file.flush()
        return file.buffer.getvalue().decode(encoding)

    assert "A█" in printed(terminal=True)
    assert "A9" in printed(terminal=False)
    assert printed(terminal=True, encoding="ascii").isascii()


def test_layers_that_are_nowhere_the_largest_are_named_apart():
    lines = drawn(facts_of([(0, 0, 0, ["a", "b"], 0.5)]))
    assert "A a" in lines
    assert "beside larger pieces only:  b" in lines


def test_chips_are_drawn_one_after_the_other():
    lines = drawn(facts_of([(1, 0, 0, ["b"], 0.5), (0, 0, 3, ["a"], 0.5)]))
    assert [lines.index("chip 0"), lines.index("chip 1")] == [0, 4]
    assert lines[2] == "0  A5"
    assert lines[6] == "0  B5"


def test_passes_are_drawn_one_after_the_other():
    facts = facts_of([(0, 0, 0, ["a"], 0.5), (0, 0, 0, ["b"], 0.5), (1, 0, 0, ["b"], 0.2)])
    facts["core_map"]["cores"][1]["pass"] = 1
    lines = drawn(facts)
    titles = ("pass 0, chip 0", "pass 0, chip 1", "pass 1, chip 0")
    assert [lines[lines.index(title) + 2] for title in titles] == ["0  A5", "0  B2", "0  B5"]
    del facts["core_map"]["cores"][2]
    assert drawn(facts)[0] == "pass 0"


def test_wide_chips_are_drawn_in_bands():
    facts = facts_of([(0, 0, column, ["a"], 0.5) for column in range(0, 100, 2)], columns=100)
    lines = drawn(facts, width=41)
    rows = [line for line in lines if line.startswith("0  ")]
    assert "".join(row[3:] for row in rows).count("A5") == 50
    assert len(rows) == 3
    rulers = [line for line in lines[:6] if line.startswith("   ")]
    numbers = [int(number) for ruler in rulers for number in ruler.split()]
    assert set(numbers) <= set(range(0, 100, 2))  # numbers never touch
    assert len(numbers) > 25
    assert max(map(len, lines)) <= 80


def test_more_layers_than_letters_share_a_sign():
    names = [f"layer{k}" for k in range(60)]
    facts = facts_of(
        [(0, 0, k, [name], 0.1) for k, name in enumerate(names)], rows=1, columns=60, layers=names
    )
    lines = drawn(facts)
    assert any("# one of 8 further layers" in line for line in lines)
    assert sum(line.count("#1") for line in lines) == 8


def test_maps_that_are_too_large_are_only_drawn_on_request():
    fits = facts_of([(0, row, column, ["a"], 0.5) for row, column in ((0, 0), (19, 39))], rows=64, columns=64)
    assert fits_by_default(fits)
    tall = facts_of([(0, row, 0, ["a"], 0.5) for row in range(21)], rows=64)
    wide = facts_of([(0, 0, column, ["a"], 0.5) for column in range(41)], columns=64)
    chips = facts_of([(chip, row, 0, ["a"], 0.5) for chip in range(3) for row in range(8)])
    assert not any(map(fits_by_default, (tall, wide, chips)))


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.tuples(st.integers(0, 2), st.integers(0, 30), st.integers(0, 120)),
        st.tuples(st.sampled_from("ab"), st.floats(0, 1)),
        min_size=1,
        max_size=40,
    ),
    st.booleans(),
    st.integers(20, 80),
)
def test_every_core_is_drawn_once_and_no_line_is_too_long(cores, shades, width):
    listed = [(*place, [name], fill) for place, (name, fill) in cores.items()]
    facts = facts_of(listed, rows=31, columns=121)
    lines = drawn(facts, width, shades=shades)
    places = [line for line in lines if line.lstrip()[:1].isdigit() and any(c in line for c in "AB.")]
    for name in "ab":
        count = sum(line.count(name.upper()) for line in places)
        assert count == sum(held == [name] for *_, held, _ in listed)
    assert lines == drawn(facts_of(list(reversed(listed)), rows=31, columns=121), width, shades=shades)
    assert max(len(line) for line in places) <= width


@pytest.mark.parametrize("name", ["x" * 200, "a b"])
def test_long_names_are_cut(name):
    lines = drawn(facts_of([(0, 0, 0, [name], 0.5)], layers=(name,)))
    assert max(map(len, lines)) <= 80
