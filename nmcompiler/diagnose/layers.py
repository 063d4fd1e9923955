"""Every population with its errors, and the first in which the error jumps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nmcompiler.diagnose.alone import Alone, alone, noise
from nmcompiler.diagnose.reference import Reference
from nmcompiler.ir.kernels import Array
from nmcompiler.ir.network import Network

__all__ = ["LayerError", "first_jump", "layer_errors"]

_JUMP = 2.0  # times the achievable noise (3 dB) from which a layer's noise is a fault
_RELEVANT = 0.25  # share of the largest noise from which a layer matters
_ALIKE = 0.8  # share of the largest jump from which the earlier layer is named


@dataclass(frozen=True, eq=False)
class LayerError:
    """Errors of one population as noise-to-signal ratios.

    Attributes:
        name: The population.
        alone: The population on its own.
        total: Against the float network, with all that came before.
        inherited: Of what comes from the sources alone, the population itself being exact.
        own: What the population adds: its error on the values of its sources, and no more than what the
            total error exceeds the inherited one by. (Weights that were fitted to inexact sources differ
            from the float network's and still make the total smaller.)
        achievable: Own error where it is quantised afresh in the same formats.
    """

    name: str
    alone: Alone
    total: float
    inherited: float
    own: float
    achievable: float

    @property
    def is_fault(self) -> bool:
        """Whether the same formats allow much less error."""
        return self.own > _JUMP * self.achievable


def layer_errors(
    golden: Network,
    real: Reference,
    values: Mapping[str, Array],
    samples: Mapping[str, Array],
    weight_bits: int,
) -> tuple[LayerError, ...]:
    """Returns the errors of all populations, sources before readers.

    Args:
        golden: The integer network.
        real: Its real network.
        values: ``(N, h, w, c)`` of all populations, of read-outs the accumulators.
        samples: ``(N, *shape)`` real samples by input port.
        weight_bits: Bits of a weight.
    """
    exact = real.values(samples)
    rows = []
    for population in golden.graph:
        layer = alone(golden, real, population.name, values, samples)
        wanted = exact[population.name]
        total = noise(wanted, layer.found, population.scale)
        inherited = noise(wanted, layer.wanted, population.scale)
        own = min(layer.error(layer.found), max(total - inherited, 0.0))
        rows.append(LayerError(population.name, layer, total, inherited, own, layer.achievable(weight_bits)))
    return tuple(rows)


def first_jump(rows: Sequence[LayerError]) -> LayerError:
    """Returns the first layer whose noise exceeds by far what it could be; where none does, the noisiest."""
    worst = max(row.own for row in rows)
    faults = [row for row in rows if row.is_fault and row.own >= _RELEVANT * worst]
    if not faults:
        return max(rows, key=lambda row: row.own)
    most = max(row.own - row.achievable for row in faults)
    return next(row for row in faults if row.own - row.achievable >= _ALIKE * most)
