"""Where a placed program differs from its network: found by repairing one thing at a time and running again.

A right program gives the same as one made anew from the golden network on one boundless core, with registers
that nothing can leave; in an exact code this is the golden network itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from nmcompiler.codings import coding
from nmcompiler.diagnose.causes import Removal, chosen
from nmcompiler.ir.kernels import Array
from nmcompiler.ir.schedule import Slot
from nmcompiler.ir.spiking import Spiking
from nmcompiler.program.assemble import assemble, boundless_cores
from nmcompiler.program.layout import BLOCK_COLUMNS, BlockKind, Program
from nmcompiler.program.lift import check_lift
from nmcompiler.registry import backend as backend_of
from nmcompiler.report.ladder import chip_values
from nmcompiler.sim import Record, RunResult

__all__ = ["ProgramFault", "program_fault", "run_values"]

_WIDE = 60  # bits of registers that nothing can leave
_TIMES = ("window", "fire_start", "steps")


@dataclass(frozen=True)
class ProgramFault:
    """What is wrong with a program.

    Attributes:
        layer: The population concerned.
        cause: What was found, None where no repair restores the answers.
        removals: All repairs that were tried; their error is the share of wrong values that is left.
        wrong: Share of values that are wrong, the mean over the populations.
        proved: Whether the program was read back as its network: then the chip or the code is at fault.
    """

    layer: str
    cause: Removal | None
    removals: tuple[Removal, ...]
    wrong: float
    proved: bool


def run_values(program: Program, spiking: Spiking, samples: Mapping[str, Array]) -> dict[str, Array]:
    """Returns what the chip holds, run step by step: ``(N, h, w, c)`` by population, in units of q."""
    simulator = backend_of(program.target.backend).simulator(program)
    result: RunResult = simulator.run(samples, record=Record(values=True, membranes=True), literal=True)
    return chip_values(spiking, result)


def program_fault(program: Program, spiking: Spiking, samples: Mapping[str, Array]) -> ProgramFault | None:
    """Returns what is wrong with a program, None where it computes its network in its code.

    Args:
        program: The program; its blocks carry the numbers of the network's populations.
        spiking: The network that it must compute, in its code.
        samples: ``(N, *shape)`` by input port.
    """
    wanted = run_values(_anew(program, spiking, _WIDE), spiking, samples)
    wrong = _wrong(wanted, run_values(program, spiking, samples))
    seen = any(wrong.values())
    proved = check_lift(program, spiking).ok
    if proved and not seen:
        return None
    base = _share(wrong)
    where = next((name for name, share in wrong.items() if share), next(reversed(wrong)))
    found = []
    for layer, made, removal in _repairs(program, spiking, where):
        if seen:
            left = _share(_wrong(wanted, run_values(made, spiking, samples)))
            restored = (base - left) / base
        else:  # no sample shows it: a repair is right where the proof holds again
            left, restored = 0.0, float(check_lift(made, spiking).ok)
        found.append((layer, replace(removal, error=left, restored=restored)))
    removals = tuple(removal for _, removal in found)
    cause = chosen(removals)
    layer = next((layer for layer, removal in found if removal is cause), where)
    return ProgramFault(layer, cause, removals, base, proved)


def _anew(program: Program, spiking: Spiking, bits: int) -> Program:
    """Returns a program of the same network on one core; ``bits`` of registers."""
    return replace(assemble(spiking, boundless_cores(spiking), program.target), membrane_bits=bits)


def _wrong(wanted: Mapping[str, Array], found: Mapping[str, Array]) -> dict[str, float]:
    return {name: float((wanted[name] != found[name]).mean()) for name in wanted}


def _share(wrong: Mapping[str, float]) -> float:
    return sum(wrong.values()) / max(1, len(wrong))


_Repair = tuple[str, Program, Removal]


def _repairs(program: Program, spiking: Spiking, where: str) -> Iterator[_Repair]:
    """Yields (layer, repaired program, what was repaired), small repairs first."""
    yield from _clock(program, spiking, where)
    blocks = program.arrays["blocks"]
    kind, number = program.column("kind"), program.column("population")
    for k, population in enumerate(spiking.network.graph):
        rows = np.flatnonzero((number == k) & (kind != BlockKind.INPUT))
        if len(rows):
            yield from _times(program, blocks, rows, population.name, spiking.schedule.slots[population.name])
            yield from _numbers(program, rows, population.name, spiking)
    text = "registers that nothing can leave"
    yield (
        where,
        replace(program, membrane_bits=_WIDE),
        Removal(
            "saturation", text, f"its membranes leave the registers of {program.membrane_bits} bits", 0.0
        ),
    )
    lifted = check_lift(program, spiking)
    if not lifted.ok:
        made = _anew(program, spiking, program.membrane_bits)
        yield where, made, Removal("program-synapses", "a program made anew", lifted.message, 0.0)
    elif coding(spiking.coding).exact:
        text = "a program made anew"
        finding = f"the code '{spiking.coding}' does not compute the network"
        yield where, _anew(program, spiking, _WIDE), Removal("code", text, finding, 0.0)


def _clock(program: Program, spiking: Spiking, where: str) -> Iterator[_Repair]:
    starts, total = tuple(spiking.schedule.window_starts), spiking.schedule.total_steps
    if (tuple(program.window_starts), program.total_steps) == (starts, total):
        return
    moved = [k for k, (a, b) in enumerate(zip(program.window_starts, starts, strict=False)) if a != b]
    windows = ", ".join(str(k) for k in moved)
    first = next((n for n, s in spiking.schedule.slots.items() if s.window in moved), where)
    finding = (
        f"window {windows} begins at step {program.window_starts[moved[0]]}, not {starts[moved[0]]}"
        if moved
        else "a sample has another length"
    )
    yield (
        first,
        replace(program, window_starts=starts, total_steps=total),
        Removal("timing", "windows as the schedule has them", finding, 0.0),
    )


def _times(program: Program, blocks: Array, rows: Array, name: str, slot: Slot) -> Iterator[_Repair]:
    wanted = {"window": slot.window, "fire_start": slot.fire_start, "steps": slot.steps}
    off = {t: program.column(t)[rows] for t in _TIMES if (program.column(t)[rows] != wanted[t]).any()}
    if not off:
        return
    fixed = blocks.copy()
    for time in off:
        fixed[rows, BLOCK_COLUMNS.index(time)] = wanted[time]
    words = {"window": "is in window", "fire_start": "fires from step", "steps": "fires for"}
    time, values = next(iter(off.items()))
    value = next(int(v) for v in values if v != wanted[time])
    finding = f"it {words[time]} {value}, not {wanted[time]}" + (" steps" if time == "steps" else "")
    yield (
        name,
        program.with_arrays(blocks=fixed),
        Removal("timing", "the times of firing of the schedule", finding, 0.0),
    )


def _numbers(program: Program, rows: Array, name: str, spiking: Spiking) -> Iterator[_Repair]:
    """Repairs thresholds, starts and currents of a population, one kind at a time."""
    neurons = spiking.neurons[name]
    above = int(program.fires_when == "gt")
    shape = spiking.network.graph.node(name).shape
    kinds = {
        "theta": (neurons.theta, "threshold"),
        "v0": (neurons.v0 + above, "start"),
        "current": (neurons.current, "current"),
    }
    for array, (numbers, word) in kinds.items():
        wanted = np.broadcast_to(numbers, shape)
        fixed = program.arrays[array].copy()
        for row in rows:
            block = dict(zip(BLOCK_COLUMNS, program.arrays["blocks"][row].tolist(), strict=True))
            box = wanted[
                block["y0"] : block["y0"] + block["height"],
                block["x0"] : block["x0"] + block["width"],
                block["c0"] : block["c0"] + block["channels"],
            ].reshape(-1)
            fixed[block["param0"] + np.arange(block["n"]) % block["param_n"]] = box
        different = int((fixed != program.arrays[array]).sum())
        if different:
            finding = f"{different} of its {_WORDS[word]} are not those of the network"
            removal = Removal(f"program-{word}", f"the {_WORDS[word]} of the network", finding, 0.0)
            yield name, program.with_arrays(**{array: fixed}), removal


_WORDS = {"threshold": "thresholds", "start": "starting membranes", "current": "bias currents"}
