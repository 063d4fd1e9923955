"""An independent, slow and obvious simulator of `.nmc` program files.

It was written from two documents alone, the file format (`docs/program-format.md`) and the rules of the
integer network, and shares no code with the compiler, its simulator or its file reader. Everything that
decides a spike is computed with Python integers, one neuron and one step at a time; numpy only reads `.npy`
files, rounds the inputs in float64 and carries the results out. The comments "step 1" … "step 4" name the
numbered steps of the section 'How a program runs'.

    python oracle.py FILE.nmc DATA.npz

prints outputs and counters as one JSON object; DATA.npz holds one array (samples, *shape) per input port,
under the name of the port.
"""

import argparse
import hashlib
import json
import sys
import zipfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Synapse = tuple[int, int]  # (number of the neuron, weight · 2^shift)

FORMAT = "nmcompiler.program"
VERSION = 1
BLOCK_COLUMNS = 23
KIND_INPUT = 0
CODINGS = ("phase", "rate-sync", "rate")

# name → (dtype, shape), None standing for any length.
TABLES: dict[str, tuple[str, tuple[int | None, ...]]] = {
    "cores": ("<i4", (None, 3)),
    "blocks": ("<i8", (None, BLOCK_COLUMNS)),
    "runs": ("<i4", (None, 7)),
    "patterns": ("<i4", (None,)),
    "segments": ("<i4", (None, 3)),
    "weights": ("<i2", (None,)),
    "theta": ("<i8", (None,)),
    "v0": ("<i8", (None,)),
    "current": ("<i8", (None,)),
    "routes": ("<i4", (None, 5)),
}


# ------------------------------------------------------------------------------------------- the file


@dataclass(frozen=True)
class Block:
    """One row of `blocks`, the columns in the order of the document."""

    kind: int
    core: int
    population: int
    gid0: int
    n: int
    y0: int
    x0: int
    c0: int
    height: int
    width: int
    channels: int
    levels: int
    signed: int
    window: int
    fire_start: int
    steps: int
    param0: int
    param_n: int
    weight0: int
    weight_n: int
    run0: int
    run_n: int
    shift: int

    @property
    def is_input(self) -> bool:
        return self.kind == KIND_INPUT

    @property
    def is_readout(self) -> bool:
        return not self.is_input and self.levels == 0

    @property
    def may_be_negative(self) -> bool:
        """Whether its spikes carry a sign; `signed` 2 only takes spikes back."""
        return self.signed == 1

    def active(self, t: int) -> bool:
        return 0 <= t - self.fire_start < self.steps


@dataclass(frozen=True)
class InputPort:
    """An input port with its tables."""

    name: str
    shape: tuple[int, ...]
    population: int
    encoding: str
    order: list[int]
    scale: Array
    offset: Array


@dataclass(frozen=True)
class OutputPort:
    """An output port with its table."""

    name: str
    shape: tuple[int, ...]
    population: int
    scale: float
    order: list[int]


@dataclass(frozen=True)
class Wiring:
    """What one event of a neuron does, by number of the neuron; made once from routes, runs and cores."""

    targets: list[list[tuple[int, list[Synapse]]]]  # (delay, synapses of the axon) of every route
    synops: list[int]
    hops: list[int]


@dataclass(frozen=True)
class OracleProgram:
    """A program file as Python lists."""

    coding: str
    above: int  # 1 for `fires_when` = `gt`, else 0
    lowest: int
    highest: int
    window_starts: frozenset[int]
    total_steps: int
    mesh_columns: int | None
    cores: list[list[int]]
    blocks: list[Block]
    runs: list[list[int]]
    patterns: list[int]
    segments: list[list[int]]
    weights: list[int]
    theta: list[int]
    v0: list[int]
    current: list[int]
    routes: list[list[int]]
    inputs: list[InputPort]
    outputs: list[OutputPort]
    wiring: Wiring

    @property
    def neurons(self) -> int:
        return sum(block.n for block in self.blocks)

    def population(self, number: int) -> list[Block]:
        return [block for block in self.blocks if block.population == number]


