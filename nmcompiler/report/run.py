"""Facts of a run: the object that ``run --json`` prints.

The chip's values come from the simulator, the integer network's from ``evaluate.integer`` and the float
network's from onnxruntime: three executors that share no code. In a code that is not exact, the integer
network sends as many steps as the chip, layer by layer (``evaluate.rate``): there, the golden network's
values are not what its parameters were tuned for.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from nmcompiler.codings import coding
from nmcompiler.evaluate.host import apply_host_ops
from nmcompiler.evaluate.integer import IntegerResult, decode_outputs, run_integer
from nmcompiler.evaluate.onnx_runtime import run_onnx
from nmcompiler.evaluate.rate import RateResult, run_rate
from nmcompiler.evaluate.threads import one_blas_thread
from nmcompiler.frontend.data import Samples
from nmcompiler.ir.kernels import Array
from nmcompiler.ir.progress import Progress
from nmcompiler.program.layout import BlockKind, Program
from nmcompiler.program.slices import chip_steps
from nmcompiler.report.ann import ann_of_run
from nmcompiler.report.answers import classes, decoded
from nmcompiler.report.energy import LayerEvents, energy_facts, layer_events
from nmcompiler.report.facts import population_names
from nmcompiler.report.ladder import ladder, stages
from nmcompiler.report.neurobench import neurobench
from nmcompiler.report.profile import profile_facts
from nmcompiler.report.timing import time_facts
from nmcompiler.report.workload import by_neuron, workload
from nmcompiler.sim import Profile, Record, RunResult, Simulator

__all__ = ["RunOutcome", "run_facts"]


@dataclass(frozen=True, eq=False)
class RunOutcome:
    """Facts of a run, and the results ``(N, *shape)`` float32 by ONNX output name.

    A result is the chip's de-quantised output, and what the host computes from it where operators close the
    network. ``integer`` has the classes ``(N,)`` that the integer network gives, None where there are none.
    """

    facts: dict[str, Any]
    outputs: Mapping[str, Array]
    integer: Array | None = None


_COMPARED = ("outputs", "activations", "membranes")


@dataclass
class _Tally:
    """Sums over the batches of a run."""

    outputs: list[tuple[Array, ...]] = field(default_factory=list)
    integer_outputs: list[tuple[Array, ...]] = field(default_factory=list)
    mismatched: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_COMPARED, 0))
    compared: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_COMPARED, 0))
    spikes: Array | None = None
    synops: Array | None = None
    nonzero: list[Array] | None = None
    hops: int = 0
    saturations: int = 0
    literal_samples: int = 0
    seconds: float = 0.0
    jit_seconds: float = 0.0

    def add(self, result: RunResult, seconds: float) -> None:
        self.outputs.append(result.outputs)
        self.spikes = (
            result.spikes_per_neuron if self.spikes is None else self.spikes + result.spikes_per_neuron
        )
        synops = result.synops_per_block
        self.synops = synops if self.synops is None else self.synops + synops
        if result.values is not None:
            found = [np.count_nonzero(values, axis=0) for values in result.values]
            earlier = self.nonzero or [np.zeros_like(f) for f in found]
            self.nonzero = [a + b for a, b in zip(earlier, found, strict=True)]
        self.hops += result.hops
        self.saturations += result.saturations
        self.literal_samples += result.literal_samples
        self.seconds += seconds
        self.jit_seconds += result.jit_seconds

    def compare(self, program: Program, result: RunResult, golden: IntegerResult | RateResult | None) -> None:
        """Counts where the chip differs from the golden network; populations meet by their number."""
        if golden is None or program.golden is None:
            return
        decoded = decode_outputs(program.golden.network, golden.outputs)
        self.integer_outputs.append(tuple(decoded[p.name] for p in program.outputs))
        if isinstance(golden, RateResult):
            return
        for port, read in zip(program.outputs, result.outputs, strict=True):
            expected = golden.outputs[port.name].reshape(len(read), -1)
            self._count("outputs", port.read(read), expected)
        names = program.golden.network.graph.names()
        for number, name in enumerate(names):
            population = program.golden.network.graph.node(name)
            if population.role == "input" or result.membranes is None or result.values is None:
                continue
            count = len(result.membranes[number])
            reached = golden.membranes[name].reshape(count, -1)
            self._count("membranes", result.membranes[number], reached)
            if population.fires:
                values = golden.values[name].reshape(count, -1)
                self._count("activations", result.values[number], values)

    def layers(self, program: Program) -> list[LayerEvents]:
        """Returns the events of every layer."""
        assert self.spikes is not None
        work = workload(program, self.spikes)
        return layer_events(program, work, 1, population_names(program))

    def _count(self, what: str, found: Array, expected: Array) -> None:
        self.mismatched[what] += int((found != expected).sum())
        self.compared[what] += expected.size


def run_facts(
    program: Program,
    simulator: Simulator,
    samples: Samples,
    *,
    threads: int,
    batch: int,
    literal: bool,
    stream: bool = False,
    reference: Mapping[str, Array] | None = None,
    layers: bool = False,
    timed: bool = False,
    progress: Progress,
) -> RunOutcome:
    """Executes a program on samples, or on the frames of one stream, and returns what was measured.

    ``reference`` holds what onnxruntime answers by output name, where it was asked already; with ``layers``
    the layers are compared with floating point on the first samples; with ``timed`` the simulator says how
    long it was at each.
    Where the program carries its golden network and the code is exact, every output, activation and
    membrane of every sample is compared with it; what differs is a fault, or on a chip whose devices vary
    (``variation``) a deviation that was measured.
    """
    began = time.perf_counter()
    tally = _Tally()
    exact = program.golden is not None and coding(program.coding).exact
    record = Record(values=exact, membranes=exact)
    frames = simulator.start_stream() if stream else False
    profile = Profile(len(program.arrays["blocks"])) if timed else None
    with one_blas_thread(), ThreadPoolExecutor(1, thread_name_prefix="golden") as judge:
        for x in _batches(samples, batch, progress):
            golden = judge.submit(_golden, program, x, exact)  # while the chip is simulated
            start = time.perf_counter()
            first = not tally.outputs
            result = simulator.run(
                x,
                record=record,
                threads=threads,
                literal=literal,
                check=first,
                stream=frames,
                profile=profile,
            )
            tally.add(result, time.perf_counter() - start)
            tally.compare(program, result, _settled(program, x, result, golden.result()))
    outputs = decoded(program, tally.outputs)
    answers = _answers(program, samples, outputs, tally, reference)
    facts = _facts(program, samples, tally, outputs, exact, answers)
    facts["profile"] = None if profile is None else profile_facts(program, profile, tally.layers(program))
    facts["stream"] = stream
    facts["variation"] = simulator.drawn
    analog = program.target.conductance_tiles or program.target.neuron_array
    facts["ideal_devices"] = analog is not None and simulator.drawn is None
    facts["ladder"] = ladder(facts, program, simulator, samples.x) if layers else stages(facts, program)
    facts["wall_seconds"] = round(time.perf_counter() - began, 4)
    results = {
        p.name: apply_host_ops(p.host_ops, y).astype(np.float32)
        for p, y in zip(program.outputs, outputs, strict=True)
    }
    return RunOutcome(facts, results, answers[1])


def _golden(program: Program, x: Mapping[str, Array], exact: bool) -> IntegerResult | RateResult | None:
    if program.golden is None:
        return None
    if not exact:
        return run_rate(program.golden, x, dtype=np.float32)
    return run_integer(program.golden.network, x, record=True, batch=len(next(iter(x.values()))))


def _settled(
    program: Program, x: Mapping[str, Array], result: RunResult, golden: IntegerResult | RateResult | None
) -> IntegerResult | RateResult | None:
    """Returns the result with the samples that differ from the chip's run again, with exact sums.

    Sums of 32 bits take half the time, and hardly ever round; where they do, the chip is not to blame.
    """
    if program.golden is None or not isinstance(golden, RateResult):
        return golden
    differs = np.zeros(len(next(iter(x.values()))), bool)
    for port, read in zip(program.outputs, result.outputs, strict=True):
        found = port.read(read) / 2.0 ** program.fraction_bits(port.population)
        differs |= (found != golden.outputs[port.name].reshape(len(found), -1)).any(axis=1)
    if not differs.any():
        return golden
    again = run_rate(program.golden, {name: values[differs] for name, values in x.items()})
    outputs = {name: values.copy() for name, values in golden.outputs.items()}
    for name, values in again.outputs.items():
        outputs[name][differs] = values
    return replace(golden, outputs=outputs)


def _batches(samples: Samples, batch: int, progress: Progress) -> Iterator[Mapping[str, Array]]:
    count = len(samples)
    for start in range(0, count, batch):
        progress("running", start, count)
        yield {name: x[start : start + batch] for name, x in samples.x.items()}
    progress("running", count, count)


def _facts(
    program: Program,
    samples: Samples,
    tally: _Tally,
    outputs: list[Array],
    exact: bool,
    answers: tuple[Array | None, Array | None, Array | None],
) -> dict[str, Any]:
    count = len(samples)
    assert tally.spikes is not None
    assert tally.synops is not None
    on_chip = np.repeat(program.column("kind") != BlockKind.INPUT, program.column("n"))
    synops = int(tally.synops.sum())
    work = workload(program, tally.spikes)
    layers = layer_events(program, work, count, population_names(program))
    spent = time_facts(program, work, count)
    ann = ann_of_run(program, tally.spikes, tally.synops, _nonzero(program, tally.nonzero), count)
    chip, integer, reference = answers
    return {
        "schema": "nmcompiler.run/1",
        "samples": count,
        "accuracy": {
            "float": _accuracy(reference, samples.y),
            "integer": _accuracy(integer, samples.y),
            "chip": _accuracy(chip, samples.y),
        },
        "agreement": {
            "integer_float": _agreement(integer, reference),
            "chip_integer": _agreement(chip, integer),
            "chip_float": _agreement(chip, reference),
        },
        **{f"mismatched_{what}": n if exact else None for what, n in tally.mismatched.items()},
        "compared": dict(tally.compared) if exact else None,
        "spikes_per_neuron": float(tally.spikes[on_chip].sum()) / count / max(1, int(on_chip.sum())),
        "synops_per_sample": synops / count,
        "hops_per_sample": tally.hops / count,
        "output_levels": program.output_levels,
        "tied_answers": _ties(outputs),
        "latency_steps": chip_steps(program),
        "saturations": tally.saturations,
        "literal_samples": tally.literal_samples,
        "energy": energy_facts(program, layers, spent, count),
        "latency_us": spent["latency_us"],
        "time": spent,
        "ann_energy_uj": None if ann is None else ann["energy_uj"],
        "ann": ann,
        "synops_per_second": synops / max(tally.seconds, 1e-9),
        "simulation_seconds": round(tally.seconds, 4),
        "jit_seconds": round(tally.jit_seconds, 4),
        "neurobench": neurobench(program, tally.spikes, count),
    }


def _nonzero(program: Program, counts: list[Array] | None) -> Array | None:
    """Returns in how many samples the value of each neuron is not 0, None where values were not recorded."""
    if counts is None or program.golden is None:
        return None
    shapes = [population.shape for population in program.golden.network.graph]
    return by_neuron(program, [c.reshape(shape) for c, shape in zip(counts, shapes, strict=True)])


def _answers(
    program: Program,
    samples: Samples,
    outputs: list[Array],
    tally: _Tally,
    answers: Mapping[str, Array] | None,
) -> tuple[Array | None, Array | None, Array | None]:
    """Returns the classes that chip, integer network and float network give, from the first output."""
    if not program.outputs or int(np.prod(program.outputs[0].shape)) < 2:
        return None, None, None
    integer = reference = None
    if tally.integer_outputs:
        integer = classes(np.concatenate([b[0] for b in tally.integer_outputs]))
    if answers is None and program.source is not None:
        answers = run_onnx(program.source, samples.x)
    if answers is not None:
        port = program.outputs[0]
        given = answers[port.name]
        if any(op.op.startswith("ArgMax") for op in port.host_ops):
            # One class for each sample; a class for each position is no answer that labels could judge.
            reference = given.reshape(-1) if given.size == len(given) else None
        else:
            reference = classes(given)
    return classes(outputs[0]), integer, reference


def _ties(outputs: list[Array]) -> int | None:
    """Returns in how many samples several of the first output's values are the largest."""
    if not outputs or int(np.prod(outputs[0].shape[1:])) < 2:
        return None
    y = outputs[0].reshape(len(outputs[0]), -1)
    return int(((y == y.max(axis=1, keepdims=True)).sum(axis=1) > 1).sum())


def _accuracy(classes: Array | None, labels: Array | None) -> float | None:
    return None if classes is None or labels is None else float((classes == labels).mean())


def _agreement(a: Array | None, b: Array | None) -> float | None:
    return None if a is None or b is None else float((a == b).mean())
