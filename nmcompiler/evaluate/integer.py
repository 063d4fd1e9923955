"""The executor of the integer network: the judge that the chip must equal, in exact whole numbers.

Sums are computed in floating point, in the smallest type in which the largest possible sum is exact, so
that they run on the machine's matrix product; every result is a whole number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from nmcompiler.errors import UsageError
from nmcompiler.evaluate.linear import apply
from nmcompiler.ir.bounds import accumulator_bound
from nmcompiler.ir.kernels import Array
from nmcompiler.ir.layers import InputPort
from nmcompiler.ir.network import Network, Population

__all__ = ["IntegerResult", "decode_outputs", "encode_inputs", "iterate_integer", "run_integer"]

_EXACT_FLOAT32 = 1 << 23  # one bit below the mantissa: quotients round to the right side too
_EXACT_FLOAT64 = 1 << 52


@dataclass(frozen=True, eq=False)
class IntegerResult:
    """What an integer network computed; the first axis counts samples.

    Attributes:
        outputs: By output port: ``(N, *shape)`` int64 accumulators of the read-out, or its values where it
            has levels, in the port's order.
        values: By population: ``(N, h, w, c)`` int32 values q of all that send. Empty without ``record``.
        membranes: By population: ``(N, h, w, c)`` int64 membranes when it fires, ``v0 + Σ w·q``; for a
            read-out without levels its accumulator. Empty without ``record``.
    """

    outputs: Mapping[str, Array]
    values: Mapping[str, Array]
    membranes: Mapping[str, Array]


def encode_inputs(network: Network, samples: Mapping[str, Array]) -> dict[str, Array]:
    """Returns the integers of real samples ``(N, *shape)`` by port: int64 ``(N, h, w, c)``.

    ``q = clip(floor((x[order] − offset) / scale + 1/2), lowest, L)`` in float64, as
    ``docs/program-format.md`` has it.
    """
    encoded = {}
    for port in network.inputs:
        population = network.graph.node(port.node)
        flat = _samples(port, samples).astype(np.float64)[:, port.order]
        x = flat.reshape(len(flat), *population.shape)
        q = np.floor((x - population.offset) / population.scale + 0.5)
        encoded[port.name] = np.clip(q, population.lowest, population.levels).astype(np.int64)
    return encoded


def decode_outputs(network: Network, outputs: Mapping[str, Array]) -> dict[str, Array]:
    """Returns the real outputs ``(N, *shape)`` float64 by port: what is read times the one scale."""
    return {
        port.name: outputs[port.name] * float(network.graph.node(port.node).scale[0])
        for port in network.outputs
    }


def run_integer(
    network: Network,
    samples: Mapping[str, Array],
    *,
    record: bool = False,
    quantised: bool = False,
    batch: int = 128,
) -> IntegerResult:
    """Runs the network on samples.

    Args:
        network: The integer network.
        samples: By input port: real values ``(N, *shape)``, or integers ``(N, h, w, c)``.
        record: Whether to keep values and membranes of every population.
        quantised: Whether ``samples`` are integers of the input populations already.
        batch: Samples that go through at a time.

    Raises:
        UsageError: Where samples of a port are missing or differ in number or shape.
    """
    parts = list(iterate_integer(network, samples, record=record, quantised=quantised, batch=batch))

    def joined(pick: list[Mapping[str, Array]]) -> dict[str, Array]:
        return {name: np.concatenate([part[name] for part in pick]) for name in pick[0]}

    return IntegerResult(
        joined([p.outputs for p in parts]),
        joined([p.values for p in parts]),
        joined([p.membranes for p in parts]),
    )


def iterate_integer(
    network: Network,
    samples: Mapping[str, Array],
    *,
    record: bool = False,
    quantised: bool = False,
    batch: int = 128,
) -> Iterator[IntegerResult]:
    """Yields the result of ``run_integer`` some samples at a time; at least once."""
    count = _count(network, samples)
    bounds = {p.name: accumulator_bound(network, p.name) for p in network.graph}
    for first in range(0, max(count, 1), batch):
        part = {port.name: samples[port.name][first : first + batch] for port in network.inputs}
        inputs = part if quantised else encode_inputs(network, part)
        yield _run(network, inputs, bounds, record)


def _run(
    network: Network, inputs: Mapping[str, Array], bounds: Mapping[str, int], record: bool
) -> IntegerResult:
    values: dict[str, Array] = {}
    membranes: dict[str, Array] = {}
    for port in network.inputs:
        shape = network.graph.node(port.node).shape
        values[port.node] = (
            np.asarray(inputs[port.name]).reshape(len(inputs[port.name]), *shape).astype(np.int32)
        )
    count = len(next(iter(values.values())))
    for population in network.graph:
        if population.role == "input":
            continue
        membrane = _membrane(network, population, values, bounds[population.name], count)
        if population.sends:
            values[population.name] = _fire(population, membrane)
        if record or not population.sends:
            membranes[population.name] = membrane.astype(np.int64)
    outputs = {}
    for out in network.outputs:
        population = network.graph.node(out.node)
        result = values[out.node].astype(np.int64) if population.sends else membranes[out.node]
        outputs[out.name] = out.read(result.reshape(count, population.size)).reshape(count, *out.shape)
    return IntegerResult(outputs, values if record else {}, membranes if record else {})


def _membrane(
    network: Network, population: Population, values: Mapping[str, Array], bound: int, count: int
) -> Array:
    """Returns ``v0 + Σ w·q`` as whole numbers in a type in which no sum can be rounded."""
    dtype = _exact_type(bound)
    total = np.zeros((count, *population.shape), dtype)
    total += population.v0.astype(dtype)
    for edge in network.graph.in_edges(population.name):
        source = values[edge.source].astype(dtype)
        total += apply(edge.payload.kernel, source, population.shape)
    return total


def _exact_type(bound: int) -> type[np.float32] | type[np.float64] | type[np.int64]:
    if bound < _EXACT_FLOAT32:
        return np.float32
    return np.float64 if bound < _EXACT_FLOAT64 else np.int64


def _fire(population: Population, membrane: Array) -> Array:
    """Returns ``clip(floor(membrane / theta), lowest, L)``.

    The quotient is exact enough: a membrane below 2^(p−1) that is no multiple of θ differs from one by
    more than a rounding step of a type with p bits of mantissa.
    """
    theta = population.theta.astype(membrane.dtype)
    quotient = membrane // theta if membrane.dtype.kind == "i" else np.floor(membrane / theta)
    fired: Array = np.clip(quotient, population.lowest, population.levels).astype(np.int32)
    return fired


def _samples(port: InputPort, samples: Mapping[str, Array]) -> Array:
    x = np.asarray(samples[port.name])
    if x.shape[1:] != port.shape:
        raise UsageError(
            f"samples of input '{port.name}' have the shape {x.shape[1:]}", allowed=f"{port.shape}"
        )
    return x.reshape(len(x), int(np.prod(port.shape)))


def _count(network: Network, samples: Mapping[str, Array]) -> int:
    missing = [port.name for port in network.inputs if port.name not in samples]
    if missing:
        raise UsageError(f"there are no samples for input '{missing[0]}'")
    counts = {port.name: len(samples[port.name]) for port in network.inputs}
    if len(set(counts.values())) > 1:
        raise UsageError(f"the inputs have different numbers of samples: {counts}")
    return next(iter(counts.values()), 0)
