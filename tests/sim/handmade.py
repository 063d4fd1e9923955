"""Programs written by hand, array by array."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from nmcompiler.codings import CODINGS
from nmcompiler.program.layout import ARRAYS, BLOCK_COLUMNS, Program, ProgramInput, ProgramOutput
from nmcompiler.target import InputEncoding
from nmcompiler.testing import tiny_target


def block(gid0: int, n: int, population: int, **columns: int) -> list[int]:
    """A block of a vector; what is not said is 0, but one parameter."""
    row = dict.fromkeys(BLOCK_COLUMNS, 0) | {
        "kind": 1, "population": population, "gid0": gid0, "n": n,
        "height": 1, "width": 1, "channels": n, "param_n": 1,
    }  # fmt: skip
    return list((row | columns).values())


def program(coding: str, **changes: Any) -> Program:
    """An input of two neurons (L = 3), two neurons of θ = 4 on one core, and their read-out on another.

    Weights are [[3, 1], [-2, 2]] from the inputs (rows) and [[1], [2]] to the read-out.
    """
    steps = {"phase": 2, "graded": 1}.get(coding, 3)
    encoding: InputEncoding = "graded" if coding == "graded" else "spikes"
    arrays: dict[str, Any] = {
        "cores": [(0, 0, 1), (0, 2, 3)],
        "blocks": [
            block(0, 2, 0, kind=0, core=-1, levels=3, steps=steps, param_n=0),
            block(2, 2, 1, core=0, levels=3, window=1, fire_start=steps, steps=steps, weight_n=4, run_n=1),
            block(
                4, 1, 2, core=1, window=2, fire_start=2 * steps, steps=1, param0=1, weight0=4, weight_n=2,
                run0=1, run_n=1,
            ),
        ],
        "runs": [(0, 2, 0, 0, 0, 2, 0), (5, 2, 1, 0, 0, 1, 0)],
        "patterns": [0, 1, 2],
        "segments": [(0, 0, 2), (0, 0, 1)],
        "weights": [3, 1, -2, 2, 1, 2],
        "theta": [4, 1],
        "v0": [2, -1],
        "current": [0, 0],
        "routes": [(0, 2, 0, 0, 1), (2, 2, 1, 5, 1)],
    }  # fmt: skip
    arrays |= {k: v for k, v in changes.items() if k in ARRAYS}
    header = {
        "coding": coding,
        "fires_when": "ge",
        "membrane_bits": 24,
        "window_starts": (0, steps, 2 * steps),
        "total_steps": 2 * steps + 1,
        "inputs": (ProgramInput("x", (2,), 0, np.arange(2), np.ones(1), np.zeros(1), encoding),),
        "outputs": (ProgramOutput("y", (1,), 2, np.arange(1), 0.5),),
        "target": tiny_target(),
    } | {k: v for k, v in changes.items() if k not in ARRAYS}
    return Program(arrays={k: np.array(arrays[k], ARRAYS[k][0]) for k in ARRAYS}, **header)


def dense(coding: str, levels: tuple[int, int], weights: Any, outputs: Any, **changes: Any) -> Program:
    """Inputs, neurons and a read-out, each on a core and connected to all of the next.

    Args:
        coding: Name of the code.
        levels: L of the inputs and of the neurons.
        weights: ``(inputs, neurons)``.
        outputs: ``(neurons, read-outs)``.
        changes: ``theta`` and ``v0`` of the neurons (``(n,)``; else 4 and 0), ``signed`` of inputs and
            neurons, ``shift`` of the neurons, ``delay`` to the neurons, and whatever ``program`` takes.
    """
    weights, outputs = np.asarray(weights), np.asarray(outputs)
    (n_in, n), n_out = weights.shape, outputs.shape[1]
    signed, shift, delay = (changes.pop(k, v) for k, v in (("signed", (0, 0)), ("shift", 0), ("delay", 1)))
    theta, v0 = (np.broadcast_to(changes.pop(k, v), n) for k, v in (("theta", 4), ("v0", 0)))
    s0, s1 = (changes.pop("steps", None) or [CODINGS[coding].steps(q) for q in levels])[:2]
    start = delay - 1 + (s0 if CODINGS[coding].windowed else 1)
    hidden = {"levels": levels[1], "signed": signed[1], "steps": s1, "fire_start": start, "window": 1}
    encoding = "graded" if coding == "graded" else "spikes"
    port = ProgramInput("x", (n_in,), 0, np.arange(n_in), np.ones(1), np.zeros(1), encoding)
    made: dict[str, Any] = {
        "blocks": [
            block(0, n_in, 0, kind=0, core=-1, levels=levels[0], signed=signed[0], steps=s0, param_n=0),
            block(
                n_in, n, 1, core=0, **hidden, shift=shift, param_n=n, weight_n=weights.size, run_n=1
            ),
            block(
                n_in + n, n_out, 2, core=1, window=2, fire_start=start + s1, steps=1, param0=n,
                weight0=weights.size, weight_n=outputs.size, run0=1, run_n=1,
            ),
        ],
        "runs": [(0, n_in, 0, 0, 0, n, 0), (0, n, 1, 0, 0, n_out, 0)],
        "segments": [(0, 0, n), (0, 0, n_out)],
        "weights": [*weights.reshape(-1), *outputs.reshape(-1)],
        "theta": [*theta, 1],
        "v0": [*v0, 0],
        "current": [0] * (n + 1),
        "routes": [(0, n_in, 0, 0, delay), (n_in, n, 1, 0, 1)],
        "inputs": (port,),
        "outputs": (ProgramOutput("y", (n_out,), 2, np.arange(n_out), 1.0),),
        "window_starts": (0, start, start + s1),
        "total_steps": start + s1 + 1,
    }  # fmt: skip
    return program(coding, **(made | changes))


def with_column(made: Program, row: int, **columns: int) -> Program:
    """The program with some columns of one block exchanged."""
    blocks = made.arrays["blocks"].copy()
    for name, value in columns.items():
        blocks[row, BLOCK_COLUMNS.index(name)] = value
    return made.with_arrays(blocks=blocks)


def wired(
    coding: str, fed: Sequence[dict[str, Any]], n: int, runs: Any, segments: Any, weights: Any, **changes: Any
) -> Program:
    """Inputs, n neurons that runs written by hand connect to them, and the sum of these.

    Args:
        coding: Name of the code.
        fed: For each input ``n`` and ``levels``, and where wanted ``signed``, ``steps``, ``fire_start`` and
            ``delay``. Axons of the neurons' core are these inputs one after the other.
        n: Neurons.
        runs: Rows of ``runs`` from these axons.
        segments: ``(weight, target, length)`` of each pattern, one list each.
        weights: Those of the runs.
        changes: ``hidden`` columns of the neurons, their ``theta`` and ``v0``, and what ``program`` takes.
    """
    theta, v0, hidden = changes.pop("theta", 4), changes.pop("v0", 0), changes.pop("hidden", {})
    blocks, routes, ports, axons, last = [], [], [], 0, 0
    for k, given in enumerate(fed):
        port = {"signed": 0, "fire_start": 0, "delay": 1} | given
        port = {"steps": CODINGS[coding].steps(port["levels"])} | port
        m, delay = port.pop("n"), port.pop("delay")
        blocks.append(block(axons, m, k, kind=0, core=-1, param_n=0, **port))
        routes.append((axons, m, 0, axons, delay))
        encoding: Any = {"graded": "graded", "rate": "current"}.get(coding, "spikes")
        ports.append(ProgramInput(f"x{k}", (m,), k, np.arange(m), np.ones(1), np.zeros(1), encoding))
        axons, last = axons + m, max(last, port["fire_start"] + port["steps"])
    hidden = {"levels": 3, "steps": CODINGS[coding].steps(3), "fire_start": last, "window": 1} | hidden
    end = hidden["fire_start"] + hidden["steps"]
    count, ends = len(fed), np.cumsum([0, *map(len, segments), 1])
    blocks.append(block(axons, n, count, core=0, param_n=n, weight_n=len(weights), run_n=len(runs), **hidden))
    blocks.append(
        block(
            axons + n, 1, count + 1, core=1, window=2, fire_start=end, steps=1, param0=n,
            weight0=len(weights), weight_n=1, run0=len(runs), run_n=1,
        )
    )  # fmt: skip
    made: dict[str, Any] = {
        "blocks": blocks,
        "runs": [*runs, (0, n, len(segments), 0, 0, 0, 0)],
        "patterns": ends,
        "segments": [*(s for p in segments for s in p), (0, 0, 1)],
        "weights": [*weights, 1],
        "theta": [*np.broadcast_to(theta, n), 1],
        "v0": [*np.broadcast_to(v0, n), 0],
        "current": [0] * (n + 1),
        "routes": [*routes, (axons, n, 1, 0, 1)],
        "inputs": tuple(ports),
        "outputs": (ProgramOutput("y", (1,), count + 1, np.arange(1), 1.0),),
        "window_starts": (0, hidden["fire_start"], end),
        "total_steps": max(last, end) + 1,
    }
    return program(coding, **(made | changes))
