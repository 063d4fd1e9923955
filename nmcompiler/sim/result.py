"""What a run is asked to record, and what it returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Array", "Int32Array", "Int64Array", "Record", "RunResult"]

Array: TypeAlias = npt.NDArray[Any]
Int32Array: TypeAlias = npt.NDArray[np.int32]
Int64Array: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Record:
    """What a run keeps besides outputs and counters.

    Attributes:
        values: The integer that each neuron sent.
        membranes: The membrane of each neuron when it starts to fire.
        trains: Every value sent, step by step; only the literal path has them.
    """

    values: bool = False
    membranes: bool = False
    trains: bool = False


@dataclass(frozen=True, eq=False)
class RunResult:
    """Outputs and counters of a run over N samples.

    Per-population arrays stand in the order of population numbers, each in the flat order (row, column,
    channel) of its population.

    Attributes:
        outputs: Per output port ``(N, size)`` int64: membranes of its read-out population, or its values
            where it has levels.
        values: Per population ``(N, size)`` int32, zero for those without levels; None where not recorded.
        membranes: Per population ``(N, size)`` int64 at firing, for read-outs without levels the result,
            zero for inputs; None where not recorded.
        trains: Per population ``(N, total steps, size)`` int32; None where not recorded.
        spikes: ``(populations,)`` int64: events sent, all samples together.
        spikes_per_neuron: ``(neurons,)`` int64, in the order of global numbers.
        spikes_per_block: ``(blocks,)`` int64.
        synops: Synaptic operations.
        synops_per_block: ``(blocks,)`` int64: those that the block's spikes cause.
        hops: Mesh links crossed.
        hops_per_block: ``(blocks,)`` int64: those that the block's spikes cross.
        saturations: Registers clipped.
        samples: N.
        literal_samples: Samples that were executed step by step.
        windowed: Whether the results come from the windowed path.
        jit_seconds: Seconds spent compiling kernels.
        wall_seconds: Seconds of the whole run, compiling included.
    """

    outputs: tuple[Int64Array, ...]
    values: tuple[Int32Array, ...] | None
    membranes: tuple[Int64Array, ...] | None
    trains: tuple[Int32Array, ...] | None
    spikes: Int64Array
    spikes_per_neuron: Int64Array
    spikes_per_block: Int64Array
    synops: int
    synops_per_block: Int64Array
    hops: int
    hops_per_block: Int64Array
    saturations: int
    samples: int
    literal_samples: int
    windowed: bool
    jit_seconds: float
    wall_seconds: float
