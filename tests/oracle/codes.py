"""The registers of the neurons, and what every spike code does with them in one step.

Everything here works on one neuron and one step with Python integers. The comments "step 2" and so on name
the numbered steps of the section 'How a program runs'.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from .block import Block
from .program_file import OracleProgram

Event = tuple[int, int, int]  # (step, number of the neuron, value)


@dataclass
class Counters:
    """What the hardware would count."""

    spikes_per_block: list[int]
    synops: int = 0
    hops: int = 0
    saturations: int = 0

    @property
    def spikes(self) -> int:
        return sum(self.spikes_per_block)

    def as_dict(self) -> dict[str, Any]:
        return {
            "spikes": self.spikes,
            "spikes_per_block": self.spikes_per_block,
            "synops": self.synops,
            "hops": self.hops,
            "saturations": self.saturations,
        }


@dataclass
class State:
    """The state of all neurons while a sample runs; everything is indexed by the number of the neuron."""

    program: OracleProgram
    counters: Counters
    v: list[int]
    dendrite: list[int]  # D of `phase`; u of `ttfs`, the sum of the weights that arrived in this window
    sign: list[int]  # s of `phase`
    total: list[int]  # sum of the values sent so far; on a stream over all frames so far
    value: dict[int, int]  # the integer that the neuron stands for
    read: dict[int, int] = field(default_factory=dict)  # membrane at firing, or result of a read-out
    travelling: dict[int, dict[int, int]] = field(default_factory=dict)  # step → neuron → sum that arrives
    on_routes: dict[int, list[tuple[int, int]]] = field(default_factory=dict)  # step → (source, its route)
    events: list[Event] = field(default_factory=list)

    def theta(self, block: Block, i: int) -> int:
        return self.program.theta[block.param0 + i % block.param_n]

    def sat(self, x: int) -> int:
        """Clip to the registers' range and count it."""
        clipped = max(self.program.lowest, min(self.program.highest, x))
        if clipped != x:
            self.counters.saturations += 1
        return clipped

    def send(self, t: int, b: int, gid: int, value: int) -> None:
        """Send one event with a value in step t, and count it."""
        block = self.program.blocks[b]
        wiring = self.program.wiring
        self.events.append((t, gid, value))
        self.counters.spikes_per_block[b] += 1
        self.counters.synops += wiring.synops[gid]
        self.counters.hops += wiring.hops[gid]
        self.total[gid] += value
        self.value[gid] += value * CODES[self.program.coding].worth(block, t - block.fire_start)
        for route, (delay, _) in enumerate(wiring.targets[gid]):
            self.on_routes.setdefault(t + delay, []).append((gid, route))
        for delay, synapses in wiring.targets[gid]:
            arriving = self.travelling.setdefault(t + delay, defaultdict(int))
            for target, weight in synapses:
                arriving[target] += value * weight

    def next_frame(self) -> "State":
        """The state in which the next frame of a stream starts: registers stay, events under way are lost."""
        return replace(
            self,
            counters=Counters([0] * len(self.program.blocks)),
            v=list(self.v),
            dendrite=list(self.dendrite),
            sign=list(self.sign),
            total=list(self.total),
            value=dict(self.value),
            read={},
            travelling={},
            on_routes={},
            events=[],
        )


def start(program: OracleProgram) -> State:
    """Step 2: the registers at the start."""
    neurons = program.neurons
    v = [0] * neurons
    for block in program.blocks:
        if not block.is_input:
            for i in range(block.n):
                v[block.gid0 + i] = program.v0[block.param0 + i % block.param_n]
    return State(
        program=program,
        counters=Counters([0] * len(program.blocks)),
        v=v,
        dendrite=[0] * neurons,
        sign=[1] * neurons,
        total=[0] * neurons,
        value=dict.fromkeys(range(neurons), 0),
    )


@dataclass(frozen=True)
class Code:
    """The rules of one spike code."""

    integrate: Callable[[State, Block, int, int, int], None]  # neuron i of the block, step t, arrivals
    fire: Callable[[State, Block, int, int], int]  # neuron i, step j of its firing → what it sends or 0
    feed: Callable[[State, Block, int, int, int], int]  # the same for an input that stands for the integer q
    worth: Callable[[Block, int], int]  # what a unit sent in step j of the firing stands for


def _is_boundary(program: OracleProgram, t: int) -> bool:
    return t > 0 and t in program.window_starts


def _sign(q: int) -> int:
    return (q > 0) - (q < 0)


def _worth_one(block: Block, j: int) -> int:
    return 1


def _add_arrivals(state: State, block: Block, i: int, t: int, a: int) -> None:
    gid = block.gid0 + i
    state.v[gid] = state.sat(state.v[gid] + a)


# ---------------------------------------------------------------------------------------------- phase


def _integrate_phase(state: State, block: Block, i: int, t: int, a: int) -> None:
    gid = block.gid0 + i
    state.dendrite[gid] = state.sat(2 * state.dendrite[gid] + a)
    if _is_boundary(state.program, t):
        state.v[gid] = state.sat(state.v[gid] + state.dendrite[gid])
        state.dendrite[gid] = 0


