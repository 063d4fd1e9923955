"""What a program uses, against counting its synapses and routes one by one."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest

from nmcompiler.backend import BackendBase
from nmcompiler.codings import CODINGS
from nmcompiler.program.layout import BLOCK_COLUMNS, BlockKind
from nmcompiler.program.usage import block_facts, core_usage, fan_out
from nmcompiler.target.model import RESOURCES, BiasFormat, Limits
from nmcompiler.testing import random_network, random_program, tiny_target
from nmcompiler.testing.chain import placed_program

CODES = tuple(CODINGS)


def blocks_of(program):
    return [dict(zip(BLOCK_COLUMNS, row, strict=True)) for row in program.arrays["blocks"].tolist()]


def synapses_of(program, block):
    """Yields (axon, target, weight) of a block, as the page on the format says it."""
    a = {name: array.tolist() for name, array in program.arrays.items() if name != "blocks"}
    for run in a["runs"][block["run0"] : block["run0"] + block["run_n"]]:
        axon0, n, pattern, target0, weight0, weight_stride, target_stride = run
        for j in range(n):
            for weight, target, length in a["segments"][a["patterns"][pattern] : a["patterns"][pattern + 1]]:
                for i in range(length):
                    at = block["weight0"] + weight0 + j * weight_stride + weight + i
                    yield axon0 + j, target0 + j * target_stride + target + i, a["weights"][at]


def routes_of(program):
    """Yields (neuron, core, axon, delay) of every axon that a neuron feeds."""
    for gid0, n, core, axon0, delay in program.arrays["routes"].tolist():
        for j in range(n):
            yield gid0 + j, core, axon0 + j, delay


def placed(seed, code="phase", **changes):
    """A random network mapped on a tiny chip: the program, and the cores as the mapper made them."""

    class Keeping(BackendBase):
        def map(self, spiking, target, traffic, options):
            self.cores = super().map(spiking, target, traffic, options)
            return self.cores

    backend = Keeping()
    target = tiny_target(
        neurons=10 + 3 * (seed % 7),
        max_chips=8,
        axons_per_source=1 + seed % 2,
        compartments_per_neuron=1 + seed % 3,
        **changes,
    )
    pixel = replace(target, axon_unit="pixel") if seed % 3 == 0 else target
    steps = 255 if code == "rate" else None
    network = random_network(seed, levels=7 if code == "rate" else None)
    program, _ = placed_program(network, pixel, code, backend=backend, seed=seed, timesteps=steps)
    return program, backend.cores


def biases(program, block, neuron):
    """Synapses that the bias of one neuron of a block takes."""
    bias = program.target.bias
    if bias is None or not bias.synapses:
        return 0
    at = block["param0"] + neuron % block["param_n"]
    theta, start, current = (int(program.arrays[name][at]) for name in ("theta", "v0", "current"))
    if program.coding == "rate":
        return bias.synapses if current else 0
    start -= program.fires_when == "gt"
    return bias.synapses if start - (theta // 2 if block["levels"] else 0) else 0


def counted(program):
    """Used resources of every core, by sets and loops."""
    target, blocks = program.target, blocks_of(program)
    owner = {g: b for b in blocks for g in range(b["gid0"], b["gid0"] + b["n"])}
    used = [dict.fromkeys(RESOURCES, 0) for _ in program.arrays["cores"]]
    thetas, kernels = defaultdict(set), set()
    for b in blocks:
        if b["core"] < 0:
            continue
        mine = used[b["core"]]
        for _ in range(b["n"]):
            for _ in range(target.compartments_per_neuron):
                mine["neurons"] += 1
                mine["state_bits"] += target.membrane_bits
        inputs = defaultdict(int)
        for _, neuron, _ in synapses_of(program, b):
            inputs[neuron] += 1
        mine["fan_in"] = max(mine["fan_in"], max(inputs[k] + biases(program, b, k) for k in range(b["n"])))
        if b["levels"]:
            values = program.arrays["theta"][b["param0"] : b["param0"] + b["param_n"]]
            thetas[b["core"]] |= set(values.tolist())
        kernel = (b["core"], b["population"], b["c0"], b["channels"])
        if b["kind"] != BlockKind.SHARED_CONV or kernel not in kernels:
            mine["synapse_bits"] += b["weight_n"] * target.weight_bits
        kernels.add(kernel)
    axons, reached = defaultdict(set), defaultdict(set)
    for gid, core, _, delay in routes_of(program):
        block = owner[gid]
        source = (gid,)
        if target.axon_unit == "pixel":
            y, x = divmod((gid - block["gid0"]) // block["channels"], block["width"])
            source = (block["population"], block["y0"] + y, block["x0"] + x)
        axons[core].add((*source, delay))
        reached[gid].add(core)
    for gid, cores in reached.items():
        if (core := owner[gid]["core"]) >= 0:
            used[core]["output_axons"] += len(cores)
            used[core]["destinations"] = max(used[core]["destinations"], len(cores))
    for core, mine in enumerate(used):
        mine["thresholds"], mine["input_axons"] = (
            len(thetas[core]),
            len(axons[core]) * target.axons_per_source,
        )
    return used


def as_rows(usage):
    return [{name: int(usage.used[name][c]) for name in RESOURCES} for c in range(len(usage.limits))]


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("seed", range(5))
def test_the_facts_of_a_block_are_those_of_its_synapses(seed, code):
    program = random_program(seed, code)
    facts = block_facts(program)
    for k, block in enumerate(blocks_of(program)):
        synapses = list(synapses_of(program, block))
        inputs = np.bincount([target for _, target, _ in synapses], minlength=block["n"])
        assert facts.synapses[k] == len(synapses)
        assert facts.zero_synapses[k] == sum(weight == 0 for _, _, weight in synapses)
        assert facts.fan_in[k] == inputs.max()
        assert facts.stored_weights[k] == block["weight_n"]


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("seed", range(5))
def test_a_spike_reaches_the_synapses_on_all_axons_of_its_neuron(seed, code):
    program = random_program(seed, code)
    weights = defaultdict(list)
    for block in blocks_of(program):
        for axon, _, weight in synapses_of(program, block):
            weights[block["core"], axon].append(weight)
    reached = np.zeros((2, program.neurons), np.int64)
    for gid, core, axon, _ in routes_of(program):
        reached[0, gid] += len(weights[core, axon])
        reached[1, gid] += np.count_nonzero(weights[core, axon])
    assert np.array_equal(fan_out(program), reached)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("seed", range(6))
def test_the_usage_of_cores_is_what_loops_count(seed, code):
    random = random_program(seed, code)
    assert as_rows(core_usage(random)) == counted(random)
    mapped, _ = placed(seed, code, weight_sharing=seed % 2 == 0, bias=BiasFormat(20, synapses=seed % 3))
    assert as_rows(core_usage(mapped)) == counted(mapped)


def test_the_bias_of_a_neuron_takes_synapses_of_its_fan_in_and_of_nothing_else():
    program, _ = placed(3)
    with_bias = replace(program, target=replace(program.target, bias=BiasFormat(20, synapses=100)))
    plain, more = block_facts(program), block_facts(with_bias)
    assert np.array_equal(plain.synapses, more.synapses)
    assert np.array_equal(plain.synapse_bits, more.synapse_bits)
    inputs = program.column("kind") == BlockKind.INPUT
    assert np.array_equal(plain.fan_in[inputs], more.fan_in[inputs])
    assert set((more.fan_in - plain.fan_in)[~inputs].tolist()) >= {100}


@pytest.mark.parametrize("sharing", [True, False])
@pytest.mark.parametrize("seed", range(20))
def test_the_mapper_claims_what_the_program_uses(seed, sharing):
    program, cores = placed(
        seed,
        CODES[seed % len(CODES)],
        weight_sharing=sharing,
        signed_spikes=seed % 2 == 0,
        bias=BiasFormat(20, synapses=seed % 3),
    )
    claimed = [{usage.resource: usage.used for usage in core.usage} for core in cores.cores]
    assert as_rows(core_usage(program)) == claimed
    limits = core_usage(program).limits
    assert [[u.limit for u in core.usage] for core in cores.cores] == [
        [getattr(limit, name) for name in RESOURCES] for limit in limits
    ]


def test_a_broken_limit_is_told_with_its_numbers():
    program, _ = placed(1)
    usage = core_usage(program)
    assert usage.broken() == []
    used = int(usage.used["neurons"][0])
    tight = replace(usage, limits=(Limits(neurons=used - 1), *usage.limits[1:]))
    assert tight.broken() == [(0, "neurons", used, used - 1)]
    assert len(usage.rows()) == len(RESOURCES) * len(usage.limits)


def test_cores_have_the_limits_of_their_own_kind():
    program, _ = placed(2)
    target = program.target
    kinds = tuple(
        replace(target.core_types[0], count=count, limits=Limits(neurons=limit))
        for count, limit in ((1, 50), (255, 60))
    )
    usage = core_usage(replace(program, target=replace(target, core_types=kinds)))
    places = program.arrays["cores"][:, 1] * target.mesh.columns + program.arrays["cores"][:, 2]
    assert [limit.neurons for limit in usage.limits] == [50 if p == 0 else 60 for p in places]
