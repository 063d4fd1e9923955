"""How arrays compute in the two codes that they run: what arrives in a block, and what its neurons answer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from nmcompiler.sim.jit import jit
from nmcompiler.sim.load import Block, Loaded
from nmcompiler_backends.mixed_signal.array import kernels
from nmcompiler_backends.mixed_signal.array.circuits import Circuits
from nmcompiler_backends.mixed_signal.array.plan import BlockPlan
from nmcompiler_backends.mixed_signal.array.synapses import Rows
from nmcompiler_backends.mixed_signal.tiles import Floats
from nmcompiler_backends.mixed_signal.variation import FloatArray

__all__ = ["Answer", "ArrayCode", "Part", "Trains", "Values"]

Sent: TypeAlias = npt.NDArray[np.int16 | np.int32]
Ints: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Part:
    """One block on one chip.

    Attributes:
        plan: The block and its synapses.
        circuits: What they are on this chip.
    """

    plan: BlockPlan
    circuits: Circuits

    @property
    def block(self) -> Block:
        """The block."""
        return self.plan.block

    @property
    def rows(self) -> Rows:
        """Its synapses."""
        return self.plan.rows


@dataclass(frozen=True, eq=False)
class Answer:
    """What the n neurons of a block did for S samples.

    Attributes:
        sent: ``(S, n)`` values or ``(S, n, T)`` spikes, int32; of no use for a read-out.
        v: ``(S, n)`` float64: membranes when they begin to fire, of a read-out the result.
    """

    sent: Sent
    v: FloatArray


class ArrayCode(Protocol):
    """One spike code on arrays; what neurons send lies in one array for all neurons of the program."""

    def nothing(self, samples: int) -> Sent:
        """Returns the array in which no neuron sends anything."""
        ...

    def inputs(self, block: Block, q: Ints) -> Sent:
        """Returns what inputs send for their values ``(S, n)``."""
        ...

    def arrivals(self, part: Part, sent: Sent) -> Floats:
        """Returns what the synapses of a block bring, before any neuron is looked at."""
        ...

    def answer(self, part: Part, arrivals: Floats, theta: FloatArray, bias: FloatArray) -> Answer:
        """Returns what neurons with these thresholds and these additional biases ``(n,)`` do."""
        ...

    def values(self, sent: Sent) -> Sent:
        """Returns what was sent as values ``(S, n)``."""
        ...

    def spikes(self, sent: Sent) -> Ints:
        """Returns the spikes of each neuron, ``(n,)``, all samples together."""
        ...


@dataclass(frozen=True, eq=False)
class Values:
    """``phase``: digits weigh powers of two exactly, so that a window is one sum ``Σ w·q``."""

    loaded: Loaded

    def nothing(self, samples: int) -> Sent:
        """``(S, M)``."""
        return np.zeros((samples, self.loaded.neurons), np.int32)

    def inputs(self, block: Block, q: Ints) -> Sent:
        """The values."""
        return q.astype(np.int32)

    def arrivals(self, part: Part, sent: Sent) -> Floats:
        """``(S, n)``."""
        acc = np.zeros((len(sent), part.block.n), part.circuits.weights.dtype)
        rows = part.rows
        jit(kernels.add_values)(sent, rows.source, *rows.stretches, part.circuits.weights, acc)
        return acc

    def answer(self, part: Part, arrivals: Floats, theta: FloatArray, bias: FloatArray) -> Answer:
        """``q = clip(floor(v / θ), lowest, L)``, v the start with its bias and what arrived."""
        v = part.circuits.start + bias + arrivals
        sent = np.zeros(v.shape, np.int32)
        if not part.block.is_readout:
            jit(kernels.fire_values)(v, theta, part.block.lowest, part.block.levels, sent)
        return Answer(sent, v)

    def values(self, sent: Sent) -> Sent:
        """As they are."""
        return sent

    def spikes(self, sent: Sent) -> Ints:
        """Digits that are 1."""
        spikes: Ints = np.bitwise_count(np.abs(sent)).sum(axis=0, dtype=np.int64)
        return spikes


@dataclass(frozen=True, eq=False)
class _Found:
    """What kernels write: membranes ``(S, n)`` after the last event and at firing, spikes ``(S, n, T)``."""

    v: FloatArray
    held: FloatArray
    sent: npt.NDArray[np.int32]

    @staticmethod
    def empty(samples: int, n: int, steps: int) -> _Found:
        return _Found(np.empty((samples, n)), np.empty((samples, n)), np.empty((samples, n, steps), np.int32))

    def put(self, neurons: Ints, other: _Found) -> None:
        """Takes the answers of some neurons from another."""
        self.v[:, neurons], self.held[:, neurons] = other.v, other.held
        self.sent[:, neurons] = other.sent


def _trains(loaded: Loaded, block: Block, q: Ints) -> Sent:
    """Returns what inputs send for values ``(…)`` in each step, ``(…, T)``."""
    return np.moveaxis(loaded.coding.encode(q, block.slot), 0, -1).astype(np.int32)


@lru_cache(maxsize=8)
def _every_train(loaded: Loaded, index: int) -> Sent:
    """Returns the trains of all values of an input block, the lowest first; every chip sends the same."""
    block = loaded.blocks[index]
    return _trains(loaded, block, np.arange(block.lowest, block.levels + 1))


@dataclass(frozen=True, eq=False)
class Trains:
    """``rate``: T steps of leaky neurons; whatever arrives does so at the times of steps."""

    loaded: Loaded

    def nothing(self, samples: int) -> Sent:
        """``(S, M, T)``, T the most steps that a block fires for."""
        steps = max(b.slot.steps for b in self.loaded.blocks)
        kind = np.int16 if max(b.levels for b in self.loaded.blocks) < 2**15 else np.int32
        return np.zeros((samples, self.loaded.neurons, steps), kind)

    def inputs(self, block: Block, q: Ints) -> Sent:
        """What the code sends for the values, step by step."""
        if block.levels > q.size:
            return _trains(self.loaded, block, q)
        return _every_train(self.loaded, block.index)[q - block.lowest]

    def arrivals(self, part: Part, sent: Sent) -> Floats:
        """``(S, K, n)``, from the step on in which the first spikes arrive."""
        steps = part.block.slot.fire_end - part.plan.begin
        acc = np.zeros((len(sent), steps, part.block.n), part.circuits.weights.dtype)
        rows, offset = part.rows, part.rows.arrives - part.plan.begin
        jit(kernels.add_trains)(sent, rows.source, offset, *rows.stretches, part.circuits.weights, acc)
        return acc

    def answer(self, part: Part, arrivals: Floats, theta: FloatArray, bias: FloatArray) -> Answer:
        """Membranes leak towards half of the threshold as it was meant, which costs a rate nothing."""
        block, circuits = part.block, part.circuits
        samples, steps, n = arrivals.shape
        fired = block.slot.steps
        lost = np.broadcast_to(-np.expm1(-1.0 / circuits.tau), (steps, n)).copy()
        lost[:1] = 0
        current, rest = circuits.current + bias / fired, circuits.nominal / 2
        wait, fires = steps - fired, int(not block.is_readout)
        found = _Found.empty(samples, n, fired)
        jit(kernels.fire_in_steps)(
            arrivals, current, circuits.start, theta, rest, lost, wait, fires, found.v, found.held, found.sent
        )
        early = np.flatnonzero((rest > theta) & np.isfinite(circuits.tau) & (not block.is_readout))
        if len(early):
            again = _Found.empty(samples, len(early), fired)
            jit(kernels.integrate_and_fire)(
                np.ascontiguousarray(arrivals[:, :, early]),
                *(x[early] for x in (current, circuits.start, theta, rest, circuits.tau)),
                np.arange(steps, dtype=np.float64),
                np.ascontiguousarray(lost[:, early]),
                wait,
                fires,
                again.v,
                again.held,
                again.sent,
                np.empty((0, 0, 0)),
            )
            found.put(early, again)
        return Answer(found.sent, found.v if block.is_readout else found.held)

    def values(self, sent: Sent) -> Sent:
        """How many there are."""
        values: Sent = sent.sum(axis=-1, dtype=np.int32)
        return values

    def spikes(self, sent: Sent) -> Ints:
        """Likewise; a current that carries more than one in a step is one event."""
        spikes = np.zeros(sent.shape[1], np.int64)
        jit(kernels.count_events)(sent, spikes)
        return spikes
