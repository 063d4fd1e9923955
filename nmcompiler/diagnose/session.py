"""``nmc debug``: runs the stages, finds the layer and the cause, and tries what could help."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nmcompiler.backend import blame
from nmcompiler.codings import coding
from nmcompiler.compiler import Inputs, compile_inputs, run_program
from nmcompiler.diagnose.advice import Proposal, proposals
from nmcompiler.diagnose.alone import FLOOR, decibels
from nmcompiler.diagnose.layers import LayerError, layer_errors
from nmcompiler.diagnose.placed import program_fault, run_values
from nmcompiler.diagnose.reference import Mismatch, reference
from nmcompiler.diagnose.verdict import Verdict, of_layers, of_program
from nmcompiler.diagnose.whole import whole, with_pools_of
from nmcompiler.errors import NmcError, NotVerified, UsageError
from nmcompiler.evaluate.float import run_float
from nmcompiler.evaluate.host import apply_host_ops
from nmcompiler.evaluate.integer import run_integer
from nmcompiler.evaluate.onnx_runtime import run_onnx
from nmcompiler.evaluate.threads import one_blas_thread
from nmcompiler.frontend.data import Samples
from nmcompiler.ir.kernels import Array
from nmcompiler.ir.layers import Model
from nmcompiler.ir.progress import Progress, silent
from nmcompiler.ir.spiking import Spiking
from nmcompiler.passes import LegaliseFanIn
from nmcompiler.passes.base import Context
from nmcompiler.plan import CompileOptions, Plan, plan_of
from nmcompiler.program.layout import Program
from nmcompiler.registry import backend as backend_of
from nmcompiler.report.ladder import few_samples, layer_rows, simple_model, stage
from nmcompiler.report.ladder import float_values as values_of_layers
from nmcompiler.report.run import RunOutcome
from nmcompiler.target import Target

__all__ = ["Recipe", "debug_program", "options_of"]

_PROGRAM_SAMPLES = 4  # on which programs are run step by step


@dataclass(frozen=True)
class Recipe:
    """How a program was compiled, so that other options can be tried.

    Attributes:
        inputs: Model and calibration samples.
        target: The chip.
        code: The spike code.
        options: The options.
        fresh: Whether the program comes from these very options, just now.
    """

    inputs: Inputs
    target: Target
    code: str
    options: CompileOptions
    fresh: bool = False

    @property
    def plan(self) -> Plan:
        """The options with their defaults."""
        return plan_of(self.options, self.code, self.target)


def options_of(program: Program) -> CompileOptions:
    """Returns the options with which a program was compiled, as far as it tells them."""
    report, windowed = program.report, coding(program.coding).windowed
    levels = report.get("levels")
    return CompileOptions(
        levels=levels if windowed else None,
        timesteps=None if windowed else levels,
        settle=None if windowed else report.get("settle"),
        weight_bits=report.get("weight_bits"),
        input_levels=report.get("input_levels"),
        input_encoding=program.inputs[0].encoding if program.inputs else None,
        output_levels=program.output_levels,
        passes=1 if program.passes == 1 else None,
        seed=int(report.get("seed", 0)),
        fan_in=(report.get("fan_in") or {}).get("method"),
    )


def debug_program(
    program: Program,
    samples: Samples,
    *,
    recipe: Recipe | None = None,
    threads: int = 1,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Returns what ``nmc debug --json`` prints.

    Args:
        program: A program that carries its ONNX file and its integer network.
        samples: What it is judged on, with labels where they are known.
        recipe: How it was compiled; None tries nothing.
        threads: Threads of the simulator.
        progress: Told how far the work is.

    Raises:
        UsageError: The program carries nothing that it could be compared with.
        NmcError: As ``run_program``.
    """
    began = time.perf_counter()
    spiking = program.golden
    if spiking is None or program.source is None:
        raise UsageError(
            "the program carries no ONNX file and no integer network to compare it with",
            hint="compile it without --no-source",
        )
    progress("running", 0, 4)
    answers = run_onnx(program.source, samples.x)
    outcome = _run(program, samples, answers, threads)
    progress("comparing layers", 1, 4)
    with one_blas_thread():
        model = _fitted(
            simple_model(program, None if recipe is None else recipe.inputs.samples),
            program,
            spiking,
            recipe,
        )
        few = few_samples(program, samples.x)
        rows, verdict = _diagnosed(program, spiking, model, few)
    progress("trying options", 2, 4)
    tried = [] if recipe is None else list(_tried(recipe, verdict, samples, answers, outcome, threads))
    progress("trying options", 4, 4)
    return {
        "schema": "nmcompiler.debug/1",
        "model": program.report.get("model"),
        "target": program.target.name,
        "coding": program.coding,
        "samples": len(samples),
        "ladder": {
            "stages": _stages(program, model, samples, answers, outcome),
            "samples": len(next(iter(few.values()))),
            "layers": rows,
            "skipped": None,
        },
        "verdict": {
            "layer": verdict.layer,
            "cause": verdict.cause,
            "kind": verdict.kind,
            "sentence": verdict.sentence,
        },
        "removals": [dict(row) for row in verdict.removals],
        "advice": tried,
        "wall_seconds": round(time.perf_counter() - began, 3),
    }


