"""What is wrong with one population: it is redone with one restriction lifted at a time.

The cause is the restriction whose removal restores most of the error; of several that restore about as
much, the one that changes the fewest numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from nmcompiler.diagnose.alone import Alone
from nmcompiler.diagnose.wiring import rewired
from nmcompiler.ir.kernels import Array, Kernel, with_weight

__all__ = ["Removal", "chosen", "removals"]

_NEAR_ELSE = 0.9  # share of the best restoration with which a smaller change is preferred
_NEAR = {"weight-range": 0.7, "weight-bits": 0.7, "scale": 0.7}
_BROAD = ("weights", "fit")
_LEAST_GAIN = 0.15  # a gain nearer to 1 is rounding


@dataclass(frozen=True)
class Removal:
    """A population redone without one restriction.

    Attributes:
        cause: Identifier of the restriction.
        removed: What was done, for people.
        finding: A clause that says what is wrong if this is the cause.
        error: Noise-to-signal ratio that is left.
        restored: Share of the error that went away; of the avoidable error where it is a fault. Below 0
            where the error grew.
    """

    cause: str
    removed: str
    finding: str
    error: float
    restored: float = 0.0


def removals(layer: Alone, *, base: float, least: float = 0.0) -> tuple[Removal, ...]:
    """Returns the population redone without each restriction in turn, the smallest changes first.

    Args:
        layer: The population on its own.
        base: Its error as it is.
        least: Error that its formats cannot avoid; 0 where all of the error is asked about.
    """
    found = (made for tried in _TRIED for made in tried(layer))
    lost = max(base - least, 1e-12)
    return tuple(replace(r, restored=(base - r.error) / lost) for r in found)


def chosen(found: tuple[Removal, ...]) -> Removal | None:
    """Returns the removal that names the cause; None where none restores a third of the error.

    Of those that restore about as much as the best, it is the one that changes the fewest numbers. What
    changes several things at once is named only where nothing more precise restores half as much.
    """
    precise = tuple(r for r in found if r.cause not in _BROAD)
    most = [max((min(r.restored, 1.0) for r in some), default=0.0) for some in (precise, found)]
    if max(most) < 1 / 3:
        return None
    some, best = (precise, most[0]) if most[0] >= 0.5 * most[1] else (found, most[1])
    return next(r for r in some if min(r.restored, 1.0) >= _NEAR.get(r.cause, _NEAR_ELSE) * best)


def _code(layer: Alone) -> Iterator[Removal]:
    """The code or the chip: the integers are computed exactly."""
    values = layer.fired(layer.plain)
    if np.array_equal(values, layer.found):
        return
    yield Removal(
        "code",
        "the integers computed exactly instead of in spikes",
        "its spikes only approximate the integers",
        layer.error(values),
    )


def _dead_channels(layer: Alone) -> Iterator[Removal]:
    """Channels that never change although they should: they get what the real weights give."""
    found = layer.found.reshape(-1, layer.found.shape[-1])
    wanted = layer.wanted.reshape(-1, layer.wanted.shape[-1])
    lost, energy = np.square(wanted - found).sum(axis=0), np.square(wanted).sum(axis=0)
    constant = (found == found[:1]).all(axis=0) & (layer.population.role == "hidden")
    dead = np.flatnonzero(constant & (lost > 0.1 * np.median(energy)) & (np.abs(wanted).max(axis=0) >= 1))
    if not len(dead):
        return
    values = layer.found.copy()
    values[..., dead] = layer.fired(layer.open)[..., dead]
    yield Removal(
        "dead-channel",
        "the silent channels computed with real weights",
        f"{_channels(dead)} never fire" + ("s" if len(dead) == 1 else ""),
        layer.error(values),
    )


def _threshold(layer: Alone) -> Iterator[Removal]:
    """All accumulators of a channel are too large or too small by one factor, the bias included."""
    if layer.population.role == "input":
        return
    axes = (0, 1, 2)
    bias = _start(layer)
    v, wanted = layer.plain, layer.open
    gain = (v * wanted).sum(axis=axes) / np.maximum(np.square(v).sum(axis=axes), 1e-12)
    middle = float(np.median(gain[gain > 0])) if (gain > 0).any() else 1.0
    if abs(np.log(middle)) < _LEAST_GAIN:
        return
    values = layer.fired(v * middle)
    yield Removal(
        "threshold",
        f"all thresholds divided by {middle:.2f}",
        f"its thresholds are too {_wrong(middle)}",
        layer.error(values),
    )
    if np.abs(bias).max() > 0:
        v = layer.plain - bias
        wanted = layer.open - bias
        only = (v * wanted).sum() / max(float(np.square(v).sum()), 1e-12)
        if abs(np.log(max(only, 1e-3))) >= _LEAST_GAIN:
            yield Removal(
                "weight-scale",
                f"all weights multiplied by {only:.2f}",
                f"its weights are too {'small' if only > 1 else 'large'} by one factor",
                layer.error(layer.fired(v * only + bias)),
            )


def _start(layer: Alone) -> Array:
    start: Array = layer.population.bias / layer.theta
    return start


def _bias(layer: Alone) -> Iterator[Removal]:
    """The bias is real."""
    if layer.population.role == "input":
        return
    integer = np.broadcast_to(layer.population.bias, layer.population.shape)
    real = np.broadcast_to(layer.real_bias, layer.population.shape)
    most = np.abs(integer).max()
    if not integer.any():
        finding = "its bias is missing"
    elif (np.abs(real) > 1.05 * most + 1)[np.abs(integer) == most].any():
        finding = f"its bias is cut at {most}"
    else:
        finding = "its bias is wrong"
    error = layer.error(layer.fired(layer.accumulated(layer.integer, layer.real_bias)))
    yield Removal("bias", "a bias that is a real number", finding, error)


def _wiring(layer: Alone) -> Iterator[Removal]:
    """The same weights, connected as the layer graph has it."""
    for kernels, finding in rewired(layer):
        values = layer.fired(layer.accumulated(kernels, layer.population.bias.astype(np.float64)))
        yield Removal(
            "wiring", "the same weights connected as in the float network", finding, layer.error(values)
        )


def _weights(layer: Alone) -> Iterator[Removal]:
    """Real weights: first only in the place of the largest integers, then for the others, then for all."""
    if layer.population.role == "input":
        return
    pairs = list(zip(layer.integer, layer.real, strict=True))
    if all(a.weight.shape == b.weight.shape for a, b in pairs) and pairs:
        most = max(int(np.abs(a.weight).max(initial=0)) for a, _ in pairs)
        cut = [(np.abs(a.weight) == most) & (np.abs(b.weight) > most) for a, b in pairs]
        texts = {
            "weight-range": (
                "real numbers in the place of the largest weights",
                f"its weights are cut at {most}",
            ),
            "weight-bits": (
                "real numbers in the place of all weights that are not cut",
                "its weights are too coarse",
            ),
        }
        for cause, masks in (("weight-range", cut), ("weight-bits", [~m for m in cut])):
            mixed = [
                with_weight(a, np.where(mask, b.weight, a.weight))
                for (a, b), mask in zip(pairs, masks, strict=True)
            ]
            yield Removal(cause, *texts[cause], _error_of(layer, mixed))
    yield Removal("weights", "real weights", "its weights are wrong", _error_of(layer, layer.real))
    yield Removal(
        "fit",
        "real weights and a real bias",
        "its weights and bias were fitted to calibration samples too few for it, or unlike these",
        layer.error(layer.fired(layer.accumulated(layer.real, layer.real_bias))),
    )


def _error_of(layer: Alone, kernels: tuple[Kernel, ...] | list[Kernel]) -> float:
    return layer.error(layer.fired(layer.accumulated(kernels, layer.population.bias.astype(np.float64))))


def _clipping(layer: Alone) -> Iterator[Removal]:
    """More levels at the same scale: nothing is cut that the float network does not cut."""
    if not layer.population.sends:
        return
    population = layer.population
    beyond = np.abs(layer.plain - layer.fired(layer.plain, rounds=False)) > 0.5
    beyond &= (layer.plain > 0) | population.signed
    share = float(np.mean(beyond))
    values = layer.fired(layer.plain, limited=False)
    yield Removal(
        "clipping",
        "no largest level, at the same scale",
        f"{100 * share:.1f} % of its values lie above the largest level",
        layer.error(values),
    )


def _scale(layer: Alone) -> Iterator[Removal]:
    """Another scale at the same number of levels."""
    if layer.population.role != "hidden" or bool((layer.population.theta == 1).all()):
        return
    factor, values = layer.rescaled(layer.plain)
    if abs(np.log(factor)) < _LEAST_GAIN:
        return
    yield Removal(
        "scale" if factor < 1 else "clipping",
        f"all scales times {factor:.2f}, at the same number of levels",
        f"its scales are too {_wrong(1 / factor)}",
        layer.error(values),
    )


def _rounding(layer: Alone) -> Iterator[Removal]:
    """Unlimited levels: values are real numbers in the same range."""
    if not layer.population.sends:
        return
    yield Removal(
        "levels",
        f"values that are not rounded to {layer.population.levels} levels",
        f"{layer.population.levels} levels are too few for its values",
        layer.error(layer.fired(layer.plain, rounds=False)),
    )


def _wrong(factor: float) -> str:
    """Returns how far a number is off that should be divided by a factor."""
    return f"{'large' if factor > 1 else 'small'} by a factor of {max(factor, 1 / factor):.2f}"


def _channels(numbers: Array) -> str:
    shown = ", ".join(str(n) for n in numbers[:5]) + ("…" if len(numbers) > 5 else "")
    return f"channel{'s' if len(numbers) > 1 else ''} {shown}"


_TRIED: tuple[Callable[[Alone], Iterator[Removal]], ...] = (
    _code,
    _dead_channels,
    _threshold,
    _bias,
    _wiring,
    _clipping,
    _scale,
    _weights,
    _rounding,
)
"""The removals, those that change the fewest numbers first."""
