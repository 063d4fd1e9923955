"""The integer network of a program as a spiking network in torch, for the packages that measure torch models.

Written from the equations of the codes; the simulator and the codes' own functions are not used. Each
projection is one ``Linear`` or ``Conv2d`` of stored integers and sees one step at a time; each population is
one module that is called once in every step of its firing. Layers run one after the other, each for all its
steps. Numbers are computed in float64, which is exact here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from nmcompiler.evaluate.rate import waiting
from nmcompiler.ir.kernels import Array, Conv, Dense, Kernel, Shape
from nmcompiler.ir.network import Population
from nmcompiler.ir.schedule import Slot
from nmcompiler.ir.spiking import NeuronParameters, Spiking

__all__ = ["Neurons", "TorchNetwork"]


@dataclass(frozen=True)
class Code:
    """A windowed code: what a step's spike stands for, and what a value sends in a step.

    ``k`` is the step of firing, of ``steps``.
    """

    weight: Callable[[int, int], int]
    sent: Callable[[Tensor, int, int], Tensor]
    dendrite: bool


def _digit(q: Tensor, k: int, steps: int) -> Tensor:
    return q.sign() * (torch.floor(q.abs() / 2 ** (steps - 1 - k)) % 2)


CODES: Mapping[str, Code] = {
    "rate-sync": Code(lambda k, n: 1, lambda q, k, n: q.sign() * (k < q.abs()), False),
    "ttfs": Code(lambda k, n: n - k, lambda q, k, n: q.sign() * (q.abs() == n - k), True),
    "phase": Code(lambda k, n: 2 ** (n - 1 - k), _digit, True),
    "graded": Code(lambda k, n: 1, lambda q, k, n: q, False),
}


class _Linear(nn.Linear):
    """A dense layer that stores integers."""

    def __init__(self, weight: Array) -> None:
        super().__init__(weight.shape[1], weight.shape[0], bias=False, device="meta")
        self.weight = _stored(weight)

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight.to(x.dtype))


class _Conv(nn.Conv2d):
    """A convolution that stores integers."""

    def __init__(self, kernel: Conv) -> None:
        super().__init__(
            kernel.source_channels,
            kernel.target_channels,
            kernel.weight.shape[:2],
            kernel.stride,
            tuple(max(p, 0) for p in kernel.padding),
            kernel.dilation,
            kernel.groups,
            bias=False,
            device="meta",
        )
        self.weight = _stored(kernel.weight.transpose(3, 2, 0, 1))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight.to(x.dtype)
        return functional.conv2d(x, weight, None, self.stride, self.padding, self.dilation, self.groups)


def _stored(weight: Array) -> nn.Parameter:
    return nn.Parameter(torch.tensor(weight.astype(np.int8)), requires_grad=False)


class Projection(nn.Module):
    """One projection: ``(N, *source)`` to ``(N, *target)``, channels last."""

    def __init__(self, kernel: Kernel, source: Shape, target: Shape) -> None:
        super().__init__()
        self.kernel, self.target = kernel, target
        if np.abs(kernel.weight).max(initial=0) > 127:
            raise ValueError("weights of more than 8 bits")
        if isinstance(kernel, Dense):
            self.layer: nn.Module = _Linear(kernel.weight)
        elif isinstance(kernel, Conv):
            self.layer = _Conv(kernel)
            self.rows, self.columns = (_seen(kernel, axis, source, target) for axis in (0, 1))
        else:
            raise ValueError(f"no torch layer for a {type(kernel).__name__}")

    def forward(self, x: Tensor) -> Tensor:
        if isinstance(self.kernel, Dense):
            return self.layer(x.flatten(1)).reshape(-1, *self.target)
        first, channel = self.kernel.source_channel, self.kernel.target_channel
        part = x[:, self.rows, self.columns, first : first + self.kernel.source_channels]
        made = self.layer(part.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return functional.pad(made, (channel, self.target[2] - channel - made.shape[3]))


def _seen(kernel: Conv, axis: int, source: Shape, target: Shape) -> slice:
    """Returns the positions that a convolution reads, such that torch's equal padding gives the target."""
    reach = kernel.dilation[axis] * (kernel.weight.shape[axis] - 1) + 1
    stride, padding = kernel.stride[axis], kernel.padding[axis]
    first = max(-padding, 0)
    end = min((target[axis] - 1) * stride - padding + reach, source[axis])
    if (end - first + 2 * max(padding, 0) - reach) // stride + 1 != target[axis]:
        raise ValueError("torch has no convolution with this padding")
    return slice(first, end)


