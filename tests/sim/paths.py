"""One tile of a program on a path of one's choice, with everything that it leaves behind."""

from collections.abc import Callable

import numpy as np

from nmcompiler.codings import CODINGS
from nmcompiler.ir.kernels import Conv
from nmcompiler.ir.network import Network
from nmcompiler.program.layout import Program
from nmcompiler.sim import Record, Simulator, encode
from nmcompiler.sim.counters import count
from nmcompiler.sim.groups import run_grouped
from nmcompiler.sim.literal import run_literally
from nmcompiler.sim.stepwise import run_steps
from nmcompiler.sim.tile import Store
from nmcompiler.sim.windowed import run_windowed
from nmcompiler.target import Crossbar
from nmcompiler.testing import random_samples, suited_network, tiny_target
from nmcompiler.testing.chain import placed_program
from nmcompiler.testing.networks import Builder

ALL = Record(values=True, membranes=True)
TRAINS = Record(values=True, membranes=True, trains=True)


def grid(n: int, levels: int, samples: int, seed: int = 0, signed: bool = False) -> np.ndarray:
    """Random values of n inputs: the largest, the smallest, none, and then some of them silent."""
    rng = np.random.default_rng(seed)
    low = -levels if signed else 0
    q = rng.integers(low, levels + 1, (samples, n)) * (rng.random((samples, n)) < 0.7)
    for s, extreme in enumerate((levels, low, 0)):
        q[s : s + 1] = extreme
    return q


def with_copies(coding: str) -> tuple[Program, dict]:
    """A random network on cores of bits and axon types, some of its neurons in copies, and 33 samples."""
    crossbar = Crossbar(axon_types=4, weight_bits=9)
    target = tiny_target(
        neurons=52, input_axons=160, weight_bits=4, crossbar=crossbar, axon_fan_out=1, max_chips=4
    )
    network = suited_network(4, target)
    made, spiking = placed_program(network, target, coding, timesteps=None if CODINGS[coding].windowed else 6)
    assert any(b.n > b.size for b in Simulator(made)._loaded.blocks)
    return made, random_samples(spiking.network, 4, 33)


def convolution(
    shape: tuple[int, int, int], kernel: tuple[int, int], stride: int = 1, padding: int = 0, levels: int = 255
) -> Network:
    """A network whose first layer is a convolution of an image."""
    rng = np.random.default_rng(0)
    builder = Builder(rng, levels)
    source = builder.input(shape, levels, signed=False)
    weight = rng.integers(-127, 128, (*kernel, shape[2], 8))
    height, width = (
        (side + 2 * padding - k) // stride + 1 for side, k in zip(shape[:2], kernel, strict=True)
    )
    conv = Conv(weight, (stride, stride), (padding, padding))
    hidden = builder.hidden((height, width, 8), [(source, conv)], "Conv")
    builder.readout((height, width, 8), [(hidden, Conv(np.eye(8, dtype=np.int64)[None, None]))])
    return builder.network("first-layer")


def left_by(path: Callable[..., object], ready: object, made: Program, x, record: Record = ALL) -> dict:
    """Runs all samples in one tile: ``path`` is ``run_…`` of a module, ``ready`` what it takes."""
    simulator = Simulator(made)
    x = x if isinstance(x, dict) else {made.inputs[0].name: x}
    encoded = encode(made, x)
    store = Store(simulator._loaded, len(encoded[0]), record)
    counters = path(ready, encoded, slice(0, len(encoded[0])), store)
    counted = count(simulator._loaded, counters.counts)
    return {
        "outputs": store.outputs,
        "values": store.values,
        "membranes": store.membranes,
        "trains": store.trains or (),
        "spikes per neuron": [counters.counts],
        "synops": [counted.synops_per_block],
        "hops": [counted.hops_per_block],
        "saturations": [np.array(counters.saturations)],
    }


def by_steps(made: Program, x, record: Record = ALL) -> dict:
    """What the plain steps leave."""
    return left_by(run_literally, Simulator(made)._loaded, made, x, record)


def by_windows(made: Program, x) -> dict:
    """What the plain windows leave."""
    return left_by(run_windowed, Simulator(made)._windows, made, x)


def by_groups(made: Program, x, record: Record = ALL) -> dict:
    """What windows by lanes leave."""
    groups = Simulator(made)._groups
    assert groups is not None
    return left_by(run_grouped, groups, made, x, record)


def by_rows(made: Program, x, record: Record = TRAINS) -> dict:
    """What steps by rows leave."""
    steps = Simulator(made)._steps
    assert steps is not None
    return left_by(run_steps, steps, made, x, record)


def assert_alike(a: dict, b: dict) -> None:
    """Every array of the one is that of the other."""
    for name in a:
        pairs = zip(a[name], b[name], strict=True)
        assert all(np.array_equal(x, y) for x, y in pairs), name
