"""Other simulators on one layer of the LeNet-like network, with the spikes that it gets.

    pip install -e '.[bench]'

The layer is cut out of the placed program: all synapses that reach the neurons of its cores, and every spike
that comes over them, step by step, for a few images in ``phase``. Steps without a spike are left out. All
that a peer has to do is to add weights to membranes, without threshold or leak; whether its sums are right is
checked. A peer that is not installed is reported as such.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from nmcompiler.program.layout import Program
from tests.benchmarks.fashion_mnist import DEMO, NETWORKS
from tests.benchmarks.machine_limit import Array, expanded, spikes_of, synapses_of
from tests.benchmarks.timing import Work

__all__ = ["PEERS", "Layer", "Replay", "converted_network", "layer_of"]

Int64Array: TypeAlias = npt.NDArray[np.int64]

SANAFE_RUNS = 24
BRIAN2_PERIODS = 40


@dataclass(frozen=True, eq=False)
class Layer:
    """Synapses of a layer and the spikes that reach it; n sources, m targets, K synapses.

    Attributes:
        source: ``(K,)`` int64, ascending.
        target: ``(K,)`` int64.
        weight: ``(K,)`` int64.
        spikes: ``(steps, n)`` bool.
        targets: m.
    """

    source: Int64Array
    target: Int64Array
    weight: Int64Array
    spikes: npt.NDArray[np.bool_]
    targets: int

    @property
    def sources(self) -> int:
        """Returns n."""
        return int(self.spikes.shape[1])

    @property
    def sums(self) -> Int64Array:
        """What all spikes together add to each target, ``(m,)``."""
        made = np.zeros(self.targets, np.int64)
        np.add.at(made, self.target, self.weight * self.spikes.sum(axis=0)[self.source])
        return made

    @property
    def synops(self) -> int:
        """Synaptic operations of all spikes."""
        return int(self.spikes.sum(axis=0)[self.source].sum())


@dataclass(frozen=True, eq=False)
class Replay:
    """A peer that is set up: each call sends the spikes of the layer ``periods`` times."""

    work: Work
    periods: int = 1


def layer_of(program: Program, name: str, x: Array) -> Layer:
    """Returns a layer of a program in ``phase``, with what the samples send to it.

    Args:
        program: A program with names, whose weights count once (``shift`` 0).
        name: Name of the layer's population.
        x: Samples of the only input.
    """
    assert program.names is not None
    reached = program.column("population") == program.names.populations.index(name)
    synapses = synapses_of(program)
    sender = np.repeat(np.arange(program.neurons), np.diff(synapses.first))
    rows = np.flatnonzero(reached[synapses.block])
    patterns, segments = (np.asarray(program.arrays[a], np.int64) for a in ("patterns", "segments"))
    pattern = synapses.pattern[rows]
    row, step = expanded(patterns[pattern + 1] - patterns[pattern])
    weight, target, length = segments[patterns[pattern[row]] + step].T
    part, place = expanded(length)
    synapse = rows[row[part]]
    at = synapses.weight[synapse] + weight[part] + place
    senders, source = np.unique(sender[synapse], return_inverse=True)
    targets, target = np.unique(synapses.target[synapse] + target[part] + place, return_inverse=True)
    trains = []
    for spikes in spikes_of(program, x):
        mine = np.isin(spikes.neuron, senders)
        steps, step = np.unique(spikes.step[mine], return_inverse=True)
        trains.append(np.zeros((len(steps), len(senders)), np.bool_))
        trains[-1][step, np.searchsorted(senders, spikes.neuron[mine])] = True
    weights = np.asarray(program.arrays["weights"], np.int64)[at]
    return Layer(source, target, weights, np.concatenate(trains), len(targets))


def brian2(layer: Layer, periods: int = 1) -> Replay:
    """Brian2 with compiled code (its default where there is a C++ compiler), one synapse group, float64.

    The spikes are repeated period after period, and a call runs some of them. It also sets up its run, which
    takes as long as several periods: with one, that is most of what a user waits for; with many, it is not.
    """
    import brian2 as b

    b.prefs.codegen.target = "cython"
    step = 1 * b.ms
    when, who = np.nonzero(layer.spikes)
    steps = len(layer.spikes)
    senders = b.SpikeGeneratorGroup(layer.sources, who, when * step, dt=step, period=steps * step)
    neurons = b.NeuronGroup(layer.targets, "v : 1", dt=step)
    synapses = b.Synapses(senders, neurons, "w : 1", on_pre="v_post += w", dt=step)
    synapses.connect(i=layer.source, j=layer.target)
    synapses.w = layer.weight
    network = b.Network(senders, neurons, synapses)
    network.run(steps * step)
    _check("brian2", neurons.v[:], layer)
    return Replay(lambda: network.run(periods * steps * step), periods)


def sanafe(layer: Layer) -> Replay:
    """SANA-FE with the Loihi description that comes with it, ``simple`` timing, one thread.

    Sources are its input units, 1,024 a core; targets are integrators on the cores behind them. Input units
    have no way back to their first step, so their trains hold the spikes ``SANAFE_RUNS`` times, and a call
    simulates one of them. Like the simulator here, and unlike the other peers, it counts the events of a
    chip and prices them.
    """
    import sanafe as s

    steps = len(layer.spikes) + 1  # what the last step sends arrives in the next
    chip_of = s.load_loihi()
    cores = [core for tile in chip_of.tiles for core in tile.cores]
    network = s.Network()
    senders = network.create_neuron_group("senders", layer.sources, {})
    integrates = {"threshold": 1e18, "leak_decay": 1.0}
    neurons = network.create_neuron_group(
        "neurons", layer.targets, integrates, log_potential=True, soma_hw_name="loihi_lif"
    )
    for k, sender in enumerate(senders.neurons):
        train = [bool(v) for v in (*layer.spikes[:, k], False)] * SANAFE_RUNS
        sender.set_attributes(soma_hw_name=f"loihi_inputs[{k % 1024}]", model_attributes={"spikes": train})
        sender.map_to_core(cores[k // 1024])
    for k, neuron in enumerate(neurons.neurons):
        neuron.map_to_core(cores[1 + layer.sources // 1024 + k // 1024])
    pairs = list(zip(layer.source.tolist(), layer.target.tolist(), strict=True))
    senders.connect_neurons_sparse(neurons, {"weight": layer.weight.astype(float).tolist()}, pairs)
    chip = s.SpikingChip(chip_of)
    chip.load(network)

    def run(**traces: bool) -> Mapping[str, Any]:
        with _silenced():
            result: Mapping[str, Any] = chip.sim(steps, timing_model="simple", processing_threads=1, **traces)
        if result["spikes"] != layer.synops:  # also where the trains have ended
            raise ValueError(f"sanafe counts {result['spikes']} events, and {layer.synops} were expected")
        return result

    _check("sanafe", run(potential_trace=True)["potential_trace"][-1], layer)
    return Replay(run)


def brainevent(layer: Layer) -> Replay:
    """BrainEvent's compressed rows on JAX, CPU, float32: all steps as one product of events and weights."""
    return _brainevent(layer, whole=True)


