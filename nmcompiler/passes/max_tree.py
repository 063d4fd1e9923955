"""Max pooling in integers: ``max(a, b) = b + relu(a − b)``, as a tree of populations.

A pool over n positions takes n − 1 neurons and ⌈log2 n⌉ populations. Its result is no population but a sum
of terms, ``base + r₁ + r₂ + …``; whoever reads the pool reads every term.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from nmcompiler.ir.kernels import Array, Conv, Kernel, Shape, Sparse, elementwise
from nmcompiler.ir.layers import MaxPool
from nmcompiler.ir.network import Population, PopulationGraph, Projection
from nmcompiler.passes.kernel_algebra import add_sparse, compose, scale_targets, to_sparse

__all__ = ["Term", "Values", "joined", "max_tree", "read"]


@dataclass(frozen=True)
class Term:
    """A part of a value: a linear map of a population, None for the population as it is."""

    population: str
    kernel: Kernel | None = None


@dataclass(frozen=True, eq=False)
class Values:
    """Integer values that are the sum of some terms.

    Attributes:
        terms: What adds up to the values.
        shape: ``(height, width, channels)``.
        levels: Largest magnitude.
        signed: Whether values can be negative.
        scale: ``(c,)`` real value of one unit.
        offset: ``(c,)`` real value of 0.
    """

    terms: tuple[Term, ...]
    shape: Shape
    levels: int
    signed: bool
    scale: Array
    offset: Array


def read(graph: PopulationGraph, kernel: Kernel, values: Values, target: Shape) -> list[tuple[str, Kernel]]:
    """Returns the kernels, by source population, that together compute ``kernel(values)``.

    Where a term cannot be read through its kernel, a population that copies the term is added and read.
    """
    result = []
    for term in values.terms:
        made: Kernel | None = kernel
        name = term.population
        if term.kernel is not None:
            made = compose(kernel, term.kernel, graph.node(name).shape, values.shape, target)
        if made is None:
            name, made = _copied(graph, term, values), kernel
        if made.weight.size:
            result.append((name, made))
    return result


def _copied(graph: PopulationGraph, term: Term, values: Values) -> str:
    """Returns the population that copies a term; it is added for the first reader that needs it."""
    source = graph.node(term.population)
    if term.kernel is None:
        return source.name
    name = f"{source.name}.copy"
    while name in graph:
        if graph.in_edges(name)[0].payload.kernel is term.kernel:
            return name
        name += "_"
    graph.add(
        Population(
            name=name,
            shape=values.shape,
            role="hidden",
            bias=np.zeros((1, 1, 1), np.int64),
            theta=np.ones((1, 1, 1), np.int64),
            levels=source.levels,
            signed=source.signed,
            scale=values.scale,
            offset=np.zeros(values.shape[2]),
            op="MaxPool",
            origin=source.origin,
        )
    )
    graph.connect(source.name, name, Projection(term.kernel))
    return name


def joined(graph: PopulationGraph, name: str, values: Values, origin: tuple[str, ...]) -> Values:
    """Adds a population that holds a pooled value, the sum of its terms, and returns it as the one term."""
    if len(values.terms) == 1 and values.terms[0].kernel is None:
        return values
    copy = Population(
        name=f"{name}.max",
        shape=values.shape,
        role="hidden",
        bias=np.zeros((1, 1, 1), np.int64),
        theta=np.ones((1, 1, 1), np.int64),
        levels=values.levels,
        signed=values.signed,
        scale=values.scale,
        offset=np.zeros(values.shape[2]),
        op="MaxPool",
        origin=origin,
    )
    whole = elementwise(np.ones(values.shape[2], np.int64))
    parts = read(graph, whole, values, values.shape)
    graph.add(copy)
    for source, kernel in parts:
        graph.connect(source, copy.name, Projection(kernel))
    return replace(values, terms=(Term(copy.name),))


def max_tree(
    graph: PopulationGraph, name: str, values: Values, pool: MaxPool, shape: Shape, origin: tuple[str, ...]
) -> Values:
    """Adds the populations of a pool to the graph and returns the pooled values.

    Unsigned values may be padded with 0, since 0 is the smallest. Signed ones read an inside position
    instead of an outside one, and the differences take twice the levels.
    """
    picks = _picks(values, pool, shape)
    parts = [[Term(p, k) for p, k in read(graph, pick, values, shape)] for pick in picks]
    level = 0
    while len(parts) > 1:
        level += 1
        pairs = [(parts[i + 1], parts[i]) for i in range(0, len(parts) - 1, 2)]
        blocks = len(pairs)
        relu = Population(
            name=f"{name}.max{level}",
            shape=(shape[0], shape[1], blocks * shape[2]),
            role="hidden",
            bias=np.zeros((1, 1, 1), np.int64),
            theta=np.ones((1, 1, 1), np.int64),
            levels=2 * values.levels if values.signed else values.levels,
            signed=False,
            scale=np.tile(values.scale, blocks),
            offset=np.zeros(blocks * shape[2]),
            op="MaxPool",
            origin=origin,
        )
        graph.add(relu)
        merged = []
        for block, (a, b) in enumerate(pairs):
            for source, kernel in _difference(graph, a, b, shape):
                placed = _into_block(kernel, block, shape, relu.shape)
                graph.connect(source, relu.name, Projection(placed))
            ones = np.ones(shape[2], np.int64)
            merged.append([*b, Term(relu.name, elementwise(ones, source_channel=block * shape[2]))])
        parts = merged + ([parts[-1]] if len(parts) % 2 else [])
    return replace(values, terms=tuple(parts[0]), shape=shape)


def _picks(values: Values, pool: MaxPool, shape: Shape) -> list[Kernel]:
    """Returns one kernel per position of the window, the base of the tree first.

    As base serves a position that lies outside the source in windows beyond the border, where there is
    one: then padded convolutions can read the pool as convolutions.
    """
    base = [_base(values.shape[axis], shape[axis], pool, axis) for axis in (0, 1)]
    taps = sorted(
        product(range(pool.size[0]), range(pool.size[1])),
        key=lambda tap: (abs(tap[0] - base[0]), abs(tap[1] - base[1])),
    )
    ones = np.ones(shape[2], np.int64)
    result: list[Kernel] = []
    for tap in taps:
        y, x = (pool.padding[a] - tap[a] * pool.dilation[a] for a in (0, 1))
        result.append(replace(elementwise(ones), stride=pool.stride, padding=(y, x)))
    if not values.signed:
        return result
    lists = [to_sparse(pick, values.shape, shape) for pick in result]
    size = int(np.prod(shape))
    if all(len(pick.rows) == size for pick in lists):
        return result
    inside = np.full(size, -1, np.int64)
    for pick in reversed(lists):
        inside[pick.rows] = pick.columns
    filled: list[Kernel] = []
    for pick in lists:
        columns = inside.copy()
        columns[pick.rows] = pick.columns
        filled.append(Sparse(np.arange(size), columns, np.ones(size, np.int64)))
    return filled


def _base(length: int, pooled: int, pool: MaxPool, axis: int) -> int:
    def inside(tap: int) -> int:
        offset = tap * pool.dilation[axis] - pool.padding[axis]
        return sum(0 <= t * pool.stride[axis] + offset < length for t in (-1, pooled))

    return min(reversed(range(pool.size[axis])), key=inside)


def _difference(
    graph: PopulationGraph, a: list[Term], b: list[Term], shape: Shape
) -> list[tuple[str, Kernel]]:
    """Returns the kernels of ``a − b``; two picks of one population become one kernel where they can."""
    kernels: dict[str, list[Kernel]] = {}
    for terms, sign in ((a, 1), (b, -1)):
        for term in terms:
            if term.kernel is None:
                raise ValueError("the terms of a pool have kernels")
            signed = scale_targets(term.kernel, np.full(shape[2], sign, np.int64), shape)
            kernels.setdefault(term.population, []).append(signed)
    result = []
    for source, found in kernels.items():
        for joined in _joined(found, graph.node(source).shape, shape):
            result.append((source, joined))
    return result


def _joined(kernels: list[Kernel], source: Shape, target: Shape) -> list[Kernel]:
    if any(isinstance(kernel, Sparse) for kernel in kernels):
        total = to_sparse(kernels[0], source, target)
        for kernel in kernels[1:]:
            total = add_sparse(total, to_sparse(kernel, source, target))
        return [total]
    if len(kernels) == 2 and isinstance(kernels[0], Conv) and isinstance(kernels[1], Conv):
        two = _two_taps(kernels[0], kernels[1])
        if two is not None:
            return [two]
    return kernels


def _two_taps(a: Conv, b: Conv) -> Conv | None:
    """Returns two picks in one row or one column as one kernel of two taps."""
    first, second = (a, b) if a.padding > b.padding else (b, a)
    gap = first.padding[0] - second.padding[0], first.padding[1] - second.padding[1]
    alike = a.source_channel == b.source_channel and a.weight.shape == b.weight.shape
    if not alike or a.stride != b.stride or min(gap) != 0 or max(gap) == 0:
        return None
    axis = 0 if gap[0] else 1
    weight = np.concatenate([first.weight, second.weight], axis=axis)
    return replace(first, weight=weight, dilation=(max(gap[0], 1), max(gap[1], 1)))


def _into_block(kernel: Kernel, block: int, shape: Shape, wide: Shape) -> Kernel:
    """Returns the kernel writing the channels of one block of a wider target."""
    if isinstance(kernel, Conv):
        return replace(kernel, target_channel=kernel.target_channel + block * shape[2])
    if isinstance(kernel, Sparse):
        place, channel = np.divmod(kernel.rows, shape[2])
        return replace(kernel, rows=place * wide[2] + block * shape[2] + channel)
    raise ValueError("a pool reads convolutions or lists of synapses")
