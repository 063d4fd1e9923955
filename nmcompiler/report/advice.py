"""What would make a program take fewer cores, in at most three sentences with figures of this program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nmcompiler.report.format import counted, number, percent, resource, resource_labels
from nmcompiler.report.needs import Needs, fewest_cores, largest_limit
from nmcompiler.target.model import Target

__all__ = ["help_sentences"]

Rows = Sequence[Mapping[str, Any]]

_WHY_MORE: Mapping[str, str] = {
    "input_axons": "several cores read the same sources",
    "output_axons": "neurons send to several cores",
    "synapse_bits": "several cores hold the same weights",
    "thresholds": "several cores hold the same thresholds",
}
_OVERLAP = 1.1  # times what the network needs: below, cutting it costs next to nothing of a resource


def help_sentences(
    target: Target, used: int, bound: int | None, network: Rows, cuts: Rows, needs: Needs
) -> list[str]:
    """Returns how far the cores are from the fewest, what fills them, and what would lower that.

    Args:
        target: The chip, with the weight bits that the program has.
        used: Cores used.
        bound: Cores that no partition can do without, None where the mapper did not say; what single
            resources demand counts as well.
        network: Rows of ``needs``: what the network needs by resource.
        cuts: Rows of ``cuts``.
        needs: What its layers need, in the order of ``cuts``.
    """
    if used <= 1:
        return ["The network takes one core: nothing takes fewer."]
    proved = max(bound or 1, _bound(_counts(network)))
    said = [_distance(used, proved)]
    rows = [row for row in network if row["fullest_on"]]
    if not rows:
        return said
    filling = max(rows, key=lambda row: row["fullest_on"])
    said.append(_filling(target, used, filling, network))
    said.append(_lever(target, proved, filling, network, _largest(filling["resource"], cuts, needs)))
    return said


def _distance(used: int, bound: int) -> str:
    if used <= bound:
        return f"No partition of this network takes fewer than the {number(used)} cores used."
    return (
        f"No partition takes fewer than {number(bound)} cores, so a better one could save at most "
        f"{number(used - bound)} of the {number(used)} used; for more the network, its bits or the chip must "
        "change."
    )


def _filling(target: Target, used: int, filling: Mapping[str, Any], network: Rows) -> str:
    labels = resource_labels(target.compartments_per_neuron)
    others = [row for row in network if row is not filling]
    second = max(others, key=lambda row: row["cores"], default=None)
    name = labels[filling["resource"]]
    times = filling["used"] / max(filling["need"], 1)
    why = _WHY_MORE.get(filling["resource"]) if times >= _OVERLAP else None
    count = filling["fullest_on"]
    which = f"All {number(used)}" if count == used else f"{number(count)} of {number(used)}"
    return (
        f"{which} cores are fullest of {name}: by {name} alone the network takes at least "
        f"{number(filling['cores'])}"
        + ("" if second is None else f", by {labels[second['resource']]} {number(second['cores'])}")
        + (f"; cut up it takes {number(times, 1)} times as many, since {why}" if why else "")
        + "."
    )


def _largest(name: str, cuts: Rows, needs: Needs) -> tuple[Mapping[str, Any], float]:
    """Returns the layer that needs most of a resource, and its share of what all layers need."""
    amounts = [layer[name] for layer in needs.layers.values()]
    most = max(range(len(cuts)), key=lambda k: amounts[k])
    return cuts[most], amounts[most] / max(sum(amounts), 1)


def _lever(
    target: Target,
    bound: int,
    filling: Mapping[str, Any],
    network: Rows,
    largest: tuple[Mapping[str, Any], float],
) -> str:
    """Returns what would lower the need of a resource, or what a chip with more of it would take.

    The latter only where single resources demand as many cores as the bound: else it rests on more.
    """
    layer, share = largest
    name = filling["resource"]
    label = resource_labels(target.compartments_per_neuron)[name]
    most = f"'{layer['layer']}' takes {percent(share, 0)} of the {label}"
    fewer = _fewer_bits(target, filling, network) if name == "synapse_bits" else None
    if fewer is not None:
        return f"{fewer}; {most}."
    smaller = f"{most}, so that {_smaller(name, layer)} would help most"
    if bound > _bound(_counts(network)):
        return f"{smaller}."
    limit = largest_limit(target, name) or 1
    doubled = _bound({**_counts(network), name: fewest_cores(target, name, -(-filling["need"] // 2)) or 1})
    return (
        f"{smaller}; on cores with twice the {label} "
        f"({resource(name, 2 * limit)}) the network takes at least {counted(doubled, 'core')}."
    )


def _fewer_bits(target: Target, filling: Mapping[str, Any], network: Rows) -> str | None:
    """Returns what weights of half the bits would save of synapse memory; None where there are no fewer."""
    bits = target.weight_bits
    fewer = max((b for b in target.possible_weight_bits if b <= bits // 2), default=None)
    if fewer is None or target.crossbar is not None:
        return None
    need = -(-filling["need"] * fewer // bits)
    alone = fewest_cores(target, "synapse_bits", need) or 1
    bound = _bound({**_counts(network), "synapse_bits": alone})
    return (
        f"Weights of {fewer} bits in place of {bits} (--weight-bits {fewer}, which may cost accuracy) bring "
        f"synapse memory down to {counted(alone, 'core')} and the network to at least {number(bound)}"
    )


def _smaller(name: str, layer: Mapping[str, Any]) -> str:
    """Returns what makes a layer need less of a resource."""
    if name == "input_axons":
        return "fewer channels into it, or a larger stride or pool before it,"
    if name == "thresholds":
        return "fewer channels in it"
    if name == "synapse_bits":
        return "fewer channels in it, or in the layer before it,"
    if layer["shape"]["rows"] * layer["shape"]["columns"] == 1:
        return "fewer units in it"
    return "a smaller input, a larger stride or fewer channels in it"


def _counts(network: Rows) -> dict[str, int]:
    return {row["resource"]: row["cores"] for row in network}


def _bound(counts: Mapping[str, int]) -> int:
    return max(counts.values(), default=1)
