"""Facts of a compiled program: the object that ``compile --json`` and ``inspect --json`` print.

What can be counted is counted in the program; what cannot (the mapper's bounds, the quantiser's errors) was
written into ``program.report`` when it was compiled.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nmcompiler.program.layout import BlockKind, Program
from nmcompiler.program.lift import LiftReport, check_lift
from nmcompiler.program.usage import BlockFacts, CoreUsage, block_facts, core_usage
from nmcompiler.report.advice import help_sentences
from nmcompiler.report.core_map import core_map_facts
from nmcompiler.report.cuts import cut_facts, network_rows
from nmcompiler.report.hottest import stored_hottest
from nmcompiler.report.needs import needs_of
from nmcompiler.report.reload import pass_facts
from nmcompiler.report.timing import stored_time
from nmcompiler.sim.certificate import certificate

__all__ = ["population_names", "program_facts"]


def population_names(program: Program) -> tuple[str, ...]:
    """Returns the names of the populations by number, made up where the program carries none."""
    count = int(program.column("population").max(initial=-1)) + 1
    if program.names is None:
        return tuple(f"population {k}" for k in range(count))
    return program.names.populations


def program_facts(program: Program, proof: LiftReport | None = None) -> dict[str, Any]:
    """Returns the facts of a program under the keys of ``compile --json``.

    Args:
        program: The program.
        proof: What lift said of it, where that is known already; else the program is read back here.
    """
    report = dict(program.report)
    facts = block_facts(program)
    usage = core_usage(program, facts)
    kind = program.column("kind")
    placed = kind != BlockKind.INPUT
    ends = (*program.window_starts[1:], program.total_steps)
    read = np.isin(program.column("population"), [port.population for port in program.outputs])
    hidden = placed & (program.column("levels") > 0) & ~read
    levels = program.column("levels")
    cores = program.arrays["cores"]
    layers = _layers(program, facts)
    return {
        "schema": "nmcompiler.compile/1",
        "model": report.pop("model", None),
        "target": program.target.name,
        "coding": program.coding,
        "levels": report.pop("levels", int(levels[hidden].max(initial=0))),
        "input_levels": report.pop("input_levels", int(levels[~placed].max(initial=0))),
        "output_levels": program.output_levels,
        "input_encoding": program.inputs[0].encoding if program.inputs else None,
        "timesteps": int(max(e - s for s, e in zip(program.window_starts, ends, strict=True))),
        "settle": report.pop("settle", None),
        "windows": len(program.window_starts),
        "weight_bits": report.pop("weight_bits", program.target.weight_bits),
        "chips": int(cores[:, 0].max(initial=-1)) + 1,
        "cores": {
            "used": len(cores),
            "lower_bound": report.pop("cores_lower_bound", None),
            "available": report.pop("cores_available", program.target.cores_per_chip),
        },
        "passes": pass_facts(program, usage, population_names(program), report.pop("passes", None)),
        "neurons": int(program.column("n")[placed].sum()),
        "compartments_per_neuron": program.target.compartments_per_neuron,
        "synapses": int(facts.synapses.sum()),
        "placement": report.pop("placement", None),
        "layers": layers,
        "ladder": _ladder(layers),
        "limits": [
            {"core": core, "resource": name, "used": used, "limit": limit}
            for core, name, used, limit in usage.rows()
        ],
        **_whys(program, facts, usage),
        "hottest": stored_hottest(report.pop("hottest", None)),
        "time": stored_time(report.pop("time", None)),
        "schedule": {"window_starts": list(program.window_starts), "total_steps": program.total_steps},
        "static_check": _static_check(program, proof),
        "certificate": _certificate(program),
        **{
            key: report.pop(key, None)
            for key in ("host_macs_share", "host_ops", "seed", "placement_effort", "versions")
        },
        "warnings": report.pop("warnings", []),
        "notes": report.pop("notes", []),
        "compile_seconds": None,
    }


def _whys(program: Program, facts: BlockFacts, usage: CoreUsage) -> dict[str, Any]:
    """Returns why there are so many cores: the cuts, what they are needed for, what would help, and a map."""
    names, needs = population_names(program), needs_of(program, facts)
    cuts, rows = cut_facts(program, names, usage, needs), network_rows(program, usage, needs)
    used, bound = len(program.arrays["cores"]), program.report.get("cores_lower_bound")
    return {
        "cuts": cuts,
        "needs": rows,
        "help": help_sentences(program.target, used, bound, rows, cuts, needs),
        "core_map": core_map_facts(program, names, usage),
    }


def _layers(program: Program, facts: BlockFacts) -> list[dict[str, Any]]:
    names, population = population_names(program), program.column("population")
    core, n = program.column("core"), program.column("n")
    rows = []
    for k, name in enumerate(names):
        mine = np.flatnonzero(population == k)
        if not len(mine) or program.column("kind")[mine[0]] == BlockKind.INPUT:
            continue
        rows.append(
            {
                "name": name,
                "op": program.names.ops[k] if program.names else None,
                "onnx_nodes": list(program.names.origins[k]) if program.names else [],
                "neurons": int(n[mine].sum()),
                "cores": len(np.unique(core[mine])),
                "fan_in": int(facts.fan_in[mine].max()),
                "synapse_bits": int(facts.synapse_bits[mine].sum()),
                "sqnr_db": program.report.get("sqnr_db", {}).get(name),
                "silent_channels": program.report.get("silent_channels", {}).get(name, 0),
                "saturated_share": program.report.get("saturated_share", {}).get(name),
                "levels": int(program.column("levels")[mine[0]]),
                "window": int(program.column("window")[mine[0]]),
                "fire_start": int(program.column("fire_start")[mine[0]]),
                "steps": int(program.column("steps")[mine[0]]),
            }
        )
    return rows


def _ladder(layers: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns the loss ladder as far as it is known at compile: the layers on the calibration samples."""
    keys = ("name", "op", "onnx_nodes", "sqnr_db", "saturated_share", "silent_channels")
    rows = [{key: layer[key] for key in keys} for layer in layers if layer["sqnr_db"] is not None]
    return {"stages": [], "samples": None, "layers": rows, "skipped": None}


def _static_check(program: Program, proof: LiftReport | None) -> dict[str, Any] | None:
    """Returns what lift says, None where the program carries no golden network."""
    if program.golden is None:
        return None
    report = proof or check_lift(program, program.golden)
    return {
        "ok": report.ok,
        "message": report.message,
        "populations": report.populations,
        "synapses": report.synapses,
    }


def _certificate(program: Program) -> dict[str, int]:
    proved = certificate(program).proved
    return {"proved": sum(proved), "blocks": len(proved)}
