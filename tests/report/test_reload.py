"""What several passes cost: bytes, time, energy and hops, counted by hand."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import jsonschema
import numpy as np
import pytest
from rich.console import Console

from nmcompiler.program.layout import Program
from nmcompiler.program.usage import core_usage
from nmcompiler.report.cost_lines import pass_line
from nmcompiler.report.diff import compared
from nmcompiler.report.energy import energy_facts, layer_events
from nmcompiler.report.facts import program_facts
from nmcompiler.report.mesh import mesh_svg
from nmcompiler.report.reload import LOAD_ENERGY, LOAD_TIME, pass_facts, reload_bytes
from nmcompiler.report.schema import load_schema
from nmcompiler.report.text import inspect_text, summary
from nmcompiler.report.timing import time_facts
from nmcompiler.report.workload import workload
from nmcompiler.sim.routes import static_hops
from nmcompiler.target import BiasFormat, Figure, ThresholdFormat
from tests.sim.handmade import program as handmade

SENT = np.array([2, 1, 1, 0, 0])  # of two inputs, two neurons and their read-out


def figure(value: float) -> Figure:
    return Figure(value, "a paper", "measured", "marginal")


def in_passes(code: str = "phase", *, step_us: float | None = None, **figures: float) -> Program:
    """Two neurons at (0, 1) in the first pass, and their read-out at (2, 3) in the second."""
    made = handmade(code).with_arrays(passes=np.array([0, 1], np.int32))
    target = replace(
        made.target,
        threshold=ThresholdFormat(11),
        figures={key: figure(value) for key, value in figures.items()},
        step_us=None if step_us is None else figure(step_us),
    )
    return replace(made, target=target)


def test_a_pass_loads_synapses_membranes_and_thresholds() -> None:
    program = in_passes()
    # 4 weights of 8 bits, 2 membranes of 24 and a θ; 2 weights and a membrane
    assert reload_bytes(program) == [-(-(32 + 48 + 11) // 8), (16 + 24) // 8]
    assert reload_bytes(handmade("phase")) == [0]


def test_a_bias_that_is_a_current_is_loaded_as_well() -> None:
    program = in_passes("rate").with_arrays(current=np.array([3, 0], np.int64))
    program = replace(program, target=replace(program.target, bias=BiasFormat(13, 7)))
    assert reload_bytes(program) == [
        -(-(32 + 48 + 11 + 2 * (13 + 3)) // 8),
        5,
    ]


def test_spikes_go_to_the_host_and_from_there() -> None:
    assert static_hops(handmade("phase")).tolist() == [1, 1, 4, 4, 0]
    assert static_hops(in_passes()).tolist() == [1, 1, 1 + 5, 1 + 5, 0]
    layers = layer_events(in_passes(), workload(in_passes(), SENT), 1, ["x", "hidden", "y"])
    assert [(layer.hops_east_west, layer.hops_north_south) for layer in layers] == [(3, 0), (4, 2), (0, 0)]


def test_neurons_are_updated_in_the_steps_of_their_pass_alone() -> None:
    layers = layer_events(in_passes(), workload(in_passes(), SENT), 1, ["x", "hidden", "y"])
    assert [layer.inactive_updates for layer in layers] == [0, 2 * 4 - 1, 3]


def facts(program: Program) -> dict[str, Any]:
    return time_facts(program, workload(program, SENT), 1)


def test_the_passes_take_their_steps_one_after_the_other() -> None:
    """Four steps and three: those in which the neurons send are computed in both."""
    found = facts(in_passes(step_us=2.0))
    assert found["latency_us"] == pytest.approx(7 * 2.0)
    assert found["unpriced"] == [LOAD_TIME]
    assert found["is_lower_bound"]
    assert found["pipelined"] is None
    loaded = facts(in_passes(step_us=2.0, **{LOAD_TIME: 100.0}))
    assert loaded["latency_us"] == pytest.approx(7 * 2.0 + (12 + 5) * 0.1)
    assert loaded["samples_per_second"] == pytest.approx(1e6 / 14.0)  # loaded once for many samples
    assert not loaded["is_lower_bound"]


def test_a_core_takes_no_time_in_another_pass() -> None:
    """Updates of 5 ns: two neurons in the four steps of the first pass, one in the three of the second."""
    found = facts(in_passes(time_per_neuron_update_inactive_ns=5.0, time_per_neuron_update_active_ns=5.0))
    assert found["step_ns"] == pytest.approx((4 * 10 + 3 * 5) / 7)


def test_loading_has_an_energy_or_is_said_to_have_none() -> None:
    program = in_passes(step_us=1.0, energy_per_synop_pj=1.0)
    layers = layer_events(program, workload(program, SENT), 1, ["x", "hidden", "y"])
    assert LOAD_ENERGY in energy_facts(program, layers, facts(program), 1)["unpriced"]
    priced = in_passes(step_us=1.0, energy_per_synop_pj=1.0, **{LOAD_ENERGY: 3.0})
    found = energy_facts(priced, layers, facts(priced), 2)
    assert LOAD_ENERGY not in found["unpriced"]
    (row,) = [row for row in found["receipt"] if row["event"] == "bytes loaded"]
    assert (row["count"], row["pj"]) == (2 * 17, 3.0)
    assert found["run_fj"]["total"] == sum(row["fj"] for row in found["receipt"])


def test_cores_are_on_in_their_own_pass() -> None:
    program = in_passes(step_us=1.0, static_power_per_core_mw=2.0, energy_per_synop_pj=1.0)
    layers = layer_events(program, workload(program, SENT), 1, ["x", "hidden", "y"])
    (row,) = [r for r in energy_facts(program, layers, facts(program), 1)["receipt"] if "core" in r["event"]]
    assert row["count"] == pytest.approx(7.0)  # one core at a time


def test_the_facts_of_passes() -> None:
    program = replace(in_passes(), report={"passes": {"spilled_spikes": 2.4}})
    found = program_facts(program)
    jsonschema.validate(found["passes"], load_schema("compile")["properties"]["passes"])
    assert {k: v for k, v in found["passes"].items() if k != "each"} == {
        "count": 2,
        "reload_bytes": 17,
        "reload_us": None,
        "spilled_spikes": 2.4,
    }
    assert [(e["layers"], e["first_step"], e["steps"]) for e in found["passes"]["each"]] == [
        (["population 1"], 0, 4),
        (["population 2"], 2, 3),
    ]
    said = dict(summary(found))
    assert said["cores"].startswith("2 on 1 chip in 2 passes")
    assert said["passes"] == pass_line(found["passes"])
    assert "no time of loading is published" in said["passes"]
    assert "the host keeps 2 spikes a sample" in said["passes"]
    once = program_facts(handmade("phase"))
    assert "passes" not in dict(summary(once))
    assert once["passes"]["reload_us"] == once["passes"]["spilled_spikes"] == 0.0
    change = compared(once, found)["passes"]
    assert (change["count"]["change"], change["reload_bytes"]["b"]) == (1, 17)


@pytest.mark.parametrize("stored", [None, {}, {"spilled_spikes": "many"}, {"spilled_spikes": True}])
def test_a_report_that_does_not_tell_is_not_believed(stored: Any) -> None:
    program = in_passes()
    assert pass_facts(program, core_usage(program), ["x", "a", "b"], stored)["spilled_spikes"] is None


def test_every_pass_has_its_own_picture_of_the_mesh() -> None:
    program = in_passes()
    one, two = (ElementTree.fromstring(mesh_svg(p, program_facts(p))) for p in (handmade("phase"), program))
    space = "{http://www.w3.org/2000/svg}"
    squares = [len(picture.findall(f"{space}rect")) for picture in (one, two)]
    assert squares[1] == 2 * squares[0]
    assert [t.text for t in two.findall(f"{space}text")] == ["pass 0, chip 0", "pass 1, chip 0"]
    heights = {float(r.get("y", "")) for r in two.findall(f"{space}rect")}
    assert len(heights) == 2 * program.target.mesh.rows
    assert float(two.get("height", "")) >= max(heights) + 22


def test_inspect_lists_the_passes() -> None:
    def said(program: Program) -> str:
        console = Console(file=io.StringIO(), width=100, markup=False, highlight=False)
        console.print(inspect_text(program_facts(program)))
        return str(console.file.getvalue())  # type: ignore[attr-defined]

    lines = said(in_passes()).splitlines()
    first = next(k for k, line in enumerate(lines) if line.startswith("Passes over the chips")) + 2
    assert lines[first].split() == ["0", "population", "1", "1", "1", "0", "3", "0.0", "KiB"]
    assert lines[first + 1].split() == ["1", "population", "2", "1", "1", "2", "4", "0.0", "KiB"]
    assert "Passes over the chips" not in said(handmade("phase"))
