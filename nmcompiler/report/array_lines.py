"""Lines about an array of analog neurons: what varies, how membranes leak, what can be trimmed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["array_lines"]

Facts = Mapping[str, Any]

_VARIES = {
    "weight_cv": "weights",
    "threshold_cv": "thresholds",
    "gain_cv": "gains of read-outs",
    "time_constant_cv": "time constants",
}


def array_lines(array: Facts) -> Iterator[tuple[str, str]]:
    """Yields what is known of a chip's array, as ``target_to_document`` has it."""
    varies = [f"{name} {array[key]:g}" for key, name in _VARIES.items() if key in array]
    said = ", ".join(varies) or "nothing that was published"
    yield "varies (deviation / mean)", f"{said} ({array['evidence']}: {array['source']})"
    if "temporal_noise" in array:
        yield "noise", f"{array['temporal_noise']:g} of a threshold on every membrane, another at any time"
    tau = array.get("tau_steps")
    yield "membranes", "do not leak" if tau is None else f"leak with a time constant of {tau:g} steps"
    if "adc_bits" in array:
        yield "outputs", f"membranes are read in codes of {array['adc_bits']} bits"
    if array.get("digital_terms"):
        yield "router", f"adds and subtracts up to {array['digital_terms']} whole numbers, as max pools need"
    if array.get("synapse_copies", 1) > 1:
        yield "copies", f"up to {array['synapse_copies']} synapses hold one weight where the fan-in has room"
    trims = [
        f"{name} ± {array[key]['span']:g} {unit} in {array[key]['bits']} bits, one per neuron"
        for key, name, unit in (
            ("threshold_dac", "thresholds", "thresholds"),
            ("bias_dac", "biases", "levels"),
        )
        if key in array
    ]
    yield "trims", "; ".join(trims) or "none"
