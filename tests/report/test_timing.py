"""The bottleneck model: counted by hand, and held against every single step of simulated trains."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nmcompiler.codings import coding
from nmcompiler.ir.kernels import Dense
from nmcompiler.report.timing import period_windows, stored_time, time_facts
from nmcompiler.report.workload import DIRECTIONS, workload
from nmcompiler.sim import Record, Simulator
from nmcompiler.target import Figure
from nmcompiler.testing import random_samples, tiny_target
from nmcompiler.testing.networks import Builder
from nmcompiler.testing.programs import random_program
from tests.sim.handmade import program as handmade

TIMES = {
    "time_per_synop_ns": 3.0,
    "time_per_neuron_update_active_ns": 8.0,
    "time_per_neuron_update_inactive_ns": 5.0,
    "time_per_spike_ns": 2.0,
    "time_per_hop_east_west_ns": 4.0,
    "time_per_hop_north_south_ns": 7.0,
    "time_per_barrier_ns": 1.0,
}


def figure(value):
    return Figure(value, "a paper", "measured", "marginal")


def priced(program, step_us=None, **figures):
    target = replace(
        program.target,
        figures={key: figure(value) for key, value in figures.items()},
        step_us=None if step_us is None else figure(step_us),
    )
    return replace(program, target=target)


def facts(program, sent, samples=1):
    return time_facts(program, workload(program, np.asarray(sent)), samples)


def part(found, what):
    return next(p for p in found["parts"] if p["what"] == what)


def test_every_part_is_what_a_hand_counts():
    """Two inputs, two neurons at (0, 1), one read-out at (2, 3); L = 3, two steps a window, five in all."""
    found = facts(priced(handmade("phase"), **TIMES), [2, 1, 1, 0, 0])
    # inputs: 3 events in steps 0 and 1, each to 2 synapses of core 0; neuron 2: one event in steps 2, 3
    synops = part(found, "synops")
    assert synops["count"] == pytest.approx((2 * 3.0 + 2 * 0.5) / 5)
    assert synops["ns"] == pytest.approx(3 * synops["count"])
    assert synops["where"] == "core 0"
    # two neurons on core 0, one of them active in half of steps 2 and 3
    assert part(found, "neuron updates")["ns"] == pytest.approx((3 * 10 + 2 * (10 + 0.5 * 3)) / 5)
    assert part(found, "spikes sent")["ns"] == pytest.approx(2 * 0.5 * 2 / 5)
    # inputs go one link east; neuron 2 goes two east and two south
    link = part(found, "link")
    assert link["count"] == pytest.approx((2 * 1.5 + 2 * 0.5) / 5)
    assert link["ns"] == pytest.approx((2 * 1.5 * 4 + 2 * 0.5 * 7) / 5)
    assert part(found, "barrier")["ns"] == 1.0
    # a step is as long as its longest part: updates everywhere
    assert (found["bottleneck"], found["second"]) == ("neuron updates", "synops")
    assert found["step_ns"] == pytest.approx(part(found, "neuron updates")["ns"])
    assert found["latency_us"] == pytest.approx(5e-3 * found["step_ns"])
    assert found["samples_per_second"] == pytest.approx(1e6 / found["latency_us"])
    assert not found["is_lower_bound"]


@pytest.mark.parametrize("prices", [TIMES, {}])
def test_every_compartment_of_a_neuron_is_updated_in_every_step(prices):
    made = handmade("phase")
    several = replace(made, target=replace(made.target, compartments_per_neuron=3))
    one, three = (facts(priced(program, **prices), [2, 1, 1, 0, 0]) for program in (made, several))
    for name in ("synops", "spikes sent", "link"):
        assert part(three, name)["ns"] == part(one, name)["ns"]
    updates = part(one, "neuron updates"), part(three, "neuron updates")
    assert updates[0]["count"] == 2
    assert updates[1]["count"] == 6
    if prices:
        assert updates[1]["ns"] == pytest.approx(3 * updates[0]["ns"])


def test_parts_that_lead_in_different_steps_share_the_sample():
    """Without slow updates the link is longest while inputs fire, and the barrier at the end."""
    times = {**TIMES, "time_per_neuron_update_active_ns": 0.01, "time_per_neuron_update_inactive_ns": 0.01}
    found = facts(priced(handmade("phase"), **times), [2, 1, 1, 0, 0])
    # 9 ns of synops in steps 0 and 1, the link's 3.5 ns in 2 and 3, the barrier in the last
    assert found["step_ns"] == pytest.approx((2 * 9.0 + 2 * 3.5 + 1.0) / 5)
    leading = {p["what"]: p["steps"] for p in found["parts"]}
    assert leading == {"synops": 2, "link": 2, "barrier": 1, "neuron updates": 0, "spikes sent": 0}


def oracle(program, x):
    """Mean time of a step, every step of every sample on its own: no averages under the maximum."""
    result = Simulator(program).run(x, record=Record(trains=True), literal=True)
    samples, steps = result.samples, program.total_steps
    events = np.zeros((samples, steps, program.neurons), np.int64)
    columns = ("population", "gid0", "n", "y0", "x0", "c0", "height", "width", "channels")
    shapes = [p.shape for p in program.golden.network.graph]
    for k, gid, n, y, z, c, h, w, d in zip(*(program.column(m).tolist() for m in columns), strict=True):
        trains = result.trains[k].reshape(samples, steps, *shapes[k])[:, :, y : y + h, z : z + w, c : c + d]
        events[:, :, gid : gid + n] = (trains != 0).reshape(samples, steps, n)
    along = np.array([4.0 if d in ("east", "west") else 7.0 for d in DIRECTIONS])[:, None, None]
    times = []
    for sent in events.reshape(-1, program.neurons):
        work = workload(program, sent)
        spikes = work.spikes.sum(axis=0)
        times.append(
            max(
                3.0 * work.synops.sum(axis=0).max(),
                (8.0 * spikes + 5.0 * (work.neurons - spikes)).max(),
                2.0 * spikes.max(),
                (work.links.sum(axis=0) * along).max(),
                1.0,
            )
        )
    return float(np.mean(times)), result


@pytest.mark.parametrize("code", ["phase", "rate-sync", "graded", "rate"])
@pytest.mark.parametrize("seed", range(3))
def test_the_time_is_a_bound_from_below_of_the_time_step_by_step(seed, code):
    program = priced(random_program(seed, code), **TIMES)
    exact, result = oracle(program, random_samples(program.golden.network, seed, 2))
    found = facts(program, result.spikes_per_neuron, 2)
    assert 0 < found["step_ns"] <= exact * (1 + 1e-9)
    # one sample whose populations fire in one step each has nothing that averages could hide
    one, alone = oracle(program, random_samples(program.golden.network, seed, 1))
    if coding(code).name == "graded":
        assert facts(program, alone.spikes_per_neuron)["step_ns"] == pytest.approx(one)


def test_a_longest_part_of_one_price_is_the_part_alone():
    program = handmade("phase")
    found = facts(priced(program, time_per_synop_ns=3.0), [2, 1, 1, 0, 0])
    assert found["step_ns"] == pytest.approx(part(found, "synops")["ns"])
    assert found["is_lower_bound"]
    assert "time_per_barrier_ns" in found["unpriced"]
    assert "time_per_synop_ns" not in found["unpriced"]
    assert found["second"] is None or part(found, found["second"])["ns"] is not None


def test_a_chip_without_published_times_has_none():
    found = facts(priced(handmade("phase")), [2, 1, 1, 0, 0])
    assert found["step_ns"] is found["latency_us"] is found["bottleneck"] is found["pipelined"] is None
    assert len(found["unpriced"]) == 6
    assert part(found, "synops")["count"] > 0


def test_a_fixed_tick_stands_for_all_of_it():
    found = facts(priced(handmade("phase"), step_us=2.5), [2, 1, 1, 0, 0])
    assert found["latency_us"] == pytest.approx(12.5)
    assert found["fixed_step"]
    assert not found["is_lower_bound"]
    assert found["unpriced"] == []


def test_the_shortest_step_is_a_floor():
    found = facts(priced(handmade("phase"), time_per_synop_ns=3.0, shortest_step_ns=200), [2, 1, 1, 0, 0])
    assert found["step_ns"] == 200
    assert (found["bottleneck"], found["second"]) == ("shortest step", "synops")


def test_a_time_that_contains_another_is_no_bound():
    program = priced(handmade("phase"), **{k: v for k, v in TIMES.items() if k != "time_per_spike_ns"})
    assert facts(program, [2, 1, 1, 0, 0])["unpriced"] == ["time_per_spike_ns"]
    synop = replace(figure(3.0), includes=("time_per_spike_ns",))
    whole = replace(
        program,
        target=replace(program.target, figures={**program.target.figures, "time_per_synop_ns": synop}),
    )
    assert facts(whole, [2, 1, 1, 0, 0])["unpriced"] == []


def spiking(network, code="phase"):
    return coding(code).convert(network, tiny_target(), input_encoding="spikes")


def test_the_next_sample_may_follow_after_the_longest_skip():
    builder = Builder(np.random.default_rng(0), unit_theta=0.0)
    weight = np.ones((2, 2), np.int64)
    names = [builder.input((1, 1, 2), 3, False)]
    for _ in range(3):
        names.append(builder.hidden((1, 1, 2), [(names[-1], Dense(weight))], "Gemm", levels=3, signed=False))
    chain = builder.network("chain")
    assert period_windows(spiking(chain)) == 1
    assert period_windows(spiking(chain, "rate")) is None
    last = [(names[-1], Dense(weight)), (names[0], Dense(weight))]
    builder.readout((1, 1, 2), last)
    assert period_windows(spiking(builder.network("skip"))) == 4


@pytest.mark.parametrize("seed", range(4))
def test_a_pipeline_is_never_slower_than_samples_one_by_one_with_equal_windows(seed):
    program = priced(random_program(seed), **TIMES)
    result = Simulator(program).run(random_samples(program.golden.network, seed, 2))
    found = facts(program, result.spikes_per_neuron, 2)
    one, two = found["pipelined"]
    assert one["windows"] == two["windows"] + 1
    assert one["steps"] <= program.total_steps
    assert two["samples_per_second"] >= one["samples_per_second"] * (1 - 1e-9)
    assert one["samples_per_second"] >= found["samples_per_second"] * (1 - 1e-9)


def test_what_a_program_holds_is_believed_only_where_it_is_well_formed():
    good = facts(priced(handmade("phase"), **TIMES), [2, 1, 1, 0, 0])
    assert stored_time(good) == good
    for bad in (None, [], {}, {**good, "step_ns": "fast"}, {**good, "parts": [1]}, {**good, "bottleneck": 3}):
        assert stored_time(bad) is None
    assert stored_time({**good, "parts": [{**good["parts"][0], "count": "many"}]}) is None