def _run(program: Program, samples: Samples, answers: Mapping[str, Array], threads: int) -> RunOutcome:
    try:
        return run_program(program, samples, threads=threads, reference=answers)
    except NotVerified:  # a damaged program may fall apart in windows and still run step by step
        return run_program(program, samples, threads=threads, reference=answers, literal=True)


def _diagnosed(
    program: Program, spiking: Spiking, model: Model, few: Mapping[str, Array]
) -> tuple[list[dict[str, Any]], Verdict]:
    """Returns the rows of the ladder and the verdict."""
    golden = run_integer(spiking.network, few, record=True)
    values = {**golden.membranes, **golden.values}
    exact = coding(program.coding).exact
    fault = program_fault(program, spiking, {name: x[:_PROGRAM_SAMPLES] for name, x in few.items()})
    chip = None
    if not exact or fault is not None:
        chip = run_values(program, spiking, few)
    rows = layer_rows(spiking.network, values_of_layers(model, few), values, golden.membranes, chip)
    errors = _errors(program, spiking, model, values if exact or chip is None else chip, few)
    _complete(rows, errors)
    if fault is not None:
        return rows, of_program(fault)
    return rows, of_layers(errors, windowed=coding(program.coding).windowed)


def _errors(
    program: Program, spiking: Spiking, model: Model, values: Mapping[str, Array], few: Mapping[str, Array]
) -> tuple[LayerError, ...]:
    backend = backend_of(program.target.backend)
    with blame(backend, "legalise"):
        legalise = backend.legalise(coding(program.coding), program.target)
    bits = int(program.report.get("weight_bits", program.target.weight_bits))
    golden = spiking.network
    if _summed_exactly(program):
        golden = whole(golden, {layer.name for layer in model.graph})
    try:
        real = reference(model, golden, legalise, Context(None, program.target))
    except Mismatch as error:
        raise UsageError(
            f"layers and populations of this program cannot be matched: {error}",
            hint="compile the model again with this version",
        ) from error
    return layer_errors(golden, real, values, few, bits)


def _complete(rows: list[dict[str, Any]], errors: tuple[LayerError, ...]) -> None:
    """Adds what a layer itself adds, and what its formats allow, to the rows of the ladder."""
    by_name = {error.name: error for error in errors}
    for row in rows:
        error = by_name[row["name"]]
        row["own_db"] = _db(error.alone.error(error.alone.found))
        row["achievable_db"] = _db(error.achievable)


def _summed_exactly(program: Program) -> bool:
    """Returns whether helpers sum up parts of its layers: no layer stands for them, and no value changes."""
    fitted = program.report.get("fan_in")
    return fitted is not None and fitted["method"] == "exact"


def _fitted(model: Model, program: Program, spiking: Spiking, recipe: Recipe | None) -> Model:
    """Returns the model as it was made to fit the synapses of a neuron.

    Raises:
        UsageError: Its layers cannot be made again: samples are missing, or only the integers were changed.
    """
    fitted = program.report.get("fan_in")
    if fitted is None or _summed_exactly(program):
        return with_pools_of(model, spiking.network)
    if recipe is None:
        raise UsageError(
            "the layers of this program were made to fit the chip's synapses with calibration samples",
            hint="give nmc debug the ONNX file, --target and --calibration",
        )
    context = Context(recipe.inputs.samples, program.target)
    options = recipe.options
    return LegaliseFanIn(fitted["method"], options.chips, options.passes).run(model, context).graph


