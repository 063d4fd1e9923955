"""Steps in which every event is compared (`compares` = `event`), in the order that the document gives."""

from collections import defaultdict

from .block import Block
from .codes import State, low
from .program_file import OracleProgram


def places(program: OracleProgram) -> list[tuple[int, int, int, int]]:
    """Population, row, column and channel of every neuron: events are taken in the order of these."""
    found: list[tuple[int, int, int, int]] = []
    for block in program.blocks:
        for y in range(block.y0, block.y0 + block.height):
            for x in range(block.x0, block.x0 + block.width):
                for c in range(block.c0, block.c0 + block.channels):
                    found.append((block.population, y, x, c))
    return found


def step(state: State, t: int) -> dict[int, int]:
    """Integrate and fire all blocks in step t; returns neuron → spikes that it sends."""
    program = state.program
    sent: dict[int, int] = defaultdict(int)
    block_of: dict[int, tuple[Block, int]] = {}
    for block in program.blocks:
        for i in range(block.n):
            block_of[block.gid0 + i] = (block, i)
            if not block.is_input and block.active(t):
                _add(state, block, i, t, program.current[block.param0 + i % block.param_n], sent)
    at = places(program)
    for gid, route in sorted(state.on_routes.pop(t, []), key=lambda event: (at[event[0]], event[1])):
        _, synapses = program.wiring.targets[gid][route]
        weight: dict[int, int] = defaultdict(int)
        for target, w in synapses:
            weight[target] += w
        for target, w in weight.items():
            if w != 0:
                _add(state, *block_of[target], t, w, sent)
    return sent


def _add(state: State, block: Block, i: int, t: int, amount: int, sent: dict[int, int]) -> None:
    gid, theta, above = block.gid0 + i, state.theta(block, i), state.program.above
    state.v[gid] = state.sat(low(state, state.v[gid] + amount))
    if block.active(t) and not block.is_readout and state.v[gid] >= theta + above:
        sent[gid] += 1
        state.v[gid] = above if state.program.to_zero else state.v[gid] - theta