def read(path: str | Path) -> OracleProgram:
    """Read a program file; ValueError where it is damaged or breaks the document."""
    with zipfile.ZipFile(path) as archive:
        manifest = json.loads(archive.read("manifest.json").decode("utf-8"))
        _require(manifest["format"] == FORMAT, f"not a program file: format {manifest['format']!r}")
        _require(manifest["version"] <= VERSION, f"version {manifest['version']} is newer than {VERSION}")
        _require(manifest["coding"] in CODINGS, f"unknown coding {manifest['coding']!r}")
        _require(manifest["fires_when"] in ("ge", "gt"), f"unknown fires_when {manifest['fires_when']!r}")
        _check_sums(archive, manifest["sha256"])
        tables = {name: _read_table(archive, name) for name in TABLES}
        inputs = [_read_input(archive, k, port) for k, port in enumerate(manifest["inputs"])]
        outputs = [_read_output(archive, k, port) for k, port in enumerate(manifest["outputs"])]
    blocks = [Block(*row) for row in tables["blocks"]]
    mesh = manifest["target"].get("mesh", {})
    mesh_columns = mesh.get("columns")
    bits = manifest["membrane_bits"]
    _check_blocks(blocks)
    return OracleProgram(
        coding=manifest["coding"],
        above=1 if manifest["fires_when"] == "gt" else 0,
        lowest=-(2 ** (bits - 1)),
        highest=2 ** (bits - 1) - 1,
        window_starts=frozenset(manifest["window_starts"]),
        total_steps=manifest["total_steps"],
        mesh_columns=mesh_columns,
        cores=tables["cores"],
        blocks=blocks,
        runs=tables["runs"],
        patterns=tables["patterns"],
        segments=tables["segments"],
        weights=tables["weights"],
        theta=tables["theta"],
        v0=tables["v0"],
        current=tables["current"],
        routes=tables["routes"],
        inputs=inputs,
        outputs=outputs,
        wiring=_wire(tables, blocks, mesh_columns),
    )


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _needed(name: str) -> bool:
    return name.startswith(("arrays/", "io/"))


def _check_sums(archive: zipfile.ZipFile, sums: dict[str, str]) -> None:
    present = set(archive.namelist())
    for name in present:
        _require(name in sums or not _needed(name), f"{name} has no sum")
    for name, expected in sums.items():
        if name not in present:
            _require(not _needed(name), f"{name} is missing")
            continue
        _require(hashlib.sha256(archive.read(name)).hexdigest() == expected, f"{name} does not match its sum")


def _load(archive: zipfile.ZipFile, name: str) -> Array:
    with archive.open(name) as handle:
        array: Array = np.load(handle, allow_pickle=False)
    return array


def _read_table(archive: zipfile.ZipFile, name: str) -> Any:
    dtype, shape = TABLES[name]
    array = _load(archive, f"arrays/{name}.npy")
    _require(array.dtype == np.dtype(dtype), f"{name} has dtype {array.dtype}")
    fits = array.ndim == len(shape) and all(n in (None, m) for n, m in zip(shape, array.shape, strict=True))
    _require(fits, f"{name} has shape {array.shape}")
    return array.tolist()


def _read_input(archive: zipfile.ZipFile, k: int, port: dict[str, Any]) -> InputPort:
    return InputPort(
        name=port["name"],
        shape=tuple(port["shape"]),
        population=port["population"],
        encoding=port["encoding"],
        order=_load(archive, f"io/input{k}/order.npy").tolist(),
        scale=_load(archive, f"io/input{k}/scale.npy").astype(np.float64),
        offset=_load(archive, f"io/input{k}/offset.npy").astype(np.float64),
    )


def _read_output(archive: zipfile.ZipFile, k: int, port: dict[str, Any]) -> OutputPort:
    return OutputPort(
        name=port["name"],
        shape=tuple(port["shape"]),
        population=port["population"],
        scale=float(port["scale"]),
        order=_load(archive, f"io/output{k}/order.npy").tolist(),
    )


def _check_blocks(blocks: list[Block]) -> None:
    gid = 0
    for block in blocks:
        _require(block.gid0 == gid, f"gid0 is {block.gid0} where {gid} neurons stand before it")
        _require(block.n == block.height * block.width * block.channels, "a block's n differs from its box")
        _require(block.shift >= 0, "a block has a negative shift")
        gid += block.n


# ----------------------------------------------------------------------------------------- the wiring


def _wire(tables: dict[str, Any], blocks: list[Block], mesh_columns: int | None) -> Wiring:
    axons = _axons(tables, blocks)
    neurons = sum(block.n for block in blocks)
    targets: list[list[tuple[int, list[Synapse]]]] = [[] for _ in range(neurons)]
    cores: list[set[int]] = [set() for _ in range(neurons)]
    for gid0, n, core, axon0, delay in tables["routes"]:
        _require(gid0 >= 0 and gid0 + n <= neurons, "a route starts outside the neurons")
        _require(delay >= 1, "a route has no delay")
        for j in range(n):
            targets[gid0 + j].append((delay, axons[core, axon0 + j]))
            cores[gid0 + j].add(core)
    return Wiring(
        targets=targets,
        synops=[sum(len(synapses) for _, synapses in routes) for routes in targets],
        hops=_hops(tables["cores"], blocks, cores, mesh_columns),
    )


