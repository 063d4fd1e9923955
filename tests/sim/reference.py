"""A slow model of a program in plain Python, written from docs/program-format.md."""

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from nmcompiler.program.layout import BLOCK_COLUMNS, Program


@dataclass
class Reference:
    values: list[dict[int, int]] = field(default_factory=list)  # per sample, by gid
    membranes: list[dict[int, int]] = field(default_factory=list)
    spikes: int = 0
    synops: int = 0
    hops: int = 0
    saturations: int = 0


def run(program: Program, q: list[dict[int, int]], stream: bool = False) -> Reference:
    """Runs samples, or frames of one stream; ``q`` holds the values of the input neurons of each, by gid."""
    result = Reference()
    blocks = [dict(zip(BLOCK_COLUMNS, row, strict=True)) for row in program.arrays["blocks"].tolist()]
    wires = _wires(program, blocks)
    hops = _hops(program, blocks)
    state = None
    for sample in q:
        left = _run_sample(program, blocks, wires, hops, sample, result, state)
        state = left if stream else None
    return result


def _wires(program, blocks):
    """gid → list of (delay, target gid, weight)."""
    at_axon = defaultdict(list)
    for b in blocks:
        for run in program.arrays["runs"][b["run0"] : b["run0"] + b["run_n"]].tolist():
            axon0, n, pattern, target0, weight0, weight_stride, target_stride = run
            first, last = program.arrays["patterns"][pattern : pattern + 2].tolist()
            for j in range(n):
                for weight, target, length in program.arrays["segments"][first:last].tolist():
                    for i in range(length):
                        w = b["weight0"] + weight0 + j * weight_stride + weight + i
                        gid = b["gid0"] + target0 + j * target_stride + target + i
                        value = int(program.arrays["weights"][w]) << b["shift"]
                        at_axon[b["core"], axon0 + j].append((gid, value))
    wires = defaultdict(list)
    for gid0, n, core, axon0, delay in program.arrays["routes"].tolist():
        for j in range(n):
            wires[gid0 + j] += [(delay, gid, w) for gid, w in at_axon[core, axon0 + j]]
    return wires


def _hops(program, blocks):
    links = defaultdict(set)
    place = [
        (row, chip * program.target.mesh.columns + column)
        for chip, row, column in program.arrays["cores"].tolist()
    ]
    core_of = {b["gid0"] + i: b["core"] for b in blocks for i in range(b["n"])}
    for gid0, n, core, _, _ in program.arrays["routes"].tolist():
        for gid in range(gid0, gid0 + n):
            row, column = place[core_of[gid]] if core_of[gid] >= 0 else (0, 0)
            to_row, to_column = place[core]
            while column != to_column:
                step = 1 if to_column > column else -1
                links[gid].add((row, column, row, column + step))
                column += step
            while row != to_row:
                step = 1 if to_row > row else -1
                links[gid].add((row, column, row + step, column))
                row += step
    return {gid: len(taken) for gid, taken in links.items()}


def _run_sample(program, blocks, wires, hops, q, result, state):
    highest = 2 ** (program.membrane_bits - 1) - 1
    above = int(program.fires_when == "gt")
    coding = program.coding
    v, dendrite, sign, total = {}, defaultdict(int), {}, defaultdict(int)
    values, membranes = defaultdict(int), {}
    arrivals = defaultdict(lambda: defaultdict(int))

    def saturate(x):
        result.saturations += not -highest - 1 <= x <= highest
        return min(max(x, -highest - 1), highest)

    def parameter(name, b, i):
        return int(program.arrays[name][b["param0"] + i % b["param_n"]])

    for b in blocks:
        for i in range(b["n"]):
            if b["kind"]:
                v[b["gid0"] + i] = parameter("v0", b, i)
    before = defaultdict(int)
    if state is not None:
        v, before = state
        total, values = defaultdict(int, before), defaultdict(int, before)
    for t in range(program.total_steps):
        for b in blocks:
            j = t - b["fire_start"]
            active = 0 <= j < b["steps"]
            for i in range(b["n"]):
                gid = b["gid0"] + i
                if b["kind"]:
                    a = arrivals[t][gid]
                    if coding == "phase":
                        dendrite[gid] = saturate(2 * dendrite[gid] + a)
                        if t and t in program.window_starts:
                            v[gid] = saturate(v[gid] + dendrite[gid])
                            dendrite[gid] = 0
                    elif coding == "ttfs":
                        dendrite[gid] = saturate(dendrite[gid] + a)
                        v[gid] = saturate(v[gid] + dendrite[gid])
                        if t and t in program.window_starts:
                            dendrite[gid] = 0
                    else:
                        bias = parameter("current", b, i) if coding == "rate" and active else 0
                        v[gid] = saturate(v[gid] + a + bias)
                    if j == (b["steps"] - 1 if b["levels"] == 0 else 0):
                        membranes[gid] = v[gid] - above
                sent = 0
                if active and b["kind"] == 0:
                    sent = _encoded(coding, q[gid] - before[gid], j, b["steps"])
                elif active and b["levels"]:
                    sent = _fired(coding, v, sign, total, gid, b, parameter("theta", b, i), j, above)
                total[gid] += sent
                values[gid] += sent * _weight(coding, b["steps"], j)
                if sent:
                    result.spikes += 1
                    result.synops += len(wires[gid])
                    result.hops += hops.get(gid, 0)
                    for delay, target, weight in wires[gid]:
                        arrivals[t + delay][target] += weight * sent
    result.values.append(values)
    result.membranes.append(membranes)
    return v, total


def _weight(coding, steps, j):
    return {"phase": 2 ** (steps - 1 - j), "ttfs": steps - j}.get(coding, 1)


def _encoded(coding, q, j, steps):
    s = int(np.sign(q))
    if coding == "phase":
        return s * (abs(q) >> (steps - 1 - j) & 1)
    if coding == "rate-sync":
        return s if j < abs(q) else 0
    if coding == "ttfs":
        return s if steps - j == abs(q) else 0
    if coding == "graded":
        return q if j == 0 else 0
    half = steps // 2
    return s * ((half + (j + 1) * abs(q)) // steps - (half + j * abs(q)) // steps)


def _fired(coding, v, sign, total, gid, b, theta, j, above):
    if coding == "phase":
        if j == 0:
            sign[gid] = 1
            if b["signed"] == 1 and v[gid] < above:
                sign[gid] = -1
                v[gid] = -(v[gid] - above) + theta - 1 + above
            v[gid] = min(v[gid], (b["levels"] + 1) * theta - 1 + above)
        digit = theta * 2 ** (b["steps"] - 1 - j)
        if v[gid] < digit + above:
            return 0
        v[gid] -= digit
        return sign[gid]
    if coding == "ttfs":
        m = b["steps"] - j
        if total[gid]:
            return 0
        if v[gid] >= m * theta + above:
            return 1
        return -1 if b["signed"] == 1 and -(v[gid] - above) + theta - 1 >= m * theta else 0
    if coding == "graded":
        lowest = -b["levels"] if b["signed"] == 1 else 0
        return max(lowest, min(b["levels"], (v[gid] - above) // theta)) - total[gid]
    if v[gid] >= theta + above:
        v[gid] -= theta
        return 1
    takes_back = b["signed"] == 1 or (coding == "rate" and b["signed"] == 2 and total[gid] > 0)
    if takes_back and v[gid] < above:
        v[gid] += theta
        return -1
    return 0
