"""Random integer networks for tests: small, over every kind of kernel, with activations that matter.

Thresholds and biases are chosen by running random inputs through the network, so that values lie between
their bounds and an error of one in an accumulator shows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from nmcompiler.evaluate.linear import apply
from nmcompiler.ir.graph import Graph
from nmcompiler.ir.kernels import Array, Conv, Dense, Kernel, Shape, Sparse, elementwise
from nmcompiler.ir.layers import InputPort, OutputPort
from nmcompiler.ir.network import Network, Population, PopulationGraph, Projection, Role

__all__ = ["Builder", "Term", "evaluate_naively", "inner_share", "random_network", "random_samples"]

Term: TypeAlias = tuple[str, Kernel]

_LEVELS = (1, 2, 3, 5, 7, 10, 15, 31)
_PROBES = 12
_INNER_SHARE = 0.3
_MAX_SIDE = 7


def random_network(
    seed: int, *, levels: int | None = None, output_levels: int = 0, input_levels: int | None = None
) -> Network:
    """Returns a random integer network; equal seeds give equal networks.

    At least 30 % of its activations on random inputs lie strictly between their bounds (populations of
    L = 1 without sign, which have nothing between, are not counted).

    Args:
        seed: Any whole number.
        levels: L of every hidden population; None draws one for each.
        output_levels: L of the read-outs, which then send their values; 0 leaves them their accumulators.
        input_levels: Largest L of the inputs; None sets no limit.
    """
    for attempt in range(100):
        builder = Builder(np.random.default_rng([seed, attempt]), levels, output_levels=output_levels)
        _grow(builder, input_levels)
        if builder.inner_share() >= _INNER_SHARE:
            return builder.network(f"random-{seed}")
    raise RuntimeError(f"no network with enough inner activations for seed {seed} and levels {levels}")


def random_samples(network: Network, seed: int, count: int) -> dict[str, Array]:
    """Returns samples for every input port, each ``(count, *port.shape)`` float64.

    The values lie on the input's grid plus a fraction below one half. The first sample is full-scale, the
    second the lowest values, the third mixes both; the rest spreads over the full range, some of it beyond.
    """
    rng = np.random.default_rng([seed, 1])
    samples = {}
    for port in network.inputs:
        population = network.graph.node(port.node)
        q = _spread(rng, population, count) + rng.uniform(-0.4, 0.4, (count, *population.shape))
        values = population.scale * q + population.offset
        flat = np.zeros((count, int(np.prod(port.shape))))
        flat[:, port.order] = values.reshape(count, -1)
        samples[port.name] = flat.reshape(count, *port.shape)
    return samples


def evaluate_naively(network: Network, inputs: dict[str, Array]) -> dict[str, Array]:
    """Returns the values of every population, ``(N, h, w, c)`` int64; without levels, accumulators.

    ``inputs`` holds the integers of the input populations, by name.
    """
    values: dict[str, Array] = {}
    for population in network.graph:
        if population.role == "input":
            values[population.name] = inputs[population.name]
            continue
        terms = [(e.source, e.payload.kernel) for e in network.graph.in_edges(population.name)]
        accumulator = _accumulate(terms, values, population.shape) + population.bias
        values[population.name] = _quantise(population, accumulator) if population.sends else accumulator
    return values


def inner_share(network: Network, values: dict[str, Array]) -> float:
    """Returns the share of hidden activations that lie strictly between their bounds."""
    inner = total = 0
    for population in network.graph:
        if population.role == "hidden" and population.levels - population.lowest > 1:
            q = values[population.name]
            inner += int(np.count_nonzero((q > population.lowest) & (q < population.levels)))
            total += q.size
    return inner / total if total else 1.0


def _accumulate(terms: Sequence[Term], values: dict[str, Array], shape: Shape) -> Array:
    count = len(next(iter(values.values())))
    total = np.zeros((count, *shape), np.int64)
    for source, kernel in terms:
        total += apply(kernel, values[source], shape)
    return total


def _quantise(population: Population, accumulator: Array) -> Array:
    q = (accumulator + population.theta // 2) // population.theta
    result: Array = np.clip(q, population.lowest, population.levels)
    return result


def _spread(rng: np.random.Generator, population: Population, count: int) -> Array:
    """Returns integers over the full range; the first three samples are the extremes."""
    low, high = population.lowest, population.levels
    q = rng.integers(low, high + 1, (count, *population.shape))
    sparse = rng.random((count, *population.shape)) < rng.random((count, 1, 1, 1)) * 0.5
    q = np.where(sparse, 0, q)
    extremes = [
        np.full(population.shape, high),
        np.full(population.shape, low),
        rng.choice([low, high + 1], population.shape),
    ]
    for i, extreme in enumerate(extremes[:count]):
        q[i] = extreme
    return q


@dataclass
class Builder:
    """Grows a network, population by population, with the values that random inputs give it.

    Attributes:
        rng: Source of every choice.
        levels: L of every hidden population, or None.
        unit_theta: Share of populations whose threshold is 1 whatever arrives.
        output_levels: L of the read-outs; 0 where they are read from membranes.
        graph: What has grown so far.
        values: ``(N, h, w, c)`` of every population so far.
    """

    rng: np.random.Generator
    levels: int | None = None
    unit_theta: float = 0.08
    output_levels: int = 0
    graph: PopulationGraph = field(default_factory=Graph)
    values: dict[str, Array] = field(default_factory=dict)

    def input(self, shape: Shape, levels: int, signed: bool) -> str:
        """Adds an input population and returns its name."""
        name = f"input{len(self.graph)}"
        channels = shape[2]
        offset = np.zeros(channels) if self.rng.random() < 0.6 else self.rng.normal(0, 0.3, channels)
        population = Population(
            name=name,
            shape=shape,
            role="input",
            bias=np.zeros((1, 1, 1), np.int64),
            theta=np.ones((1, 1, 1), np.int64),
            levels=levels,
            signed=signed,
            scale=self.rng.uniform(0.5, 1.5, channels) / levels,
            offset=offset,
            op="Input",
        )
        self.graph.add(population)
        self.values[name] = np.clip(_spread(self.rng, population, _PROBES), population.lowest, levels)
        return name

    def hidden(
        self,
        shape: Shape,
        terms: Sequence[Term],
        op: str,
        *,
        levels: int | None = None,
        signed: bool | None = None,
        theta: Array | None = None,
        bias: Array | None = None,
    ) -> str:
        """Adds a population that sums ``terms`` and returns its name; what is None is drawn."""
        rng = self.rng
        if levels is None:
            levels = self.levels if self.levels is not None else int(rng.choice(_LEVELS))
        if signed is None:
            signed = bool(rng.random() < 0.3)
        accumulator = _accumulate(terms, self.values, shape)
        if bias is None:
            bias = self._bias(accumulator, signed)
        if theta is None:
            theta = self._theta(accumulator + bias, levels, signed)
        population = self._population(f"p{len(self.graph)}", shape, "hidden", bias, theta, levels, signed, op)
        self.values[population.name] = _quantise(population, accumulator + bias)
        self._connect(population, terms)
        return population.name

    def readout(self, shape: Shape, terms: Sequence[Term]) -> str:
        """Adds a read-out and returns its name."""
        bias = self.rng.integers(-50, 51, (1, 1, shape[2]))
        theta = np.ones((1, 1, 1), np.int64)
        accumulator = _accumulate(terms, self.values, shape) + bias
        levels, signed = self.output_levels, False
        if levels:
            signed = bool(self.rng.random() < 0.8)
            theta = self._theta(accumulator, levels, signed)
        name = f"out{len(self.graph)}"
        population = self._population(name, shape, "readout", bias, theta, levels, signed, "Gemm")
        self.values[name] = _quantise(population, accumulator) if levels else accumulator
        self._connect(population, terms)
        return population.name

    def network(self, name: str) -> Network:
        """Returns the network, with one port for every input and every read-out."""
        inputs, outputs = [], []
        for population in self.graph:
            height, width, channels = population.shape
            flat = np.arange(population.size).reshape(channels, height, width).transpose(1, 2, 0).ravel()
            vector = (height, width) == (1, 1)
            shape = (channels,) if vector else (channels, height, width)
            if population.role == "input":
                inputs.append(InputPort(f"x_{population.name}", shape, population.name, flat))
            elif population.role == "readout":
                order = np.argsort(flat)
                outputs.append(OutputPort(f"y_{population.name}", shape, population.name, order))
        return Network(name, self.graph, tuple(inputs), tuple(outputs))

    def inner_share(self) -> float:
        """Returns the share of activations strictly between their bounds."""
        return inner_share(Network("", self.graph, (), ()), self.values)

    def shape(self, name: str) -> Shape:
        """Returns the shape of a population."""
        return self.graph.node(name).shape

    def names(self) -> list[str]:
        """Returns the populations so far, in the order of adding."""
        return list(self.values)

    def _connect(self, population: Population, terms: Sequence[Term]) -> None:
        self.graph.add(population)
        for slot, (source, kernel) in enumerate(terms):
            self.graph.connect(source, population.name, Projection(kernel, slot))

    def _population(
        self,
        name: str,
        shape: Shape,
        role: Role,
        bias: Array,
        theta: Array,
        levels: int,
        signed: bool,
        op: str,
    ) -> Population:
        one, zero = np.ones(shape[2]), np.zeros(shape[2])
        scale = one * float(self.rng.uniform(0.1, 1)) if role == "readout" else one
        return Population(
            name, shape, role, bias.astype(np.int64), theta.astype(np.int64), levels, signed, scale, zero, op
        )

    def _bias(self, accumulator: Array, signed: bool) -> Array:
        """Draws a bias that moves the accumulators into the active range: one, per channel or per neuron.

        Now and then single channels get one that dominates everything that can arrive.
        """
        rng = self.rng
        axes = ((0, 1, 2, 3), (0, 1, 2), (0,))[int(rng.choice(3, p=(0.25, 0.5, 0.25)))]
        quantile = 0.5 if signed else rng.uniform(0.1, 0.4)
        bias = -np.quantile(accumulator, quantile, axis=axes, keepdims=True)[0].round().astype(np.int64)
        if bias.shape[2] > 2 and rng.random() < 0.3:
            sign = int(rng.choice((-1, 1)))
            bias[..., 0] += sign * (2 * int(np.abs(accumulator).max()) + 3)
        jitter = max(1, int(np.abs(accumulator).max()) // 16)
        drawn: Array = bias + rng.integers(-jitter, jitter + 1, bias.shape)
        return drawn

    def _theta(self, accumulator: Array, levels: int, signed: bool) -> Array:
        """Draws thresholds that spread the accumulators over the levels: one, per channel or per neuron."""
        rng = self.rng
        shape = accumulator.shape[1:]
        form = ((1, 1, 1), (1, 1, shape[2]), shape)[int(rng.choice(3, p=(0.2, 0.6, 0.2)))]
        reach = np.quantile(np.abs(accumulator) if signed else np.maximum(accumulator, 0), 0.9)
        if rng.random() < self.unit_theta:
            return np.ones(form, np.int64)
        drawn: Array = np.maximum(1, (reach / (levels + 0.5) * rng.uniform(0.8, 1.3, form)).round())
        return drawn.astype(np.int64)


# --- kernels --------------------------------------------------------------------------------------------


def _weights(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Draws weights of at most 8 bits, a few of them zero, a few at the limit."""
    bound = int(rng.choice((1, 3, 15, 127), p=(0.1, 0.3, 0.4, 0.2)))
    weight = rng.integers(-bound, bound + 1, shape)
    drawn: Array = np.where(rng.random(shape) < 0.1, 0, weight).astype(np.int64)
    return drawn


