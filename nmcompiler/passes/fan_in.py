"""How many synapses a neuron of a chip may have, and which layers of a network have more."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from nmcompiler.ir.kernels import Array, Kernel
from nmcompiler.ir.layers import Layer, Model
from nmcompiler.passes.calibration import calibration_samples
from nmcompiler.passes.draft import Draft
from nmcompiler.passes.room import Room
from nmcompiler.passes.scales import input_range
from nmcompiler.target.model import Target

__all__ = ["FanIn", "available_neurons", "crowded", "neurons_of", "signed_inputs", "with_joined_pools"]

_ANY_LEVELS = 255  # whether an input has a sign does not depend on them


@dataclass(frozen=True)
class FanIn:
    """The synapses of one neuron.

    Attributes:
        most: As many as any core of the chip takes, the bias's among them.
        full: As many as leave weights all their bits: fewer than ``most`` in a crossbar, where a source
            takes an axon for each of them.
        bias: Those that a bias takes.
        shared: Whether the neurons of a core should read the same sources: each takes axons of its own.
        room: What counts the sources of a layer.
        signed: Inputs with values of either sign: where spikes carry none, they are two neurons a value.
    """

    most: int
    full: int
    bias: int
    shared: bool
    room: Room
    signed: frozenset[str] = frozenset()

    @classmethod
    def of(cls, target: Target, signed: frozenset[str] = frozenset()) -> FanIn | None:
        """Returns the limits of a chip; None where it has none, or is built for layers and not for synapses.

        Cores hold synapses of their own, so that it is no limit of memory that counts here.
        """
        if target.layer_rules is not None:
            return None
        stated = [kind.limits.fan_in for kind in target.core_types]
        most = None if None in stated else max(n for n in stated if n is not None)
        full = most
        if target.crossbar is not None:
            axons = max(kind.limits.input_axons or 0 for kind in target.core_types)
            types = min(target.crossbar.axon_types, target.weight_bits)
            if axons:
                most = min(axons // 2, most or axons)
                full = min(axons // types, most)
        if most is None or full is None:
            return None
        bias = 0 if target.bias is None else target.bias.synapses
        return cls(most, full, bias, target.crossbar is not None, Room.of(target), signed)

    @property
    def inputs(self) -> int:
        """Inputs that a neuron may have beside its bias, with weights of all bits."""
        return self.full - self.bias

    def cost(self, source: Layer) -> int:
        """Returns the synapses that one value of a source takes."""
        pool = source.max_pool
        parted = pool is not None and not pool.joined
        terms = 1 + math.ceil(math.log2(math.prod(pool.size))) if pool and parted else 1
        signed = source.name in self.signed if source.is_input else source.activation.lower < 0
        return 2 * terms if signed and not self.room.signs else terms

    def reads(self, edges: list[tuple[Layer, Kernel]], layer: Layer) -> int:
        """Returns the synapses of the neuron of a layer that has most, without its bias."""
        counted = [
            edge
            for edge in edges
            for _ in range(2 if edge[0].name in self.signed and not self.room.signs else 1)
        ]
        return self.room.reads(counted, layer.sum_shape).fan_in


def crowded(draft: Draft, fan_in: FanIn) -> list[str]:
    """Returns the layers whose neurons have more inputs than any core of the chip takes, sources first."""
    return [
        name
        for name, layer in draft.layers.items()
        if draft.sources[name]
        and fan_in.reads([(draft.layers[source], link.kernel) for source, link in draft.sources[name]], layer)
        > fan_in.most - fan_in.bias
    ]


def signed_inputs(model: Model, calibration: Mapping[str, Array] | None) -> frozenset[str]:
    """Returns the inputs whose calibration samples are coded with a sign."""
    if calibration is None:
        return frozenset()
    samples = calibration_samples(model, calibration)
    return frozenset(name for name, x in samples.items() if input_range(x, _ANY_LEVELS).signed)


def with_joined_pools(model: Model, fan_in: FanIn) -> Model:
    """Returns the model in which pools that layers with too many inputs read are populations of their own.

    A pool is else the sum of several terms (``max_tree``), each of which takes a synapse of its readers.
    """
    draft = Draft(model)
    pools = {
        source
        for name in crowded(draft, fan_in)
        for source, _ in draft.sources[name]
        if draft.layers[source].max_pool is not None
    }
    for name in pools:
        pool = draft.layers[name].max_pool
        if pool is not None:
            draft.layers[name] = replace(draft.layers[name], max_pool=replace(pool, joined=True))
    return draft.model() if pools else model


def available_neurons(target: Target, chips: int | None, passes: int | None = 1) -> int | None:
    """Returns the neurons of all chips that may be used, in all passes; None where nothing limits them.

    Args:
        target: The chip.
        chips: Chips that may be used; None for all that can be joined.
        passes: Passes over them; None for any number.
    """
    count = min(chips or target.max_chips, target.max_chips)
    bounded = target.neurons is not None and passes is not None
    stated = [(target.neurons or 0) * count * (passes or 0) if bounded else None]
    if target.network_limits is not None:
        stated.append(target.network_limits.hidden)
    return min((n for n in stated if n is not None), default=None)


def neurons_of(model: Model) -> int:
    """Returns the neurons of a model on a chip, those of the trees of its pools among them."""
    total = 0
    for layer in model.graph:
        if layer.is_input:
            continue
        total += math.prod(layer.sum_shape)
        pool = layer.max_pool
        if pool is not None:
            total += layer.size * (math.prod(pool.size) - 1 + int(pool.joined))
    return total
