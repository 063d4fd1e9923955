"""The loss ladder: how much each stage and each layer loses on the way from floating point to the chip.

Float values come from the layer graph, integers from the golden network and, where the code is not exact,
from the chip. Ratios are ``10·log10(Σ wanted² / Σ (wanted − found)²)`` over all samples and neurons, in real
values, everything that the layers before have lost included.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nmcompiler.codings import coding
from nmcompiler.errors import NmcError
from nmcompiler.evaluate.float import activate, arrange_inputs, max_pool, preactivation
from nmcompiler.evaluate.integer import run_integer
from nmcompiler.frontend.reader import read_model_bytes
from nmcompiler.ir.kernels import Array
from nmcompiler.ir.layers import Model
from nmcompiler.ir.network import Network, Population
from nmcompiler.ir.spiking import Spiking
from nmcompiler.passes import Pipeline, float_passes
from nmcompiler.passes.base import Context
from nmcompiler.program.layout import Program
from nmcompiler.sim import Record, RunResult, Simulator

__all__ = [
    "chip_values",
    "few_samples",
    "fitted_stage",
    "float_values",
    "ladder",
    "layer_rows",
    "simple_model",
    "stage",
    "stages",
]

_MOST_SAMPLES, _LEAST_SAMPLES = 64, 4
_MOST_VALUES = 1 << 22  # of all layers and samples together, which are in memory at once, several times

Facts = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class _Layers:
    """Values ``(N, h, w, c)`` of all layers; integers by population, of read-outs their accumulators."""

    real: Mapping[str, Array]
    golden: Mapping[str, Array]
    membranes: Mapping[str, Array]
    chip: Mapping[str, Array] | None


def stages(facts: Facts, program: Program) -> dict[str, Any]:
    """Returns the ladder of a run without its layers, from the accuracies and agreements in its facts.

    What a network lost when it was made to fit the synapses of a neuron is known of the calibration samples.
    """
    accuracy, agreement = facts["accuracy"], facts["agreement"]
    known = agreement["integer_float"] is not None
    rungs = [
        stage("float", accuracy["float"], 1.0 if known else None),
        *fitted_stage(program),
        stage("integer", accuracy["integer"], agreement["integer_float"]),
        stage("chip", accuracy["chip"], agreement["chip_float"]),
    ]
    return {"stages": rungs, "samples": None, "layers": [], "skipped": None}


def ladder(facts: Facts, program: Program, simulator: Simulator, x: Mapping[str, Array]) -> dict[str, Any]:
    """Returns the ladder of a run with its layers on the first samples.

    Args:
        facts: Accuracies and agreements of the run.
        program: The program; without its golden network or its ONNX file there are no layers.
        simulator: For codes that are not exact, and chips that vary.
        x: Samples ``(N, *shape)`` by input port.
    """
    few = few_samples(program, x)
    made = {**stages(facts, program), "samples": len(next(iter(few.values())))}
    if program.golden is None or program.source is None:
        made["skipped"] = "the program carries no ONNX file and no integer network"
        return made
    try:
        model = simple_model(program)
    except NmcError as error:
        made["skipped"] = error.sentence()
        return made
    golden = run_integer(program.golden.network, few, record=True)
    same = coding(program.coding).exact and simulator.drawn is None
    chip = None if same else _on_chip(program, simulator, few)
    layers = _Layers(float_values(model, few), {**golden.membranes, **golden.values}, golden.membranes, chip)
    made["layers"] = list(_rows(program.golden.network, layers))
    return made


def few_samples(program: Program, x: Mapping[str, Array]) -> dict[str, Array]:
    """Returns the first samples on which layers are compared: 64, or fewer where the network is large."""
    count = max(_LEAST_SAMPLES, min(_MOST_SAMPLES, _MOST_VALUES // max(1, program.neurons)))
    return {name: values[:count] for name, values in x.items()}


def fitted_stage(program: Program) -> list[dict[str, Any]]:
    """Returns the rung of a network that was made to fit the synapses of a neuron; none of others."""
    fitted = program.report.get("fan_in")
    return [] if fitted is None else [stage("legalised", None, fitted["agreement"])]


def stage(name: str, accuracy: float | None, agreement: float | None) -> dict[str, Any]:
    """Returns one rung: accuracy where labels are known, and the share of answers equal to float's."""
    return {"stage": name, "accuracy": accuracy, "agreement": agreement}


def simple_model(program: Program, calibration: Mapping[str, Array] | None = None) -> Model:
    """Returns the layer graph of a program's ONNX file as the quantiser saw it.

    Raises:
        UsageError: The network has functions that were fitted to calibration samples, which are not given.
    """
    if program.source is None:
        raise ValueError("the program carries no ONNX file")
    model = read_model_bytes(program.source, str(program.report.get("model", "network")))
    return Pipeline(float_passes()).run(model, Context(calibration, program.target)).graph