def _extent(rng: np.random.Generator, length: int) -> tuple[int, int, int, int, int]:
    """Draws ``(taps, stride, padding, dilation, result length)`` for one axis."""
    for _ in range(20):
        taps, stride = int(rng.integers(1, 4)), int(rng.choice((1, 1, 2, 3)))
        dilation = int(rng.choice((1, 1, 2)))
        span = dilation * (taps - 1) + 1
        before, after = (int(v) for v in rng.integers(-1 if length > 4 else 0, span, 2))
        result = (length + before + after - span) // stride + 1
        if 1 <= result <= _MAX_SIDE:
            return taps, stride, before, dilation, result
    return 1, 1, 0, 1, length


def _random_conv(rng: np.random.Generator, shape: Shape, channels: int, groups: int) -> tuple[Conv, Shape]:
    """Draws a convolution of a whole population; ``groups`` divides both channel counts."""
    rows, columns = _extent(rng, shape[0]), _extent(rng, shape[1])
    weight = _weights(rng, (rows[0], columns[0], shape[2] // groups, channels))
    kernel = Conv(weight, (rows[1], columns[1]), (rows[2], columns[2]), (rows[3], columns[3]), groups)
    return kernel, (rows[4], columns[4], channels)


def _random_sparse(rng: np.random.Generator, source: Shape, target: Shape, per_target: int) -> Sparse:
    """Draws about ``per_target`` synapses for every target; some pairs occur twice."""
    n_source, n_target = int(np.prod(source)), int(np.prod(target))
    count = n_target * per_target
    rows = np.concatenate([np.arange(n_target), rng.integers(0, n_target, count - n_target)])
    return Sparse(rows, rng.integers(0, n_source, count), _weights(rng, (count,)))


def _random_dense(rng: np.random.Generator, source: Shape, target: Shape) -> Dense:
    return Dense(_weights(rng, (int(np.prod(target)), int(np.prod(source)))))


def _link(rng: np.random.Generator, source: Shape, target: Shape) -> Kernel:
    """Draws a map from one shape to another: 1×1 convolution where positions match, else scattered."""
    steps = [s // t if s % t == 0 else 0 for s, t in zip(source[:2], target[:2], strict=True)]
    if 0 in steps:
        return _random_sparse(rng, source, target, 2)
    return Conv(_weights(rng, (1, 1, source[2], target[2])), (steps[0], steps[1]))


# --- growth ---------------------------------------------------------------------------------------------


def _grow(builder: Builder, input_levels: int | None) -> None:
    rng = builder.rng
    for _ in range(1 + int(rng.random() < 0.15)):
        side = (int(rng.integers(3, _MAX_SIDE + 1)), int(rng.integers(1, _MAX_SIDE + 1)))
        shape = (*side, int(rng.integers(1, 4))) if rng.random() < 0.85 else (1, 1, int(rng.integers(4, 20)))
        levels = 255 if rng.random() < 0.6 else int(rng.choice((1, 3, 10, 15)))
        levels = min(levels, input_levels or levels)
        builder.input(shape, levels, bool(rng.random() < 0.3))
    steps = list(_STEPS)
    for _ in range(int(rng.integers(2, 7))):
        steps[int(rng.integers(len(steps)))](builder)
    for _ in range(1 + int(rng.random() < 0.15)):
        _read(builder)


def _recent(builder: Builder) -> str:
    """Returns one of the newest populations, most often the last."""
    names = builder.names()
    return names[-1 - int(min(builder.rng.geometric(0.7) - 1, len(names) - 1))]


def _convolution(builder: Builder) -> None:
    source = _recent(builder)
    kernel, shape = _random_conv(builder.rng, builder.shape(source), int(builder.rng.integers(1, 7)), 1)
    builder.hidden(shape, [(source, kernel)], "Conv")


def _grouped(builder: Builder) -> None:
    source = _recent(builder)
    channels = builder.shape(source)[2]
    groups = int(builder.rng.choice([g for g in range(1, channels + 1) if channels % g == 0]))
    kernel, shape = _random_conv(
        builder.rng, builder.shape(source), groups * int(builder.rng.integers(1, 3)), groups
    )
    builder.hidden(shape, [(source, kernel)], "Conv")


def _depthwise(builder: Builder) -> None:
    source = _recent(builder)
    channels = builder.shape(source)[2]
    kernel, shape = _random_conv(builder.rng, builder.shape(source), channels, channels)
    builder.hidden(shape, [(source, kernel)], "Conv")


def _concat(builder: Builder) -> None:
    """Two convolutions write neighbouring channels; one of them reads a slice of the source's."""
    rng = builder.rng
    source = _recent(builder)
    height, width, channels = builder.shape(source)
    first = int(rng.integers(1, 4))
    taken = int(rng.integers(1, channels + 1))
    start = int(rng.integers(0, channels - taken + 1))
    side = Conv(_weights(rng, (3, 3, channels, first)), padding=(1, 1))
    other = Conv(_weights(rng, (1, 1, taken, 2)), source_channel=start, target_channel=first)
    builder.hidden((height, width, first + 2), [(source, side), (source, other)], "Concat")


def _join(builder: Builder) -> None:
    """A convolution of the newest population and a skip from anywhere before."""
    rng = builder.rng
    source = _recent(builder)
    kernel, shape = _random_conv(rng, builder.shape(source), int(rng.integers(1, 5)), 1)
    skip = builder.names()[int(rng.integers(len(builder.names())))]
    builder.hidden(shape, [(source, kernel), (skip, _link(rng, builder.shape(skip), shape))], "Add")


def _doubled(builder: Builder) -> None:
    """Add(x, x), each operand with a weight of its own for every channel."""
    source = _recent(builder)
    shape = builder.shape(source)
    terms = [(source, elementwise(np.minimum(_weights(builder.rng, (shape[2],)) + 2, 127))) for _ in range(2)]
    builder.hidden(shape, terms, "Add")


def _scattered(builder: Builder) -> None:
    source = _recent(builder)
    shape = (1, 1, int(builder.rng.integers(3, 20)))
    builder.hidden(shape, [(source, _random_sparse(builder.rng, builder.shape(source), shape, 6))], "Gather")


def _max_tree(builder: Builder) -> None:
    """A convolution of the 2×2 (or 1×2) maximum, max(a, b) = b + relu(a − b)."""
    rng = builder.rng
    candidates = [
        n
        for n in builder.names()
        if not builder.graph.node(n).signed
        and builder.shape(n)[1] % 2 == 0
        and builder.levels in (None, builder.graph.node(n).levels)
    ]
    if not candidates:
        _convolution(builder)
        return
    source = candidates[-1]
    height, width, channels = builder.shape(source)
    levels = builder.graph.node(source).levels
    zero, one = np.zeros((1, 1, 1), np.int64), np.ones((1, 1, 1), np.int64)

    def relu(shape: Shape, terms: list[Term]) -> str:
        return builder.hidden(shape, terms, "MaxPool", levels=levels, signed=False, theta=one, bias=zero)

    pair = np.array([1, -1])
    across = np.broadcast_to(pair[None, :, None, None], (1, 2, 1, channels)).copy()
    columns = relu((height, width // 2, channels), [(source, Conv(across, (1, 2), groups=channels))])
    weight = _weights(rng, (1, 1, channels, int(rng.integers(1, 5))))
    if height % 2:
        shape = (height, width // 2, weight.shape[3])
        builder.hidden(shape, [(source, Conv(weight, (1, 2), (0, -1))), (columns, Conv(weight))], "Conv")
        return
    down = np.broadcast_to(pair[:, None, None, None], (2, 1, 1, channels)).copy()
    rows = relu(
        (height // 2, width // 2, channels),
        [
            (source, Conv(down, (2, 2), (0, -1), groups=channels)),
            (columns, Conv(down, (2, 1), groups=channels)),
        ],
    )
    terms: list[Term] = [
        (source, Conv(weight, (2, 2), (-1, -1))),
        (columns, Conv(weight, (2, 1), (-1, 0))),
        (rows, Conv(weight)),
    ]
    builder.hidden((height // 2, width // 2, weight.shape[3]), terms, "Conv")


def _full(builder: Builder) -> None:
    source = _recent(builder)
    shape = (1, 1, int(builder.rng.integers(3, 16)))
    builder.hidden(shape, [(source, _random_dense(builder.rng, builder.shape(source), shape))], "Gemm")


def _read(builder: Builder) -> None:
    rng = builder.rng
    hidden = [n for n in builder.names() if builder.graph.node(n).role == "hidden"]
    source = hidden[-1]
    shape = (1, 1, int(rng.integers(2, 11)))
    terms: list[Term] = [(source, _random_dense(rng, builder.shape(source), shape))]
    if rng.random() < 0.3:
        skip = hidden[int(rng.integers(len(hidden)))]
        terms.append((skip, _random_sparse(rng, builder.shape(skip), shape, 3)))
    builder.readout(shape, terms)


_STEPS: tuple[Callable[[Builder], None], ...] = (
    _convolution,
    _convolution,
    _grouped,
    _depthwise,
    _concat,
    _join,
    _join,
    _doubled,
    _scattered,
    _max_tree,
    _full,
)