def _axons(tables: dict[str, Any], blocks: list[Block]) -> dict[tuple[int, int], list[Synapse]]:
    """The synapses of every (core, axon)."""
    axons: dict[tuple[int, int], list[Synapse]] = defaultdict(list)
    for block in blocks:
        for run in tables["runs"][block.run0 : block.run0 + block.run_n]:
            axon0, n, pattern, target0, weight0, weight_stride, target_stride = run
            rows = range(tables["patterns"][pattern], tables["patterns"][pattern + 1])
            for j in range(n):
                synapses = axons[block.core, axon0 + j]
                for weight, target, length in [tables["segments"][row] for row in rows]:
                    for i in range(length):
                        at = weight0 + j * weight_stride + weight + i
                        to = target0 + j * target_stride + target + i
                        _require(0 <= at < block.weight_n, "a synapse reads a weight of another block")
                        _require(0 <= to < block.n, "a synapse leads to a neuron outside its block")
                        value = tables["weights"][block.weight0 + at] * 2**block.shift
                        synapses.append((block.gid0 + to, value))
    return axons


def _hops(
    cores: list[list[int]], blocks: list[Block], destinations: list[set[int]], mesh_columns: int | None
) -> list[int]:
    """Links that one event of every neuron takes."""
    hops: list[int] = []
    for block in blocks:
        start = (0, 0) if block.is_input else _position(cores[block.core], mesh_columns)
        for gid in range(block.gid0, block.gid0 + block.n):
            links: set[tuple[int, int, int, int]] = set()
            for core in destinations[gid]:
                links |= _links(start, _position(cores[core], mesh_columns))
            hops.append(len(links))
    return hops


def _position(core: list[int], mesh_columns: int | None) -> tuple[int, int]:
    """Row and column on the common mesh."""
    chip, row, column = core
    if chip == 0:
        return row, column
    if mesh_columns is None:
        raise ValueError("several chips, but the target has no mesh.columns")
    return row, chip * mesh_columns + column


def _links(start: tuple[int, int], end: tuple[int, int]) -> set[tuple[int, int, int, int]]:
    """The links of one route: first the column changes, then the row."""
    row, column = start
    links: set[tuple[int, int, int, int]] = set()
    while column != end[1]:
        following = column + (1 if end[1] > column else -1)
        links.add((row, column, row, following))
        column = following
    while row != end[0]:
        following = row + (1 if end[0] > row else -1)
        links.add((row, column, following, column))
        row = following
    return links


# ------------------------------------------------------------------------------------------- the run


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
class OracleResult:
    """What a program computed, the samples in the first dimension; populations in flat order (y, x, c)."""

    outputs: list[Array]  # per port, float64 (N, *shape)
    results: list[Array]  # per port, int64 (N, neurons of the read-out population), before `order`
    values: dict[int, Array]  # population → int64 (N, neurons), for all but read-outs
    membranes: dict[int, Array]  # the same at firing, for all but inputs; of read-outs the result
    counters: Counters  # summed over the samples
    per_sample: list[Counters]


def run(program: OracleProgram, samples: dict[str, Array]) -> OracleResult:
    """Run every sample of `samples` (port name → array (N, *shape))."""
    done = [_run_sample(program, sample) for sample in _split(program, samples)]
    outputs: list[Array] = []
    results: list[Array] = []
    for port in program.outputs:
        raw = _stack([_flat(program, port.population, sample.read) for sample in done])
        results.append(raw)
        outputs.append((port.scale * raw[:, port.order].astype(np.float64)).reshape(len(done), *port.shape))
    values: dict[int, Array] = {}
    membranes: dict[int, Array] = {}
    for number in sorted({block.population for block in program.blocks}):
        kinds = program.population(number)
        if not any(block.is_readout for block in kinds):
            values[number] = _stack([_flat(program, number, sample.value) for sample in done])
        if not any(block.is_input for block in kinds):
            membranes[number] = _stack([_flat(program, number, sample.read) for sample in done])
    per_sample = [sample.counters for sample in done]
    return OracleResult(outputs, results, values, membranes, _total(program, per_sample), per_sample)


