"""What a chip can hold and do. Code never asks for a chip's name: what differs is a field here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from nmcompiler.target.conductance import ConductanceTiles
from nmcompiler.target.figures import Evidence, Figure, FigureKind
from nmcompiler.target.layer_rules import LayerRules, NetworkLimits
from nmcompiler.target.neuron_array import NeuronArray

__all__ = [
    "RESOURCES",
    "USUAL",
    "BiasFormat",
    "ConductanceTiles",
    "CoreType",
    "Crossbar",
    "Dynamics",
    "Evidence",
    "Figure",
    "FigureKind",
    "InputEncoding",
    "Limits",
    "Mesh",
    "NeuronArray",
    "Readout",
    "Target",
    "ThresholdFormat",
]

InputEncoding: TypeAlias = Literal["spikes", "current", "graded", "host"]
Readout: TypeAlias = Literal["membrane", "spikes"]


@dataclass(frozen=True)
class Limits:
    """What one core holds; None where the chip sets no limit.

    Attributes:
        neurons: Neurons of a core; where a neuron takes several compartments, the compartments
            (see ``Target.compartments_per_neuron``).
        input_axons: Distinct sources whose spikes a core can receive (see ``Target.axon_unit``).
        output_axons: (neuron, destination core) pairs.
        synapse_bits: Bits of synapse memory.
        state_bits: Bits of neuron state.
        thresholds: Distinct thresholds.
        fan_in: Synapses of one neuron.
        destinations: Destination cores of one neuron.
    """

    neurons: int | None = None
    input_axons: int | None = None
    output_axons: int | None = None
    synapse_bits: int | None = None
    state_bits: int | None = None
    thresholds: int | None = None
    fan_in: int | None = None
    destinations: int | None = None


RESOURCES: tuple[str, ...] = tuple(Limits.__dataclass_fields__)


@dataclass(frozen=True)
class CoreType:
    """``count`` equal cores of one chip."""

    count: int
    limits: Limits


@dataclass(frozen=True)
class Mesh:
    """The grid of cores of one chip; several chips stand side by side in one row.

    Attributes:
        rows: Rows of cores.
        columns: Columns of cores.
        off_chip_hops: As many links of the grid a link to the next chip counts where cores are placed; what
            it costs in energy or time is a figure of its own.
    """

    rows: int
    columns: int
    off_chip_hops: float = 4.0


@dataclass(frozen=True)
class ThresholdFormat:
    """Thresholds are whole numbers from 1 to ``2**bits − 1``, one ``per`` neuron, channel or population."""

    bits: int
    per: Literal["neuron", "channel", "population"] = "neuron"


@dataclass(frozen=True)
class BiasFormat:
    """Biases are ``mantissa · 2**exponent``.

    Attributes:
        mantissa_bits: Bits of the mantissa, the sign included.
        exponent_max: Largest exponent; 0 means plain integers.
        synapses: Synapses of a neuron that its bias takes, and that its inputs cannot have.
    """

    mantissa_bits: int
    exponent_max: int = 0
    synapses: int = 0


@dataclass(frozen=True)
class Crossbar:
    """Cores that store one bit where an axon crosses a neuron, beside a few weights a neuron.

    An axon has a type, and a neuron one weight for each type: a spike on an axon adds, where the bit is set,
    the neuron's weight for the axon's type. A source that takes k axons of different types thus has any sum
    of k weights of the neuron.

    Attributes:
        axon_types: Types of axons.
        weight_bits: Bits of a neuron's weight for a type, the sign included; two's complement.
    """

    axon_types: int
    weight_bits: int

    def room(self, base: tuple[int, ...]) -> int:
        """Returns the largest whole number by which weights of the types can be multiplied."""
        most = 1 << self.weight_bits - 1
        return min(most // -b if b < 0 else (most - 1) // b for b in base)


@dataclass(frozen=True)
class Dynamics:
    """What the neurons of a chip do with their membranes, besides adding up and comparing.

    Zero is that of the integer network: where chips fire on v > θ, registers start one higher, and so do
    the value after a reset and the floor (such a chip may as well hold a θ that is one smaller).

    Attributes:
        reset: What a spike does: θ is subtracted, or the membrane is set to zero.
        floor: Smallest membrane: it is lifted to it after every accumulation. None where only its bits
            limit it.
        compares: When a membrane is compared with θ: once a step, when all that arrives in it was added,
            or after every event.
        ties: Where every event is compared and nobody controls the order of those that come in the same
            step, the seed that draws it; None where they come in the order of their sources.
    """

    reset: Literal["subtract", "zero"] = "subtract"
    floor: int | None = None
    compares: Literal["step", "event"] = "step"
    ties: int | None = None

    @property
    def forgets_events(self) -> bool:
        """Whether a membrane that fires holds at most one event beyond its threshold, and none below it."""
        return self.compares == "event" and self.reset == "zero" and self.floor is not None


USUAL = Dynamics()
"""Neurons that subtract θ, have no floor and compare once a step: the exact codes need them."""


@dataclass(frozen=True)
class Target:
    """A chip.

    Attributes:
        name: Identifier.
        title: Name for people.
        backend: Name of the backend that compiles for it.
        codings: Codes that it can run, the preferred one first.
        core_types: Its kinds of cores.
        mesh: The grid on which the cores stand, row by row.
        max_chips: Largest number of chips that can be joined.
        weight_bits: Bits of a weight, the sign included; the range is symmetric.
        weight_widths: Bits in which a weight can be stored, where not every number up to ``weight_bits`` is.
        weight_sharing: Whether a core stores the kernel of a convolution once.
        crossbar: How synapses are stored where a core holds bits and typed weights; None where every synapse
            has a weight of its own.
        conductance_tiles: How a core multiplies in analog memories; None where it is digital.
        neuron_array: What differs between its neurons, where they are analog; None where they are digital.
        axon_fan_out: Axons that the spikes of a neuron reach; a neuron that must reach more is built several
            times, or read through a relay that is. None where nothing limits it.
        delay_max: Most steps that a spike can travel; None where nothing limits it.
        axon_unit: Whether an input axon is one source neuron, or a pixel whose channel travels along.
        axons_per_source: Input axons that one source takes: two where a weight of either sign is a pair of
            rows, each with one sign.
        compartments_per_neuron: Compartments of a core that one neuron takes, each with a membrane of its own
            that is updated in every step: two where a second one holds what a reset must subtract. The limit
            ``neurons`` of a core counts compartments.
        populations_per_core: Populations of which a core can hold neurons, where that is limited.
        kernel_memory: How much synapse memory a kernel takes: its weights (``weights``), or for every source
            channel that it reads a power of two of them (``power_of_two``).
        threshold: Format of thresholds.
        bias: Format of biases; left out where the chip has no bias.
        membrane_bits: Bits of a membrane, the sign included.
        fires_when: ``ge``: v ≥ θ; ``gt``: v > θ.
        reset: What a spike does to the membrane; see ``Dynamics``.
        membrane_floor: Smallest membrane, where the chip lifts it to that after every accumulation.
        compares: When membranes are compared with their thresholds: once a step, or after every event.
        event_ties: What orders the events of one step, where each is compared: their ``source``, or nothing
            that anybody controls, so that every run draws an order (``seeded``).
        signed_spikes: Whether a spike carries a sign.
        graded_payload_bits: Bits of the value that an event can carry, its sign included; None where events
            are unit spikes.
        input_encodings: How samples can enter, the preferred one first.
        readout: What can be read of the last neurons, the preferred way first: their membranes, or the spikes
            that they send.
        product: Whether it can be had; where not, it is nobody's choice as long as another chip serves.
        events_per_step: Spikes that a neuron of the chip can send in one step; the simulator sends one.
        network_limits: Neurons of a whole network, where the chip has them for one purpose only.
        layer_rules: The layers that it computes, where it is built for layers and not for synapses.
        step_us: Duration of one step in microseconds, where known.
        figures: Published figures of time, energy and power by their keys, see ``figures.FIGURES``.
        notes: What a user should know.
    """

    name: str
    title: str
    backend: str
    codings: tuple[str, ...]
    core_types: tuple[CoreType, ...]
    mesh: Mesh
    max_chips: int
    weight_bits: int
    weight_sharing: bool
    threshold: ThresholdFormat
    membrane_bits: int
    weight_widths: tuple[int, ...] = ()
    crossbar: Crossbar | None = None
    conductance_tiles: ConductanceTiles | None = None
    neuron_array: NeuronArray | None = None
    axon_fan_out: int | None = None
    delay_max: int | None = None
    bias: BiasFormat | None = None
    axon_unit: Literal["neuron", "pixel"] = "neuron"
    axons_per_source: int = 1
    compartments_per_neuron: int = 1
    populations_per_core: int | None = None
    kernel_memory: Literal["weights", "power_of_two"] = "weights"
    fires_when: Literal["ge", "gt"] = "ge"
    reset: Literal["subtract", "zero"] = "subtract"
    membrane_floor: int | None = None
    compares: Literal["step", "event"] = "step"
    event_ties: Literal["source", "seeded"] = "source"
    signed_spikes: bool = False
    graded_payload_bits: int | None = None
    input_encodings: tuple[InputEncoding, ...] = ("spikes",)
    readout: tuple[Readout, ...] = ("membrane",)
    product: bool = True
    events_per_step: int = 1
    network_limits: NetworkLimits | None = None
    layer_rules: LayerRules | None = None
    step_us: Figure | None = None
    figures: Mapping[str, Figure] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def possible_weight_bits(self) -> tuple[int, ...]:
        """Bits of a weight that a network may be compiled for, the fewest first: one bit has no sign."""
        widths = self.weight_widths or range(self.weight_bits + 1)
        return tuple(sorted({bits for bits in widths if 2 <= bits <= self.weight_bits}))

    @property
    def cores_per_chip(self) -> int:
        """Number of cores of one chip."""
        return sum(t.count for t in self.core_types)

    @property
    def neurons(self) -> int | None:
        """Neurons of one chip, each whole on one core; None where its cores state no number."""
        each = self.compartments_per_neuron
        stated = [t.limits.neurons and t.count * (t.limits.neurons // each) for t in self.core_types]
        known = [n for n in stated if n is not None]
        return sum(known) if len(known) == len(stated) else None

    @property
    def hidden_levels(self) -> int | None:
        """Largest value that its layers can pass on; None where only the payload of an event limits it."""
        rules = self.layer_rules
        return None if rules is None else max(rules.inner.levels, rules.dense.levels)

    @property
    def synapse_bits(self) -> float:
        """Synapse memory of one chip in bits, infinite where its cores state none."""
        stated = [(t.count, t.limits.synapse_bits) for t in self.core_types]
        return sum(float("inf") if bits is None else count * bits for count, bits in stated)

    @property
    def dynamics(self) -> Dynamics:
        """What its neurons do with their membranes."""
        ties = 0 if self.event_ties == "seeded" else None
        return Dynamics(self.reset, self.membrane_floor, self.compares, ties)

    @property
    def membrane_max(self) -> int:
        """Largest membrane; the smallest is ``−membrane_max − 1``."""
        return int(2 ** (self.membrane_bits - 1)) - 1

    def words(self, resource: str) -> str:
        """Returns what a limit of a core counts: ``neurons`` may be compartments."""
        return "compartments" if resource == "neurons" and self.compartments_per_neuron > 1 else resource

    def core_type(self, position: int) -> int:
        """Returns the index of the core type at a position of a chip, counted row by row."""
        for index, kind in enumerate(self.core_types):
            if position < kind.count:
                return index
            position -= kind.count
        raise IndexError(position)
