"""What must hold of conductance tiles besides the types of their entries."""

from __future__ import annotations

from collections.abc import Iterator

from nmcompiler.target.complaint import Complaint
from nmcompiler.target.conductance import ConductanceTiles
from nmcompiler.target.model import Target

__all__ = ["MOST_ADC_BITS", "tile_complaints"]

MOST_ADC_BITS = 24
"""Codes beyond are no whole numbers in 32-bit floats."""
_MOST_SIDE = 65535  # rows, columns, terms
_MOST_INPUT_BITS = 8  # of a digit


def tile_complaints(target: Target) -> Iterator[Complaint]:
    """Yields what is wrong with conductance tiles: their numbers, and cores that are no stack of them."""
    tiles = target.conductance_tiles
    if tiles is None:
        return
    for name, most in (("rows", _MOST_SIDE), ("columns", _MOST_SIDE), ("tiles_per_core", 4096)):
        if not 1 <= getattr(tiles, name) <= most:
            yield Complaint(f"conductance_tiles.{name}", f"is {getattr(tiles, name)}", f"1 to {most:,}")
    if not 2 <= tiles.adc_bits <= MOST_ADC_BITS:
        yield Complaint("conductance_tiles.adc_bits", f"is {tiles.adc_bits}", f"2 to {MOST_ADC_BITS}")
    if tiles.adc_deviations is not None and tiles.adc_deviations <= 0:
        found = f"is {tiles.adc_deviations:g}"
        yield Complaint("conductance_tiles.adc_deviations", found, "above 0, or left out")
    if not 1 <= tiles.row_copies <= 256:
        yield Complaint("conductance_tiles.row_copies", f"is {tiles.row_copies}", "1 to 256, 1 for no copies")
    if not 0 <= tiles.digital_terms <= _MOST_SIDE:
        allowed = f"0 to {_MOST_SIDE:,}, 0 where the periphery computes no neuron"
        yield Complaint("conductance_tiles.digital_terms", f"is {tiles.digital_terms}", allowed)
    if not 1 <= tiles.input_bits <= _MOST_INPUT_BITS:
        allowed = f"1 to {_MOST_INPUT_BITS}, 1 where an input is on or off"
        yield Complaint("conductance_tiles.input_bits", f"is {tiles.input_bits}", allowed)
    if tiles.input_bits > 1 and "phase" in target.codings:
        found = f"is {tiles.input_bits} beside the code phase"
        yield Complaint("conductance_tiles.input_bits", found, "1: phase sends one binary digit at a time")
    yield from _devices(tiles)
    if not tiles.source.strip():
        yield Complaint("conductance_tiles.source", "is empty", "where it was read")
    if target.weight_sharing:
        yield Complaint(
            "weight_sharing", "is true beside conductance_tiles", "false: a device is one synapse"
        )
    if target.crossbar is not None:
        yield Complaint("conductance_tiles", "stands beside crossbar", "one of the two")
    for i, kind in enumerate(target.core_types):
        stacked = {"input_axons": tiles.rows * tiles.tiles_per_core, "neurons": tiles.columns}
        for name, most in stacked.items():
            limit = getattr(kind.limits, name)
            if limit is None or limit > most:
                found = "is left out" if limit is None else f"is {limit}"
                key = f"core_types[{i}].limits.{name}"
                yield Complaint(key, found, f"1 to {most:,}, what the core's conductance_tiles have")


def _devices(tiles: ConductanceTiles) -> Iterator[Complaint]:
    """Yields what does not suit the devices: memories change with time, synapses vary by a factor."""
    after, synapses = tiles.read_after_s, tiles.device == "synapse"
    if after is None and not synapses:
        yield Complaint("conductance_tiles.read_after_s", "is missing", "seconds since programming, above 0")
    if after is not None and synapses:
        found = 'is given beside device = "synapse"'
        yield Complaint("conductance_tiles.read_after_s", found, "left out: synapses keep their weights")
    if after is not None and after <= 0:
        yield Complaint("conductance_tiles.read_after_s", f"is {after:g}", "above 0")
    for name in ("weight_cv", "gain_cv"):
        cv = getattr(tiles, name)
        if cv is not None and not synapses:
            found = f'is given beside device = "{tiles.device}"'
            yield Complaint(f"conductance_tiles.{name}", found, 'only beside device = "synapse"')
        if cv is not None and not 0 <= cv <= 1:
            allowed = "0 to 1; left out where nobody published it"
            yield Complaint(f"conductance_tiles.{name}", f"is {cv:g}", allowed)
