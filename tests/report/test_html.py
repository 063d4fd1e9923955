from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from nmcompiler.program.layout import ARRAYS, BLOCK_COLUMNS, Program
from nmcompiler.report.html import render_html
from nmcompiler.report.mesh import mesh_svg
from nmcompiler.testing.targets import tiny_target

Facts = dict[str, Any]


@pytest.fixture
def program() -> Program:
    """Three populations: an input on the host, a layer on core 0, a read-out on core 1."""
    arrays = {
        name: np.zeros((0, columns) if columns else 0, dtype) for name, (dtype, columns) in ARRAYS.items()
    }
    blocks = np.zeros((3, len(BLOCK_COLUMNS)), np.int64)
    blocks[:, BLOCK_COLUMNS.index("kind")] = (0, 1, 1)
    blocks[:, BLOCK_COLUMNS.index("core")] = (-1, 0, 1)
    blocks[:, BLOCK_COLUMNS.index("population")] = (0, 1, 2)
    arrays["blocks"] = blocks
    arrays["cores"] = np.array([[0, 0, 0], [0, 1, 2]], np.int32)
    return Program("phase", "ge", 24, (0, 8, 12), 13, arrays, (), (), tiny_target(rows=2, columns=3))


def test_the_mesh_shows_every_core_and_names_what_is_on_it(program: Program, program_facts: Facts) -> None:
    picture = ElementTree.fromstring(mesh_svg(program, program_facts))
    space = "{http://www.w3.org/2000/svg}"
    assert len(picture.findall(f"{space}rect")) == 6
    titles = [square[0].text for square in picture.findall(f"{space}rect") if len(square)]
    assert titles == [
        "core 0 at row 0, column 0: conv[1]; 50 % full",
        "core 1 at row 1, column 2: dense; 1 % full",
    ]


def test_the_report_needs_nothing_from_outside(program: Program, program_facts: Facts) -> None:
    page = render_html(program, program_facts)
    assert "<script" not in page
    assert not re.search(r"(src|href)=", page)
    assert set(re.findall(r"https?://[^\"' ]+", page)) == {"http://www.w3.org/2000/svg"}


def test_names_from_a_model_are_text_and_no_markup(program: Program, program_facts: Facts) -> None:
    program_facts["layers"][0]["name"] = program_facts["model"] = "<img src=x onerror=alert(1)>"
    program_facts["warnings"] = ["<b>"]
    page = render_html(program, program_facts)
    assert "<img" not in page
    assert "<b>" not in page
    assert "&lt;img" in page


def test_compartments_are_named_where_a_neuron_takes_several(program: Program, program_facts: Facts) -> None:
    assert "<th>compartments</th>" not in render_html(program, program_facts)
    assert "<th>compartments</th>" in render_html(program, {**program_facts, "compartments_per_neuron": 2})


def test_bars_show_used_of_limit(program: Program, program_facts: Facts) -> None:
    page = render_html(program, program_facts)
    assert 'title="512 of 1,024"><i style="width:50%">' in page


def test_a_report_without_what_is_not_known_can_be_made(program: Program, program_facts: Facts) -> None:
    program_facts.update(
        model=None, static_check=None, placement=None, certificate=None, versions=None, compile_seconds=None
    )
    assert "no golden network" in render_html(program, program_facts)


def test_the_report_says_why_layers_were_cut_and_what_is_busiest(
    program: Program, program_facts: Facts
) -> None:
    page = render_html(program, program_facts)
    assert "8 × 4 × 8" in page
    assert "neurons 512 of 1,024" in page
    assert "takes fewer than the 2 cores used" in page
    assert "conv[1] 75 %, image 25 %" in page
    for key in ("cuts", "help", "hottest"):  # what programs of older versions do not know
        program_facts[key] = None
    bare = render_html(program, program_facts)
    assert not any(title in bare for title in ("Cuts", "What would help", "Busiest"))


def test_busy_links_are_arrows_the_busier_the_thicker(program: Program, program_facts: Facts) -> None:
    (link,) = program_facts["hottest"]["links"]
    program_facts["hottest"]["links"] += [{**link, "direction": "south", "spikes": 20.0}]
    program_facts["chips"] = 2
    program_facts["hottest"]["links"] += [{**link, "column": 2, "spikes": 40.0}]  # to the next chip
    picture = ElementTree.fromstring(mesh_svg(program, program_facts))
    lines = list(picture.iter("{http://www.w3.org/2000/svg}line"))
    widths = [float(line.get("stroke-width", "")) for line in lines]
    assert widths[0] > widths[2] > widths[1]
    ends = [[float(line.get(end, "")) for end in ("x1", "y1", "x2", "y2")] for line in lines]
    lengths = [(x2 - x1, y2 - y1) for x1, y1, x2, y2 in ends]
    assert lengths[0][0] > 0 == lengths[0][1]
    assert lengths[1][1] > 0 == lengths[1][0]
    assert lengths[2][0] > lengths[0][0]  # over the gap between two chips
    titles = [line[0].text for line in lines]
    assert titles[0] == "80 spikes a sample to the east: conv[1], image"
