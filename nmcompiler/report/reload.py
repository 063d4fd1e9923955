"""What several passes over the chips cost beside their steps: what is loaded, and what the host keeps.

A core that is loaded gets its synapse memory, the start of every membrane, its thresholds and, where a bias
is a current, the biases. Tables of routes and axons have no published size; they are not counted, so the
bytes are a bound from below. They are loaded once for a batch of samples, whose spikes the host keeps; the
time is that of a sample by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nmcompiler.program.layout import Program
from nmcompiler.program.slices import block_turns, turn_spans
from nmcompiler.program.usage import CoreUsage, core_usage
from nmcompiler.report.figures import figure

__all__ = ["LOAD_ENERGY", "LOAD_TIME", "pass_facts", "reload_bytes", "reload_us"]

LOAD_TIME = "time_per_loaded_byte_ns"
LOAD_ENERGY = "energy_per_loaded_byte_pj"


def reload_bytes(program: Program, usage: CoreUsage | None = None) -> list[int]:
    """Returns the bytes that each pass loads; of a single pass none, since it stays.

    Args:
        program: The program.
        usage: What it uses of its cores, where that is known already.
    """
    if program.passes == 1:
        return [0]
    used, target = (usage or core_usage(program)).used, program.target
    bits = used["synapse_bits"] + used["state_bits"] + used["thresholds"] * target.threshold.bits
    total = np.bincount(program.turns, bits, program.passes)
    turns, biased = block_turns(program), _bias_bits(program)
    np.add.at(total, turns[turns >= 0], biased[turns >= 0])
    return [-(-int(n) // 8) for n in total]


def _bias_bits(program: Program) -> Any:
    """Returns the bits of each block's biases where they are currents, ``(blocks,)`` int64."""
    bias, n = program.target.bias, program.column("n")
    if bias is None or program.coding != "rate":
        return np.zeros_like(n)
    each = bias.mantissa_bits + bias.exponent_max.bit_length()
    first, count = program.column("param0"), program.column("param_n")
    found = np.zeros_like(n)
    for block in np.flatnonzero(block_turns(program) >= 0).tolist():
        entries = first[block] + np.arange(n[block]) % count[block]
        found[block] = each * np.count_nonzero(program.arrays["current"][entries])
    return found


def reload_us(program: Program, loaded: int) -> float | None:
    """Returns the time of loading bytes in µs; None where no time of a byte is published."""
    found = figure(program.target, LOAD_TIME)
    if not loaded:
        return 0.0
    return None if found is None else loaded * found[1].value * 1e-3


def pass_facts(program: Program, usage: CoreUsage, names: Sequence[str], stored: Any) -> dict[str, Any]:
    """Returns the facts under the key ``passes`` of ``compile --json``.

    Args:
        program: The program.
        usage: What it uses of its cores.
        names: Names of the populations by number.
        stored: What was written at compile: ``spilled_spikes``, expected of a sample.
    """
    each = reload_bytes(program, usage)
    loaded = sum(each)
    spilled = stored.get("spilled_spikes") if isinstance(stored, Mapping) else None
    known = isinstance(spilled, int | float) and not isinstance(spilled, bool)
    return {
        "count": program.passes,
        "reload_bytes": loaded,
        "reload_us": reload_us(program, loaded),
        "spilled_spikes": 0.0 if program.passes == 1 else spilled if known else None,
        "each": [_facts(program, turn, bytes_of, names) for turn, bytes_of in enumerate(each)],
    }


def _facts(program: Program, turn: int, loaded: int, names: Sequence[str]) -> dict[str, Any]:
    """Returns what is to be said of one pass."""
    mine, (start, end) = program.turns == turn, turn_spans(program)[turn]
    held = np.unique(program.column("population")[block_turns(program) == turn])
    return {
        "pass": turn,
        "layers": [names[k] for k in held.tolist()],
        "cores": int(mine.sum()),
        "chips": int(program.arrays["cores"][mine, 0].max(initial=-1)) + 1,
        "first_step": start,
        "steps": end - start,
        "reload_bytes": loaded,
    }