def _split(program: OracleProgram, samples: dict[str, Array]) -> list[dict[str, Array]]:
    """One dictionary per sample, every array in float64 and in the shape of its port."""
    count = {len(samples[port.name]) for port in program.inputs}
    _require(len(count) == 1, "the input ports have different numbers of samples")
    for port in program.inputs:
        shape = samples[port.name].shape[1:]
        _require(shape == port.shape, f"input {port.name} has shape {shape}, not {port.shape}")
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
                    _require(gid in by_neuron, f"population {population} was never read")
                    flat[(y * width + x) * channels + c] = by_neuron[gid]
                    gid += 1
    _require(sorted(flat) == list(range(sum(block.n for block in blocks))), "boxes overlap or leave a gap")
    return [flat[i] for i in range(len(flat))]


def _total(program: OracleProgram, per_sample: list[Counters]) -> Counters:
    return Counters(
        [sum(c.spikes_per_block[b] for c in per_sample) for b in range(len(program.blocks))],
        sum(c.synops for c in per_sample),
        sum(c.hops for c in per_sample),
        sum(c.saturations for c in per_sample),
    )


@dataclass
class _Sample:
    """The state of all neurons while one sample runs; everything is indexed by the number of the neuron."""

    program: OracleProgram
    counters: Counters
    v: list[int]
    dendrite: list[int]
    sign: list[int]  # s of the code `phase`
    total: list[int]  # sum of the values sent so far
    value: dict[int, int]  # the integer that the neuron stands for
    read: dict[int, int] = field(default_factory=dict)  # membrane at firing, or result of a read-out
    travelling: dict[int, dict[int, int]] = field(default_factory=dict)  # step → neuron → sum that arrives

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
        self.counters.spikes_per_block[b] += 1
        self.counters.synops += wiring.synops[gid]
        self.counters.hops += wiring.hops[gid]
        self.total[gid] += value
        if self.program.coding == "phase":
            self.value[gid] += value * 2 ** (block.steps - 1 - (t - block.fire_start))
        else:
            self.value[gid] += value
        for delay, synapses in wiring.targets[gid]:
            arriving = self.travelling.setdefault(t + delay, defaultdict(int))
            for target, weight in synapses:
                arriving[target] += value * weight


def _run_sample(program: OracleProgram, inputs: dict[str, Array]) -> _Sample:
    # Step 1.
    quantised = {port.population: _quantise(program, port, inputs[port.name]) for port in program.inputs}
    sample = _start(program)
    for t in range(program.total_steps):  # step 3
        arrivals = sample.travelling.pop(t, {})  # step 3.1
        for block in program.blocks:
            if not block.is_input:
                _integrate(sample, block, t, arrivals)
                _read_block(sample, block, t)
        for b, block in enumerate(program.blocks):
            if block.is_input:
                _send_input(sample, b, t, quantised[block.population])
            elif block.active(t) and block.levels > 0:
                _fire(sample, b, t)
    return sample


def _quantise(program: OracleProgram, port: InputPort, x: Array) -> list[int]:
    """Step 1: the integers of an input port."""
    (block,) = program.population(port.population)
    _require(len(port.order) == block.n, f"input {port.name} has an order of {len(port.order)} entries")
    lowest = -block.levels if block.may_be_negative else 0
    flat = x.reshape(-1)
    q: list[int] = []
    for i in range(block.n):
        c = block.c0 + i % block.channels
        real = np.floor((flat[port.order[i]] - port.offset[c]) / port.scale[c] + np.float64(0.5))
        q.append(int(min(max(real, lowest), block.levels)))
    return q


def _start(program: OracleProgram) -> _Sample:
    """Step 2: the registers at the start."""
    neurons = program.neurons
    v = [0] * neurons
    for block in program.blocks:
        if not block.is_input:
            for i in range(block.n):
                v[block.gid0 + i] = program.v0[block.param0 + i % block.param_n]
    return _Sample(
        program=program,
        counters=Counters([0] * len(program.blocks)),
        v=v,
        dendrite=[0] * neurons,
        sign=[1] * neurons,
        total=[0] * neurons,
        value=dict.fromkeys(range(neurons), 0),
    )


