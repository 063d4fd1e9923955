"""Crossbars of any size, and simulators of programs on them."""

from __future__ import annotations

from dataclasses import replace

from nmcompiler.registry import backend
from nmcompiler.target import CoreType, Limits
from nmcompiler_backends.mixed_signal.simulator import CrossbarSimulator
from nmcompiler_backends.mixed_signal.variation import Chip, PcmDevice

STILL = PcmDevice(None, None, None)
RESOLUTION_TO_SPARE = 22
DAY = 86_400.0


def chip(name="pcm-crossbar", **tiles):
    """A shipped target with other tiles; the limits of its cores follow."""
    target = backend("mixed-signal").targets()[name]
    changed = replace(target.conductance_tiles, **tiles)
    axons = changed.rows * changed.tiles_per_core
    limits = Limits(neurons=changed.columns, input_axons=axons, fan_in=axons)
    count = target.mesh.rows * target.mesh.columns
    return replace(target, conductance_tiles=changed, core_types=(CoreType(count, limits),))


def on_tiles(program, **tiles):
    """A program of any chip as one of conductance tiles."""
    return replace(program, target=replace(program.target, conductance_tiles=chip(**tiles).conductance_tiles))


def still(program, adc_bits=RESOLUTION_TO_SPARE):
    """The whole analog path with every variation at zero."""
    return CrossbarSimulator(program, Chip(1), STILL, adc_bits, DAY)


def drawn(program, seed, device=None, adc_bits=8, read_after_s=DAY):
    return CrossbarSimulator(program, Chip(seed), device or PcmDevice(), adc_bits, read_after_s)
