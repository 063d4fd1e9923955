"""The workload figures of NeuroBench 2.3, counted on the placed program.

Yik et al., "The NeuroBench framework for benchmarking neuromorphic computing algorithms and systems",
Nature Communications 16 (2025), as its package computes them from the layers of a network in torch
(``tests/benchmarks/neurobench_parity.py`` compares). Here a population is what an activation layer is there,
and a projection what a linear layer or a convolution is there; inputs of the host are no layer.

**footprint_bytes.** Bytes of all parameters and buffers as they are stored, zeros included::

    ⌈(Σ_cores stored weights · weight bits
      + Σ_blocks parameters · (θ bits + bias bits)
      + neurons · compartments · registers · membrane bits) / 8⌉

in the chip's formats and not in floats of 32 bits. A kernel counts on every core that stores it, once.
Thresholds and biases count in the shortest form: one, one a channel, or one a neuron; a read-out without
levels has no threshold. A neuron has the registers of its code: a membrane and, in some codes, a dendrite, in
each of the compartments that it takes on the chip.

**connection_sparsity.** ``weights that are 0 / weights``, rounded to 4 decimals. Each weight of a kernel
counts once, however many synapses or cores it serves; of a program without its golden network, each stored
weight.

**activation_sparsity.** ``1 − Σ events / Σ (neurons · steps · samples)`` over the populations that fire, with
the ``steps`` of a population's firing in its code. Inputs and read-outs without levels do not count; 0 where
nothing fires.

**synaptic_operations**, means over samples, biases left out. ``Effective_MACs`` and ``Effective_ACs``::

    Σ_neurons events · (synapses it reaches whose weight is not 0)

An operation is a MAC where events of the source population can carry another value than 1 and −1 (graded
values with L > 1, a current with L > T), else an AC. ``Dense``::

    Σ_neurons steps · (synapses it reaches)

where a padded position is no synapse. The package judges each call of a layer by the values that it sees: a
batch of graded values that are all 0, 1 or −1 would be ACs there, and is MACs here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nmcompiler.codings import coding
from nmcompiler.ir.kernels import Array
from nmcompiler.program.layout import BlockKind, Program
from nmcompiler.program.usage import fan_out, synapse_memory

__all__ = ["carry_values", "neurobench"]


def neurobench(program: Program, spikes: Array, samples: int) -> dict[str, Any]:
    """Returns footprint, sparsities and synaptic operations of one sample, as the module defines them.

    Args:
        program: The program.
        spikes: ``(neurons,)`` events of each neuron, summed over the samples.
        samples: Number of samples.
    """
    return {
        "footprint_bytes": (_footprint_bits(program) + 7) // 8,
        "connection_sparsity": round(_connection_sparsity(program), 4),
        "activation_sparsity": _activation_sparsity(program, spikes, samples),
        "synaptic_operations": _synaptic_operations(program, spikes, samples),
    }


def _footprint_bits(program: Program) -> int:
    target = program.target
    kind, n, levels, entries = (program.column(k) for k in ("kind", "n", "levels", "param_n"))
    placed = kind != BlockKind.INPUT
    bias = target.bias
    bias_bits = 0 if bias is None else bias.mantissa_bits + bias.exponent_max.bit_length()
    bits = int(synapse_memory(program).sum())
    bits += int(entries[placed].sum()) * bias_bits
    bits += int(entries[placed & (levels > 0)].sum()) * target.threshold.bits
    registers = coding(program.coding).registers * target.compartments_per_neuron
    return bits + int(n[placed].sum()) * registers * target.membrane_bits


def _connection_sparsity(program: Program) -> float:
    weights = [program.arrays["weights"]]
    if program.golden is not None:
        weights = [e.payload.kernel.weight for e in program.golden.network.graph.edges()]
    zeros = sum(int(np.count_nonzero(w == 0)) for w in weights)
    return zeros / max(1, sum(w.size for w in weights))


def _activation_sparsity(program: Program, spikes: Array, samples: int) -> float:
    kind, n, steps, levels = (program.column(k) for k in ("kind", "n", "steps", "levels"))
    fires = (kind != BlockKind.INPUT) & (levels > 0)
    possible = int((n * steps)[fires].sum()) * samples
    silent = possible - int(spikes[np.repeat(fires, n)].sum())
    return silent / possible if possible else 0.0


def _synaptic_operations(program: Program, spikes: Array, samples: int) -> dict[str, float]:
    n, steps = program.column("n"), program.column("steps")
    reached, not_zero = fan_out(program)
    effective = spikes * not_zero
    values = np.repeat(carry_values(program), n)
    return {
        "Effective_MACs": float(effective[values].sum()) / samples,
        "Effective_ACs": float(effective[~values].sum()) / samples,
        "Dense": float((reached * np.repeat(steps, n)).sum()),
    }


def carry_values(program: Program) -> npt.NDArray[np.bool_]:
    """Returns for each block whether its events can carry another value than 1 and −1."""
    levels, steps, population = (program.column(k) for k in ("levels", "steps", "population"))
    if coding(program.coding).payload_bits(1, signed=False):
        return np.asarray(levels > 1)
    currents = [port.population for port in program.inputs if port.encoding == "current"]
    return np.isin(population, currents) & (levels > steps)
