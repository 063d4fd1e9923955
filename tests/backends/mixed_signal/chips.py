"""Crossbars of any size, and simulators of programs on them."""

from __future__ import annotations

from dataclasses import replace

from nmcompiler.registry import backend
from nmcompiler.sim import Record
from nmcompiler.target import CoreType, Limits, Mesh
from nmcompiler.testing import random_network, random_samples
from nmcompiler.testing.chain import placed_program
from nmcompiler_backends.mixed_signal.backend import MixedSignalBackend
from nmcompiler_backends.mixed_signal.session import CrossbarSession
from nmcompiler_backends.mixed_signal.simulator import CrossbarSimulator
from nmcompiler_backends.mixed_signal.variation import Chip, PcmDevice

STILL = PcmDevice(None, None, None)
RESOLUTION_TO_SPARE = 22
DAY = 86_400.0


def chip(name="pcm-crossbar", places=None, **tiles):
    """A shipped target with other tiles, and ``places``² cores; the limits of its cores follow."""
    target = backend("mixed-signal").targets()[name]
    changed = replace(target.conductance_tiles, **tiles)
    axons = changed.rows * changed.tiles_per_core
    limits = Limits(neurons=changed.columns, input_axons=axons, fan_in=axons)
    if places is not None:
        target = replace(target, mesh=Mesh(places, places))
    count = target.mesh.rows * target.mesh.columns
    return replace(target, conductance_tiles=changed, core_types=(CoreType(count, limits),))


def on_tiles(program, **tiles):
    """A program of any chip as one of conductance tiles."""
    return replace(program, target=replace(program.target, conductance_tiles=chip(**tiles).conductance_tiles))


def still(program, adc_bits=RESOLUTION_TO_SPARE):
    """The whole analog path with every variation at zero."""
    return CrossbarSimulator(program, Chip(1), STILL, adc_bits, DAY)


def multiplying(**tiles):
    """The multiply-accumulate mode with small arrays and room for random networks."""
    sizes = {"rows": 16, "columns": 16, "tiles_per_core": 16, **tiles}
    return chip("brainscales2-mac", places=12, **sizes)


def placed_graded(seed, target=None):
    """A random network of 5-bit values on small arrays, and samples."""
    return placed(seed, target or multiplying(), random_network(seed, input_levels=31), "graded")


def drawn(program, seed, device=None, adc_bits=8, read_after_s=DAY):
    return CrossbarSimulator(program, Chip(seed), device or PcmDevice(), adc_bits, read_after_s)


def placed(seed, target=None, network=None, code="phase"):
    """A random network on small tiles, and samples."""
    target = target or chip(rows=16, columns=16, tiles_per_core=16)
    network = network or random_network(seed)
    program, spiking = placed_program(network, target, code, backend=MixedSignalBackend(), seed=seed)
    return replace(program, golden=spiking), random_samples(spiking.network, seed, 60)


def damaged(program, damage, adc_bits=RESOLUTION_TO_SPARE):
    """A session with a chip whose weights differ from the program's in one planted way.

    ``damage(block, weights, tile)`` changes the weights ``(P, n)`` of a block; ``tile(t)`` are a tile's rows.
    """
    sound = still(program, adc_bits)
    held = {}
    for block, tiles in sound.analog.items():
        weights = tiles.weights.copy()
        damage(block, weights, tiles.tile)
        held[block] = replace(tiles, weights=weights)
    return CrossbarSession(replace(sound, held=held))


def off_by(simulator, calibration):
    """Sum of the squares of what membranes of each block are off by."""
    result = simulator.run(calibration.x, record=Record(membranes=True))
    return {
        block.index: float(
            (
                (result.membranes[block.population][:, block.positions] - calibration.membranes[block.index])
                ** 2.0
            ).sum()
        )
        for block in simulator._loaded.blocks
        if not block.is_input
    }
