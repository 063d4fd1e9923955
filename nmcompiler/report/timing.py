"""How long a step takes: as long as the busiest of its parts (the bottleneck model).

A step ends when the last core and the last link have done its work, so it takes at least

    t = max(synops on the busiest core · t_synop, updates on the busiest core · t_update,
            events that the busiest core sends · t_spike, events on the busiest link · t_hop, t_barrier)

with the figures of the chip (arXiv 2601.10035 fits five constants of this form to measured steps, r ≥ 0.97;
arXiv 2511.21549 finds the busiest core decisive on three chips). A chip with a fixed tick has ``step_us``
instead, which stands for all of this.

The counts are averages: over all samples, and over the steps in which the same populations fire (a
*stretch* of the schedule). The largest of averages is at most the average of the largest, and parts that do
not overlap in time would add up, so the time is a bound from below, as good as the figures; it is not a
measurement. A part whose figure nobody published is left out and named in ``unpriced``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from nmcompiler.ir.spiking import Spiking
from nmcompiler.program.layout import Program
from nmcompiler.program.slices import turn_spans
from nmcompiler.report.figures import within
from nmcompiler.report.reload import LOAD_TIME, reload_bytes, reload_us
from nmcompiler.report.workload import DIRECTIONS, Array, Workload
from nmcompiler.target.model import Target
from nmcompiler.target.step_time import core_times_ns, hop_times_ns, whole_chip_times_ns

__all__ = ["Part", "period_windows", "stored_time", "time_facts"]

_WANTED: tuple[tuple[str, ...], ...] = (
    ("time_per_synop_ns",),
    ("time_per_neuron_update_active_ns",),
    ("time_per_neuron_update_inactive_ns",),
    ("time_per_spike_ns",),
    ("time_per_hop_ns", "time_per_hop_east_west_ns", "time_per_hop_north_south_ns"),
    ("time_per_barrier_ns",),
)


@dataclass(frozen=True)
class Part:
    """One part of a step.

    Attributes:
        what: ``synops``, ``weight reads``, ``neuron updates``, ``spikes sent``, ``link``, ``barrier`` or
            ``shortest step``.
        where: The core or link that has most to do; None for the chip as a whole.
        count: What it has to do in a step, on average; None where nothing is counted.
        ns: How long that takes; None where nobody published a figure.
        steps: Steps of a sample in which this part takes longest.
    """

    what: str
    where: str | None
    count: float | None
    ns: float | None
    steps: int = 0


@dataclass(frozen=True, eq=False)
class _Stretch:
    """Steps in which the same neurons fire, and the average work of one; arrays as in ``Workload``.

    Of several passes a stretch belongs to one: neurons of other passes are not there.
    """

    steps: int
    neurons: Array
    synops: Array
    spikes: Array
    links: Array


def time_facts(program: Program, work: Workload, samples: int) -> dict[str, Any]:
    """Returns the time of a sample, its bottleneck, and how many samples a second that allows.

    Args:
        program: The program.
        work: What ``samples`` samples caused together.
        samples: How many they are.

    Returns:
        ``step_ns`` (mean), ``latency_us``, ``is_lower_bound``, ``unpriced``, ``fixed_step``, ``bottleneck``
        and ``second`` (names of parts, None where nothing is priced), ``parts`` (the longest first),
        ``samples_per_second`` (drained before the next) and ``pipelined``. Where several passes are loaded,
        ``latency_us`` has that time, which ``samples_per_second`` leaves to as many samples as share it.
    """
    target = program.target
    stretches = _stretches(program, work, samples)
    total = sum(stretch.steps for stretch in stretches)
    parts, longest = _average(target, stretches)
    priced = [part for part in parts if part.ns]
    fixed = target.step_us
    step_ns = fixed.value * 1e3 if fixed else longest if priced else None
    unpriced = [] if fixed else _unpriced(target)
    loading = reload_us(program, sum(reload_bytes(program)))
    if loading is None:
        unpriced.append(LOAD_TIME)
    return {
        "step_ns": step_ns,
        "latency_us": None if step_ns is None else step_ns * total * 1e-3 + (loading or 0.0),
        "is_lower_bound": bool(unpriced),
        "unpriced": unpriced,
        "fixed_step": fixed is not None,
        "bottleneck": priced[0].what if priced else None,
        "second": priced[1].what if len(priced) > 1 else None,
        "parts": [asdict(part) for part in parts],
        "samples_per_second": None if step_ns is None else 1e9 / (step_ns * total),
        "pipelined": _pipelined(program, work, samples, bool(priced)),
    }


def _unpriced(target: Target) -> list[str]:
    """Returns the figures of time that nobody published, one for each part."""
    both = {"time_per_hop_east_west_ns", "time_per_hop_north_south_ns"} <= set(target.figures)
    return [
        keys[0]
        for keys in _WANTED
        if keys[0] not in target.figures and not (len(keys) > 1 and both) and within(target, *keys) is None
    ]


def _stretches(program: Program, work: Workload, samples: int) -> list[_Stretch]:
    """Cuts a sample where populations begin or end to fire, pass by pass."""
    first, end = work.slots[:, 0], work.slots.sum(axis=1)
    found = []
    for turn, (begin, last) in enumerate(turn_spans(program)):
        within_it = {m for m in (*first.tolist(), *end.tolist()) if begin < m < last}
        for start, stop in pairwise(sorted({begin, last, *within_it})):
            fires = (first <= start) & (end >= stop) & (work.turns == turn)
            share = fires / (work.slots[:, 1] * samples)
            found.append(
                _Stretch(
                    steps=stop - start,
                    neurons=np.where(program.turns == turn, work.neurons, 0),
                    synops=share @ work.synops,
                    spikes=share @ work.spikes,
                    links=np.tensordot(share, work.links, axes=1),
                )
            )
    return found


def _average(target: Target, stretches: Sequence[_Stretch]) -> tuple[list[Part], float]:
    """Returns the parts of a step averaged over stretches, the longest first, and the mean of the longest."""
    rows = [list(_parts(target, stretch)) for stretch in stretches]
    steps = [stretch.steps for stretch in stretches]
    leading = [0] * len(rows[0])
    longest = 0.0
    for count, row in zip(steps, rows, strict=True):
        times = [part.ns or 0.0 for part in row]
        worst = int(np.argmax(times))
        longest += count * times[worst]
        leading[worst] += count if times[worst] else 0
    parts = [_mean(same, steps, lead) for same, lead in zip(zip(*rows, strict=True), leading, strict=True)]
    return sorted(parts, key=lambda part: -(part.ns or 0.0)), longest / sum(steps)


def _mean(same: Sequence[Part], steps: Sequence[int], leading: int) -> Part:
    """Returns one part over all stretches, with the place where it has most to do."""
    costs = [
        n * ((part.count or 0.0) if part.ns is None else part.ns) for n, part in zip(steps, same, strict=True)
    ]
    heaviest = same[int(np.argmax(costs))]

    def mean(values: Sequence[float | None]) -> float | None:
        known = [v for v in values if v is not None]
        if len(known) < len(values):
            return None
        return sum(n * v for n, v in zip(steps, known, strict=True)) / sum(steps)

    return Part(
        what=heaviest.what,
        where=heaviest.where,
        count=mean([part.count for part in same]),
        ns=mean([part.ns for part in same]),
        steps=leading,
    )


def _parts(target: Target, stretch: _Stretch) -> Iterator[Part]:
    """Yields the parts of a step: always the same ones, in the same order."""
    times = core_times_ns(target, stretch.synops, stretch.neurons, stretch.spikes)
    for what, (counts, ns) in times.items():
        core = int(np.argmax(counts if ns is None else ns))
        yield Part(what, f"core {core}", float(counts[core]), None if ns is None else float(ns[core]))
    yield _link(target, stretch.links)
    for what, value in whole_chip_times_ns(target).items():
        yield Part(what, None, None, value)


def _link(target: Target, links: Array) -> Part:
    each = hop_times_ns(target)
    times = links * (np.ones(len(DIRECTIONS)) if each is None else each)[:, None, None]
    if not times.size:
        return Part("link", None, 0.0, None if each is None else 0.0)
    direction, row, column = (int(k) for k in np.unravel_index(np.argmax(times), times.shape))
    return Part(
        "link",
        f"link {DIRECTIONS[direction]} of ({row}, {column})",
        float(links[direction, row, column]),
        None if each is None else float(times[direction, row, column]),
    )


def period_windows(spiking: Spiking) -> int | None:
    """Returns after how many windows the next sample may follow where neurons have two membranes.

    ``max_p (w(p) − min w(source))``: until then the membrane of p still collects for the sample before. With
    one membrane a neuron it is one window more. None for codes without windows, and without projections.
    """
    graph, slots = spiking.network.graph, spiking.schedule.slots
    if spiking.schedule.windows < 2:
        return None
    return max(
        (
            slots[p.name].window - min(slots[s].window for s in graph.predecessors(p.name))
            for p in graph
            if graph.predecessors(p.name)
        ),
        default=None,
    )


def _pipelined(program: Program, work: Workload, samples: int, priced: bool) -> list[dict[str, Any]] | None:
    """Returns what a pipeline of samples allows, with one membrane a neuron and with two.

    In a pipeline every window holds firing populations of all lengths, so it is as long as the longest, and
    the work of a whole sample falls on every period. The programs as written have one membrane a neuron; the
    host or the neuron's program must set it between samples. Several passes over the chips are no pipeline.
    """
    period = None if program.golden is None else period_windows(program.golden)
    fixed = program.target.step_us
    if period is None or not (priced or fixed) or program.passes > 1:
        return None
    ends = (*program.window_starts[1:], program.total_steps)
    window = max(e - s for s, e in zip(program.window_starts, ends, strict=True))
    found = []
    for membranes, windows in ((1, period + 1), (2, period)):
        steps = min(windows * window, program.total_steps)
        whole = _Stretch(
            steps,
            work.neurons,
            *(x.sum(axis=0) / (steps * samples) for x in (work.synops, work.spikes, work.links)),
        )
        _, longest = _average(program.target, [whole])
        step_ns = fixed.value * 1e3 if fixed else longest
        found.append(
            {
                "membranes": membranes,
                "windows": windows,
                "steps": steps,
                "samples_per_second": 1e9 / (step_ns * steps),
            }
        )
    return found


def stored_time(stored: Any) -> dict[str, Any] | None:
    """Returns the time that was modelled at compile, None where a program holds nothing like it."""
    if not isinstance(stored, Mapping):
        return None
    numbers = ("step_ns", "latency_us", "samples_per_second")
    names = ("bottleneck", "second")
    good = (
        all(_is(stored.get(key), int | float) for key in numbers)
        and all(_is(stored.get(key), str) for key in names)
        and isinstance(stored.get("unpriced"), list)
        and isinstance(stored.get("parts"), list)
        and all(
            isinstance(part, Mapping)
            and isinstance(part.get("what"), str)
            and _is(part.get("where"), str)
            and all(_is(part.get(key), int | float) for key in ("count", "ns"))
            for part in stored["parts"]
        )
    )
    return dict(stored) if good else None


def _is(value: Any, kind: Any) -> bool:
    return value is None or (isinstance(value, kind) and not isinstance(value, bool))
