"""Linear maps cut into pieces that each read few of its sources."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np

from nmcompiler.ir.kernels import Array, Conv, Dense, Kernel, Shape, Sparse
from nmcompiler.passes.kernel_algebra import as_conv, to_sparse

__all__ = ["pieces", "shares"]


def shares(total: int, most: int, taken: int = 0) -> int:
    """Returns how many of ``total`` inputs a neuron can read itself, where helpers sum up the rest.

    With h helpers of m inputs each and ``taken`` synapses for other ends, ``h·m + (m − taken − h) ≥ total``;
    0 where helpers leave it none.

    Args:
        total: More than ``most − taken``.
        most: m, the synapses of a neuron.
        taken: Synapses that are taken already.
    """
    left = most - taken
    helpers = -(-(total - left) // max(most - 1, 1))
    return max(left - helpers, 0)


def pieces(
    kernel: Kernel, source: Shape, target: Shape, most: int, first: int | None = None
) -> list[list[Kernel]]:
    """Returns kernels in groups that together are the kernel; a group reads at most ``most`` sources.

    A group is several convolutions where it is no box of the kernel's taps and channels. There are as few
    groups as possible, and their sizes differ as little as whole channels allow.

    Args:
        kernel: Dense, convolution or list.
        source: Shape of what it reads.
        target: Shape of what it writes.
        most: At least 1.
        first: Sources of the first group, where it is not to be as large as the others.
    """
    if isinstance(kernel, Dense) and not kernel.pruned:
        kernel = as_conv(kernel, source, target)
    if not isinstance(kernel, Conv) or kernel.pruned:
        listed = to_sparse(kernel, source, target)
        real = listed.weight != 0
        listed = Sparse(listed.rows[real], listed.columns[real], listed.weight[real])
        return [[part] for part in _lists(listed, most, most if first is None else first)]
    height, width, channels, _ = kernel.weight.shape
    taps = height * width
    size = (channels, height, width)
    ahead = min(first or 0, taps * channels)
    bounds = [ahead + bound for bound in _bounds(taps * channels - ahead, most, taps)]
    bounds = bounds if first is None else [0, *bounds]
    return [[_cut(kernel, box) for box in _boxes(low, high, size)] for low, high in pairwise(bounds)]


def _bounds(total: int, most: int, grain: int) -> list[int]:
    """Returns the bounds of as few runs of at most ``most`` as there can be.

    They are multiples of ``grain`` where that takes no more runs.
    """
    count = -(-total // most)
    if not count:
        return [0]
    if total % grain == 0 and grain <= most and -(-(total // grain) // (most // grain)) == count:
        return [total // grain * i // count * grain for i in range(count + 1)]
    return [total * i // count for i in range(count + 1)]


def _boxes(first: int, last: int, size: tuple[int, ...]) -> Iterator[list[tuple[int, int]]]:
    """Yields boxes that together are the run ``[first, last)`` of positions in row-major order."""
    if len(size) == 1:
        yield [(first, last)]
        return
    inner = int(np.prod(size[1:]))
    head, tail = -(-first // inner), last // inner
    if head > tail:  # within one row
        row = first // inner
        for box in _boxes(first - row * inner, last - row * inner, size[1:]):
            yield [(row, row + 1), *box]
        return
    if first < head * inner:
        for box in _boxes(first - (head - 1) * inner, inner, size[1:]):
            yield [(head - 1, head), *box]
    if head < tail:
        yield [(head, tail), *((0, n) for n in size[1:])]
    if tail * inner < last:
        for box in _boxes(0, last - tail * inner, size[1:]):
            yield [(tail, tail + 1), *box]


def _cut(kernel: Conv, box: list[tuple[int, int]]) -> Kernel:
    """Returns the part of a convolution with some of its channels, rows and columns."""
    (c0, c1), (y0, y1), (x0, x1) = box
    padding = tuple(
        p - start * step for p, start, step in zip(kernel.padding, (y0, x0), kernel.dilation, strict=True)
    )
    if kernel.groups == 1:
        return replace(
            kernel,
            weight=np.ascontiguousarray(kernel.weight[y0:y1, x0:x1, c0:c1]),
            padding=(padding[0], padding[1]),
            source_channel=kernel.source_channel + c0,
        )
    part = (c0, c1) != (0, kernel.weight.shape[2])
    if part:  # all groups are read whole: their other channels are no synapses
        weight = np.zeros((y1 - y0, x1 - x0, *kernel.weight.shape[2:]), kernel.weight.dtype)
        weight[:, :, c0:c1] = kernel.weight[y0:y1, x0:x1, c0:c1]
    else:
        weight = np.ascontiguousarray(kernel.weight[y0:y1, x0:x1])
    return replace(kernel, weight=weight, padding=(padding[0], padding[1]), pruned=part)


def _lists(kernel: Sparse, most: int, ahead: int) -> Iterator[Sparse]:
    """Yields the synapses of a list in groups in which no target has more than ``ahead``, then ``most``."""
    order = np.argsort(kernel.rows, kind="stable")
    rows = kernel.rows[order]
    start = np.searchsorted(rows, rows, side="left")
    share = np.maximum((np.arange(len(rows)) - start - ahead) // most + 1, 0)
    for group in range(int(share.max(initial=0)) + 1):
        chosen: Array = order[share == group]
        yield Sparse(kernel.rows[chosen], kernel.columns[chosen], kernel.weight[chosen])
