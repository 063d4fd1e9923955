"""Chips of any size for tests."""

from __future__ import annotations

from nmcompiler.target.model import (
    USUAL,
    BiasFormat,
    CoreType,
    Crossbar,
    Dynamics,
    InputEncoding,
    Limits,
    Mesh,
    Readout,
    Target,
    ThresholdFormat,
)

__all__ = ["boundless_target", "tiny_target"]


def tiny_target(
    *,
    neurons: int | None = 24,
    input_axons: int | None = 1024,
    output_axons: int | None = None,
    synapse_bits: int | None = None,
    state_bits: int | None = None,
    thresholds: int | None = None,
    fan_in: int | None = None,
    destinations: int | None = None,
    rows: int = 16,
    columns: int = 16,
    cores: int | None = None,
    max_chips: int = 1,
    codings: tuple[str, ...] = ("phase", "rate-sync", "ttfs", "graded", "rate"),
    weight_bits: int = 8,
    weight_sharing: bool = True,
    threshold: ThresholdFormat | None = None,
    bias: BiasFormat | None = None,
    membrane_bits: int = 24,
    signed_spikes: bool = True,
    graded_payload_bits: int | None = 16,
    fires_when: str = "ge",
    dynamics: Dynamics = USUAL,
    axons_per_source: int = 1,
    compartments_per_neuron: int = 1,
    input_encodings: tuple[InputEncoding, ...] = ("spikes", "current", "graded"),
    readout: tuple[Readout, ...] = ("membrane", "spikes"),
    crossbar: Crossbar | None = None,
    axon_fan_out: int | None = None,
) -> Target:
    """Returns a chip whose small cores force a network onto many of them.

    Args:
        neurons: Limit of a core, in compartments; likewise the other names of ``nmcompiler.target.Limits``.
        input_axons: Limit of a core.
        output_axons: Limit of a core.
        synapse_bits: Limit of a core.
        state_bits: Limit of a core.
        thresholds: Limit of a core.
        fan_in: Limit of a core.
        destinations: Limit of a core.
        rows: Rows of the mesh.
        columns: Columns of the mesh.
        cores: Cores of a chip; None fills the mesh.
        max_chips: Chips that can be joined.
        codings: Codes, the preferred one first.
        weight_bits: Bits of a weight, the sign included.
        weight_sharing: Whether a core stores a convolution's kernel once.
        threshold: Format of thresholds; None allows 24 bits for every neuron.
        bias: Format of biases; None allows plain integers of 24 bits.
        membrane_bits: Bits of the registers.
        signed_spikes: Whether spikes carry a sign.
        graded_payload_bits: Bits of the value of an event; None for unit spikes.
        fires_when: ``ge`` or ``gt``.
        axons_per_source: Input axons that one source takes.
        compartments_per_neuron: Compartments that one neuron takes.
        dynamics: How neurons reset, how low they go and when they compare.
        input_encodings: How samples can enter.
        readout: What outputs can be read from, the preferred way first.
        crossbar: Bits and typed weights in place of weights.
        axon_fan_out: Axons that a neuron of such a core reaches.
    """
    limits = Limits(
        neurons, input_axons, output_axons, synapse_bits, state_bits, thresholds, fan_in, destinations
    )
    return Target(
        name="tiny",
        title="A tiny chip for tests",
        backend="digital",
        codings=codings,
        core_types=(CoreType(rows * columns if cores is None else cores, limits),),
        mesh=Mesh(rows, columns),
        max_chips=max_chips,
        weight_bits=weight_bits,
        weight_sharing=weight_sharing and crossbar is None,
        threshold=ThresholdFormat(24) if threshold is None else threshold,
        bias=BiasFormat(24) if bias is None else bias,
        membrane_bits=membrane_bits,
        fires_when="gt" if fires_when == "gt" else "ge",
        axons_per_source=axons_per_source,
        compartments_per_neuron=compartments_per_neuron,
        reset=dynamics.reset,
        membrane_floor=dynamics.floor,
        compares=dynamics.compares,
        event_ties="source" if dynamics.ties is None else "seeded",
        signed_spikes=signed_spikes,
        graded_payload_bits=graded_payload_bits,
        input_encodings=input_encodings,
        readout=readout,
        crossbar=crossbar,
        axon_fan_out=axon_fan_out,
    )


def boundless_target(**changes: object) -> Target:
    """Returns a chip of one core without limits; ``changes`` are arguments of ``tiny_target``."""
    return tiny_target(neurons=None, input_axons=None, rows=1, columns=1, **changes)  # type: ignore[arg-type]