def _db(error: float) -> float | None:
    return None if error <= FLOOR else round(decibels(error), 2)


def _stages(
    program: Program, model: Model, samples: Samples, answers: Mapping[str, Array], outcome: RunOutcome
) -> list[dict[str, Any]]:
    facts, port = outcome.facts, model.outputs[0]
    plain = program.report.get("fan_in") is None or _summed_exactly(program)
    accuracy, agreement = facts["accuracy"], facts["agreement"]
    graph = apply_host_ops(port.host_ops, run_float(model, samples.x).outputs[port.name])
    same = accuracy_of_graph = None
    if agreement["integer_float"] is not None:
        classes = [_classes(y, port.host_ops) for y in (graph, answers[port.name])]
        same = float((classes[0] == classes[1]).mean())
        accuracy_of_graph = None if samples.y is None else float((classes[0] == samples.y).mean())
    return [
        stage("float", accuracy["float"], None if same is None else 1.0),
        stage("layer graph" if plain else "legalised", accuracy_of_graph, same),
        stage("integer", accuracy["integer"], agreement["integer_float"]),
        stage("chip", accuracy["chip"], agreement["chip_float"]),
    ]


def _classes(y: Array, host_ops: tuple[Any, ...]) -> Array:
    if any(op.op.startswith("ArgMax") for op in host_ops):
        return np.asarray(y.reshape(-1))
    return np.asarray(y.reshape(len(y), -1).argmax(axis=1))


def _tried(
    recipe: Recipe,
    verdict: Verdict,
    samples: Samples,
    answers: Mapping[str, Array],
    outcome: RunOutcome,
    threads: int,
) -> Iterator[dict[str, Any]]:
    """Yields every proposal with what it changes, compiled and run on the same samples."""
    if verdict.cause is None:
        return
    before = _measured(outcome, answers)
    again = verdict.kind in ("program", "fault") and not recipe.fresh
    for proposal in proposals(verdict.cause, recipe.options, recipe.plan, recipe.target, again=again):
        yield {"try": proposal.text, **_effect(recipe, proposal, before, samples, answers, threads)}


def _effect(
    recipe: Recipe,
    proposal: Proposal,
    before: Mapping[str, float | None],
    samples: Samples,
    answers: Mapping[str, Array],
    threads: int,
) -> dict[str, Any]:
    try:
        made = compile_inputs(recipe.inputs, recipe.target, proposal.code, proposal.options)
        after = _measured(run_program(made.program, samples, threads=threads, reference=answers), answers)
    except NmcError as error:
        nothing = dict.fromkeys(before)
        return {"before": dict(before), "after": nothing, "helps": False, "error": error.sentence()}
    return {"before": dict(before), "after": after, "helps": _better(before, after), "error": None}


def _measured(outcome: RunOutcome, answers: Mapping[str, Array]) -> dict[str, float | None]:
    """Returns accuracy, agreement with float, and the ratio of the outputs in dB."""
    signal = lost = 0.0
    for name, found in outcome.outputs.items():
        if answers[name].dtype.kind != "f":  # classes have no noise
            continue
        wanted = answers[name].astype(np.float64).reshape(found.shape)
        signal += float(np.square(wanted).sum())
        lost += float(np.square(wanted - found).sum())
    ratio = None if not signal or not lost else round(decibels(lost / signal), 2)
    facts = outcome.facts
    return {
        "accuracy": facts["accuracy"]["chip"],
        "agreement": facts["agreement"]["chip_float"],
        "sqnr_db": ratio,
    }


def _better(before: Mapping[str, float | None], after: Mapping[str, float | None]) -> bool:
    """Whether outputs come nearer to float by half a dB, or more answers are as float's."""
    pairs = [(before[key], after[key], least) for key, least in (("sqnr_db", 0.5), ("agreement", 1e-9))]
    return any(a is not None and b is not None and b >= a + least for a, b, least in pairs)
