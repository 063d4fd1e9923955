"""From an ONNX file to a proved program, and from a program to a measured run; owns no algorithm."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from nmcompiler.backend import Backend, MapOptions, blame
from nmcompiler.codings import Coding
from nmcompiler.compensate import calibration_of, chosen, compensation_facts
from nmcompiler.errors import (
    BackendFault,
    DoesNotFit,
    InputFileError,
    NotVerified,
    RefusedNode,
    UnsupportedModel,
    UsageError,
)
from nmcompiler.evaluate.integer import run_integer
from nmcompiler.evaluate.rate import run_rate
from nmcompiler.evaluate.threads import one_blas_thread
from nmcompiler.frontend.data import Samples, read_samples
from nmcompiler.frontend.input_shapes import with_input_shapes
from nmcompiler.frontend.reader import read_model_bytes, read_source
from nmcompiler.ir.cores import CoreGraph, Traffic
from nmcompiler.ir.kernels import Array
from nmcompiler.ir.layers import Model
from nmcompiler.ir.network import Network
from nmcompiler.ir.progress import Progress, silent
from nmcompiler.ir.spiking import Spiking
from nmcompiler.mapping import EFFORTS
from nmcompiler.passes import FanInMethod, JoinPools, LegaliseFanIn, Note, QuantiseOptions, to_network
from nmcompiler.passes.base import Context
from nmcompiler.passes.rate_response import RateOptions
from nmcompiler.passes.split_exact import SplitExact
from nmcompiler.plan import DEFAULT_OPTIONS, CompileOptions, Plan, plan_of
from nmcompiler.program.layout import Program
from nmcompiler.program.lift import LiftReport, check_lift
from nmcompiler.program.usage import core_usage
from nmcompiler.registry import backend as backend_of
from nmcompiler.registry import find_target
from nmcompiler.report.ann import ann_layers
from nmcompiler.report.facts import program_facts
from nmcompiler.report.hottest import hottest_facts
from nmcompiler.report.run import RunOutcome, run_facts
from nmcompiler.report.timing import time_facts
from nmcompiler.report.workload import by_neuron, workload
from nmcompiler.target import Target

__all__ = [
    "Compilation",
    "Inputs",
    "Placed",
    "compile_inputs",
    "compile_model",
    "place",
    "read_inputs",
    "run_program",
]

_TRAFFIC_SAMPLES = 32
_MANY_LEVELS = 65535


@dataclass(frozen=True, eq=False)
class Inputs:
    """What a compilation reads, whatever the chip and the code.

    Attributes:
        source: The ONNX file, in one piece and with all dimensions pinned.
        layers: The layer graph.
        samples: Calibration samples ``(N, *shape)`` by input name.
    """

    source: bytes
    layers: Model
    samples: Mapping[str, Array]


@dataclass(frozen=True)
class Compilation:
    """A proved program and its facts, as ``compile --json`` prints them."""

    program: Program
    facts: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Placed:
    """A network on the cores of a chip.

    Attributes:
        plan: What was asked for.
        spiking: The golden network in its code.
        cores: Where its neurons sit.
        traffic: Spikes of a sample that calibration lets expect.
        notes: What the passes have to say.
    """

    plan: Plan
    spiking: Spiking
    cores: CoreGraph
    traffic: Traffic
    notes: tuple[Note, ...]


def compile_model(
    model: Path | bytes,
    target: str | Target,
    code: str,
    calibration: Path | Mapping[str, Array],
    options: CompileOptions = DEFAULT_OPTIONS,
    progress: Progress = silent,
) -> Compilation:
    """Compiles an ONNX file, proves that the placed program is the integer network, and reports.

    Args:
        model: Path or bytes of the ONNX file.
        target: Name of a chip, path of a TOML file, or a description.
        code: Name of the spike code.
        calibration: Path of unlabelled samples, or arrays by input name.
        options: See ``CompileOptions``.
        progress: Told how far the work is.

    Raises:
        NmcError: Every mistake in the input, as one sentence; ``NotVerified`` where the proof fails.
    """
    began = time.perf_counter()
    plan_of(options, code, _target(target, options.backend)[1])  # wrong options before any file is read
    inputs = read_inputs(model, calibration, options.input_shapes)
    made = compile_inputs(inputs, target, code, options, progress)
    return replace(made, facts={**made.facts, "compile_seconds": round(time.perf_counter() - began, 3)})


def read_inputs(
    model: Path | bytes,
    calibration: Path | Mapping[str, Array],
    input_shapes: Mapping[str, tuple[int, ...]] | None = None,
) -> Inputs:
    """Reads model and calibration samples, once for any number of compilations.

    Raises:
        InputFileError: A file cannot be read as what it should be.
        UnsupportedModel: With all nodes that cannot be compiled for any chip.
    """
    source = model if isinstance(model, bytes) else read_source(model)
    source = with_input_shapes(source, input_shapes or {})
    layers = read_model_bytes(source, "model" if isinstance(model, bytes) else model.name)
    return Inputs(source, layers, _calibration(calibration, layers))


def compile_inputs(
    inputs: Inputs,
    target: str | Target,
    code: str,
    options: CompileOptions = DEFAULT_OPTIONS,
    progress: Progress = silent,
) -> Compilation:
    """Does the work of ``compile_model`` on what was read before; shapes of inputs are pinned already.

    Raises:
        NmcError: As ``compile_model``.
    """
    began = time.perf_counter()
    backend, chip = _target(target, options.backend)
    # A core stores weights of the bits asked for: fewer bits make room.
    chip = replace(chip, weight_bits=plan_of(options, code, chip).weight_bits)
    placed = place(inputs.layers, backend, chip, code, inputs.samples, options, progress)
    with blame(backend, "emit"):
        program = backend.emit(placed.spiking, placed.cores, chip)
    program = replace(
        program,
        report={
            **_report(inputs.layers, chip, placed, options),
            **_expected_work(program, placed, inputs),
        },
        source=inputs.source if options.include_source else None,
    )
    progress("proving", 0, 1)
    proof = _prove(program, placed.spiking, backend)
    facts = {**program_facts(program, proof), "compile_seconds": round(time.perf_counter() - began, 3)}
    progress("proving", 1, 1)
    return Compilation(program, facts)


def place(
    layers: Model,
    backend: Backend,
    chip: Target,
    code: str,
    samples: Mapping[str, Array],
    options: CompileOptions,
    progress: Progress = silent,
) -> Placed:
    """Quantises a network, converts it to spikes and places it on a chip; only the program is missing.

    Raises:
        NmcError: As ``compile_model``.
    """
    plan = plan_of(options, code, chip)
    effort = EFFORTS[_effort(options)]
    with one_blas_thread():
        network, notes = _network(layers, backend, chip, plan, samples, options, progress)
    spiking = plan.coding.convert(network, chip, input_encoding=plan.input_encoding, timesteps=plan.timesteps)
    traffic = _traffic(spiking, plan.coding, samples)
    mapping = MapOptions(
        chips=options.chips,
        passes=options.passes,
        seed=options.seed,
        progress=progress,
        moves=effort.moves,
        visits=effort.visits,
        search=effort.search,
        atom_moves=effort.atom_moves,
    )
    with blame(backend, "map"):
        cores = backend.map(spiking, chip, traffic, mapping)
    return Placed(plan, spiking, cores, traffic, notes)


def _effort(options: CompileOptions) -> str:
    """Returns how long a better placement is looked for."""
    effort = options.placement_effort or "normal"
    if effort not in EFFORTS:
        raise UsageError(
            f"a placement effort '{effort}'", asked="--placement-effort", allowed=", ".join(EFFORTS)
        )
    return effort


def run_program(
    program: Program,
    samples: Samples,
    *,
    threads: int = 1,
    batch: int = 250,
    literal: bool = False,
    chip_seed: int | None = None,
    calibration: Mapping[str, Array] | None = None,
    compensate: str = "all",
    stream: bool = False,
    reference: Mapping[str, Array] | None = None,
    layers: bool = False,
    timed: bool = False,
    progress: Progress = silent,
) -> RunOutcome:
    """Executes a program on its backend's simulator and compares it with the golden network.

    With ``stream`` the samples are consecutive frames of one stream, and neurons send only what changes.
    ``reference`` holds what onnxruntime answers to the samples, where that is known already. With ``layers``
    every layer is compared with floating point on the first samples; with ``timed`` the facts say how long
    the simulator was at each. ``chip_seed`` draws what chips of one
    kind differ in, or the order of events where nobody controls it. With ``calibration``, samples by input,
    the chip is first trimmed on them by the methods of compensation that ``compensate`` names: ``all``,
    ``none``, or names with commas between them.

    Raises:
        InputFileError: A label is no class of the first output.
        UsageError: The chip has no mismatch that ``chip_seed`` could draw, or it or the code runs no streams;
            or a chip is to be compensated that was not drawn, or by a method that it does not have.
    """
    _check_labels(program, samples)
    backend = backend_of(program.target.backend)
    compensation = None
    if calibration is not None:
        if chip_seed is None:
            raise UsageError("a chip that no seed draws has nothing to compensate", hint="add --chip-seed S")
        methods = chosen(backend, program, compensate)
        aim = calibration_of(program, calibration)
        simulator, compensation = compensation_facts(backend, program, chip_seed, aim, methods)
    else:
        if chip_seed is not None and program.dynamics.ties is not None:
            program, chip_seed = program.with_ties(chip_seed), None
        with blame(backend, "simulator"):
            simulator = backend.simulator(program, chip_seed=chip_seed)
    outcome = run_facts(
        program,
        simulator,
        samples,
        threads=threads,
        batch=batch,
        literal=literal,
        stream=stream,
        reference=reference,
        layers=layers,
        timed=timed,
        progress=progress,
    )
    outcome.facts["compensation"] = compensation
    return outcome


def _check_labels(program: Program, samples: Samples) -> None:
    """Raises where a label is no class: it would count as a wrong answer of network and chip."""
    classes = math.prod(program.outputs[0].shape) if program.outputs else 0
    if samples.y is None or classes < 2:
        return
    wrong = samples.y[(samples.y < 0) | (samples.y >= classes)]
    if len(wrong):
        raise InputFileError(
            f"'y' holds the class {wrong[0]}",
            allowed=f"0 to {classes - 1}, the outputs of '{program.outputs[0].name}'",
            hint="classes are counted from 0",
        )


def _target(target: str | Target, backend_name: str | None) -> tuple[Backend, Target]:
    if isinstance(target, Target):
        return backend_of(backend_name or target.backend), target
    return find_target(target, backend_name)


def _calibration(calibration: Path | Mapping[str, Array], layers: Model) -> Mapping[str, Array]:
    if isinstance(calibration, Path):
        return read_samples(calibration, layers.inputs, labels=False).x
    return calibration


def _network(
    layers: Model,
    backend: Backend,
    chip: Target,
    plan: Plan,
    samples: Mapping[str, Array],
    options: CompileOptions,
    progress: Progress,
) -> tuple[Network, tuple[Note, ...]]:
    """Returns the golden network and notes; partial sums are exact by themselves where that takes no time."""
    methods: tuple[FanInMethod, ...] = (plan.fan_in,)
    if plan.fan_in == "auto" and plan.coding.windowed and plan.coding.steps(_MANY_LEVELS) == 1:
        methods = ("exact", "auto")
    for method in methods[:-1]:
        try:
            return _made(layers, backend, chip, replace(plan, fan_in=method), samples, options, progress)
        except DoesNotFit:
            continue  # the next method may fit
    last = replace(plan, fan_in=methods[-1])
    return _made(layers, backend, chip, last, samples, options, progress)


def _made(
    layers: Model,
    backend: Backend,
    chip: Target,
    plan: Plan,
    samples: Mapping[str, Array],
    options: CompileOptions,
    progress: Progress,
) -> tuple[Network, tuple[Note, ...]]:
    context = Context(calibration=samples, target=chip, seed=options.seed, progress=progress)
    repeats = plan.timesteps if plan.timesteps and plan.input_encoding == "current" else 1
    quantise = QuantiseOptions(
        levels=plan.levels,
        weight_bits=plan.weight_bits,
        output_levels=plan.output_levels,
        input_levels=plan.input_levels,
        input_repeats=repeats,
        bias_steps=plan.timesteps or 1,
        rate=None if plan.timesteps is None else RateOptions(plan.timesteps, plan.settle or 0),
    )
    with blame(backend, "legalise"):
        legalise = backend.legalise(plan.coding, chip)
    if plan.fan_in == "exact":
        legalise = (*legalise, SplitExact(plan.coding, options.chips, options.passes))
    network, notes = to_network(
        layers,
        context,
        quantise,
        legalise=legalise,
        fan_in=LegaliseFanIn(plan.fan_in, options.chips, options.passes),
        pools=JoinPools() if plan.coding.windowed else None,  # in ``rate`` a further layer costs accuracy
        verify=options.verify,
    )
    with blame(backend, "obstacles"):
        obstacles = backend.obstacles(network, plan.coding, chip)
    if obstacles:
        raise UnsupportedModel(
            (RefusedNode(o.layer, network.graph.node(o.layer).op, o.reason, o.hint) for o in obstacles),
            asked=f"'{layers.name}' on '{chip.name}' in '{plan.coding.name}'",
        )
    return network, notes


def _traffic(spiking: Spiking, code: Coding, samples: Mapping[str, Array]) -> Traffic:
    """Returns the spikes that each neuron is expected to send, from some calibration samples."""
    network = spiking.network
    some = {name: x[:_TRAFFIC_SAMPLES] for name, x in samples.items()}
    sent: Mapping[str, Array]
    if code.exact:
        values = run_integer(network, some, record=True).values
        sent = {
            p.name: code.spikes_per_value(p.levels)[np.abs(values[p.name])] for p in network.graph if p.sends
        }
    else:
        sent = run_rate(spiking, some, dtype=np.float32).spikes
    zeros = {p.name: np.zeros(p.shape) for p in network.graph if not p.sends}
    return Traffic({**{name: n.mean(axis=0) for name, n in sent.items()}, **zeros})


def _expected_work(program: Program, placed: Placed, inputs: Inputs) -> dict[str, Any]:
    """Returns the time of a sample and what is busiest, for the spikes that calibration lets expect.

    Spikes are counted over the calibration samples together: whole numbers add up alike in any order.
    """
    count = min(_TRAFFIC_SAMPLES, len(next(iter(inputs.samples.values()))))
    names = placed.spiking.network.graph.names()
    sent = by_neuron(program, [np.rint(placed.traffic.spikes[name] * count) for name in names])
    with one_blas_thread():
        work = workload(program, sent)
        return {
            "time": time_facts(replace(program, golden=placed.spiking), work, count),
            "hottest": hottest_facts(program, names, work, sent, count),
        }


def _report(layers: Model, chip: Target, placed: Placed, options: CompileOptions) -> dict[str, Any]:
    """Returns the facts that cannot be counted in the program; equal inputs give equal facts."""
    plan, cores, notes = placed.plan, placed.cores, placed.notes
    chips = options.chips or chip.max_chips
    return {
        "model": layers.name,
        "levels": plan.levels,
        "weight_bits": plan.weight_bits,
        "cores_lower_bound": cores.lower_bound,
        "cores_available": chip.cores_per_chip * chips * cores.turns,
        "passes": {"spilled_spikes": cores.placement.spilled_spikes},
        "placement": {
            "cost": cores.placement.cost,
            "cost_lower_bound": cores.placement.cost_bound,
            "unicast_cost": cores.placement.unicast_cost,
            "lower_bound": cores.placement.unicast_bound,
            "max_link_load": cores.placement.max_link_load,
            "max_link_load_lower_bound": cores.placement.max_link_bound,
            "off_chip_spikes": cores.placement.off_chip_spikes,
        },
        "ann": [asdict(layer) for layer in ann_layers(layers)],
        "input_levels": plan.input_levels,
        "settle": plan.settle,
        # A layer without any error has an infinite ratio, which JSON cannot hold: it has no entry.
        "sqnr_db": {
            n.layer: round(n.sqnr_db, 2)
            for n in notes
            if n.sqnr_db is not None and n.sqnr_db < math.inf and not n.warning
        },
        # A network is placed whole or refused: the host only closes it, and closing multiplies no weights.
        "host_macs_share": 0.0,
        "host_ops": sorted({op.op for port in layers.outputs for op in port.host_ops}),
        "seed": options.seed,
        "placement_effort": _effort(options),
        "versions": {name: version(name) for name in ("nmcompiler", "onnx", "networkx", "numpy", "numba")},
        "silent_channels": {n.layer: n.silent_channels for n in notes if n.silent_channels},
        "fan_in": next((asdict(n.fitted) for n in notes if n.fitted is not None), None),
        "saturated_share": {
            n.layer: round(n.saturated_share, 5) for n in notes if n.sqnr_db is not None and not n.warning
        },
        "notes": [f"'{n.layer}' {n.text}" for n in notes if n.text and not n.warning],
        "warnings": [*layers.warnings, *(f"'{n.layer}' {n.text}" for n in notes if n.warning)],
    }


def _prove(program: Program, spiking: Spiking, backend: Backend) -> LiftReport:
    """Returns what lift says; raises where the program is not the network, or breaks a limit of the chip."""
    lifted = check_lift(program, spiking)
    if not lifted.ok:
        raise NotVerified(
            f"the program of backend '{backend.name}' is not the network it was made from: {lifted.message}",
            hint="nothing was written; please report this model",
        )
    for core, resource, used, limit in core_usage(program).broken():
        raise BackendFault(
            f"backend '{backend.name}' uses {used} {resource} on core {core}", allowed=f"at most {limit}"
        )
    return lifted
