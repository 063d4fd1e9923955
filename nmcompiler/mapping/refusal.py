"""Why a network does not fit, and what would help."""

from __future__ import annotations

from collections.abc import Mapping

from nmcompiler.errors import DoesNotFit
from nmcompiler.mapping.needs import PopulationNeeds
from nmcompiler.mapping.reach import cut
from nmcompiler.mapping.search import Outputs, grid_needs
from nmcompiler.target.model import Target

__all__ = ["does_not_fit", "out_of_cores", "out_of_large_cores", "too_many_passes"]

_HELP: Mapping[str, str] = {
    "neurons": (
        "one of its neurons is built {built} times, once for every axon that it must reach: use fewer weight "
        "bits or smaller consumers, so that they take fewer axons on fewer cores"
    ),
    "compartments": "choose a target whose cores hold the {used} compartments of one neuron",
    "input_axons": (
        "that is what its smallest piece, one neuron, reads: use a smaller kernel, more groups, or a target "
        "with at least {used} input axons a core"
    ),
    "output_axons": (
        "one of its neurons is read on {used} cores: fewer weight bits or levels make its consumers smaller; "
        "else choose a target with more output axons a core"
    ),
    "synapse_bits": (
        "that is what one of its neurons stores: use fewer weight bits ({bits} now), a smaller kernel, or a "
        "target with at least {used} synapse bits a core"
    ),
    "state_bits": "choose a target whose cores hold the {used} bits of the state of one neuron",
    "thresholds": "choose a target whose cores hold a threshold",
    "fan_in": (
        "that many inputs has one of its neurons: use a smaller kernel, more groups, or a target with a "
        "fan-in of at least {used}"
    ),
    "destinations": (
        "one of its neurons is read on {used} cores: fewer weight bits{sharing} cut its consumers into fewer "
        "pieces; else choose a target with more destinations a neuron"
    ),
}

_OR_PASSES = ", or several passes over the same cores with --passes auto"


def does_not_fit(needs: PopulationNeeds, outputs: Outputs, target: Target) -> DoesNotFit:
    """Returns the error for a population of which not even single neurons fit.

    The resource is the first that is broken on the core type that comes nearest to holding it.
    """
    cuts = cut(needs.shape, needs.shape)
    best: tuple[float, str, int, int] | None = None
    costs = {resource: int(cost(cuts).max()) for resource, cost in grid_needs(needs, outputs).items()}
    for core_type in target.core_types:
        broken = [
            (used / max(limit, 1), resource, used, limit)
            for resource, used in costs.items()
            if (limit := getattr(core_type.limits, resource)) is not None and used > limit
        ]
        worst = max(broken)
        best = worst if best is None else min(best, worst)
    assert best is not None  # a population that fits on some core type is never refused
    _, resource, used, limit = best
    sharing = "" if target.weight_sharing else " or a target that shares the weights of convolutions"
    built = used // target.compartments_per_neuron
    help_on = "compartments" if resource == "neurons" and built == 1 else resource
    hint = _HELP[help_on].format(used=used, built=built, bits=target.weight_bits, sharing=sharing)
    return DoesNotFit(
        layer=needs.name,
        resource=resource,
        used=used,
        limit=limit,
        target=target.name,
        hint=hint,
        words=target.words(resource),
    )


def out_of_cores(
    pieces: Mapping[str, int], needed: int, chips: int, target: Target, *, counted: bool = True
) -> DoesNotFit:
    """Returns the error for a network that needs more cores than there are.

    Args:
        pieces: Pieces of populations, the largest among them.
        needed: Cores of the whole network.
        chips: Chips that may be used.
        target: The chip.
        counted: Whether these are all, and not only those at which counting stopped.
    """
    layer = max(pieces, key=lambda name: pieces[name])
    enough = -(-needed // target.cores_per_chip)
    what = "the cores are those of the whole network" if counted else "counting the cores stopped there"
    hints = [f"the layer alone is cut into {pieces[layer]} pieces, {what}"]
    if counted and chips < enough <= target.max_chips:
        hints.append(f"try --chips {enough}")
    else:
        helps = (
            "try fewer weight bits"
            if target.weight_sharing
            else ("try fewer weight bits, or a target that shares the weights of convolutions")
        )
        hints.append(f"{helps}, or a target with larger or more cores")
    hints[-1] += _OR_PASSES
    return DoesNotFit(
        layer=layer,
        resource="cores",
        used=needed,
        limit=target.cores_per_chip * chips,
        target=_with_chips(target, chips),
        hint="; ".join(hints),
    )


def out_of_large_cores(layer: str, limit: int, chips: int, target: Target) -> DoesNotFit:
    """Returns the error for a layer that finds no free core large enough, on a target with several types.

    Args:
        layer: The layer.
        limit: Cores that can hold its pieces; all of them are taken.
        chips: Chips that may be used.
        target: The chip.
    """
    more = "try more chips with --chips" if chips < target.max_chips else "try fewer weight bits"
    return DoesNotFit(
        layer=layer,
        resource="cores",
        used=limit + 1,
        limit=limit,
        target=_with_chips(target, chips),
        hint=f"other layers take the cores large enough for its pieces; {more}, or a target with larger or "
        f"more cores{_OR_PASSES}",
        words="cores of the kinds that can hold it",
    )


def too_many_passes(layer: str, needed: int, most: int, chips: int, target: Target) -> DoesNotFit:
    """Returns the error for a network that needs more passes over the chips than it may take.

    Args:
        layer: The first layer that has no pass left.
        needed: Passes of the whole network.
        most: Passes that it may take.
        chips: Chips that may be used.
        target: The chip.
    """
    return DoesNotFit(
        layer=layer,
        resource="passes",
        used=needed,
        limit=most,
        target=_with_chips(target, chips),
        hint=f"the passes are those of the whole network; try --passes {needed}, or auto",
    )


def _with_chips(target: Target, chips: int) -> str:
    return f"{target.name} with {chips} chip{'s' if chips > 1 else ''}"
