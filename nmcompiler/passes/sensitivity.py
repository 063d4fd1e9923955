"""How much an error of each value of each layer matters to the network's outputs.

A quantised value is off by an error that its neighbours hardly share. Independent errors of variance
``v_i`` make, through ``y = act(W·x + b)``, errors of variance ``act'(·)²·Σ_i W_oi²·v_i``: the square of the
gradient, without the terms of pairs. From the outputs backwards,

    S_i = Σ_o W_oi²·act'_o²·S_o,

``S = 1`` at the outputs, says what a squared error of each value of each sample adds to the squared error of
the outputs: nothing where a ReLU hides it, much in the quiet places that later layers listen to. It is the
diagonal of the Gauss-Newton matrix of the outputs as it is propagated by LeCun, Denker and Solla, "Optimal
brain damage", 1990; that reconstruction errors are to be weighted so is in Li et al., "BRECQ: pushing the
limit of post-training quantization by block reconstruction", 2021.

Cut-off values are off in company, though: all over a map to the same side, and what averages the map averages
rounding away, but not them. To first order, the errors ``e_p`` of one channel make an output ``o`` wrong by
``Σ_p g_op·e_p``, g being the gradient. The sum of the squares over the outputs is the mean of
``(Σ_p (Σ_o r_o·g_op)·e_p)²`` over random signs r: a few gradients of random sums of the outputs tell it
(Hutchinson, "A stochastic estimator of the trace of the influence matrix", 1990).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np

from nmcompiler.evaluate.float import activate, preactivation
from nmcompiler.evaluate.linear import apply
from nmcompiler.ir.kernels import Array, Conv, Dense, Kernel, Shape, Sparse
from nmcompiler.ir.layers import Layer, MaxPool, Model

__all__ = ["gradients", "sensitivities", "spread_back"]

_CHUNK = 32  # samples that go through the network at a time
_MOST_VALUES = 1 << 27  # of all layers and samples together
_SUMS = 4  # random sums of the outputs
_LEAST = 0.05  # what any error counts for at least, as a share of the mean of its channel


def sensitivities(model: Model, samples: Mapping[str, Array]) -> dict[str, Array]:
    """Returns ``(N, h, w, c)`` float32 for each layer that another reads, by name; channels have mean 1.05.

    Of a layer with a max pool, they are those of its pooled values. Empty where they would be too many to
    hold: then all errors count alike.

    Args:
        model: The layer graph.
        samples: ``(N, h, w, c)`` by input layer.
    """
    found = _gathered(model, samples, 1, None)
    for name, value in found.items():
        value = found[name] = value[0]
        mean = value.mean(axis=(0, 1, 2), dtype=np.float64)
        value /= np.where(mean > 0, mean, 1).astype(np.float32)
        value += np.float32(_LEAST) + (mean == 0)
    return found


def gradients(model: Model, samples: Mapping[str, Array]) -> dict[str, Array]:
    """Returns ``(k, N, h, w, c)`` float32 for each layer that another reads, by name.

    They are the gradients of k sums of the outputs, each with random signs, of root mean square 1 before.
    Of a layer with a max pool, they are those of its pooled values. k is 4, less where those would be too
    many to hold; empty where one is.

    Args:
        model: The layer graph.
        samples: ``(N, h, w, c)`` by input layer.
    """
    return _gathered(model, samples, _SUMS, np.random.default_rng(0))


def _gathered(
    model: Model, samples: Mapping[str, Array], sums: int, signs: np.random.Generator | None
) -> dict[str, Array]:
    """Returns what is propagated, ``(at most sums, N, h, w, c)`` by layer, from all samples."""
    count = len(next(iter(samples.values()), ()))
    read = [layer for layer in model.graph if not layer.is_input and model.graph.out_edges(layer.name)]
    sums = min(sums, _MOST_VALUES // max(count * sum(prod(layer.shape) for layer in read), 1))
    if not count or not sums:
        return {}
    found = {layer.name: np.zeros((sums, count, *layer.shape), np.float32) for layer in read}
    chunks = [slice(first, first + _CHUNK) for first in range(0, count, _CHUNK)]
    turns = list(product(range(sums), chunks))
    drawn = {
        (turn, part.start): _signs(model, min(_CHUNK, count - part.start), signs) for turn, part in turns
    }
    for part in chunks:
        forward = _forward(model, {key: x[part] for key, x in samples.items()})
        some = [drawn[turn, part.start] for turn in range(sums)]
        for name, values in _propagated(model, forward, some):
            if name in found:
                found[name][:, part] = values
    return found


def _signs(model: Model, count: int, rng: np.random.Generator | None) -> dict[str, Array] | None:
    """Returns random signs ``(count, h, w, c)`` for the outputs by layer; None where none are drawn."""
    if rng is None:
        return None
    ports = (port.node for port in model.outputs)
    return {name: rng.choice([-1, 1], (count, *model.graph.node(name).shape)) for name in ports}


@dataclass(frozen=True, eq=False)
class _Forward:
    """Values and sums ``(N, h, w, c)`` of all layers on some samples, by name."""

    values: dict[str, Array]
    sums: dict[str, Array]


def _forward(model: Model, samples: Mapping[str, Array]) -> _Forward:
    values, sums = dict(samples), {}
    for layer in model.graph:
        if not layer.is_input:
            sums[layer.name] = preactivation(model.graph, layer.name, values)
            values[layer.name] = activate(layer, sums[layer.name])
    return _Forward(values, sums)


def _propagated(
    model: Model, forward: _Forward, signs: Sequence[Mapping[str, Array] | None]
) -> Iterator[tuple[str, list[Array]]]:
    """Yields each layer that the outputs depend on, the last first, and its S for each of the signs.

    With signs, S are gradients of the sum that has them. All go back together, as the weights of a layer, of
    which there may be 100 million, are made ready once.
    """
    found = [_at_outputs(model, forward.values, some) for some in signs]
    for layer in reversed(list(model.graph)):
        name = layer.name
        if layer.is_input or name not in found[0]:
            continue
        here = [each.pop(name) for each in found]
        yield name, here
        before = [_through_activation(layer, forward.sums[name], forward.values[name], s) for s in here]
        for edge in model.graph.in_edges(name):
            source = model.graph.node(edge.source)
            if source.is_input:
                continue
            kernel = edge.payload.kernel
            weight = _weights_back(kernel, squared=signs[0] is None)
            for each, some in zip(found, before, strict=True):
                back = _spread(kernel, weight, some, source.shape)
                each[edge.source] = each[edge.source] + back if edge.source in each else back


def _at_outputs(
    model: Model, values: Mapping[str, Array], signs: Mapping[str, Array] | None
) -> dict[str, Array]:
    """Returns S of the outputs by layer: outputs of different units count alike."""
    found = {}
    for port in model.outputs:
        size = float(np.square(values[port.node], dtype=np.float64).mean()) or 1.0
        found[port.node] = np.full(values[port.node].shape, 1 / size, np.float32)
        if signs is not None:
            found[port.node] = (signs[port.node] / np.sqrt(size)).astype(np.float32)
    return found


def _through_activation(layer: Layer, sums: Array, values: Array, found: Array) -> Array:
    """Returns S of a layer's sums from S of its values."""
    clip = layer.activation
    if layer.max_pool is not None:
        found = _unpooled(layer.max_pool, np.clip(sums, clip.lower, clip.upper), values, found)
    kept: Array = found * ((sums > clip.lower) & (sums < clip.upper))
    return kept


