from xml.etree import ElementTree

from tests.benchmarks.charts import chart, svg

SERIES = {"all": [(1e4, 1e-2), (1e7, 1e1)], "parts": [(1e4, 1e-3), (1e7, 1e0)], "pairs": [(1e5, 1e-1)]}


def test_points_of_a_chart_stand_where_their_logarithms_are():
    lines = chart(SERIES, width=31, height=9).splitlines()
    field = [line[8:].ljust(31) for line in lines[:9]]
    found = {letter: sorted(
        (x, 8 - y) for y, line in enumerate(field) for x, c in enumerate(line) if c == letter
    ) for letter in "api"}  # fmt: skip
    assert found == {"a": [(0, 2), (30, 8)], "p": [(0, 0), (30, 6)], "i": [(10, 4)]}
    assert lines[0].startswith("  1e+1")
    assert lines[8].startswith("  1e-3")
    assert lines[-1] == "a: all; p: parts; i: pairs"  # a and p of the last are taken


def test_an_image_has_a_line_for_each_series_and_a_circle_for_each_point():
    root = ElementTree.fromstring(svg({**SERIES, "<b>": [(1e4, 1e-2)]}, x_title="n & m", y_title="s"))
    tags = [child.tag.rsplit("}")[-1] for child in root]
    assert tags.count("polyline") == 4
    assert tags.count("circle") == 6
    assert {"all", "parts", "pairs", "<b>", "n & m", "s"} <= {child.text for child in root}
