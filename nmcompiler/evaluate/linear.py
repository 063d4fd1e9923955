"""Applies the linear map of an edge to a batch of samples, in the dtype of the samples."""

from __future__ import annotations

from functools import singledispatch

import numpy as np

from nmcompiler.ir.kernels import Array, Conv, Dense, Kernel, Shape, Sparse

__all__ = ["apply", "windows_at"]

_GATHERED = 1 << 21
_CONVERTED = 1 << 22


def apply(kernel: Kernel, source: Array, target_shape: Shape) -> Array:
    """Returns ``kernel(source)`` for ``source`` of shape ``(N, h, w, c)``, as ``(N, *target_shape)``.

    The result is exact for integers held in float64 while every sum stays below 2^53.
    """
    return _apply(kernel, source, target_shape)


@singledispatch
def _apply(kernel: Kernel, source: Array, target_shape: Shape) -> Array:
    raise TypeError(f"no rule to apply a {type(kernel).__name__}")


@_apply.register
def _dense(kernel: Dense, source: Array, target_shape: Shape) -> Array:
    targets, sources = kernel.weight.shape
    flat = source.reshape(len(source), sources)
    result = np.empty((len(source), targets), source.dtype)
    # A layer may have 100 million weights: they are converted some at a time.
    rows = targets if kernel.weight.dtype == source.dtype else max(1, _CONVERTED // max(1, sources))
    for first in range(0, targets, max(1, rows)):
        weight = kernel.weight[first : first + rows].astype(source.dtype, copy=False)
        result[:, first : first + rows] = flat @ weight.T
    return result.reshape(len(source), *target_shape)


@_apply.register
def _sparse(kernel: Sparse, source: Array, target_shape: Shape) -> Array:
    flat = source.reshape(len(source), int(np.prod(source.shape[1:])))
    result = np.zeros((len(source), int(np.prod(target_shape))), source.dtype)
    if kernel.rows.size == 0 or len(source) == 0:
        return result.reshape(len(source), *target_shape)
    order = np.argsort(kernel.rows, kind="stable")
    rows, starts = np.unique(kernel.rows[order], return_index=True)
    weight = kernel.weight[order].astype(source.dtype, copy=False)
    columns = kernel.columns[order]
    for part in _parts(len(source), len(order)):
        products = flat[part][:, columns] * weight
        result[part, rows] = np.add.reduceat(products, starts, axis=1)
    return result.reshape(len(source), *target_shape)


@_apply.register
def _conv(kernel: Conv, source: Array, target_shape: Shape) -> Array:
    h, w, _ = target_shape
    read = slice(kernel.source_channel, kernel.source_channel + kernel.source_channels)
    written = slice(kernel.target_channel, kernel.target_channel + kernel.target_channels)
    weight = kernel.weight.astype(source.dtype, copy=False)
    kh, kw, ci, co = weight.shape
    make = np.empty if co == target_shape[2] else np.zeros
    result = make((len(source), *target_shape), source.dtype)
    for part in _parts(len(source), h * w * kh * kw * kernel.source_channels):
        windows = _windows(kernel, source[part][..., read], h, w)
        if ci == 1 and co == kernel.groups:
            _depthwise(windows, weight[:, :, 0], result[part][..., written])
        else:
            result[part][..., written] = _grouped(windows, weight, kernel.groups)
    return result


def _depthwise(windows: Array, weight: Array, out: Array) -> None:
    """Writes ``(N, h, w, c)`` for windows ``(N, h, w, kh, kw, c)``, tap by tap."""
    np.multiply(windows[:, :, :, 0, 0], weight[0, 0], out=out)
    for ky, kx in list(np.ndindex(*weight.shape[:2]))[1:]:
        out += windows[:, :, :, ky, kx] * weight[ky, kx]


def _grouped(windows: Array, weight: Array, groups: int) -> Array:
    """Returns ``(N, h, w, co)`` for windows ``(N, h, w, kh, kw, c)``, one matrix product per group."""
    kh, kw, ci, co = weight.shape
    per_group = co // groups
    products = []
    for g in range(groups):
        columns = windows[..., g * ci : (g + 1) * ci].reshape(-1, kh * kw * ci)
        rows = weight[..., g * per_group : (g + 1) * per_group].reshape(kh * kw * ci, per_group)
        products.append((columns @ rows).reshape(*windows.shape[:3], per_group))
    return products[0] if groups == 1 else np.concatenate(products, axis=-1)


def _parts(samples: int, each: int) -> list[slice]:
    """Cuts samples so that what one part gathers, ``each`` values a sample, stays near the caches."""
    step = max(1, _GATHERED // max(1, each))
    return [slice(start, start + step) for start in range(0, samples, step)]


def windows_at(kernel: Conv, source: Array, sample: Array, y: Array, x: Array) -> Array:
    """Returns what a convolution reads for some of its outputs: ``(rows, kh, kw, channels read)``.

    Args:
        kernel: The convolution.
        source: ``(N, h, w, c)``.
        sample: ``(rows,)`` which sample.
        y: ``(rows,)`` row of the target.
        x: ``(rows,)`` column of the target.
    """
    read = slice(kernel.source_channel, kernel.source_channel + kernel.source_channels)
    view = _windows(kernel, source[..., read], int(y.max(initial=0)) + 1, int(x.max(initial=0)) + 1)
    taken: Array = view[sample, y, x]
    return taken


def _windows(kernel: Conv, source: Array, h: int, w: int) -> Array:
    """Returns a view ``(N, h, w, kh, kw, c)`` of the source, zeros outside."""
    kh, kw = kernel.weight.shape[:2]
    sizes = []
    for length, taps, stride, dilation in ((h, kh, 0, 0), (w, kw, 1, 1)):
        sizes.append((length - 1) * kernel.stride[stride] + (taps - 1) * kernel.dilation[dilation] + 1)
    padded = _padded(source, kernel.padding, (sizes[0], sizes[1]))
    sn, sy, sx, sc = padded.strides
    view: Array = np.lib.stride_tricks.as_strided(
        padded,
        (len(source), h, w, kh, kw, source.shape[-1]),
        (
            sn,
            sy * kernel.stride[0],
            sx * kernel.stride[1],
            sy * kernel.dilation[0],
            sx * kernel.dilation[1],
            sc,
        ),
        writeable=False,
    )
    return view


def _padded(source: Array, padding: tuple[int, int], sizes: tuple[int, int]) -> Array:
    """Returns ``(N, *sizes, c)``: the source behind ``padding`` rows and columns of zeros, cut to size."""
    if padding == (0, 0) and source.shape[1:3] == sizes:
        return source
    padded = np.zeros((len(source), *sizes, source.shape[-1]), source.dtype)
    into, taken = [], []
    for axis in (0, 1):
        start = padding[axis]
        first = max(0, -start)
        last = min(source.shape[axis + 1], sizes[axis] - start)
        into.append(slice(first + start, max(first, last) + start))
        taken.append(slice(first, max(first, last)))
    padded[:, into[0], into[1]] = source[:, taken[0], taken[1]]
    return padded