def brainevent_steps(layer: Layer) -> Replay:
    """BrainEvent's compressed rows on JAX, CPU, float32: step after step, as a spiking network needs it."""
    return _brainevent(layer, whole=False)


def _brainevent(layer: Layer, whole: bool) -> Replay:
    import brainevent as e
    import jax
    import jax.numpy as jnp

    weight = jnp.asarray(layer.weight, jnp.float32)
    index = jnp.asarray(layer.target, jnp.int32)
    starts = jnp.asarray(np.searchsorted(layer.source, np.arange(layer.sources + 1)), jnp.int32)
    spikes = jnp.asarray(layer.spikes)

    def product(events: Any) -> Any:
        matrix = e.CSR((weight, index, starts), shape=(layer.sources, layer.targets))
        return e.BinaryArray(events) @ matrix

    def at_once(events: Any) -> Any:
        return product(events).sum(axis=0)

    def in_steps(events: Any) -> Any:
        start = jnp.zeros(layer.targets, jnp.float32)
        return jax.lax.scan(lambda v, now: (v + product(now), None), start, events)[0]

    compiled = jax.jit(at_once if whole else in_steps)
    _check("brainevent", np.asarray(compiled(spikes)), layer)
    return Replay(lambda: compiled(spikes).block_until_ready())


PEERS: Mapping[str, Callable[[Layer], Replay]] = {
    "SANA-FE": sanafe,
    "Brian2, a run of some images": brian2,
    "Brian2, a long run": partial(brian2, periods=BRIAN2_PERIODS),
    "BrainEvent, float32": brainevent,
    "BrainEvent, float32, by step": brainevent_steps,
}


def converted_network(network: str, images: Array, threads: int = 1) -> Callable[[int], Work]:
    """SpikingJelly's conversion of a network, float32: returns what runs T steps of the images, for any T.

    The conversion is the ``99.9 %`` one of ``spikingjelly_conversion``: others differ in scales alone. The
    images enter as a current in batches of 250, in each step anew.
    """
    import torch
    from spikingjelly.activation_based import functional

    from tests.benchmarks.spikingjelly_conversion import BATCH, converted, recipes

    torch.set_num_threads(threads)
    calibration = torch.tensor(np.load(DEMO / "calibration.npz")["x"], dtype=torch.float32)
    net = converted(NETWORKS[network], recipes(calibration)["99.9 %"])
    batches = torch.tensor(images, dtype=torch.float32).split(BATCH)

    def run(steps: int) -> None:
        with torch.no_grad():
            for batch in batches:
                functional.reset_net(net)
                for _ in range(steps):
                    net(batch)

    return lambda steps: lambda: run(steps)


def _check(peer: str, sums: Any, layer: Layer) -> None:
    if not np.array_equal(np.asarray(sums, np.float64), layer.sums.astype(np.float64)):
        raise ValueError(f"{peer} computes other sums")


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Sends what a library prints to nowhere."""
    kept = os.dup(1)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