class Neurons(nn.Module):
    """A population that fires. A call is one step of its firing, and returns what it sends.

    Buffers: ``theta`` and ``bias`` in the shortest form, ``membrane`` and in some codes ``dendrite``, one
    number a neuron. The state of a batch is no buffer.
    """

    def __init__(self, population: Population, slot: Slot, bias: Array, theta: Array, dendrite: bool) -> None:
        super().__init__()
        self.population, self.slot = population, slot
        theta, bias = _shortest(population.shape, theta, bias)
        self.register_buffer("bias", torch.tensor(bias.astype(np.int32)))
        if population.fires:
            self.register_buffer("theta", torch.tensor(theta.astype(np.int32)))
        for name in ("membrane", "dendrite")[: 1 + dendrite]:
            self.register_buffer(name, torch.zeros(population.shape, dtype=torch.int32))

    def spread(self, name: str) -> Tensor:
        """Returns a parameter that broadcasts to ``(N, h, w, c)``, float64."""
        values = getattr(self, name).double()
        return values.reshape(self.population.shape) if values.numel() == self.population.size else values

    def begin(self) -> None:
        """Sets the membrane to its start."""
        self.v = self.membrane.double() + self.spread("bias")
        if self.population.fires:
            self.v = self.v + torch.floor(self.spread("theta") / 2)

    def integrate(self, arrived: Tensor) -> None:
        """Adds what arrives in a step."""
        self.v = self.v + arrived


class Windowed(Neurons):
    """Neurons of a windowed code: they fire when all has arrived."""

    def __init__(self, code: Code, population: Population, slot: Slot) -> None:
        super().__init__(population, slot, population.bias, population.theta, code.dendrite)
        self.code = code

    def forward(self, step: int) -> Tensor:
        lowest, levels = self.population.lowest, self.population.levels
        q = torch.floor(self.v / self.spread("theta")).clamp(lowest, levels)
        return self.code.sent(q, step, self.slot.steps)


class Rate(Neurons):
    """Neurons of the free-running rate code: reset by subtraction, spikes may be taken back."""

    def __init__(self, numbers: NeuronParameters, population: Population, slot: Slot) -> None:
        super().__init__(population, slot, numbers.current, numbers.theta, False)
        self.numbers = numbers

    def begin(self) -> None:
        start = np.broadcast_to(self.numbers.v0, self.population.shape).copy()
        self.v = self.membrane.double() + torch.tensor(start, dtype=torch.float64)
        self.sent: Tensor | float = 0.0

    def integrate(self, arrived: Tensor) -> None:
        self.v = self.v + arrived * 2**self.numbers.shift

    def forward(self, step: int) -> Tensor:
        theta = self.spread("theta")
        self.v = self.v + self.spread("bias")
        spike = (self.v >= theta).double()
        if self.numbers.signed:
            back = self.v < 0
            if self.numbers.signed == 2:
                back = back & (torch.as_tensor(self.sent) > 0)
            spike = spike - back.double()
        self.v = self.v - spike * theta
        self.sent = self.sent + spike
        return spike


def _shortest(shape: Shape, theta: Array, bias: Array) -> Array:
    """Returns both in the shortest form that holds both: one, one a channel, or one a neuron, ``(2, n)``."""
    both = np.stack([np.broadcast_to(a, shape) for a in (theta, bias)]).reshape(2, -1, shape[2])
    if (both != both[:, :1]).any():
        return both.reshape(2, -1)
    return both[:, 0] if (both != both[:, :1, :1]).any() else both[:, 0, :1]


