"""Loihi's nearest-neighbour query, run as a program: 1.33 mJ of dynamic core energy were measured.

Frady et al., "Neuromorphic nearest neighbor search using Intel's Pohoiki Springs" (2020): a query is 60
timesteps over the neurons of a data set of 76,800 patterns; its 667 to 750 input spikes are broadcast to
all of them, and nearly all neuron updates are inactive. Table 2 gives 1.33 mJ of dynamic energy of the
cores.

The program here has some of these neurons, each with one synapse to every input, and runs on the simulator
with the figures of ``loihi1-hard-reset``. Nothing of the network depends on how many neurons there are, so
the dynamic energy is scaled by their number. What is read are counters of the run, priced by its receipt; no
count is put in by hand.

Why that chip: a neuron of the experiment is one compartment (76,800 patterns are 76,800 compartments, each
updated in each of the 60 steps), and it needs no reset by subtraction. ``loihi1`` subtracts with a second
compartment a neuron, so there the same query has twice the updates; its prices are the same.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import nmcompiler
from nmcompiler.frontend.data import Samples

PATTERNS = 76_800
STEPS = 60
INPUT_SPIKES = (667, 750)
MEASURED_MJ = 1.33


@dataclass(frozen=True)
class Query:
    """What one query cost.

    Attributes:
        neurons: Neurons that were simulated.
        cores: Cores that they took.
        steps: Steps of the query.
        input_spikes: Events of the inputs.
        counts: Events of the run by kind, scaled to all patterns.
        dynamic_mj: Dynamic energy, scaled to all patterns.
    """

    neurons: int
    cores: int
    steps: int
    input_spikes: int
    counts: dict[str, float]
    dynamic_mj: float

    @property
    def deviation(self) -> float:
        """Relative to the measured energy."""
        return self.dynamic_mj / MEASURED_MJ - 1


def patterns(neurons: int, inputs: int, seed: int = 0) -> bytes:
    """An ONNX file: one matrix product with random weights, the similarity of a query to every pattern."""
    weight = np.random.default_rng(seed).choice([-1.0, 1.0], (inputs, neurons)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], name="patterns")],
        "query",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", inputs])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", neurons])],
        [numpy_helper.from_array(weight, "w")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data: bytes = made.SerializeToString()
    onnx.checker.check_model(data)
    return data


def query(neurons: int, input_spikes: int) -> Query:
    """Compiles, runs and prices one query of ``input_spikes`` events.

    Input values are 0 … T, and each input of the query is 1: it sends one spike. The result is read from the
    membranes, so no neuron spikes: all updates are inactive. A read-out takes a step more than the T of its
    inputs, since spikes arrive a step after they were sent.
    """
    steps = STEPS - 1
    calibration = np.full((4, input_spikes), float(steps))
    calibration[::2] *= np.arange(input_spikes) % 2  # not all equal
    made = nmcompiler.compile(
        patterns(neurons, input_spikes),
        "loihi1-hard-reset",
        "rate",
        {"x": calibration},
        nmcompiler.CompileOptions(timesteps=steps, include_source=False),
    )
    facts = nmcompiler.run(made.program, Samples({"x": np.ones((1, input_spikes))}, None)).facts
    scale = PATTERNS / neurons
    counts: dict[str, float] = {}
    for row in facts["energy"]["receipt"]:
        if row["layer"] is not None:
            counts[row["event"]] = counts.get(row["event"], 0) + row["count"] * scale
    return Query(
        neurons=neurons,
        cores=made.facts["cores"]["used"],
        steps=facts["latency_steps"],
        input_spikes=round(facts["synops_per_sample"] / neurons),
        counts=counts,
        dynamic_mj=facts["energy"]["run_fj"]["dynamic"] * scale * 1e-12,
    )


def main() -> None:
    """Prints the query at both ends of the published range of input spikes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--neurons", type=int, default=1024, help="neurons that are simulated")
    arguments = parser.parse_args()
    for spikes in INPUT_SPIKES:
        q = query(arguments.neurons, spikes)
        counted = ", ".join(f"{count:,.0f} {event}" for event, count in q.counts.items())
        print(f"{q.input_spikes} input spikes, {q.steps} steps, {q.neurons:,} neurons on {q.cores} cores")
        print(f"  scaled to {PATTERNS:,}: {counted}")
        print(f"  dynamic {q.dynamic_mj:.3f} mJ; measured {MEASURED_MJ} mJ ({q.deviation:+.1%})")


if __name__ == "__main__":
    main()
