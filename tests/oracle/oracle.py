"""An independent, slow and obvious simulator of `.nmc` program files.

It was written from two documents alone, the file format (`docs/program-format.md`) and the rules of the
integer network, and shares no code with the compiler, its simulator or its file reader. Everything that
decides a spike is computed with Python integers, one neuron and one step at a time; numpy only reads `.npy`
files, rounds the inputs in float64 and carries the results out. The comments "step 1" … "step 4" name the
numbered steps of the section 'How a program runs'. The file is read in `program_file.py`, what an event
reaches is computed in `wiring.py`, and the rules of the spike codes stand in `codes.py`.

    python -m tests.oracle.oracle FILE.nmc DATA.npz [--stream]

from the root of the repository prints outputs and counters as one JSON object; DATA.npz holds one array
(samples, *shape) per input port, under the name of the port.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import events
from .block import Block, require
from .codes import CODES, Counters, Event, State, start
from .program_file import Array, InputPort, OracleProgram, read

__all__ = ["Counters", "Event", "OracleProgram", "OracleResult", "main", "read", "run", "updates"]


@dataclass
class OracleResult:
    """What a program computed, the samples in the first dimension; populations in flat order (y, x, c)."""

    outputs: list[Array]  # per port, float64 (N, *shape)
    results: list[Array]  # per port, int64 (N, neurons of the population that is read), before `order`
    values: dict[int, Array]  # population → int64 (N, neurons), for all but membrane read-outs
    membranes: dict[int, Array]  # the same at firing, for all but inputs; of membrane read-outs the result
    counters: Counters  # summed over the samples
    per_sample: list[Counters]
    events: list[list[Event]]  # per sample (step, number of the neuron, value), in the order of sending


def updates(program: OracleProgram, events: list[Event]) -> tuple[int, int]:
    """The updates of compartments in one sample: those whose neuron sends in that step, and all others."""
    active = inactive = 0
    for t in range(program.total_steps):
        sending = {gid for step, gid, _ in events if step == t}
        for block in program.blocks:
            for i in range(0 if block.is_input else block.n):
                for _ in range(program.compartments):
                    if block.gid0 + i in sending:
                        active += 1
                    else:
                        inactive += 1
    return active, inactive


def run(program: OracleProgram, samples: dict[str, Array], stream: bool = False) -> OracleResult:
    """Run every sample of `samples` (port name → array (N, *shape)).

    With `stream` they are the frames of one stream: the registers persist from frame to frame, and every
    neuron sends only how its value changed. Values, membranes and results are those after every frame.
    """
    done = _run_samples(program, _split(program, samples), stream)
    outputs: list[Array] = []
    results: list[Array] = []
    for port in program.outputs:
        membrane = any(block.is_readout for block in program.population(port.population))
        held = [sample.read if membrane else sample.value for sample in done]
        raw = _stack([_flat(program, port.population, by_neuron) for by_neuron in held])
        results.append(raw)
        read = raw[:, port.order] if port.off is None else raw[:, port.order] - raw[:, port.off]
        unit = port.scale / 2 ** program.population(port.population)[0].shift if membrane else port.scale
        outputs.append((unit * read.astype(np.float64)).reshape(len(done), *port.shape))
    values: dict[int, Array] = {}
    membranes: dict[int, Array] = {}
    for number in sorted({block.population for block in program.blocks}):
        kinds = program.population(number)
        if not any(block.is_readout for block in kinds):
            values[number] = _stack([_flat(program, number, sample.value) for sample in done])
        if not any(block.is_input for block in kinds):
            membranes[number] = _stack([_flat(program, number, sample.read) for sample in done])
    per_sample = [sample.counters for sample in done]
    sent = [sample.events for sample in done]
    total = _total(program, per_sample)
    return OracleResult(outputs, results, values, membranes, total, per_sample, sent)


def _split(program: OracleProgram, samples: dict[str, Array]) -> list[dict[str, Array]]:
    """One dictionary per sample, every array in float64 and in the shape of its port."""
    count = {len(samples[port.name]) for port in program.inputs}
    require(len(count) == 1, "the input ports have different numbers of samples")
    for port in program.inputs:
        shape = samples[port.name].shape[1:]
        require(shape == port.shape, f"input {port.name} has shape {shape}, not {port.shape}")
    return [
        {port.name: samples[port.name][i].astype(np.float64) for port in program.inputs}
        for i in range(count.pop())
    ]


def _stack(rows: list[list[int]]) -> Array:
    return np.array(rows, dtype=np.int64)


def _flat(program: OracleProgram, population: int, by_neuron: dict[int, int]) -> list[int]:
    """One number per neuron of a population in the order row, column, channel: its boxes put together."""
    blocks = program.population(population)
    width = max(block.x0 + block.width for block in blocks)
    channels = max(block.c0 + block.channels for block in blocks)
    flat: dict[int, int] = {}
    for block in blocks:
        gid = block.gid0
        for y in range(block.y0, block.y0 + block.height):
            for x in range(block.x0, block.x0 + block.width):
                for c in range(block.c0, block.c0 + block.channels):
                    require(gid in by_neuron, f"population {population} was never read")
                    flat[(y * width + x) * channels + c] = by_neuron[gid]
                    gid += 1
    require(
        sorted(flat) == list(range(sum(block.box_size for block in blocks))), "boxes overlap or leave a gap"
    )
    return [flat[i] for i in range(len(flat))]


def _total(program: OracleProgram, per_sample: list[Counters]) -> Counters:
    return Counters(
        [sum(c.spikes_per_block[b] for c in per_sample) for b in range(len(program.blocks))],
        sum(c.synops for c in per_sample),
        sum(c.hops for c in per_sample),
        sum(c.saturations for c in per_sample),
    )


def _run_samples(program: OracleProgram, samples: list[dict[str, Array]], stream: bool) -> list[State]:
    """The state after every sample."""
    if stream:
        _check_stream(program)
    state = start(program)
    after: list[State] = []
    for sample in samples:
        state = state.next_frame() if stream else start(program)
        _run_sample(state, sample)
        after.append(state)
    return after


def _check_stream(program: OracleProgram) -> None:
    require(program.coding == "graded", f"{program.coding} runs no stream of frames")
    for block in program.blocks:
        change = 2 * block.levels if block.may_be_negative else block.levels
        require(change <= program.largest_change, f"no event of the target carries a change of {change}")


def _run_sample(state: State, inputs: dict[str, Array]) -> None:
    program = state.program
    # Step 1.
    quantised = {port.population: _quantise(program, port, inputs[port.name]) for port in program.inputs}
    for t in range(program.total_steps):  # step 3
        arrivals = state.travelling.pop(t, {})  # step 3.1
        spikes = events.step(state, t) if program.by_event else {}
        for block in program.blocks:
            if not block.is_input:
                if not program.by_event:
                    _integrate(state, block, t, arrivals)
                _read_block(state, block, t)
        for b, block in enumerate(program.blocks):
            if block.active(t) and program.by_event and not block.is_input:
                for gid in range(block.gid0, block.gid0 + block.n):
                    for _ in range(spikes.get(gid, 0)):
                        state.send(t, b, gid, 1)
            elif block.active(t):
                _fire(state, b, t, quantised.get(block.population, []))


def _quantise(program: OracleProgram, port: InputPort, x: Array) -> list[int]:
    """Step 1: the integers of an input port."""
    (block,) = program.population(port.population)
    require(len(port.order) == block.n, f"input {port.name} has an order of {len(port.order)} entries")
    lowest = -block.levels if block.may_be_negative else 0
    flat = x.reshape(-1)
    q: list[int] = []
    for i in range(block.n):
        c = block.c0 + i % block.channels
        real = np.floor((flat[port.order[i]] - port.offset[c]) / port.scale[c] + np.float64(0.5))
        q.append(int(min(max(real, lowest), block.levels)))
    return q


def _integrate(state: State, block: Block, t: int, arrivals: dict[int, int]) -> None:
    """Step 3.2."""
    code = CODES[state.program.coding]
    for i in range(block.n):
        code.integrate(state, block, i, t, arrivals.get(block.gid0 + i, 0))


def _read_block(state: State, block: Block, t: int) -> None:
    """Step 3.3."""
    if t - block.fire_start == (block.steps - 1 if block.is_readout else 0):
        for gid in range(block.gid0, block.gid0 + block.n):
            state.read[gid] = state.v[gid] - state.program.above


def _fire(state: State, b: int, t: int, quantised: list[int]) -> None:
    """Step 3.4 for an active block: an input sends the integers `quantised`."""
    block, code = state.program.blocks[b], CODES[state.program.coding]
    if block.is_readout:
        return
    for i in range(block.n):
        j = t - block.fire_start
        if block.is_input:
            value = code.feed(state, block, i, j, quantised[i])
        else:
            value = code.fire(state, block, i, j)
        if value != 0:
            state.send(t, b, block.gid0 + i, value)


# --------------------------------------------------------------------------------------- command line


def main(arguments: list[str] | None = None) -> int:
    """Run a program file on the samples of an `.npz` file and print outputs and counters."""
    parser = argparse.ArgumentParser(description="Slow, independent simulator of .nmc program files.")
    parser.add_argument("program", type=Path, help="the .nmc file")
    parser.add_argument("data", type=Path, help=".npz file: input port → array (samples, *shape)")
    parser.add_argument("--stream", action="store_true", help="the samples are frames of one stream")
    options = parser.parse_args(arguments)
    program = read(options.program)
    with np.load(options.data, allow_pickle=False) as data:
        samples = {port.name: data[port.name] for port in program.inputs}
    result = run(program, samples, options.stream)
    outputs = {port.name: array.tolist() for port, array in zip(program.outputs, result.outputs, strict=True)}
    print(json.dumps({"outputs": outputs, "counters": result.counters.as_dict()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
