"""The busiest cores and links, held against a walk over every neuron and every link that its spikes cross."""

from __future__ import annotations

import copy
import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from nmcompiler.program.slices import turn_spans
from nmcompiler.report.facts import population_names
from nmcompiler.report.hottest import SHOWN, hottest_facts, stored_hottest
from nmcompiler.report.workload import workload
from nmcompiler.target.figures import Figure
from nmcompiler.testing import random_network, tiny_target
from nmcompiler.testing.chain import placed_program
from nmcompiler.testing.programs import random_program

STEPS = {"east": (0, 1), "west": (0, -1), "south": (1, 0), "north": (-1, 0)}
SAMPLES = 4


def route(start, end):
    """The links of a route, first along the row and then along the column."""
    (row, column), found = start, []
    while (row, column) != end:
        if column != end[1]:
            direction = "east" if end[1] > column else "west"
        else:
            direction = "south" if end[0] > row else "north"
        found.append((row, column, direction))
        row, column = row + STEPS[direction][0], column + STEPS[direction][1]
    return found


def walked(program, sent):
    """Events on every link of every pass by population; spikes for a later pass go by way of the host."""
    columns, links = program.target.mesh.columns, {}
    at = [(int(r), int(chip) * columns + int(c)) for chip, r, c in program.arrays["cores"]]
    turns, host = program.turns.tolist(), (0, 0)
    blocks = zip(*(program.column(k).tolist() for k in ("gid0", "n", "core", "population")), strict=True)
    for gid0, n, core, population in blocks:
        own, start = (turns[core], at[core]) if core >= 0 else (-1, host)
        for gid in range(gid0, gid0 + n):
            reached = {
                int(to) for first, count, to, *_ in program.arrays["routes"] if first <= gid < first + count
            }
            crossed = set()
            for to in reached:
                begin = start if turns[to] == own else host
                crossed.update((turns[to], *link) for link in route(begin, at[to]))
                if core >= 0 and turns[to] > own:
                    crossed.update((own, *link) for link in route(start, host))
            for link in crossed:
                links.setdefault(link, Counter())[population] += int(sent[gid])
    return {link: +counts for link, counts in links.items() if counts.total()}


def hottest_of(program, seed):
    sent = np.random.default_rng(seed).integers(0, 5, program.neurons)
    names = population_names(program)
    return hottest_facts(program, names, workload(program, sent), sent, SAMPLES), sent


def priced(program, **figures):
    made = {key: Figure(value, "test", "modelled", "marginal") for key, value in figures.items()}
    return replace(program, target=replace(program.target, figures=made))


def programs():
    few = tiny_target(neurons=24, rows=2, columns=2)
    for seed in (1, 3):
        yield placed_program(random_network(seed), few, "phase", passes=None)[0]
    yield from map(random_program, range(7))


@pytest.mark.parametrize("seed", range(9))
def test_links_carry_what_a_walk_over_every_spike_finds(seed):
    program = list(programs())[seed]
    assert (program.passes > 1) == (seed < 2)
    found, sent = hottest_of(program, seed)
    links, names = walked(program, sent), population_names(program)
    total = sum(counts.total() for counts in links.values())
    loads = sorted((counts.total() for counts in links.values()), reverse=True)
    assert [link["spikes"] * SAMPLES for link in found["links"]] == loads[:SHOWN]
    for link in found["links"]:
        column = link["chip"] * program.target.mesh.columns + link["column"]
        counts = links[link["pass"], link["row"], column, link["direction"]]
        assert link["share"] == counts.total() / total
        senders = {layer["name"]: layer["spikes"] * SAMPLES for layer in link["layers"]}
        assert senders == {names[number]: count for number, count in counts.items()}
        spikes = [layer["spikes"] for layer in link["layers"]]
        assert spikes == sorted(spikes, reverse=True)


@pytest.mark.parametrize("seed", range(4))
def test_without_prices_the_busiest_core_is_that_with_most_operations(seed):
    program = random_program(seed)
    found, sent = hottest_of(program, seed)
    synops = workload(program, sent).synops.sum(axis=0)
    assert found["by"] == "synops"
    assert [c["synops"] * SAMPLES for c in found["cores"]] == sorted(synops, reverse=True)[:SHOWN]
    for core in found["cores"]:
        k = core["core"]
        assert core["ns"] is None
        assert core["pass"] == 0
        assert [core[side] for side in ("chip", "row", "column")] == program.arrays["cores"][k].tolist()
        names = {
            population_names(program)[p] for p in program.column("population")[program.column("core") == k]
        }
        assert set(core["layers"]) == names
        assert core["neurons"] == program.column("n")[program.column("core") == k].sum()


def test_where_the_chip_prices_work_the_longest_part_decides():
    program = priced(random_program(2), time_per_synop_ns=2.0, time_per_spike_ns=1000.0)
    found, sent = hottest_of(program, 2)
    assert found["by"] == "time"
    for core in found["cores"]:
        assert core["ns"] == pytest.approx(max(2 * core["synops"], 1000 * core["spikes"]))
    times = [core["ns"] for core in found["cores"]]
    assert times == sorted(times, reverse=True)
    work = workload(program, sent)
    every = np.maximum(2 * work.synops.sum(axis=0), 1000 * work.spikes.sum(axis=0)) / SAMPLES
    assert times[0] == pytest.approx(every.max())


def test_updates_take_the_steps_of_the_pass_of_their_core():
    program = priced(next(programs()), time_per_neuron_update_inactive_ns=3.0)
    found, _ = hottest_of(program, 1)
    spans = turn_spans(program)
    for core in found["cores"]:
        first, end = spans[core["pass"]]
        assert core["pass"] == program.turns[core["core"]]
        assert core["ns"] == pytest.approx(3 * (core["neurons"] * (end - first) - core["spikes"]))


def test_where_nothing_is_sent_no_link_is_busy():
    program = random_program(1)
    none = np.zeros(program.neurons)
    found = hottest_facts(program, population_names(program), workload(program, none), none, SAMPLES)
    assert found["links"] == []
    assert all(core["synops"] == 0 for core in found["cores"])


def test_what_was_stored_comes_back_and_nothing_else_does():
    found = json.loads(json.dumps(hottest_of(random_program(3), 3)[0]))
    assert stored_hottest(found) == found
    assert found["links"]
    for spoil in (
        lambda f: f.pop("cores"),
        lambda f: f.update(links={}),
        lambda f: f.update(by="heat"),
        lambda f: f["cores"].append(3),
        lambda f: f["cores"][0].update(ns="long"),
        lambda f: f["cores"][0].update(core=True),
        lambda f: f["cores"][0].update(layers=[1]),
        lambda f: f["links"][0].pop("share"),
        lambda f: f["links"][0].update(direction="up"),
        lambda f: f["links"][0].update(layers=[{"name": "a"}]),
    ):
        spoilt = copy.deepcopy(found)
        spoil(spoilt)
        assert stored_hottest(spoilt) is None
    assert stored_hottest(None) is stored_hottest([]) is None
