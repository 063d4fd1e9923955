"""Faults planted in an integer network at a known place, each with the cause that a diagnosis has to name.

They are mistakes that a quantiser could make: the network stays well formed, the program made from it is
proved, and only its answers suffer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from nmcompiler.ir.bounds import sums_of_weights
from nmcompiler.ir.kernels import Array, Conv, Dense, Kernel, Shape, with_weight
from nmcompiler.ir.network import Network, Population, Projection

__all__ = ["NETWORK_FAULTS", "Fault", "network_fault", "places"]


@dataclass(frozen=True)
class Fault:
    """What was planted.

    Attributes:
        kind: One of ``NETWORK_FAULTS`` or of ``PROGRAM_FAULTS``.
        layer: The population concerned.
        causes: Causes that a diagnosis may name for it.
        description: What was changed, for people.
    """

    kind: str
    layer: str
    causes: tuple[str, ...]
    description: str


def places(network: Network) -> tuple[str, ...]:
    """Returns the populations in which faults can be planted: hidden ones with thresholds of their own."""
    return tuple(p.name for p in network.graph if p.role == "hidden" and bool((p.theta > 1).any()))


def network_fault(kind: str, network: Network, layer: str, seed: int) -> tuple[Network, Fault] | None:
    """Returns a network with one fault, or None where the layer offers no place for it.

    Args:
        kind: One of ``NETWORK_FAULTS``.
        network: Left as it is.
        layer: One of ``places(network)``.
        seed: Equal seeds give equal faults.
    """
    causes, plant = NETWORK_FAULTS[kind]
    made = plant(network, layer, np.random.default_rng(seed))
    return made and (made[0], Fault(kind, layer, causes, made[1]))


_Planted = tuple[Network, str] | None


def _changed(network: Network, population: Population, kernels: list[Kernel] | None = None) -> Network:
    """Returns the network with another population and, where given, other kernels into it, in order."""
    graph = network.graph.copy()
    graph.replace(population)
    if kernels is not None:
        edges = network.graph.in_edges(population.name)  # a copy may have them in another order
        graph.disconnect(population.name)
        for edge, kernel in zip(edges, kernels, strict=True):
            graph.connect(edge.source, population.name, Projection(kernel, edge.payload.slot))
    return replace(network, graph=graph)


def _kernels(network: Network, layer: str) -> list[Kernel]:
    return [e.payload.kernel for e in network.graph.in_edges(layer)]


def _times(population: Population, numerator: int, denominator: int = 1) -> Array:
    theta: Array = np.maximum(population.theta * numerator // denominator, 1)
    return theta


# --- scales ---------------------------------------------------------------------------------------------


def _scale_halved(network: Network, layer: str, rng: np.random.Generator) -> _Planted:
    """Every unit stands for half as much, and readers know it: values above half the range are cut."""
    p = network.graph.node(layer)
    if bool((p.theta < 2).any()):
        return None
    made, group = _rescaled(network, replace(p, theta=_times(p, 1, 2)), 0.5)
    for reader in _readers(network, group):
        p = network.graph.node(reader)
        twice = replace(p, bias=2 * p.bias)
        twice = replace(twice, theta=2 * p.theta) if p.sends else replace(twice, scale=p.scale / 2)
        made = _changed(made, twice, _doubled(made, reader, lambda source: source not in group))
    return made, "the scale is halved, as if calibration had missed the large values"


def _scale_doubled(network: Network, layer: str, rng: np.random.Generator) -> _Planted:
    """Every unit stands for twice as much, and readers know it: only half of the levels is used."""
    p = network.graph.node(layer)
    made, group = _rescaled(network, replace(p, theta=2 * p.theta), 2.0)
    for reader in _readers(network, group):
        kernels = _doubled(made, reader, lambda source: source in group)
        made = _changed(made, network.graph.node(reader), kernels)
    return made, "the scale is doubled: half of the levels is used"


def _rescaled(network: Network, layer: Population, factor: float) -> tuple[Network, set[str]]:
    """Returns the network with other scales of a layer and of the pool behind it, and their names."""
    group = {p.name for p in network.graph if p.name == layer.name or p.name.startswith(f"{layer.name}.max")}
    graph = network.graph.copy()
    graph.replace(layer)
    for name in group:
        graph.replace(replace(graph.node(name), scale=factor * graph.node(name).scale))
    return replace(network, graph=graph), group


def _readers(network: Network, group: set[str]) -> list[str]:
    return [
        p.name
        for p in network.graph
        if group & {*network.graph.predecessors(p.name)} - {p.name} and p.name not in group
    ]


def _doubled(network: Network, reader: str, chosen: Callable[[str], bool]) -> list[Kernel]:
    """Returns the kernels into a population, those from chosen sources doubled."""
    return [
        with_weight(e.payload.kernel, 2 * np.asarray(e.payload.kernel.weight))
        if chosen(e.source)
        else e.payload.kernel
        for e in network.graph.in_edges(reader)
    ]


# --- thresholds and biases ------------------------------------------------------------------------------


def _threshold_doubled(network: Network, layer: str, rng: np.random.Generator) -> _Planted:
    p = network.graph.node(layer)
    return _changed(network, replace(p, theta=2 * p.theta)), "every threshold is doubled"


def _bias_dropped(network: Network, layer: str, rng: np.random.Generator) -> _Planted:
    p = network.graph.node(layer)
    if not p.bias.any():
        return None
    return _changed(network, replace(p, bias=np.zeros_like(p.bias))), "the bias is missing"


def _bias_clipped(network: Network, layer: str, rng: np.random.Generator) -> _Planted:
    """Biases are cut at a fifth of the largest, as by a register that is too narrow."""
    p = network.graph.node(layer)
    most = int(np.abs(p.bias).max()) // 5
    if most == 0:
        return None
    return _changed(network, replace(p, bias=np.clip(p.bias, -most, most))), f"biases are cut at {most}"


# --- channels -------------------------------------------------------------------------------------------


def _busiest(network: Network, layer: str) -> int:
    """Returns the channel that can reach the largest real value."""
    p = network.graph.node(layer)
    reach = np.zeros(p.shape) + p.bias
    for edge in network.graph.in_edges(layer):
        reach = (
            reach + sums_of_weights(edge.payload.kernel, p.shape)[0] * network.graph.node(edge.source).levels
        )
    real = (reach / p.theta).max(axis=(0, 1)) * np.abs(p.scale)
    return int(real.argmax())


def _channel_silenced(network: Network, layer: str, rng: np.random.Generator) -> _Planted:
    p, channel = network.graph.node(layer), _busiest(network, layer)
    theta = np.array(np.broadcast_to(p.theta, (*p.theta.shape[:2], p.shape[2])))
    theta[..., channel] *= 1000
    return _changed(
        network, replace(p, theta=theta)
    ), f"channel {channel} has a threshold 1000 times too large"


def _channel_unfed(network: Network, layer: str, rng: np.random.Generator) -> _Planted:
    p, channel = network.graph.node(layer), _busiest(network, layer)
    kernels = [_channel_times(k, p.shape, channel, 0) for k in _kernels(network, layer)]
    return _changed(network, p, kernels), f"channel {channel} has weights of 0"


def _channel_times(kernel: Kernel, shape: Shape, channel: int, factor: int) -> Kernel:
    weight = np.array(kernel.weight)
    if isinstance(kernel, Dense):
        weight[np.arange(len(weight)) % shape[2] == channel] *= factor
    elif isinstance(kernel, Conv):
        at = channel - kernel.target_channel
        if 0 <= at < kernel.target_channels:
            weight[..., at] *= factor
    else:
        weight[kernel.rows % shape[2] == channel] *= factor
    return with_weight(kernel, weight)


# --- weights and wiring ---------------------------------------------------------------------------------


def _weights_clipped(network: Network, layer: str, rng: np.random.Generator) -> _Planted:
    kernels = _kernels(network, layer)
    most = max(1, max(int(np.abs(k.weight).max(initial=0)) for k in kernels) // 4)
    cut = [with_weight(k, np.clip(k.weight, -most, most)) for k in kernels]
    return _changed(network, network.graph.node(layer), cut), f"weights are cut at {most}"


def _weights_coarse(network: Network, layer: str, rng: np.random.Generator) -> _Planted:
    """Weights take three or five values only."""
    kernels = _kernels(network, layer)
    step = max(1, max(int(np.abs(k.weight).max(initial=0)) for k in kernels) // 2)
    coarse = [
        with_weight(k, (np.round(np.asarray(k.weight) / step) * step).astype(np.int64)) for k in kernels
    ]
    return _changed(network, network.graph.node(layer), coarse), f"weights are multiples of {step}"


def _shifted(network: Network, layer: str, rng: np.random.Generator) -> _Planted:
    """A convolution reads one row further down."""
    kernels = _kernels(network, layer)
    for k, kernel in enumerate(kernels):
        if isinstance(kernel, Conv) and network.graph.node(layer).shape[0] > 2:
            moved = replace(kernel, padding=(kernel.padding[0] - 1, kernel.padding[1]))
            made = [*kernels[:k], moved, *kernels[k + 1 :]]
            return _changed(network, network.graph.node(layer), made), "the padding is one row too small"
    return None


def _sources_swapped(network: Network, layer: str, rng: np.random.Generator) -> _Planted:
    """Two source channels are exchanged, where some kernel reads at least two at once."""
    edges = network.graph.in_edges(layer)
    kernels = [e.payload.kernel for e in edges]
    for k, edge in enumerate(edges):
        swapped = _swapped(kernels[k], network.graph.node(edge.source).shape, rng)
        if swapped is not None:
            made = [*kernels[:k], swapped[0], *kernels[k + 1 :]]
            return _changed(network, network.graph.node(layer), made), swapped[1]
    return None


def _swapped(kernel: Kernel, source: Shape, rng: np.random.Generator) -> tuple[Kernel, str] | None:
    """Returns a kernel whose two weightiest of a few source channels are exchanged."""
    if isinstance(kernel, Dense):
        weight = np.array(kernel.weight).reshape(len(kernel.weight), -1, source[2])
    elif isinstance(kernel, Conv) and kernel.groups == 1:
        weight = np.moveaxis(np.array(kernel.weight), 2, -1)
    else:
        return None
    channels = weight.shape[-1]
    if channels < 2:
        return None
    order = np.argsort(-np.abs(weight).reshape(-1, channels).sum(axis=0))[:4]
    a, b = sorted(rng.choice(order, 2, replace=False).tolist())
    weight[..., [a, b]] = weight[..., [b, a]]
    if isinstance(kernel, Dense):
        made: Kernel = Dense(weight.reshape(kernel.weight.shape))
    else:
        made = replace(kernel, weight=np.ascontiguousarray(np.moveaxis(weight, -1, 2)))
    return made, f"source channels {a} and {b} are exchanged"


NETWORK_FAULTS: Mapping[
    str, tuple[tuple[str, ...], Callable[[Network, str, np.random.Generator], _Planted]]
] = MappingProxyType(
    {
        "scale halved": (("clipping",), _scale_halved),
        "scale doubled": (("scale",), _scale_doubled),
        "threshold doubled": (("threshold",), _threshold_doubled),
        "bias dropped": (("bias",), _bias_dropped),
        "bias clipped": (("bias",), _bias_clipped),
        "channel with a huge threshold": (("dead-channel",), _channel_silenced),
        "channel without weights": (("dead-channel",), _channel_unfed),
        "weights clipped": (("weight-range",), _weights_clipped),
        "weights too coarse": (("weight-bits",), _weights_coarse),
        "padding off by one": (("wiring",), _shifted),
        "source channels exchanged": (("wiring",), _sources_swapped),
    }
)
"""By kind: the causes that fit it, and what plants it."""
