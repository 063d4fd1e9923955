"""The golden network inside a program file: a spiking network as a document with arrays beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import singledispatch
from typing import Any

import numpy as np

from nmcompiler.errors import InputFileError
from nmcompiler.ir.graph import Graph
from nmcompiler.ir.kernels import Array, Conv, Dense, Kernel, Shape, Sparse
from nmcompiler.ir.layers import HostOp, InputPort, OutputPort
from nmcompiler.ir.network import Network, Population, PopulationGraph, Projection
from nmcompiler.ir.schedule import Schedule, Slot
from nmcompiler.ir.spiking import NeuronParameters, Spiking
from nmcompiler.program.dynamics import dynamics_document, dynamics_from
from nmcompiler.program.members import array_bytes, array_from, document_bytes, document_from, guarded

__all__ = ["golden_from", "golden_members"]

_DOCUMENT = "golden/network.json"


def golden_members(spiking: Spiking) -> dict[str, bytes]:
    """Returns the members that hold a spiking network."""
    arrays = _Arrays()
    graph = spiking.network.graph
    document = {
        "name": spiking.network.name,
        "coding": spiking.coding,
        "input_encoding": spiking.input_encoding,
        "populations": [_population_document(p, arrays) for p in graph],
        "projections": [
            {
                "source": e.source,
                "target": e.target,
                "slot": e.payload.slot,
                "kernel": _kernel_document(e.payload.kernel, arrays),
            }
            for e in graph.edges()
        ],
        "inputs": [
            {"name": p.name, "shape": list(p.shape), "node": p.node, "order": arrays.add(p.order)}
            for p in spiking.network.inputs
        ],
        "outputs": [
            {
                "name": p.name,
                "shape": list(p.shape),
                "node": p.node,
                "order": arrays.add(p.order),
                "off": None if p.off is None else arrays.add(p.off),
                "host_ops": [asdict(op) for op in p.host_ops],
            }
            for p in spiking.network.outputs
        ],
        "schedule": _schedule_document(spiking.schedule),
        **dynamics_document(spiking.dynamics),
        "neurons": {
            p.name: _neurons_document(spiking.neurons[p.name], arrays) for p in graph if p.role != "input"
        },
    }
    return {_DOCUMENT: document_bytes(document), **arrays.members}


def golden_from(members: Mapping[str, bytes]) -> Spiking | None:
    """Returns the spiking network that members hold; None where one of them was taken away.

    Raises:
        InputFileError: The members do not describe a network.
    """
    if _DOCUMENT not in members:
        return None
    document = document_from(members[_DOCUMENT], _DOCUMENT)
    try:
        return guarded(lambda: _Reader(members).spiking(document), _DOCUMENT)
    except _Absent:
        return None


class _Absent(Exception):
    """An array of the golden network was deleted, which is allowed."""


@dataclass
class _Arrays:
    """Arrays by number, whole numbers in the narrowest form that holds them."""

    members: dict[str, bytes] = field(default_factory=dict)

    def add(self, array: Array) -> int:
        """Stores an array and returns its number."""
        number = len(self.members)
        array = np.asarray(array)
        if array.dtype.kind in "iu":
            low, high = int(array.min(initial=0)), int(array.max(initial=0))
            for kind in (np.int8, np.int16, np.int32, np.int64):
                if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
                    array = array.astype(kind)
                    break
        self.members[f"golden/{number}.npy"] = array_bytes(array)
        return number


def _population_document(population: Population, arrays: _Arrays) -> dict[str, Any]:
    return {
        "name": population.name,
        "shape": list(population.shape),
        "role": population.role,
        "bias": arrays.add(population.bias),
        "theta": arrays.add(population.theta),
        "levels": population.levels,
        "signed": population.signed,
        "scale": arrays.add(population.scale),
        "offset": arrays.add(population.offset),
        "op": population.op,
        "origin": list(population.origin),
        **({"lead": arrays.add(population.lead)} if np.any(population.lead) else {}),
    }


def _neurons_document(neurons: NeuronParameters, arrays: _Arrays) -> dict[str, Any]:
    return {
        "theta": arrays.add(neurons.theta),
        "v0": arrays.add(neurons.v0),
        "current": arrays.add(neurons.current),
        "shift": neurons.shift,
        "signed": neurons.signed,
    }


@singledispatch
def _kernel_document(kernel: Kernel, arrays: _Arrays) -> dict[str, Any]:
    raise TypeError(f"no rule to store a {type(kernel).__name__}")


@_kernel_document.register
def _(kernel: Dense, arrays: _Arrays) -> dict[str, Any]:
    return {"kind": "dense", "weight": arrays.add(kernel.weight)}


@_kernel_document.register
def _(kernel: Sparse, arrays: _Arrays) -> dict[str, Any]:
    return {
        "kind": "sparse",
        "rows": arrays.add(kernel.rows),
        "columns": arrays.add(kernel.columns),
        "weight": arrays.add(kernel.weight),
    }


@_kernel_document.register
def _(kernel: Conv, arrays: _Arrays) -> dict[str, Any]:
    return {
        "kind": "conv",
        "weight": arrays.add(kernel.weight),
        "stride": list(kernel.stride),
        "padding": list(kernel.padding),
        "dilation": list(kernel.dilation),
        "groups": kernel.groups,
        "source_channel": kernel.source_channel,
        "target_channel": kernel.target_channel,
    }


def _schedule_document(schedule: Schedule) -> dict[str, Any]:
    return {
        "coding": schedule.coding,
        "window_starts": list(schedule.window_starts),
        "total_steps": schedule.total_steps,
        "slots": {
            name: [s.window, s.fire_start, s.steps, s.levels, s.signed] for name, s in schedule.slots.items()
        },
        "delays": [[source, target, d] for (source, target), d in sorted(schedule.delays.items())],
    }


@dataclass(frozen=True)
class _Reader:
    """Reads a document; everything that does not fit raises one of the errors that ``guarded`` knows."""

    members: Mapping[str, bytes]

    def spiking(self, document: Mapping[str, Any]) -> Spiking:
        graph: PopulationGraph = Graph()
        for entry in document["populations"]:
            graph.add(self._population(entry))
        for entry in document["projections"]:
            source, target = graph.node(entry["source"]), graph.node(entry["target"])
            kernel = self._kernel(entry["kernel"], source.shape, target.shape)
            graph.connect(source.name, target.name, Projection(kernel, int(entry["slot"])))
        if graph.names() != tuple(graph.nx.nodes):
            raise ValueError("the populations are not in topological order")
        network = Network(
            str(document["name"]),
            graph,
            tuple(
                InputPort(p["name"], tuple(p["shape"]), graph.node(p["node"]).name, self._ints(p["order"]))
                for p in document["inputs"]
            ),
            tuple(
                OutputPort(
                    p["name"],
                    tuple(p["shape"]),
                    graph.node(p["node"]).name,
                    self._ints(p["order"]),
                    tuple(HostOp(h["op"], tuple(h["axes"]), h["keeps_axis"]) for h in p["host_ops"]),
                    None if p.get("off") is None else self._ints(p["off"]),
                )
                for p in document["outputs"]
            ),
        )
        neurons = {name: self._neurons(n, graph.node(name).shape) for name, n in document["neurons"].items()}
        hidden = {p.name for p in graph if p.role != "input"}
        schedule = self._schedule(document["schedule"])
        if set(neurons) != hidden or set(schedule.slots) != set(graph.names()):
            raise ValueError("not every population has neurons and a time")
        dynamics = dynamics_from(document)
        return Spiking(
            network, str(document["coding"]), schedule, neurons, str(document["input_encoding"]), dynamics
        )

    def _array(self, number: object) -> Array:
        name = f"golden/{number}.npy"
        if name not in self.members:
            raise _Absent(name)
        return array_from(self.members[name], name)

    def _ints(self, number: object) -> Array:
        array = self._array(number)
        if array.dtype.kind not in "iu":
            raise InputFileError(f"golden/{number}.npy holds no whole numbers")
        return array.astype(np.int64)

    def _spread(self, number: object, shape: Shape) -> Array:
        """Returns an array that broadcasts to the shape of a population."""
        array = self._ints(number)
        if array.ndim != 3 or np.broadcast_shapes(array.shape, shape) != shape:
            raise ValueError(f"an array of shape {array.shape} in a population of shape {shape}")
        return array

    def _population(self, entry: Mapping[str, Any]) -> Population:
        shape = _triple(entry["shape"])
        if entry["role"] not in ("input", "hidden", "readout"):
            raise ValueError(f"role {entry['role']}")
        scale, offset = (self._array(entry[key]).astype(np.float64) for key in ("scale", "offset"))
        if scale.shape != (shape[2],) or offset.shape != (shape[2],):
            raise ValueError("scales are not per channel")
        return Population(
            name=str(entry["name"]),
            shape=shape,
            role=entry["role"],
            bias=self._spread(entry["bias"], shape),
            theta=self._spread(entry["theta"], shape),
            levels=int(entry["levels"]),
            signed=bool(entry["signed"]),
            scale=scale,
            offset=offset,
            op=str(entry["op"]),
            origin=tuple(str(o) for o in entry["origin"]),
            lead=self._spread(entry["lead"], shape) if "lead" in entry else np.zeros((1, 1, 1), np.int64),
        )

    def _neurons(self, entry: Mapping[str, Any], shape: Shape) -> NeuronParameters:
        theta, v0, current = (self._spread(entry[key], shape) for key in ("theta", "v0", "current"))
        return NeuronParameters(theta, v0, current, int(entry["shift"]), int(entry["signed"]))

    def _kernel(self, entry: Mapping[str, Any], source: Shape, target: Shape) -> Kernel:
        weight = self._ints(entry["weight"])
        sizes = int(np.prod(target)), int(np.prod(source))
        if entry["kind"] == "dense":
            if weight.shape != sizes:
                raise ValueError("a dense kernel of the wrong shape")
            return Dense(weight)
        if entry["kind"] == "sparse":
            rows, columns = self._ints(entry["rows"]), self._ints(entry["columns"])
            if not rows.shape == columns.shape == weight.shape == (weight.size,):
                raise ValueError("a sparse kernel with lists of different length")
            for places, size in ((rows, sizes[0]), (columns, sizes[1])):
                if places.size and not 0 <= places.min() <= places.max() < size:
                    raise ValueError("a sparse kernel that reaches outside")
            return Sparse(rows, columns, weight)
        if entry["kind"] != "conv":
            raise ValueError(f"kernel {entry['kind']}")
        pairs = [_pair(entry[key]) for key in ("stride", "padding", "dilation")]
        first, start = int(entry["source_channel"]), int(entry["target_channel"])
        kernel = Conv(weight, pairs[0], pairs[1], pairs[2], int(entry["groups"]), first, start)
        fits = (
            weight.ndim == 4 and weight.size and kernel.groups >= 1 and weight.shape[3] % kernel.groups == 0
        )
        if not fits or min(*pairs[0], *pairs[2], first + 1, start + 1) < 1:
            raise ValueError("a convolution of the wrong form")
        if first + kernel.source_channels > source[2] or start + kernel.target_channels > target[2]:
            raise ValueError("a convolution that reaches channels outside")
        return kernel

    def _schedule(self, entry: Mapping[str, Any]) -> Schedule:
        slots = {
            str(name): Slot(int(w), int(f), int(s), int(levels), bool(signed))
            for name, (w, f, s, levels, signed) in entry["slots"].items()
        }
        delays = {(str(source), str(target)): int(d) for source, target, d in entry["delays"]}
        starts = tuple(int(s) for s in entry["window_starts"])
        return Schedule(str(entry["coding"]), starts, int(entry["total_steps"]), slots, delays)


def _triple(values: Sequence[Any]) -> Shape:
    height, width, channels = (int(v) for v in values)
    if min(height, width, channels) < 1:
        raise ValueError(f"shape {values}")
    return height, width, channels


def _pair(values: Sequence[Any]) -> tuple[int, int]:
    first, second = (int(v) for v in values)
    return first, second
