"""What is worth changing in a network that compiles: each advisory states a figure that was worked out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from nmcompiler.checker.intervals import Interval, intervals
from nmcompiler.checker.outcomes import Quantised, Simplified
from nmcompiler.checker.stand_ins import StandIns
from nmcompiler.errors import NmcError
from nmcompiler.evaluate.threads import one_blas_thread
from nmcompiler.ir.graph import Graph
from nmcompiler.ir.kernels import Array
from nmcompiler.ir.layers import Layer, Link, Model
from nmcompiler.ir.network import Network
from nmcompiler.passes import Quantise
from nmcompiler.passes.base import Context, Note
from nmcompiler.passes.formats import Formats
from nmcompiler.passes.kernel_algebra import largest_weight
from nmcompiler.target import Target

__all__ = ["Advisory", "advisories"]

ASSUMED_RANGE = 255.0
"""Inputs are assumed to lie within ± this, which covers bytes and normalised data; ONNX states no range."""

_INPUT_RANGES = (1.0, 255.0)
"""What depends on the size of the inputs is only said where it holds for pictures from 0 to 1 and to 255."""

_SAME = 1e-8  # bounds are this wide from rounding alone
_WIDE_SCALES = 1e3
_UNEQUAL_CHANNELS = 20
_MANY_CHANNELS = 0.2  # share of a layer's channels that must lose before it is worth a sentence
_COARSER = 4  # a bias that costs less than two bits is common, and no reason to train again
_FEW_WEIGHTS = 8  # a channel whose largest weight is below this keeps less than 4 bits, sign included


@dataclass(frozen=True)
class Advisory:
    """Something in a network that costs neurons or accuracy.

    Attributes:
        layer: The layer.
        kind: ``replaced``, ``dead-channels``, ``bias-range``, ``scale-spread`` or ``shared-threshold``.
        text: What is so, with its figure, and what to do.
        value: The figure.
    """

    layer: str
    kind: str
    text: str
    value: float


def advisories(
    simplified: Simplified,
    quantised: Sequence[Quantised],
    chips: Mapping[str, Target],
    *,
    thorough: bool = True,
) -> tuple[Advisory, ...]:
    """Returns all that is worth changing, kind by kind, in the order of the layers.

    Args:
        simplified: The simplified layer graph.
        quantised: The integer networks, one or more for every number format.
        chips: The chips that they serve, by name.
        thorough: Whether to look at every number format, and not at the first that can lose something.
    """
    model = simplified.model
    formats = _one_per_format(quantised)
    shared = [made for made in formats if made.formats.per_population]
    most = None if thorough else 1
    bounds = intervals(model, ASSUMED_RANGE)
    again = _Again(chips)
    return (
        *_replaced(simplified.notes),
        *_dead_channels(model, bounds),
        *_scale_spread(model, bounds),
        *_bias_range(formats[:most], again),
        *_shared_threshold(shared[:most], chips, again),
    )


def _one_per_format(quantised: Sequence[Quantised]) -> list[Quantised]:
    """Returns the first network of each number format, as what serves all chips and codes of that format."""
    found: dict[tuple[int, Formats], Quantised] = {}
    for made in quantised:
        key = (id(made.model), made.formats)
        first = found.setdefault(key, made)
        found[key] = replace(first, uses=dict.fromkeys((*first.uses, *made.uses)))
    return list(found.values())


def _replaced(notes: Sequence[Note]) -> Iterator[Advisory]:
    """Layers whose operator no chip computes; what replaces it here was fitted to random samples."""
    for note in notes:
        if note.warning:
            text = f"{note.text}; samples are random here, and 'nmc compile' measures it on calibration data"
            noise = 0.0 if note.sqnr_db is None else 10 ** (-note.sqnr_db / 10)
            yield Advisory(note.layer, "replaced", text, round(noise, 6))


def _constant(layer: Layer, bounds: Mapping[str, Interval]) -> Array:
    """Returns ``(c,)`` bool: channels that have one value for every input."""
    low, high = bounds[layer.name].low, bounds[layer.name].high
    same: Array = high - low <= _SAME * np.maximum(np.abs(low), np.abs(high))
    fixed: Array = np.all(same, axis=(0, 1))
    return fixed


def _dead_channels(model: Model, bounds: Mapping[str, Interval]) -> Iterator[Advisory]:
    readouts = {port.node for port in model.outputs}
    for layer in model.graph:
        if layer.is_input or layer.name in readouts:
            continue
        fixed = _constant(layer, bounds)
        silent = fixed & (bounds[layer.name].high <= 0).all(axis=(0, 1))
        count, channels = int(fixed.sum()), len(fixed)
        if not count:
            continue
        what = "are always 0" if silent.sum() == count else "never change"
        neurons = count * layer.sum_shape[0] * layer.sum_shape[1]
        text = (
            f"{count:,} of {channels:,} channels {what} for any input within ±{ASSUMED_RANGE:g} "
            f"({_listed(fixed)}): remove them, and save {neurons:,} neurons"
        )
        yield Advisory(layer.name, "dead-channels", text, count)


def _listed(mask: Array) -> str:
    numbers = np.flatnonzero(mask)
    shown = ", ".join(map(str, numbers[:4].tolist()))
    noun = "channel" if len(numbers) == 1 else "channels"
    return f"{noun} {shown}" + (", …" if len(numbers) > 4 else "")


def _scale_spread(model: Model, bounds: Mapping[str, Interval]) -> Iterator[Advisory]:
    """Layers whose channels, after folding, have weights of very different sizes."""
    for layer in model.graph:
        if layer.is_input:
            continue
        peak = np.zeros(layer.sum_shape[2])
        for edge in model.graph.in_edges(layer.name):
            peak = np.maximum(peak, largest_weight(edge.payload.kernel, layer.sum_shape))
        alive = (peak > 0) & ~_constant(layer, bounds)
        if not alive.any():
            continue
        ratio = float(peak[alive].max() / peak[alive].min())
        if ratio <= _WIDE_SCALES:
            continue
        smallest = int(np.flatnonzero(alive)[peak[alive].argmin()])
        text = (
            f"the folded weights of its channels differ by a factor of {ratio:,.0f} (channel {smallest} has "
            "the smallest): rescale the channels to equal ranges, or remove those that hardly matter"
        )
        yield Advisory(layer.name, "scale-spread", text, ratio)


def _bias_range(quantised: Sequence[Quantised], again: _Again) -> Iterator[Advisory]:
    """Layers whose weights become finer by two bits or more when their bias is left out."""
    served: dict[str, list[str]] = {}
    gains: dict[str, float] = {}
    for made in quantised:
        suspects = [name for name in made.model.graph.names() if _bias_fills_half(made, name)]
        for name, gain in _gains(suspects, made, again).items():
            gains[name] = max(gain, gains.get(name, 0.0))
            served.setdefault(name, []).extend(chip for chip, _ in made.uses)
    for name, gain in gains.items():
        text = (
            f"its bias is so large that a channel's weights are {gain:,.0f} times coarser than without it "
            f"({np.log2(gain):.1f} bits lost on {_joined(served[name])}): centre the inputs of the layer, or "
            "limit its bias in training"
        )
        yield Advisory(name, "bias-range", text, round(gain, 2))


def _bias_fills_half(made: Quantised, name: str) -> bool:
    """Whether a bias takes half of its format or of the membrane: a smaller one costs at most a bit."""
    if name not in made.network.graph or made.network.graph.node(name).role == "input":
        return False
    if made.formats.typed:
        return False  # its weights have few values, whatever the bias
    half = min(made.formats.bias, made.formats.membrane) // 2
    return int(np.abs(made.network.graph.node(name).bias).max()) > half


def _gains(suspects: Sequence[str], made: Quantised, again: _Again) -> dict[str, float]:
    """Returns how much finer the weights of layers become without their bias, where it is two bits or more.

    The largest integer weight of each channel is compared, with and without; of both input ranges the
    smaller gain counts.
    """
    graph: Graph[Layer, Link] = made.model.graph.copy()
    for name in suspects:
        graph.replace(replace(graph.node(name), bias=np.zeros((1, 1, 1))))
    without = replace(made.model, graph=graph)
    least = dict.fromkeys(suspects, np.inf)
    for largest in _INPUT_RANGES:
        if not least:
            break  # quantising takes long, and the gain of one range alone is not worth a sentence
        networks = again.network(made, largest), again.network(made, largest, without)
        for name in tuple(least):
            now, then = (_largest(network, name) for network in networks)
            gain = float((then / np.maximum(now, 1))[then > 0].max(initial=1))
            least[name] = min(gain, least[name])
        least = {name: gain for name, gain in least.items() if gain >= _COARSER}
    return least


class _Again:
    """Integer networks of what was quantised before, for inputs of other sizes or with something changed.

    Args:
        chips: All chips by name.
    """

    def __init__(self, chips: Mapping[str, Target]) -> None:
        self._chips = chips
        self._data: dict[tuple[int, float], StandIns] = {}

    def network(self, made: Quantised, largest: float, model: Model | None = None) -> Network | None:
        """Returns the network for inputs up to ``largest``, of another model where one is given.

        None where the chip cannot hold it.
        """
        if model is None:
            return (
                made.network
                if largest == 1
                else self._made(made, self._known(made, largest), self._chip(made))
            )
        return self._made(made, StandIns(model, largest), self._chip(made), model)

    def unshared(self, made: Quantised, largest: float) -> Network | None:
        """Returns the network for the same chip with a threshold for every neuron; None as above."""
        chip = self._chip(made)
        free = replace(chip, threshold=replace(chip.threshold, per="neuron"))
        return self._made(made, self._known(made, largest), free)

    def _chip(self, made: Quantised) -> Target:
        return self._chips[next(iter(made.uses))[0]]

    def _known(self, made: Quantised, largest: float) -> StandIns:
        """Returns the samples of a model as it is; other formats have quantised it on them, or will."""
        if largest == 1:
            return made.data
        key = id(made.model), largest
        if key not in self._data:
            self._data[key] = StandIns(made.model, largest)
        return self._data[key]

    def _made(
        self, made: Quantised, data: StandIns, chip: Target, model: Model | None = None
    ) -> Network | None:
        try:
            with np.errstate(over="ignore", invalid="ignore"), one_blas_thread():
                context = Context(data.samples, chip)
                return Quantise(made.options, data.sums).run(model or made.model, context).graph
        except NmcError:
            return None


def _largest(network: Network | None, name: str) -> Array:
    """Returns ``(c,)`` int64: the largest magnitude of an integer weight into each channel."""
    if network is None:
        return np.zeros(1, np.int64)
    shape = network.graph.node(name).shape
    peak = np.zeros(shape[2])
    for edge in network.graph.in_edges(name):
        peak = np.maximum(peak, largest_weight(edge.payload.kernel, shape))
    return peak.astype(np.int64)


def _shared_threshold(
    quantised: Sequence[Quantised], chips: Mapping[str, Target], again: _Again
) -> Iterator[Advisory]:
    """Layers whose channels need different thresholds, on chips where all neurons must share one."""
    able = [name for name, chip in chips.items() if chip.threshold.per != "population"]
    instead = f"a target with a threshold per neuron ({', '.join(able)})" if able else "another target"
    for made in quantised:
        found: dict[str, tuple[float, int]] | None = None
        for largest in _INPUT_RANGES:
            if found != {}:
                found = _worse(_unequal(made, again, largest), found, made.model)
        for name, (ratio, lost) in (found or {}).items():
            count = made.model.graph.node(name).sum_shape[2]
            text = (
                f"its channels need thresholds that differ by a factor of {ratio:.0f}, and "
                f"{_joined([chip for chip, _ in made.uses])} has one for all; {lost:,} of {count:,} keep "
                "less than 4 bits of their weights or a quarter of their levels: "
                f"choose {instead}, or rescale the channels to equal ranges"
            )
            yield Advisory(name, "shared-threshold", text, round(ratio, 2))


def _worse(
    now: dict[str, tuple[float, int]], before: dict[str, tuple[float, int]] | None, model: Model
) -> dict[str, tuple[float, int]]:
    """Returns the smaller of both figures of each layer, where both are worth a sentence."""
    both = {
        name: figures if before is None else min(figures, before.get(name, (0.0, 0)))
        for name, figures in now.items()
    }
    return {
        name: (ratio, lost)
        for name, (ratio, lost) in both.items()
        if ratio > _UNEQUAL_CHANNELS and lost >= _MANY_CHANNELS * model.graph.node(name).sum_shape[2]
    }


def _unequal(made: Quantised, again: _Again, largest: float) -> dict[str, tuple[float, int]]:
    """Returns how far the thresholds lie apart that channels would choose, and how many lose by sharing one.

    The network is quantised for the same chip with a threshold per neuron, and compared with what it is.
    """
    shared, own = again.network(made, largest), again.unshared(made, largest)
    result: dict[str, tuple[float, int]] = {}
    for layer in made.model.graph:
        if shared is None or own is None or layer.is_input or layer.name not in shared.graph:
            continue
        population, alone = shared.graph.node(layer.name), own.graph.node(layer.name)
        if population.role != "hidden":
            continue
        theta = alone.theta.reshape(-1)
        coarse = _largest(shared, layer.name) < np.minimum(_FEW_WEIGHTS, _largest(own, layer.name))
        lost = coarse | (population.scale > _COARSER * alone.scale)
        result[layer.name] = float(theta.max() / theta.min()), int(lost.sum())
    return result


def _joined(names: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(names))