def _integrate(sample: _Sample, block: Block, t: int, arrivals: dict[int, int]) -> None:
    """Step 3.2."""
    program = sample.program
    boundary = t > 0 and t in program.window_starts
    for i in range(block.n):
        gid = block.gid0 + i
        a = arrivals.get(gid, 0)
        if program.coding == "phase":
            sample.dendrite[gid] = sample.sat(2 * sample.dendrite[gid] + a)
            if boundary:
                sample.v[gid] = sample.sat(sample.v[gid] + sample.dendrite[gid])
                sample.dendrite[gid] = 0
        elif program.coding == "rate" and block.active(t):
            current = program.current[block.param0 + i % block.param_n]
            sample.v[gid] = sample.sat(sample.v[gid] + a + current)
        else:
            sample.v[gid] = sample.sat(sample.v[gid] + a)


def _read_block(sample: _Sample, block: Block, t: int) -> None:
    """Step 3.3."""
    if t - block.fire_start == (block.steps - 1 if block.is_readout else 0):
        for gid in range(block.gid0, block.gid0 + block.n):
            sample.read[gid] = sample.v[gid] - sample.program.above


def _fire(sample: _Sample, b: int, t: int) -> None:
    """Step 3.4 for an active block that is neither input nor read-out."""
    block = sample.program.blocks[b]
    rules = {"phase": _fire_phase, "rate-sync": _fire_rate_sync, "rate": _fire_rate}
    rule = rules[sample.program.coding]
    for i in range(block.n):
        value = rule(sample, block, i, t - block.fire_start)
        if value != 0:
            sample.send(t, b, block.gid0 + i, value)


def _fire_phase(sample: _Sample, block: Block, i: int, j: int) -> int:
    gid, theta, above = block.gid0 + i, sample.theta(block, i), sample.program.above
    v = sample.v[gid]
    if j == 0:
        sample.sign[gid] = 1
        if block.may_be_negative and v < above:
            sample.sign[gid] = -1
            v = -(v - above) + theta - 1 + above
        v = min(v, (block.levels + 1) * theta - 1 + above)
    digit = theta * 2 ** (block.steps - 1 - j)
    sent = 0
    if v >= digit + above:
        v -= digit
        sent = sample.sign[gid]
    sample.v[gid] = v
    return sent


def _fire_rate_sync(sample: _Sample, block: Block, i: int, j: int) -> int:
    gid, theta, above = block.gid0 + i, sample.theta(block, i), sample.program.above
    if sample.v[gid] >= theta + above:
        sample.v[gid] -= theta
        return 1
    if block.may_be_negative and sample.v[gid] < above:
        sample.v[gid] += theta
        return -1
    return 0


def _fire_rate(sample: _Sample, block: Block, i: int, j: int) -> int:
    gid, theta, above = block.gid0 + i, sample.theta(block, i), sample.program.above
    if sample.v[gid] >= theta + above:
        sample.v[gid] -= theta
        return 1
    takes_back = block.signed == 2 and sample.total[gid] > 0
    if sample.v[gid] < above and (block.signed == 1 or takes_back):
        sample.v[gid] += theta
        return -1
    return 0


def _send_input(sample: _Sample, b: int, t: int, quantised: list[int]) -> None:
    """Step 3.4 for an input."""
    block = sample.program.blocks[b]
    if not block.active(t):
        return
    for i, q in enumerate(quantised):
        value = _input_value(sample.program.coding, q, t - block.fire_start, block.steps)
        if value != 0:
            sample.send(t, b, block.gid0 + i, value)


def _input_value(coding: str, q: int, j: int, steps: int) -> int:
    """What an input that stands for q sends in its step j; 0 for nothing."""
    sign = (q > 0) - (q < 0)
    if coding == "phase":
        return sign if (abs(q) >> (steps - 1 - j)) & 1 else 0
    if coding == "rate-sync":
        return sign if j < abs(q) else 0
    after = (steps // 2 + (j + 1) * abs(q)) // steps
    before = (steps // 2 + j * abs(q)) // steps
    return sign * (after - before)


# --------------------------------------------------------------------------------------- command line


def main(arguments: list[str] | None = None) -> int:
    """Run a program file on the samples of an `.npz` file and print outputs and counters."""
    parser = argparse.ArgumentParser(description="Slow, independent simulator of .nmc program files.")
    parser.add_argument("program", type=Path, help="the .nmc file")
    parser.add_argument("data", type=Path, help=".npz file: input port → array (samples, *shape)")
    options = parser.parse_args(arguments)
    program = read(options.program)
    with np.load(options.data, allow_pickle=False) as data:
        samples = {port.name: data[port.name] for port in program.inputs}
    result = run(program, samples)
    outputs = {port.name: array.tolist() for port, array in zip(program.outputs, result.outputs, strict=True)}
    print(json.dumps({"outputs": outputs, "counters": result.counters.as_dict()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
