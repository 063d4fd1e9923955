"""Applies the linear map of an edge to a batch of samples, in the dtype of the samples."""

from __future__ import annotations

from functools import singledispatch

import numpy as np

from nmcompiler.ir.kernels import Array, Conv, Dense, Kernel, Shape, Sparse

__all__ = ["apply"]


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
    weight = kernel.weight.astype(source.dtype, copy=False)
    result: Array = source.reshape(len(source), -1) @ weight.T
    return result.reshape(len(source), *target_shape)


@_apply.register
def _sparse(kernel: Sparse, source: Array, target_shape: Shape) -> Array:
    flat = source.reshape(len(source), -1)
    result = np.zeros((int(np.prod(target_shape)), len(source)), source.dtype)
    weight = kernel.weight.astype(source.dtype, copy=False)
    np.add.at(result, kernel.rows, weight[:, None] * flat.T[kernel.columns])
    return np.ascontiguousarray(result.T).reshape(len(source), *target_shape)


@_apply.register
def _conv(kernel: Conv, source: Array, target_shape: Shape) -> Array:
    h, w, c = target_shape
    channels = slice(kernel.source_channel, kernel.source_channel + kernel.source_channels)
    windows = _windows(kernel, source[..., channels], h, w)
    weight = kernel.weight.astype(source.dtype, copy=False)
    kh, kw, ci, co = weight.shape
    written: Array
    if ci == 1 and co == kernel.groups:  # depthwise: one multiply per tap is faster than tiny products
        written = np.einsum("nyxabc,abc->nyxc", windows, weight[:, :, 0], optimize=False)
    else:
        per_group = co // kernel.groups
        parts = []
        for g in range(kernel.groups):
            columns = windows[..., g * ci : (g + 1) * ci].reshape(-1, kh * kw * ci)
            rows = weight[..., g * per_group : (g + 1) * per_group].reshape(kh * kw * ci, per_group)
            parts.append((columns @ rows).reshape(len(source), h, w, per_group))
        written = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)
    if co == c:
        return written
    result = np.zeros((len(source), *target_shape), source.dtype)
    result[..., kernel.target_channel : kernel.target_channel + co] = written
    return result


def _windows(kernel: Conv, source: Array, h: int, w: int) -> Array:
    """Returns a view ``(N, h, w, kh, kw, c)`` of the source, zeros outside."""
    kh, kw = kernel.weight.shape[:2]
    sizes = []
    for length, taps, stride, dilation in ((h, kh, 0, 0), (w, kw, 1, 1)):
        sizes.append((length - 1) * kernel.stride[stride] + (taps - 1) * kernel.dilation[dilation] + 1)
    padded = np.zeros((len(source), *sizes, source.shape[-1]), source.dtype)
    into, taken = [], []
    for axis in (0, 1):
        start = kernel.padding[axis]
        first = max(0, -start)
        last = min(source.shape[axis + 1], sizes[axis] - start)
        into.append(slice(first + start, max(first, last) + start))
        taken.append(slice(first, max(first, last)))
    padded[:, into[0], into[1]] = source[:, taken[0], taken[1]]
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
