"""Proves from the program alone that no register can leave its range, whatever the samples are.

Let ``low`` and ``high`` of a neuron be the sums, over its synapses, of the smallest (≤ 0) and the largest
(≥ 0) that each can bring: weight · L, or −weight · L where the source is signed (SEMANTICS §3). In a
windowed code, what has arrived by any step lies between them, in whatever order and in whatever digits it
comes: a membrane integrates within ``v0 + low … v0 + high``, a dendrite within ``low … high``. Firing only
moves a membrane towards ``0 … θ``, or turns it over to at most ``(L + 1)·θ − 1``, or leaves it.

In ``ttfs`` a spike that stands for q counts once in each of q steps, so by any step it has counted k times,
0 ≤ k ≤ q: weight · k lies between what the synapse can bring at least and at most, and the sum over the
synapses between ``low`` and ``high``. The slope holds each spike at most once, and once ≤ L times.

In ``rate`` a source brings at most its peak in each of its steps. A membrane that fired stands between 0
and θ, and what arrives afterwards is again at most the sum: ``min(v0, 0) + low … max(v0, θ) + high``. A
membrane with a floor is never below it, and starts again from it.

Where every event is compared, how often a source fires depends on all before it. But a membrane that every
event finds active and that a spike sets to zero is below θ before each of them: ``max(v0, θ − 1) + the
largest single addition``. With a floor below it, nothing more is needed; other membranes are not proved.

The bounds hold only where time is as it should be. So the timing is proved too, by running the code's own
``integrate`` on one spike of each step of a source: each must count what it stands for, no later than the
target fires.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nmcompiler.program.layout import Program
from nmcompiler.sim import kernels
from nmcompiler.sim.jit import jit
from nmcompiler.sim.load import Block, Loaded, load

__all__ = ["Bounds", "Certificate", "bounds", "certificate", "is_regular", "prove"]

FloatArray = npt.NDArray[np.float64]

# Below this, sums in float64 are exact and so is the quotient of two of them, rounded down.
_EXACT = 2.0**52
# Spikes of so many steps or fewer are integrated in less time than it takes to compile how.
_FEW_STEPS = 64


@dataclass(frozen=True)
class Certificate:
    """Which blocks cannot saturate.

    Attributes:
        proved: One entry for each block with registers (all but inputs), in the order of the program.
        windowed: Whether a window of the whole program may be executed in one pass.
    """

    proved: tuple[bool, ...]
    windowed: bool

    @property
    def blocks(self) -> int:
        """Number of blocks with registers."""
        return len(self.proved)


@dataclass(frozen=True, eq=False)
class Bounds:
    """What a block's registers can reach.

    Attributes:
        low: ``(n,)``: the most negative sum of what arrives.
        high: ``(n,)``: the most positive.
        v_low: ``(n,)``: smallest membrane.
        v_high: ``(n,)``: largest membrane.
        lifted: Whether what arrives is stored only after it was lifted to a floor.
    """

    low: FloatArray
    high: FloatArray
    v_low: FloatArray
    v_high: FloatArray
    lifted: bool = False

    def fits(self, minimum: float, maximum: float) -> bool:
        """Returns whether every register, sums on their way included, stays in a range."""
        low = 0.0 if self.lifted else self.low.min()
        smallest = min(low, self.v_low.min())
        largest = max(self.high.max(), self.v_high.max())
        return bool(minimum <= smallest and largest <= maximum)

    def arrivals_fit(self, minimum: float, maximum: float) -> bool:
        """Returns whether the sum of what arrives stays in a range before it is stored anywhere."""
        return bool(minimum <= self.low.min() and self.high.max() <= maximum)


def certificate(program: Program) -> Certificate:
    """Returns which blocks of a program cannot saturate."""
    loaded = load(program)
    return prove(loaded, bounds(loaded))


def prove(loaded: Loaded, reach: Sequence[Bounds]) -> Certificate:
    """Returns which blocks of a loaded program cannot saturate, given what its blocks can reach."""
    regular = [is_regular(loaded, b) for b in loaded.blocks]
    timing = _Timing(loaded)
    proved = []
    for block in loaded.blocks:
        if block.is_input:
            continue
        sources = np.unique(loaded.links_of(block.index)[:, [1, 10]].astype(np.int64), axis=0)
        in_time = all(regular[s] and timing.holds(loaded.blocks[s], block, d) for s, d in sources.tolist())
        fits = reach[block.index].fits(max(loaded.minimum, -_EXACT), min(loaded.maximum, _EXACT))
        proved.append(regular[block.index] and in_time and fits)
    inputs = all(regular[b.index] for b in loaded.blocks if b.is_input)
    return Certificate(tuple(proved), loaded.coding.windowed and inputs and all(proved))


def bounds(loaded: Loaded) -> tuple[Bounds, ...]:
    """Returns what the registers of each block can reach, in the order of the blocks."""
    if loaded.by_event:
        return tuple(_by_event(loaded, b) for b in loaded.blocks)
    peaks = [_peak(loaded, b) for b in loaded.blocks]
    smallest = np.array([low for low, _ in peaks], np.float64)
    largest = np.array([high for _, high in peaks], np.float64)
    low, high = np.zeros(loaded.neurons), np.zeros(loaded.neurons)
    jit(kernels.extremes)(
        loaded.links,
        loaded.patterns,
        loaded.segments,
        loaded.weights,
        loaded.gid0,
        smallest,
        largest,
        low,
        high,
    )
    result = []
    for block in loaded.blocks:
        mine = slice(block.gid0, block.gid0 + block.n)
        result.append(_membrane(loaded, block, low[mine], high[mine]))
    return tuple(result)


def _peak(loaded: Loaded, block: Block) -> tuple[float, float]:
    """Returns the smallest and largest sum of values that a neuron of the block sends, over any time."""
    if loaded.coding.windowed:
        return block.lowest, block.levels
    # What is taken back is negative over the time in which it is.
    total = block.levels if block.is_input else block.slot.steps
    return (-total if block.signed else 0), total


def _membrane(loaded: Loaded, block: Block, low: FloatArray, high: FloatArray) -> Bounds:
    mine = slice(block.gid0, block.gid0 + block.n)
    theta, v0 = loaded.theta[mine].astype(np.float64), loaded.v0[mine].astype(np.float64)
    if loaded.coding.windowed:
        v_low, v_high = v0 + low, v0 + high
        if block.signed:
            turned = -v_low + theta - 1 + 2 * loaded.above
            v_high = np.maximum(v_high, np.minimum(turned, (block.levels + 1) * theta - 1 + loaded.above))
        return Bounds(low, high, v_low, v_high)
    bias = loaded.current[mine].astype(np.float64) * block.slot.steps
    low, high = low + np.minimum(bias, 0), high + np.maximum(bias, 0)
    fired = np.zeros_like(theta) if block.is_readout else theta + loaded.above
    v_low, v_high = np.minimum(v0, 0) + low, np.maximum(v0, fired) + high
    lifted = loaded.floor is not None
    if loaded.floor is not None:
        v_low, v_high = np.maximum(v_low, loaded.floor), np.maximum(v_high, loaded.floor + high)
    return Bounds(low, high, v_low, v_high, lifted)


def _by_event(loaded: Loaded, block: Block) -> Bounds:
    """Returns what a block can reach whose neurons compare after every event."""
    mine = slice(block.gid0, block.gid0 + block.n)
    none, endless = np.zeros(block.n), np.full(block.n, np.inf)
    links = loaded.links_of(block.index).view(np.int64)
    slots = [loaded.blocks[s].slot for s in links[:, kernels.SOURCE]]
    delays = links[:, kernels.DELAY].tolist()
    always = all(
        block.slot.fire_start <= s.fire_start + d and s.fire_end + d <= block.slot.fire_end
        for s, d in zip(slots, delays, strict=True)
    )
    forgets = loaded.program.dynamics.reset == "zero" and loaded.floor is not None
    if block.is_input or block.is_readout or not (always and forgets):
        return Bounds(none, none, -endless, endless)
    theta, v0 = loaded.theta[mine] + loaded.above, loaded.v0[mine]
    most = np.maximum(loaded.events[block.index].largest(block.n), loaded.current[mine])
    assert loaded.floor is not None
    floor = np.full(block.n, float(loaded.floor))
    top = np.maximum(np.maximum(v0, theta - 1), floor) + np.maximum(most, 0)
    return Bounds(none, none, np.minimum(v0, floor), top.astype(np.float64))


def is_regular(loaded: Loaded, block: Block) -> bool:
    """Returns whether the block fires for as long as its values need, within the sample."""
    slot = block.slot
    in_sample = slot.fire_start >= 0 and slot.steps >= 1 and slot.fire_end <= loaded.program.total_steps
    mine = slice(block.gid0, block.gid0 + block.n)
    thresholds = block.is_input or block.is_readout or bool((loaded.theta[mine] >= 1).all())
    if not loaded.coding.windowed:
        return in_sample and thresholds
    length = slot.steps == loaded.coding.steps(slot.levels) or block.is_readout
    return in_sample and thresholds and length and block.signed in (0, 1)


class _Timing:
    """Decides whether what one block sends counts what it should in another."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self._known: dict[tuple[int, int, int, int], bool] = {}

    def _integrate(self, steps: int) -> Callable[..., int]:
        """Returns the code's ``integrate``, as machine code where that is worth compiling it."""
        plain: Callable[..., int] = self._loaded.coding.integrate
        return plain if steps <= _FEW_STEPS else jit(plain)

    def holds(self, source: Block, target: Block, delay: int) -> bool:
        """Returns whether every spike counts what it stands for when the target is read."""
        if not self._loaded.coding.windowed:
            return True
        if source.index >= target.index or source.slot.steps < 1:
            return False
        key = (source.slot.fire_start, source.slot.levels, target.read_step, delay)
        if key not in self._known:
            self._known[key] = self._counts(source, target.read_step, delay)
        return self._known[key]

    def _counts(self, source: Block, read_step: int, delay: int) -> bool:
        """Integrates one spike of each step, each in a neuron of its own."""
        slot = source.slot
        if slot.fire_end - 1 + delay > read_step or read_step >= self._loaded.program.total_steps:
            return False
        one = np.eye(slot.steps, dtype=np.int64)
        v, dendrite, none = (np.zeros(slot.steps, np.int64) for _ in range(3))
        bound = 2**62 - 1
        integrate = self._integrate(slot.steps)
        for t in range(slot.fire_start + delay, read_step + 1):
            j = t - slot.fire_start - delay
            arrivals = one[j] if j < slot.steps else none
            boundary = int(t > 0 and t in self._loaded.program.window_starts)
            integrate(arrivals, v, dendrite, none, slot.steps, 0, boundary, -bound, bound)
            if np.abs(dendrite).max() > bound // 4:
                return False
        stands_for = self._loaded.coding.decode(one, slot)
        return bool((v == stands_for).all() and not dendrite.any())