def _fire_phase(state: State, block: Block, i: int, j: int) -> int:
    gid, theta, above = block.gid0 + i, state.theta(block, i), state.program.above
    v = state.v[gid]
    if j == 0:
        state.sign[gid] = 1
        if block.may_be_negative and v < above:
            state.sign[gid] = -1
            v = -(v - above) + theta - 1 + above
        v = min(v, (block.levels + 1) * theta - 1 + above)
    digit = theta * 2 ** (block.steps - 1 - j)
    sent = 0
    if v >= digit + above:
        v -= digit
        sent = state.sign[gid]
    state.v[gid] = v
    return sent


def _feed_phase(state: State, block: Block, i: int, j: int, q: int) -> int:
    return _sign(q) if (abs(q) >> (block.steps - 1 - j)) & 1 else 0


def _worth_phase(block: Block, j: int) -> int:
    return 1 << (block.steps - 1 - j)


# ------------------------------------------------------------------------------------------ rate-sync


def _fire_rate_sync(state: State, block: Block, i: int, j: int) -> int:
    gid, theta, above = block.gid0 + i, state.theta(block, i), state.program.above
    if state.v[gid] >= theta + above:
        state.v[gid] -= theta
        return 1
    if block.may_be_negative and state.v[gid] < above:
        state.v[gid] += theta
        return -1
    return 0


def _feed_rate_sync(state: State, block: Block, i: int, j: int, q: int) -> int:
    return _sign(q) if j < abs(q) else 0


# ----------------------------------------------------------------------------------------------- ttfs


def _integrate_ttfs(state: State, block: Block, i: int, t: int, a: int) -> None:
    """The slope u takes what arrives and moves v in every step, the first of the next window included.

    A spike of step j of a source's L steps thus counts L − j times.
    """
    gid = block.gid0 + i
    state.dendrite[gid] = state.sat(state.dendrite[gid] + a)
    state.v[gid] = state.sat(state.v[gid] + state.dendrite[gid])
    if _is_boundary(state.program, t):
        state.dendrite[gid] = 0


def _fire_ttfs(state: State, block: Block, i: int, j: int) -> int:
    """One spike, in the first step j in which the threshold, θ · (L − j), is not above v; v stays as it is.

    A negative membrane x is compared as −x + θ − 1, for −⌊x / θ⌋ = ⌊(−x + θ − 1) / θ⌋.
    """
    gid, theta = block.gid0 + i, state.theta(block, i)
    x = state.v[gid] - state.program.above
    threshold = theta * (block.steps - j)
    has_fired = state.total[gid] != 0
    if not has_fired and x >= threshold:
        return 1
    if not has_fired and block.may_be_negative and -x + theta - 1 >= threshold:
        return -1
    return 0


def _feed_ttfs(state: State, block: Block, i: int, j: int, q: int) -> int:
    return _sign(q) if q != 0 and j == block.steps - abs(q) else 0


def _worth_ttfs(block: Block, j: int) -> int:
    return block.steps - j


# --------------------------------------------------------------------------------------------- graded


def _fire_graded(state: State, block: Block, i: int, j: int) -> int:
    """The change against what was sent before: the value itself in a sample of its own."""
    gid, theta = block.gid0 + i, state.theta(block, i)
    lowest = -block.levels if block.may_be_negative else 0
    q = (state.v[gid] - state.program.above) // theta
    return max(lowest, min(block.levels, q)) - state.total[gid]


def _feed_graded(state: State, block: Block, i: int, j: int, q: int) -> int:
    return q - state.total[block.gid0 + i] if j == 0 else 0


# ----------------------------------------------------------------------------------------------- rate


def _integrate_rate(state: State, block: Block, i: int, t: int, a: int) -> None:
    gid = block.gid0 + i
    current = state.program.current[block.param0 + i % block.param_n] if block.active(t) else 0
    state.v[gid] = state.sat(low(state, state.v[gid] + a + current))


def low(state: State, x: int) -> int:
    """Lift to the floor, which no counter sees."""
    floor = state.program.floor
    return x if floor is None else max(x, floor)


def _fire_rate(state: State, block: Block, i: int, j: int) -> int:
    gid, theta, above = block.gid0 + i, state.theta(block, i), state.program.above
    takes_back = block.signed == 2 and state.total[gid] > 0
    sent = 0
    if state.v[gid] >= theta + above:
        sent = 1
    elif state.v[gid] < above and (block.signed == 1 or takes_back):
        sent = -1
    if sent:
        state.v[gid] = above if state.program.to_zero else state.v[gid] - sent * theta
    return sent


def _feed_rate(state: State, block: Block, i: int, j: int, q: int) -> int:
    after = (block.steps // 2 + (j + 1) * abs(q)) // block.steps
    before = (block.steps // 2 + j * abs(q)) // block.steps
    return _sign(q) * (after - before)


CODES: dict[str, Code] = {
    "phase": Code(_integrate_phase, _fire_phase, _feed_phase, _worth_phase),
    "rate-sync": Code(_add_arrivals, _fire_rate_sync, _feed_rate_sync, _worth_one),
    "ttfs": Code(_integrate_ttfs, _fire_ttfs, _feed_ttfs, _worth_ttfs),
    "graded": Code(_add_arrivals, _fire_graded, _feed_graded, _worth_one),
    "rate": Code(_integrate_rate, _fire_rate, _feed_rate, _worth_one),
}
