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


def turns(program: OracleProgram, ties: int) -> list[int]:
    """The number of every neuron by which the seed `ties` orders events."""
    found: list[int] = []
    for population, y, x, c in places(program):
        blocks = program.population(population)
        width = max(block.x0 + block.width for block in blocks)
        channels = max(block.c0 + block.channels for block in blocks)
        i = (y * width + x) * channels + c
        z = (ties + ((population << 32) + i + 1) * 0x9E3779B97F4A7C15) % 2**64
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
        found.append(z ^ z >> 31)
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
    drawn = [0] * len(at) if program.ties is None else turns(program, program.ties)
    arrived = state.on_routes.pop(t, [])
    for gid, route in sorted(arrived, key=lambda event: (drawn[event[0]], at[event[0]], event[1])):
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
