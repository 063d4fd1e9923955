"""The workload figures of NeuroBench 2.3, counted on the placed program.

Yik et al., "The NeuroBench framework for benchmarking neuromorphic computing algorithms and systems",
Nature Communications 16 (2025).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nmcompiler.codings import coding
from nmcompiler.ir.kernels import Array
from nmcompiler.program.layout import BlockKind, Program
from nmcompiler.program.usage import block_facts, fan_out

__all__ = ["neurobench"]


def neurobench(program: Program, spikes: Array, samples: int) -> dict[str, Any]:
    """Returns footprint, sparsities and synaptic operations of one sample.

    - ``footprint_bytes``: stored weights and the registers of the neurons.
    - ``connection_sparsity``: share of synapses whose weight is 0.
    - ``activation_sparsity``: share of (neuron, step of its firing) pairs without a spike.
    - ``synaptic_operations``: an operation whose input is an analog value, or an event that carries a value
      above 1, counts as a MAC, one whose input is a spike as an AC; operations on zero weights are not
      effective. ``Dense`` counts every synapse in every step in which its source may fire.

    Args:
        program: The program.
        spikes: ``(neurons,)`` spikes of each neuron, summed over the samples.
        samples: Number of samples.
    """
    facts = block_facts(program)
    kind, n, steps, levels = (program.column(k) for k in ("kind", "n", "steps", "levels"))
    placed = kind != BlockKind.INPUT
    firing = np.repeat(placed & (levels > 0), n)
    possible = int((n * steps)[placed & (levels > 0)].sum()) * samples
    currents = {p.population for p in program.inputs if p.encoding == "current"}
    values = np.isin(program.column("population"), list(currents))
    if coding(program.coding).payload_bits(1, signed=False):
        values |= levels > 1
    analog = np.repeat(values, n)
    reached, not_zero = fan_out(program)
    effective = spikes * not_zero
    bits = int(facts.stored_weights.sum()) * program.target.weight_bits
    bits += int(n[placed].sum()) * program.target.membrane_bits
    synapses = int(facts.synapses.sum())
    return {
        "footprint_bytes": (bits + 7) // 8,
        "connection_sparsity": int(facts.zero_synapses.sum()) / max(1, synapses),
        "activation_sparsity": 1.0 - float(spikes[firing].sum()) / max(1, possible),
        "synaptic_operations": {
            "Effective_MACs": float(effective[analog].sum()) / samples,
            "Effective_ACs": float(effective[~analog].sum()) / samples,
            "Dense": float((reached * np.repeat(steps, n)).sum()),
        },
    }
