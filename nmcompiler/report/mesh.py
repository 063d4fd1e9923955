"""The cores of a program on the mesh of its chips, as an SVG picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from itertools import product
from typing import Any

from nmcompiler.program.layout import BlockKind, Program
from nmcompiler.report.format import core_fill, number, percent

__all__ = ["layers_of_cores", "mesh_svg"]

_CELL, _GAP, _MARGIN, _CHIP_GAP = 22, 3, 18, 14  # pixels


def mesh_svg(program: Program, facts: Mapping[str, Any]) -> str:
    """Returns an ``<svg>`` element: a square for every core of the chips in use, the fuller the darker.

    A square's tooltip names the layers on the core and how full its fullest resource is. Each pass over the
    chips has a row of its own. The busiest links are arrows, the busier the thicker.
    """
    mesh = program.target.mesh
    pitch = _CELL + _GAP
    chip_width = mesh.columns * pitch + _CHIP_GAP
    row_height = mesh.rows * pitch + _MARGIN + (_CHIP_GAP if program.passes > 1 else 0)
    width, height = facts["chips"] * chip_width, program.passes * row_height
    turns = program.turns.tolist()
    placed = {(turns[core], *map(int, at)): core for core, at in enumerate(program.arrays["cores"])}
    fill, layers = core_fill(facts["limits"]), layers_of_cores(program, facts)
    parts = []
    for turn, chip in product(range(program.passes), range(facts["chips"])):
        x0, y0 = chip * chip_width, turn * row_height
        title = f"chip {chip}" if program.passes == 1 else f"pass {turn}, chip {chip}"
        parts.append(f'<text x="{x0}" y="{y0 + 12}" font-size="12">{title}</text>')
        for row in range(mesh.rows):
            for column in range(mesh.columns):
                core = placed.get((turn, chip, row, column))
                square = _square(x0 + column * pitch, y0 + _MARGIN + row * pitch)
                if core is None:
                    parts.append(f'{square} fill="#f1f1f1"/>')
                    continue
                share = max(fill.get(core, {}).values(), default=0.0)
                names = escape(", ".join(layers.get(core, ())))
                said = f"core {core} at row {row}, column {column}: {names}; {percent(share, 0)} full"
                parts.append(
                    f'{square} fill="#3b7dd8" fill-opacity="{0.25 + 0.75 * min(share, 1):.2f}">'
                    f"<title>{said}</title></rect>"
                )
    parts += _arrows(mesh.columns, chip_width, row_height, facts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="cores on the mesh" '
        f'viewBox="0 0 {width} {height}" width="{width}" height="{height}">\n' + "\n".join(parts) + "\n</svg>"
    )


def _square(x: int, y: int) -> str:
    return f'<rect x="{x}" y="{y}" width="{_CELL}" height="{_CELL}" rx="3"'


_TOWARDS = {"east": (0, 1), "west": (0, -1), "south": (1, 0), "north": (-1, 0)}


def _arrows(columns: int, chip_width: int, row_height: int, facts: Mapping[str, Any]) -> Iterator[str]:
    """Yields the busiest links as lines from core to core, the two directions beside each other."""
    links = (facts.get("hottest") or {}).get("links", ())
    if not links:
        return
    yield (
        '<defs><marker id="to" viewBox="0 0 4 4" refX="3" refY="2" markerWidth="2.4" markerHeight="2.4" '
        'orient="auto"><path d="M0 0 4 2 0 4z" fill="#d8703b"/></marker></defs>'
    )
    most = max(link["spikes"] for link in links) or 1
    for link in links:
        down, right = _TOWARDS[link["direction"]]
        column = link["chip"] * columns + link["column"]
        x1, y1 = _centre(link["row"], column, columns, chip_width)
        x2, y2 = _centre(link["row"] + down, column + right, columns, chip_width)
        aside_x, aside_y = -3 * down, 3 * right + link["pass"] * row_height
        layers = ", ".join(layer["name"] for layer in link["layers"])
        said = escape(f"{number(link['spikes'])} spikes a sample to the {link['direction']}: {layers}")
        yield (
            f'<line x1="{x1 + aside_x}" y1="{y1 + aside_y}" x2="{x2 + aside_x}" y2="{y2 + aside_y}" '
            f'stroke="#d8703b" stroke-width="{1 + 3 * link["spikes"] / most:.1f}" marker-end="url(#to)">'
            f"<title>{said}</title></line>"
        )


def _centre(row: int, column: int, columns: int, chip_width: int) -> tuple[int, int]:
    """Returns the middle of a place, its column counted over all chips."""
    chip, inside = divmod(column, columns)
    pitch = _CELL + _GAP
    return chip * chip_width + inside * pitch + _CELL // 2, _MARGIN + row * pitch + _CELL // 2


def layers_of_cores(program: Program, facts: Mapping[str, Any]) -> dict[int, list[str]]:
    """Returns the names of the layers on each core."""
    numbers, kinds = program.column("population"), program.column("kind")
    placed = sorted({int(n) for n, k in zip(numbers, kinds, strict=True) if k != BlockKind.INPUT})
    names = dict(zip(placed, (layer["name"] for layer in facts["layers"]), strict=False))
    found: dict[int, list[str]] = {}
    for core, population in sorted({*zip(program.column("core").tolist(), numbers.tolist(), strict=True)}):
        if core >= 0 and population in names:
            found.setdefault(core, []).append(names[population])
    return found