class TorchNetwork(nn.Module):
    """A golden network in its code; takes samples ``(N, *shape)`` and returns read-outs ``(N, n)``.

    Raises:
        ValueError: A projection is no layer of torch, or the network has several inputs or outputs.
    """

    def __init__(self, spiking: Spiking) -> None:
        super().__init__()
        (self.port,), (self.out,) = spiking.network.inputs, spiking.network.outputs
        self.spiking = spiking
        self.graph = spiking.network.graph
        self.code = CODES.get(spiking.coding)
        shapes = {p.name: p.shape for p in self.graph}
        self.edges = [(e.source, e.target) for e in self.graph.edges()]
        kernels = [e.payload.kernel for e in self.graph.edges()]
        self.projections = nn.ModuleList(
            Projection(kernel, shapes[s], shapes[t])
            for kernel, (s, t) in zip(kernels, self.edges, strict=True)
        )
        hidden = [p for p in self.graph if p.role != "input"]
        self.numbers = {p.name: k for k, p in enumerate(hidden)}
        self.neurons = nn.ModuleList(self._neurons(p) for p in hidden)

    def _neurons(self, population: Population) -> Neurons:
        slot = self.spiking.schedule.slots[population.name]
        if self.code is not None:
            return Windowed(self.code, population, slot)
        return Rate(self.spiking.neurons[population.name], population, slot)

    def forward(self, x: Tensor) -> Tensor:
        trains: dict[str, Sequence[Tensor]] = {}
        for population in self.graph:
            if population.role == "input":
                trains[population.name] = self._inputs(population, x)
                continue
            neurons = self.neurons[self.numbers[population.name]]
            neurons.begin()
            trains[population.name] = self._run(neurons, trains)
        last = self.neurons[self.numbers[self.out.node]]
        read = self._read(last, trains[self.out.node])
        return read.flatten(1)[:, torch.tensor(self.out.order)]

    def _read(self, last: Neurons, train: Sequence[Tensor]) -> Tensor:
        """Returns the membranes of the read-out, or the sum of what its spikes stand for."""
        steps = last.slot.steps
        if last.population.sends:
            return sum(s * (self.code.weight(k, steps) if self.code else 1) for k, s in enumerate(train))
        if self.code is not None:
            return last.v
        return (last.v + steps * last.spread("bias")) / 2**last.numbers.shift

    def _inputs(self, population: Population, x: Tensor) -> Sequence[Tensor]:
        steps = self.spiking.schedule.slots[population.name].steps
        flat = x.double().flatten(1)[:, torch.tensor(self.port.order)].reshape(-1, *population.shape)
        offset, scale = torch.tensor(population.offset), torch.tensor(population.scale)
        q = torch.floor((flat - offset) / scale + 0.5).clamp(population.lowest, population.levels)
        if self.code is not None:
            return [self.code.sent(q, k, steps) for k in range(steps)]
        until = [torch.floor((steps // 2 + k * q.abs()) / steps) for k in range(steps + 1)]
        return [q.sign() * (b - a) for a, b in pairwise(until)]

    def _run(self, neurons: Neurons, trains: Mapping[str, Sequence[Tensor]]) -> Sequence[Tensor]:
        """Returns what a population sends in each step of its firing."""
        name, steps = neurons.population.name, neurons.slot.steps
        sources = [k for k, (_, target) in enumerate(self.edges) if target == name]

        def arrive(k: int, step: int) -> None:
            train = trains[self.edges[k][0]]
            weight = self.code.weight(step, len(train)) if self.code else 1
            neurons.integrate(weight * self.projections[k](train[step]))

        if self.code is not None:
            for k in sources:
                for step in range(len(trains[self.edges[k][0]])):
                    arrive(k, step)
            return [neurons(step) for step in range(steps)] if neurons.population.sends else []
        wait = waiting(self.spiking.schedule, name, [self.edges[k][0] for k in sources])
        sent = []
        for step in range(steps + wait):
            for k in sources if step < steps else ():
                arrive(k, step)
            if step >= wait and neurons.population.sends:
                sent.append(neurons(step - wait))
        return sent
