"""Arrays of any mismatch, and programs on them."""

from __future__ import annotations

from dataclasses import replace

from nmcompiler.registry import backend
from nmcompiler.testing import random_network, random_samples
from nmcompiler.testing.chain import placed_program
from nmcompiler_backends.mixed_signal.array.circuits import Draw, varying
from nmcompiler_backends.mixed_signal.backend import MixedSignalBackend
from nmcompiler_backends.mixed_signal.variation import Chip


def analog(name="generic-analog", **array):
    """A shipped target with another array."""
    target = backend("mixed-signal").targets()[name]
    return replace(target, neuron_array=replace(target.neuron_array, **array))


def placed(seed, code="phase", **array):
    """A random network on an array, with its golden network, and samples."""
    steps = 9 if code == "rate" else None
    program, spiking = placed_program(
        random_network(seed), analog(**array), code, backend=MixedSignalBackend(), seed=seed, timesteps=steps
    )
    return replace(program, golden=spiking), random_samples(spiking.network, seed, 30)


def drawn(program, seed, sources=None):
    """A chip; all that varies, or some of it."""
    return Draw(Chip(seed), varying(program.target.neuron_array) if sources is None else sources)
