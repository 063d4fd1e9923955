"""What can be trimmed on an array: its DACs, its ADCs and the host's digital correction."""

from __future__ import annotations

from collections.abc import Mapping

from nmcompiler.session import TrimRange
from nmcompiler_backends.mixed_signal.array.plan import Plan
from nmcompiler_backends.mixed_signal.trims import trim_ranges

__all__ = ["array_ranges"]


def array_ranges(plan: Plan) -> Mapping[str, TrimRange]:
    """Returns what can be trimmed on a chip, by name: ADCs of arrays are one for each block of outputs."""
    neurons, found = plan.loaded.neurons, dict[str, TrimRange]()
    dacs = (
        ("threshold", plan.array.threshold_dac, "of the threshold"),
        ("bias", plan.array.bias_dac, "levels"),
    )
    for name, dac, unit in dacs:
        if dac is not None:
            found[name] = TrimRange(dac.lowest, dac.highest, 0, dac.step, unit, "neuron", neurons)
    if plan.outputs:
        digital = trim_ranges(len(plan.outputs), neurons, 0)
        found |= {name: digital[name] for name in ("gain", "offset")}
        if plan.array.adc_bits is not None:
            found["adc-range"] = digital["adc-range"]
    return found
