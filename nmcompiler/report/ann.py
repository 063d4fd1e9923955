"""The same network as an integer ANN, and the spiking network, both priced from one table.

The table is ``arithmetic_45nm.toml``. With m the energy of a byte of memory, w and a the bytes of a weight
and of an activation, s those of a neuron's registers::

    ANN   MACs · (w·m_w + a·m + e_multiply + e_add) + additions · (a·m + e_add)
          + values written · (a·m + e_multiply32 + e_add)
    SNN   synops · (w·m_w + m/8 + e_add) + updates · (2·s·m + e_add) + spikes · (m/8 + e_add)

The cost script of Ottati et al. (arXiv 2306.15749) counts likewise: it reads a weight and an activation for
every MAC, a weight and an event of one bit for every synop, and reads and writes the state for every
update. An event that carries a value above 1 is read with all its bits and multiplied. Sums have 32 bits;
an ANN's value is brought back to its levels by one multiplication. ``m_w`` is that of the small memory
where the weights of the fullest core fit into it, else of the large one, and the same for both networks.
Wires, clocks and leakage are in neither, so the two can be compared with each other and with nothing else.

MACs are those of the ONNX file (``Model``), not of the integer network, in which pooling and its helpers have
synapses of their own. Per-channel scales cost nothing, since the multiplication of the result contains them.

Two more ANNs bound the answer: one that reads every weight once a sample and every activation once a layer
(``reused``: the ideal of a systolic array), and one that leaves out activations that are zero
(``zero_skipping``), with the share of non-zero activations measured on the chip's values.

Spikes per synapse are the synops of a sample over the MACs of the ANN. The break-even is their number at
which the spiking network costs what the ANN does: its events scaled, its updates as they are. Where the
updates alone cost more there is none. (Without updates, with 8-bit sums and one memory it is 5.23 / 2.84 =
1.84 times the share of values that are not zero, as in that script.)
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from nmcompiler.codings import coding
from nmcompiler.ir.kernels import Array, Conv, Kernel, Shape
from nmcompiler.ir.layers import Model
from nmcompiler.program.layout import BlockKind, Program
from nmcompiler.program.slices import block_steps
from nmcompiler.program.usage import fan_out, synapse_memory
from nmcompiler.report.neurobench import carry_values

__all__ = ["AnnLayer", "SpikingCounts", "ann_facts", "ann_layers", "ann_of_run", "stored_layers"]


@dataclass(frozen=True)
class AnnLayer:
    """What one layer of an ANN computes for a sample.

    Attributes:
        name: The layer.
        macs: Multiplications with a weight.
        additions: Additions and comparisons without one: residual adds, pooling.
        weights: Distinct weights.
        reads: Values of sources that it takes, each counted once.
        writes: Values that it writes.
        from_input: Whether it reads an input of the network.
    """

    name: str
    macs: int
    additions: int
    weights: int
    reads: int
    writes: int
    from_input: bool


@dataclass(frozen=True)
class SpikingCounts:
    """What the spiking network did in one sample, on average.

    Attributes:
        synops: Operations for events that stand for 1.
        multiplied: Operations for events that carry a value.
        spikes: Events of neurons on the chip.
        updates: Neuron updates; a neuron of several compartments has one for each.
        density: Share of values that are not zero, each counted as often as it is read; None if unknown.
    """

    synops: float
    multiplied: float
    spikes: float
    updates: float
    density: float | None


def ann_layers(model: Model) -> list[AnnLayer]:
    """Returns the work of every layer of a network that an ANN would execute."""
    rows = []
    for layer in model.graph:
        edges = model.graph.in_edges(layer.name)
        if layer.is_input or not edges:
            continue
        macs = additions = weights = 0
        for edge in edges:
            kernel = edge.payload.kernel
            count = _synapses(kernel, layer.sum_shape)
            if _is_scale(kernel) or _is_constant(kernel):
                additions += count
            else:
                macs, weights = macs + count, weights + int(kernel.weight.size)
        outputs = int(np.prod(layer.sum_shape))
        if additions <= outputs:  # one source for each value: wiring, or a scale, which costs nothing
            additions = 0
        if layer.max_pool is not None:
            additions += layer.size * int(np.prod(layer.max_pool.size))
        if macs or additions:
            sources = [model.graph.node(edge.source) for edge in edges]
            reads = sum(s.size for s in {s.name: s for s in sources}.values())
            host = any(s.is_input for s in sources)
            rows.append(AnnLayer(layer.name, macs, additions, weights, reads, layer.size, host))
    return rows


def _synapses(kernel: Kernel, target: Shape) -> int:
    """Returns the products that a kernel stands for, those with padding included."""
    if isinstance(kernel, Conv):
        return target[0] * target[1] * int(kernel.weight.size)
    return int(kernel.weight.size)


def _is_scale(kernel: Kernel) -> bool:
    """Whether each value is multiplied by a constant of its channel alone."""
    return isinstance(kernel, Conv) and kernel.weight.shape[:3] == (1, 1, 1)


def _is_constant(kernel: Kernel) -> bool:
    """Whether all weights have one magnitude, as in an average or a sum: one multiplication for all."""
    size = np.abs(kernel.weight[kernel.weight != 0])
    return bool(size.size) and bool((size == size.flat[0]).all())


@cache
def _table() -> Mapping[str, Any]:
    file = resources.files("nmcompiler.report").joinpath("arithmetic_45nm.toml")
    return tomllib.loads(file.read_text(encoding="utf-8"))


def _pj(name: str) -> float:
    return float(_table()[name]["pj"])


def ann_of_run(
    program: Program, spikes: Array, synops: Array, nonzero: Array | None, samples: int
) -> dict[str, Any] | None:
    """Returns the comparison of a run, None for a program that was compiled without counting the ANN.

    Args:
        program: The program.
        spikes: ``(neurons,)`` events of each neuron, summed over the samples.
        synops: ``(blocks,)`` operations that the events of each block cause, summed likewise.
        nonzero: ``(neurons,)`` samples in which the value of a neuron is not 0; None if unknown.
        samples: Number of samples.
    """
    layers = stored_layers(program.report.get("ann"))
    if layers is None:
        return None
    kind, core, n, levels = (program.column(k) for k in ("kind", "core", "n", "levels"))
    placed = kind != BlockKind.INPUT
    carries = carry_values(program)
    reached, _ = fan_out(program)
    counts = SpikingCounts(
        synops=float(synops[~carries].sum()) / samples,
        multiplied=float(synops[carries].sum()) / samples,
        spikes=float(spikes[np.repeat(placed, n)].sum()) / samples,
        updates=float(n @ block_steps(program)) * program.target.compartments_per_neuron,
        density=None if nonzero is None else float(nonzero @ reached) / max(1, int(reached.sum()) * samples),
    )
    bits = program.target.weight_bits
    memory = np.bincount(core[placed], synapse_memory(program)[placed])
    return ann_facts(
        layers,
        counts,
        weight_bits=bits,
        levels=int(levels[placed].max(initial=1)) or 1,
        input_levels=int(levels[~placed].max(initial=1)),
        state_bits=coding(program.coding).registers * program.membrane_bits,
        core_weight_bytes=int(memory.max(initial=0)) // 8,
    )


def ann_facts(
    layers: Iterable[AnnLayer],
    counts: SpikingCounts,
    *,
    weight_bits: int,
    levels: int,
    input_levels: int,
    state_bits: int,
    core_weight_bytes: int,
) -> dict[str, Any]:
    """Returns the comparison of both networks, for one sample.

    Args:
        layers: What the ANN computes.
        counts: What the spiking network did.
        weight_bits: Bits of a weight.
        levels: L of hidden values, which are the ANN's activations too.
        input_levels: L of the inputs.
        state_bits: Bits of the registers that an update reads and writes: all those of a compartment.
        core_weight_bytes: Weights of the fullest core, which decide the memory that is priced.
    """
    rows = list(layers)
    large = core_weight_bytes > _table()["small_sram"]["up_to_bytes"]
    prices = _Prices(
        weight=weight_bits / 8 * _pj("large_sram" if large else "small_sram"),
        byte=_pj("small_sram"),
        multiply=_pj("multiply_8_bit" if max(weight_bits, levels.bit_length()) <= 8 else "multiply_32_bit"),
        bits=levels.bit_length(),
        input_bits=input_levels.bit_length(),
    )
    dense = sum(prices.layer(row) for row in rows)
    reused = sum(prices.layer(row, reused=True) for row in rows)
    skipping = None if counts.density is None else sum(prices.layer(row, counts.density) for row in rows)
    snn = prices.spiking(counts, state_bits)
    macs = sum(row.macs for row in rows)
    measured = (counts.synops + counts.multiplied) / max(1, macs)
    return {
        "table": _table()["title"],
        "prices": {k: v for k, v in _table().items() if isinstance(v, Mapping)},
        "memory": "large_sram" if large else "small_sram",
        "macs": macs,
        "energy_uj": dense * 1e-6,
        "reused_uj": reused * 1e-6,
        "zero_skipping_uj": None if skipping is None else skipping * 1e-6,
        "density": counts.density,
        "snn_uj": sum(snn.values()) * 1e-6,
        "snn_parts_uj": {key: pj * 1e-6 for key, pj in snn.items()},
        "spikes_per_synapse": measured,
        "break_even": _break_even(dense, snn, measured),
        "break_even_reused": _break_even(reused, snn, measured),
        "break_even_zero_skipping": None if skipping is None else _break_even(skipping, snn, measured),
        "layers": [{**asdict(row), "uj": prices.layer(row) * 1e-6} for row in rows],
    }


@dataclass(frozen=True)
class _Prices:
    """Prices in pJ: of a weight that is read, of a byte, of a product; bits of values."""

    weight: float
    byte: float
    multiply: float
    bits: int
    input_bits: int

    def layer(self, row: AnnLayer, density: float = 1.0, *, reused: bool = False) -> float:
        """Returns the energy of a layer; of its products only those with a value that is not zero."""
        add, written = _pj("add_32_bit"), self.bits / 8 * self.byte
        read = (self.input_bits if row.from_input else self.bits) / 8 * self.byte
        close = row.writes * (written + _pj("multiply_32_bit") + add)
        if reused:
            moved = row.weights * self.weight + row.reads * read
            return moved + row.macs * (self.multiply + add) + row.additions * add + close
        product = self.weight + read + self.multiply + add
        return row.macs * density * product + row.additions * (read + add) + close

    def spiking(self, counts: SpikingCounts, state_bits: int) -> dict[str, float]:
        """Returns the energy of the spiking network by its parts."""
        add, bit = _pj("add_32_bit"), self.byte / 8
        synops = counts.synops * (self.weight + bit + add)
        synops += counts.multiplied * (self.weight + self.bits * bit + self.multiply + add)
        return {
            "synops": synops,
            "updates": counts.updates * (2 * state_bits / 8 * self.byte + add),
            "spikes": counts.spikes * (bit + add),
        }


def _break_even(ann: float, snn: Mapping[str, float], measured: float) -> float | None:
    """Returns the spikes per synapse at which both cost the same; None where there is no such number."""
    events = snn["synops"] + snn["spikes"]
    left = ann - snn["updates"]
    return measured * left / events if events > 0 and left > 0 else None


def stored_layers(stored: Any) -> list[AnnLayer] | None:
    """Returns the layers that were counted at compile, None where a program holds nothing that looks so."""
    kinds = AnnLayer.__dataclass_fields__
    try:
        rows = [AnnLayer(**entry) for entry in stored]
    except TypeError:
        return None
    whole = all(
        isinstance(value, int) and value >= 0
        for row in rows
        for key, value in asdict(row).items()
        if kinds[key].type == "int"
    )
    return rows if rows and whole else None
