"""Writes the table of spike codes: networks × chips × codes × levels or timesteps, on full test images.

    python -m tests.benchmarks.codes_table -o docs/codes.md --journal codes.jsonl
    python -m tests.benchmarks.codes_table --limit 200 --network LeNet-like

Every row is one compilation and one run on the simulator of the placed chip, as in ``nmc compare``. The exit
code is 1 where an exact code differs from its integer network, or where two exact codes of one integer
network do not answer alike: that they do is a theorem, and here it is tried.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nmcompiler.codings import CODINGS
from nmcompiler.comparison import Case, Journal, Sizes, cases, measured
from nmcompiler.report.comparison import row_line
from tests.benchmarks.fashion_mnist import NETWORKS, official_images, subject

IMAGES = {"LeNet-like": 10_000, "ResNet-8": 2_000, "depthwise": 2_000}
EXACT = tuple(name for name in ("graded", "phase", "ttfs", "rate-sync") if name in CODINGS)
LEVELS = (255, 15, 7, 3)
TIMESTEPS = (16, 8, 4, 2)
HEADER = (
    *("network", "images", "chip", "code", "image as", "float", "chip, measured", "points lost"),
    *("spikes/neuron", "synops", "steps", "latency", "cores (bound)", "equals the integer network"),
)
INTRODUCTION = """\
# Spike codes side by side

Three networks on Fashion-MNIST (the README says which), in every code, at several sizes, printed by
`python -m tests.benchmarks.codes_table`. Every row was compiled, proved, placed and run on the simulator of
the placed chip; the first test images are used, and nothing was tuned on them. L is the number of values that
a neuron can have beside 0, T the number of steps in which spikes are counted, B the bits of a weight (8 where
nothing is said). "Image as" says how samples enter the chip: as spikes, as a current, or as graded events.
"Points lost" is the float network's accuracy less the chip's, in percentage points.

The exact codes (`graded`, `phase`, `ttfs`, `rate-sync`) compute the same integer network, so their accuracies
at equal L and B are equal by proof; here all of them were run, and every output, activation and membrane was
compared. What they cost differs: spikes, synaptic operations and steps. `rate` approximates its network.

A latency in time stands only where a chip's step time is published.
"""


def planned() -> tuple[Case, ...]:
    """Returns the cases of every network."""
    return (
        *cases(("generic-digital",), EXACT, Sizes(levels=LEVELS)),
        *cases(("generic-digital",), EXACT, Sizes(levels=(15,), weight_bits=(4,))),
        *cases(("generic-digital", "loihi1"), ("rate",), Sizes(timesteps=TIMESTEPS)),
    )


def measured_rows(
    network: str, limit: int | None, data: Path | None, journal: Journal
) -> Iterator[dict[str, Any]]:
    """Yields the rows of a network, and says on stderr how far it is."""
    images, classes = official_images(data)
    count = min(limit or IMAGES[network], IMAGES[network])
    asked = subject(network, images, classes, count, os.cpu_count() or 1)
    todo = planned()
    for k, row in enumerate(measured(asked, todo, journal), start=1):
        seconds = sum(row[key] or 0.0 for key in ("compile_seconds", "wall_seconds"))
        print(f"{network} {k}/{len(todo)} {row_line(row)} ({seconds:.1f} s)", file=sys.stderr, flush=True)
        yield {**row, "network": network, "images": count}


def cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the cells of a row."""
    start = (row["network"], f"{row['images']:,}", row["target"], f"{row['coding']}, {row['size']}")
    if not row["ok"]:
        return (*start, f"cannot run: {row['refused']['short']}", *[""] * (len(HEADER) - 5))
    accuracy, time = row["accuracy"], row["latency_us"]
    return (
        *start,
        row["input_encoding"],
        f"{100 * accuracy['float']:.2f} %",
        f"{100 * accuracy['chip']:.2f} %",
        f"{100 * (accuracy['float'] - accuracy['chip']):.2f}",
        f"{row['spikes_per_neuron']:.2f}",
        f"{row['synops_per_sample'] / 1e6:.2f} M",
        f"{row['latency_steps']:,}",
        "–" if time is None else f"{time / 1e3:.2f} ms",
        f"{row['cores']['used']} ({row['cores']['lower_bound']})",
        {True: "yes", False: "NO", None: "approximates it"}[row["exact"]],
    )


def complaints(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yields what contradicts the claim that the exact codes compute one integer network."""
    accuracies: dict[tuple[Any, ...], dict[str, float]] = {}
    for row in rows:
        what = f"{row['network']} {row['target']} {row['coding']} {row['size']}"
        if not row["ok"]:
            yield f"{what}: {row['refused']['reason']}"
        elif row["exact"] is False:
            yield f"{what}: differs from its integer network"
        elif row["exact"]:
            key = (row["network"], row["target"], row["size"])
            accuracies.setdefault(key, {})[row["coding"]] = row["accuracy"]["chip"]
    for key, found in accuracies.items():
        if len(set(found.values())) > 1:
            yield f"{' '.join(key)}: exact codes answer differently: {found}"


def document(rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns the page."""
    lines = ["| " + " | ".join(HEADER) + " |", "|" + "---|" * len(HEADER)]
    lines += ["| " + " | ".join(cells(row)) + " |" for row in rows]
    return INTRODUCTION + "\n" + "\n".join(lines) + "\n"


def main() -> int:
    """Prints the page; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=int, help="at most this many images  [10,000 or 2,000]")
    parser.add_argument("--data", type=Path, help="folder of the data set")
    parser.add_argument("--network", choices=list(NETWORKS), action="append", help="only this network")
    parser.add_argument("--journal", type=Path, help="where finished rows are kept, to go on from")
    parser.add_argument("-o", "--output", type=Path, help="also write the page there")
    options = parser.parse_args()
    journal = Journal(options.journal)
    rows: list[dict[str, Any]] = []
    for network in options.network or NETWORKS:
        rows.extend(measured_rows(network, options.limit, options.data, journal))
    page = document(rows)
    print(page, end="")
    if options.output is not None:
        options.output.write_text(page, encoding="utf-8")
    found = list(complaints(rows))
    for complaint in found:
        print(complaint, file=sys.stderr)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