def float_values(model: Model, x: Mapping[str, Array]) -> dict[str, Array]:
    """Returns ``(N, *sum_shape)`` of every layer, activated but before its pool; inputs as they are."""
    results = dict(arrange_inputs(model, x))
    values = dict(results)
    left = {layer.name: len(model.graph.out_edges(layer.name)) for layer in model.graph}
    for layer in model.graph:
        if layer.is_input:
            continue
        y = activate(replace(layer, max_pool=None), preactivation(model.graph, layer.name, results))
        values[layer.name] = y
        pool = layer.max_pool
        results[layer.name] = y if pool is None else max_pool(pool, y, layer.shape[:2])
        for edge in model.graph.in_edges(layer.name):
            left[edge.source] -= 1
            if not left[edge.source]:
                results.pop(edge.source, None)
    return values


def layer_rows(
    network: Network,
    real: Mapping[str, Array],
    golden: Mapping[str, Array],
    membranes: Mapping[str, Array],
    chip: Mapping[str, Array] | None,
) -> list[dict[str, Any]]:
    """Returns a row for every layer.

    Args:
        network: The golden network.
        real: ``float_values`` of the layer graph.
        golden: Integers by population, of read-outs their accumulators.
        membranes: Membranes of the golden network.
        chip: Integers of the chip; None where they are the golden ones.
    """
    return list(_rows(network, _Layers(real, golden, membranes, chip)))


def _rows(network: Network, layers: _Layers) -> Iterator[dict[str, Any]]:
    for population in network.graph:
        name = population.name
        row = {"name": name, "op": population.op, "onnx_nodes": list(population.origin)}
        wanted = layers.real.get(name)
        if wanted is None:  # a population that no layer stands for: a step of a pool's tree
            continue
        found = _real(population, layers.golden[name], wanted.shape[-1])
        if found is None:
            yield {**row, **_unknown("its population has another shape than its layer")}
            continue
        on_chip = None if layers.chip is None else _real(population, layers.chip[name], wanted.shape[-1])
        silent, lost = _silent(population, layers.golden[name], wanted)
        yield {
            **row,
            "sqnr_db": _decibels(wanted, found),
            "chip_sqnr_db": None if on_chip is None else _decibels(wanted, on_chip),
            "saturated_share": _saturated(population, layers.membranes.get(name)),
            "silent_channels": len(silent),
            "silent": silent,
            "lost": lost,
            "skipped": None,
        }


def _unknown(reason: str) -> dict[str, Any]:
    keys = ("sqnr_db", "chip_sqnr_db", "saturated_share", "silent_channels")
    return {**dict.fromkeys(keys), "silent": [], "lost": [], "skipped": reason}


def _real(population: Population, q: Array, channels: int) -> Array | None:
    """Returns the real values ``(N, h, w, channels)``; on and off halves are put together."""
    values = q * population.scale + population.offset
    if population.shape[2] == channels:
        return np.asarray(values)
    if population.shape[2] != 2 * channels:
        return None
    joined = q * population.scale
    return np.asarray(joined[..., :channels] + joined[..., channels:] + population.offset[:channels])


def _decibels(wanted: Array, found: Array) -> float | None:
    """Returns the signal-to-noise ratio, None where there is no noise."""
    if wanted.shape != found.shape:
        return None
    signal = float(np.square(wanted, dtype=np.float64).sum())
    lost = float(np.square(wanted - found, dtype=np.float64).sum())
    return None if lost == 0 else round(10 * math.log10(max(signal, 1e-30) / lost), 2)


def _saturated(population: Population, membranes: Array | None) -> float | None:
    """Returns the share of values that were cut at the largest level; None where nothing fires."""
    if membranes is None or not population.fires:
        return None
    reached = np.floor_divide(membranes, population.theta)
    cut = reached > population.levels
    if population.signed:
        cut |= reached < -population.levels
    return round(float(cut.mean()), 5)


def _silent(population: Population, q: Array, wanted: Array) -> tuple[list[int], list[int]]:
    """Returns the channels that never fire, and those of them in which float reaches a whole unit."""
    channels = wanted.shape[-1]
    if population.role != "hidden":
        return [], []
    fires = np.abs(q).max(axis=(0, 1, 2)) > 0
    fires = fires[:channels] | fires[-channels:]
    needed = np.abs(wanted).max(axis=(0, 1, 2)) >= np.abs(population.scale[:channels])
    silent, lost = np.flatnonzero(~fires), np.flatnonzero(needed & ~fires)
    return silent.tolist(), lost.tolist()


def _on_chip(program: Program, simulator: Simulator, x: Mapping[str, Array]) -> dict[str, Array] | None:
    if program.golden is None:
        return None
    return chip_values(program.golden, simulator.run(x, record=Record(values=True, membranes=True)))


def chip_values(spiking: Spiking, result: RunResult) -> dict[str, Array]:
    """Returns recorded values ``(N, h, w, c)`` by population in units of q, or accumulators.

    Args:
        spiking: The network of the program that was run.
        result: With values and membranes.
    """
    if result.values is None or result.membranes is None:
        raise ValueError("values and membranes were not recorded")
    values: dict[str, Array] = {}
    for number, population in enumerate(spiking.network.graph):
        shape = (-1, *population.shape)
        if not population.sends:
            unit = 1 << spiking.neurons[population.name].shift
            values[population.name] = result.membranes[number].reshape(shape) / unit
        else:
            values[population.name] = result.values[number].reshape(shape)
    return values