def _unpooled(pool: MaxPool, fine: Array, pooled: Array, found: Array) -> Array:
    """Returns S before a max pool: what is a maximum takes that of the maximum."""
    n, h, w, c = fine.shape
    oh, ow = pooled.shape[1:3]
    py, px = pool.padding
    rows = max(h + py, (oh - 1) * pool.stride[0] + (pool.size[0] - 1) * pool.dilation[0] + 1)
    columns = max(w + px, (ow - 1) * pool.stride[1] + (pool.size[1] - 1) * pool.dilation[1] + 1)
    padded = np.full((n, rows, columns, c), -np.inf, fine.dtype)
    padded[:, py : py + h, px : px + w] = fine
    result = np.zeros(padded.shape, np.float32)
    for ky, kx in np.ndindex(*pool.size):
        y, x = ky * pool.dilation[0], kx * pool.dilation[1]
        sy, sx = pool.stride
        taken = np.s_[:, y : y + (oh - 1) * sy + 1 : sy, x : x + (ow - 1) * sx + 1 : sx]
        result[taken] += found * (padded[taken] == pooled)
    before: Array = result[:, py : py + h, px : px + w]
    return before


def spread_back(kernel: Kernel, found: Array, source: Shape, *, squared: bool = True) -> Array:
    """Returns ``Σ_o W_oi²·S_o`` of ``S`` ``(N, h, w, c)`` of a kernel's targets, ``(N, *source)`` float32.

    Gradients go back by the weights themselves, not ``squared``.
    """
    return _spread(kernel, _weights_back(kernel, squared=squared), found, source)


def _weights_back(kernel: Kernel, *, squared: bool) -> Array:
    weight = np.square(kernel.weight) if squared else kernel.weight
    return weight.astype(np.float32, copy=False)


def _spread(kernel: Kernel, weight: Array, found: Array, source: Shape) -> Array:
    if isinstance(kernel, Sparse):
        return apply(Sparse(kernel.columns, kernel.rows, weight), found, source)
    if isinstance(kernel, Dense):
        back: Array = found.reshape(len(found), -1) @ weight
        return back.reshape(len(found), *source)
    return _spread_conv(kernel, weight, found, source)


def _spread_conv(kernel: Conv, weights: Array, found: Array, source: Shape) -> Array:
    kh, kw, ci, co = weights.shape
    n, oh, ow, _ = found.shape
    written = found[..., kernel.target_channel : kernel.target_channel + co]
    grouped = written.reshape(n * oh * ow, kernel.groups, -1).transpose(1, 0, 2)
    starts, sizes = [], []
    for axis, taps, outputs in ((0, kh, oh), (1, kw, ow)):
        before = max(0, kernel.padding[axis])
        last = (outputs - 1) * kernel.stride[axis] + (taps - 1) * kernel.dilation[axis] - kernel.padding[axis]
        starts.append(before)
        sizes.append(before + max(source[axis], last + 1))
    result = np.zeros((n, *sizes, source[2]), np.float32)
    read = slice(kernel.source_channel, kernel.source_channel + kernel.source_channels)
    for ky, kx in np.ndindex(kh, kw):
        weight = weights[ky, kx].reshape(ci, kernel.groups, -1).transpose(1, 2, 0)
        part = (grouped @ weight).transpose(1, 0, 2).reshape(n, oh, ow, -1)
        y = starts[0] + ky * kernel.dilation[0] - kernel.padding[0]
        x = starts[1] + kx * kernel.dilation[1] - kernel.padding[1]
        sy, sx = kernel.stride
        result[:, y : y + (oh - 1) * sy + 1 : sy, x : x + (ow - 1) * sx + 1 : sx, read] += part
    inside: Array = result[:, starts[0] : starts[0] + source[0], starts[1] : starts[1] + source[1]]
    return inside
