"""Charts on two logarithmic axes, as lines of text and as SVG, without any package for it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from xml.sax.saxutils import escape

__all__ = ["chart", "svg"]

Points = Sequence[tuple[float, float]]

_COLOURS = ("#1b6ca8", "#c8553d", "#3c8d5a", "#8a5fa8", "#b08900", "#555555")


class _Axes:
    """Maps values to 0 … 1 on both axes, each over whole decades."""

    def __init__(self, series: Mapping[str, Points]) -> None:
        points = [point for points in series.values() for point in points]
        self.x, self.y = (
            (math.floor(min(v)), math.ceil(max(v))) for v in zip(*map(_logs, points), strict=True)
        )

    def place(self, point: tuple[float, float]) -> tuple[float, float]:
        x, y = _logs(point)
        return _share(x, self.x), _share(y, self.y)


def _logs(point: tuple[float, float]) -> tuple[float, float]:
    return math.log10(point[0]), math.log10(point[1])


def _share(value: float, ends: tuple[int, int]) -> float:
    return (value - ends[0]) / max(ends[1] - ends[0], 1)


def chart(series: Mapping[str, Points], *, width: int = 64, height: int = 18) -> str:
    """Returns points as text: those of each series by a letter of its name, the first series on top.

    Args:
        series: Points ``(x, y)`` by name, all above 0.
        width: Columns of the field.
        height: Lines of it.
    """
    axes, letters = _Axes(series), _letters(series)
    field = [[" "] * width for _ in range(height)]
    for name, points in reversed(series.items()):
        for point in points:
            x, y = axes.place(point)
            field[height - 1 - round(y * (height - 1))][round(x * (width - 1))] = letters[name]
    labels = [f"1e{axes.y[1]:+d}", *[""] * (height - 2), f"1e{axes.y[0]:+d}"]
    lines = [f"{label:>6} |{''.join(row)}".rstrip() for label, row in zip(labels, field, strict=True)]
    lines.append(f"{'':>6} +{'-' * width}")
    lines.append(f"{'':>8}{f'1e{axes.x[0]}':<{width - 5}}1e{axes.x[1]}")
    return "\n".join([*lines, "; ".join(f"{letter}: {name}" for name, letter in letters.items())])


def _letters(names: Iterable[str]) -> dict[str, str]:
    """Returns for each name its first letter that is not yet taken."""
    found: dict[str, str] = {}
    for name in names:
        free = [letter for letter in name if letter.isalnum() and letter not in found.values()]
        found[name] = free[0] if free else "?"
    return found


def svg(series: Mapping[str, Points], *, x_title: str, y_title: str) -> str:
    """Returns lines through the points of each series as an SVG image."""
    axes, left, top, width, height = _Axes(series), 70, 20, 520, 340

    def at(point: tuple[float, float]) -> tuple[float, float]:
        x, y = axes.place(point)
        return left + x * width, top + (1 - y) * height

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 150}" height="{top + height + 60}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect x="{left}" y="{top}" width="{width}" height="{height}" fill="none" stroke="#999"/>',
    ]
    for k in range(axes.x[0], axes.x[1] + 1):
        x = left + _share(k, axes.x) * width
        out.append(f'<text x="{x:.1f}" y="{top + height + 18}" text-anchor="middle">10^{k}</text>')
    for k in range(axes.y[0], axes.y[1] + 1):
        y = top + (1 - _share(k, axes.y)) * height
        out.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">10^{k}</text>')
        out.append(f'<line x1="{left}" x2="{left + width}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
    for k, (name, points) in enumerate(series.items()):
        colour, line = _COLOURS[k % len(_COLOURS)], [at(point) for point in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in line)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in line]
        row = top + 14 + 18 * k
        out.append(f'<text x="{left + width + 12}" y="{row}" fill="{colour}">{escape(name)}</text>')
    out.append(
        f'<text x="{left + width / 2}" y="{top + height + 42}" text-anchor="middle">{escape(x_title)}</text>'
    )
    out.append(
        f'<text x="16" y="{top + height / 2}" text-anchor="middle" '
        f'transform="rotate(-90 16 {top + height / 2})">{escape(y_title)}</text>'
    )
    return "\n".join([*out, "</svg>"]) + "\n"
