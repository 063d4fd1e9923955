"""The work of cores before placement, against counting it synapse by synapse."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.ir.schedule import Schedule, Slot
from nmcompiler.mapping.needs import network_needs
from nmcompiler.mapping.partition import partition
from nmcompiler.mapping.work import core_ns, core_work, stretches, windows
from nmcompiler.target.figures import Figure
from nmcompiler.target.model import Limits
from tests.mapping.mapping_oracle import Builder, chip, networks, positions, synapses


def scheduled(builder):
    """The network with a window of its own for each population, as long as its number and one."""
    spiking = builder.spiking()
    names = [p.name for p in spiking.network.graph]
    starts = np.cumsum([0, *range(1, len(names) + 1)]).tolist()
    slots = {name: Slot(k, starts[k], k + 1, 15, False) for k, name in enumerate(names)}
    schedule = Schedule("phase", tuple(starts[:-1]), starts[-1], slots, spiking.schedule.delays)
    return replace(spiking, schedule=schedule)


@settings(max_examples=40, deadline=None)
@given(networks(), st.integers(20, 200))
def test_work_is_what_spikes_cause(builder, neurons):
    spiking, target = scheduled(builder), chip(Limits(neurons=neurons))
    parted = partition(network_needs(spiking, target), None)
    order = list(range(len(parted.cores)))[::-1]
    traffic = builder.traffic()
    work = core_work(parted, order, traffic)
    window = windows(spiking.schedule)
    synops, spikes = np.zeros_like(work.synops), np.zeros_like(work.spikes)
    owner = {}
    for k, core in enumerate(order):
        for piece in parted.cores[core].pieces:
            name = piece.needs.name
            for position in positions(piece.box):
                owner[name, position] = k
                spikes[window[name], k] += traffic.spikes[name][position]
    graph = spiking.network.graph
    for edge in graph.edges():
        shapes = graph.node(edge.source).shape, graph.node(edge.target).shape
        for to, origin in synapses(edge.payload.kernel, *shapes):
            synops[window[edge.source], owner[edge.target, to]] += traffic.spikes[edge.source][origin]
    assert np.allclose(work.synops, synops)
    assert np.allclose(work.spikes, spikes)
    assert work.neurons.tolist() == [sum(c == k for c in owner.values()) for k in range(len(order))]


def test_a_window_lasts_as_long_as_its_busiest_core_or_the_chip():
    builder = Builder().add("in", (1, 1, 4), "input").add("a", (1, 1, 2)).add("out", (1, 1, 3), "readout")
    spiking = scheduled(builder.dense("in", "a").dense("a", "out"))

    def figures(**values):
        return {key: Figure(value, "made up", "modelled", "marginal") for key, value in values.items()}

    target = replace(
        chip(Limits(neurons=2)), figures=figures(time_per_synop_ns=2, time_per_neuron_update_inactive_ns=1)
    )
    parted = partition(network_needs(spiking, target), None)
    traffic = builder.traffic()
    work = core_work(parted, list(range(len(parted.cores))), traffic)
    ns = core_ns(parted, work)
    # Window 0: the four inputs reach both neurons of a, on one core; 1: a reaches out, two of it on one core.
    sent = {name: float(spikes.sum()) for name, spikes in traffic.spikes.items()}
    assert np.isclose(ns[0], max(2 * 2 * sent["in"], 1 * 2))
    assert np.isclose(ns[1], max(2 * 2 * sent["a"], 2 * 2))
    assert np.isclose(ns[2], 3 * 2)
    slow = replace(target, figures=target.figures | figures(time_per_barrier_ns=100))
    assert core_ns(partition(network_needs(spiking, slow), None), work).tolist() == [100, 200, 300]
    unknown = replace(target, figures={})
    assert core_ns(partition(network_needs(spiking, unknown), None), work).tolist() == [0, 0, 0]


def test_populations_that_fire_at_once_share_stretches():
    slots = {"a": Slot(0, 0, 8, 1, False), "b": Slot(3, 2, 8, 1, False)}
    time = stretches(Schedule("rate", (0,), 12, slots, {}))
    assert time.steps.tolist() == [2, 6, 2, 2]
    assert time.window.tolist() == [0, 0, 0, 0]
    assert time.share["a"].tolist() == [0.25, 0.75, 0, 0]
    assert time.share["b"].tolist() == [0, 0.75, 0.25, 0]


def test_codes_without_windows_have_one():
    slots = {"a": Slot(0, 0, 8, 1, False), "b": Slot(3, 0, 8, 1, False)}
    assert windows(Schedule("rate", (0,), 8, slots, {})) == {"a": 0, "b": 0}
    assert windows(Schedule("phase", (0, 4, 8, 12), 16, slots, {})) == {"a": 0, "b": 3}
