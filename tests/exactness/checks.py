"""How a run is held against the golden network."""

from __future__ import annotations

import numpy as np

from nmcompiler.codings import CODINGS
from nmcompiler.evaluate.integer import run_integer
from nmcompiler.sim import Record, Simulator

WINDOWED = ("phase", "rate-sync", "ttfs", "graded")
CODES = (*WINDOWED, "rate")
assert set(CODES) == set(CODINGS), "a new code is tried like the others"
EVERYTHING = Record(values=True, membranes=True)


def mismatches(program, spiking, samples, **options):
    """Outputs, activations and membranes of the chip that differ from the golden network."""
    result = Simulator(program).run(samples, record=EVERYTHING, **options)
    golden = run_integer(spiking.network, samples, record=True)
    count = len(next(iter(samples.values())))
    wrong = {"outputs": 0, "activations": 0, "membranes": 0, "spikes": 0}
    for port, read in zip(program.outputs, result.outputs, strict=True):
        wrong["outputs"] += int((port.read(read) != golden.outputs[port.name].reshape(count, -1)).sum())
    for number, name in enumerate(spiking.network.graph.names()):
        population = spiking.network.graph.node(name)
        if population.role != "input":
            wrong["membranes"] += int(
                (result.membranes[number] != golden.membranes[name].reshape(count, -1)).sum()
            )
        if population.sends:
            values = golden.values[name].reshape(count, -1)
            wrong["activations"] += int((result.values[number] != values).sum())
            wrong["spikes"] += abs(int(result.spikes[number]) - closed_form(program.coding, values))
    return wrong, result


def closed_form(code, values):
    """Spikes that a population must send for its values (SEMANTICS, last column of the table of codes)."""
    magnitude = np.abs(values.astype(np.int64))
    if code in ("ttfs", "graded"):
        return int(np.count_nonzero(magnitude))
    return int(np.bitwise_count(magnitude).sum() if code == "phase" else magnitude.sum())


def nothing_wrong(wrong):
    return all(count == 0 for count in wrong.values())


def counters(result):
    return (
        result.synops,
        result.hops,
        result.saturations,
        result.spikes.tolist(),
        result.spikes_per_block.tolist(),
    )
