"""Crossbars of bits: how they are made from weights, and what cannot be one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nmcompiler.backend import BackendBase
from nmcompiler.errors import InputFileError
from nmcompiler.program.container import load, save
from nmcompiler.program.layout import CROSSBAR_ARRAYS, BlockKind
from nmcompiler.program.lift import check_lift
from nmcompiler.program.structure import fault
from nmcompiler.program.usage import block_facts, core_usage
from nmcompiler.sim import Simulator
from nmcompiler.target import Crossbar, Limits
from nmcompiler.testing import suited_network, tiny_target
from nmcompiler.testing.chain import placed_program

CHIP = tiny_target(
    neurons=60, input_axons=160, weight_bits=4, crossbar=Crossbar(4, 9), axon_fan_out=1, max_chips=4
)


def made(seed=2):
    return placed_program(suited_network(seed, CHIP), CHIP, "phase", seed=seed)


def test_a_crossbar_stores_bits_and_one_weight_a_neuron_and_type():
    program, _ = made()
    typed = program.column("kind") == BlockKind.TYPED_CROSSBAR
    assert typed.sum() == len(program.table("crossbars")) > 1
    assert set(np.unique(program.arrays["weights"])) == {0, 1}
    assert len(program.table("copies")) > 0
    facts = block_facts(program)
    for block, types, _ in program.table("crossbars").tolist():
        n, points = int(program.column("n")[block]), int(program.column("weight_n")[block])
        assert facts.synapse_bits[block] == points + n * types * 9
        bits = program.arrays["weights"][program.column("weight0")[block] :][:points]
        assert facts.synapses[block] == bits.sum()


def test_copies_are_neurons_of_their_core():
    program, _ = made()
    used = core_usage(program).used["neurons"]
    assert used.sum() == program.column("n")[program.column("core") >= 0].sum()
    assert used.sum() == program.boxed[program.column("core") >= 0].sum() + len(program.table("copies"))


@pytest.mark.parametrize("each", [1, 3])
def test_copies_take_compartments_and_state_as_other_neurons_do(each):
    """The mapper may count more copies than the program then needs, but never fewer."""

    class Keeping(BackendBase):
        def map(self, spiking, target, traffic, options):
            self.cores = super().map(spiking, target, traffic, options)
            return self.cores

    kind = replace(CHIP.core_types[0], limits=Limits(neurons=60 * each, input_axons=160))
    chip, keeping = replace(CHIP, core_types=(kind,), compartments_per_neuron=each), Keeping()
    program, _ = placed_program(suited_network(2, chip), chip, "phase", backend=keeping, seed=2)
    assert len(program.table("copies")) > 0
    usage = core_usage(program)
    used = usage.used
    claimed = {
        resource: np.array(
            [u.used for core in keeping.cores.cores for u in core.usage if u.resource == resource]
        )
        for resource in ("neurons", "state_bits")
    }
    for amounts in (used, claimed):
        assert not (amounts["neurons"] % each).any()
        assert np.array_equal(amounts["state_bits"], amounts["neurons"] * chip.membrane_bits)
    assert (used["neurons"] <= claimed["neurons"]).all()
    assert claimed["neurons"].max() <= 60 * each
    assert usage.broken() == []
    placed = program.column("core") >= 0
    assert used["neurons"].sum() == each * program.column("n")[placed].sum()


def test_a_saved_program_has_the_tables_and_runs_as_before(tmp_path):
    program, spiking = made()
    save(program, tmp_path / "p.nmc")
    again = load(tmp_path / "p.nmc")
    for name, (dtype, _) in CROSSBAR_ARRAYS.items():
        assert again.arrays[name].dtype == np.dtype(dtype)
        assert np.array_equal(again.arrays[name], program.arrays[name])
    assert check_lift(again, spiking).ok


def test_a_program_without_crossbars_has_no_such_tables(tmp_path):
    chip = tiny_target()
    program, _ = placed_program(suited_network(1, chip), chip, "phase")
    assert not set(program.arrays) & set(CROSSBAR_ARRAYS)
    assert all(len(program.table(name)) == 0 for name in CROSSBAR_ARRAYS)
    assert (program.boxed == program.column("n")).all()


def changed(program, name, row, value, column=None):
    array = program.arrays[name].copy()
    if column is None:
        array[row] = value
    else:
        array[row, column] = value
    return program.with_arrays(**{name: array})


FAULTS = {
    "no bit": lambda p: changed(p, "weights", 0, 2),
    "another block": lambda p: changed(p, "crossbars", 0, 10**6, 0),
    "no types": lambda p: changed(p, "crossbars", 0, 0, 1),
    "type weights elsewhere": lambda p: changed(p, "crossbars", 0, 10**9, 2),
    "negative type weights": lambda p: changed(p, "crossbars", 0, -1, 2),
    "a core that is not": lambda p: changed(p, "axon_types", 0, 10**6, 0),
    "a negative type": lambda p: changed(p, "axon_types", 0, -1, 3),
    "a type without weight": lambda p: changed(p, "axon_types", slice(None), 63, 3),
    "two types": lambda p: p.with_arrays(axon_types=np.repeat(p.arrays["axon_types"], 2, axis=0)),
    "a copy of nothing": lambda p: changed(p, "copies", 0, 10**6, 1),
    "a copy of a copy": lambda p: changed(p, "copies", 0, p.arrays["copies"][0, 0], 1),
    "no copies": lambda p: p.with_arrays(copies=p.arrays["copies"][1:]),
    "a crossing twice": lambda p: changed(p, "runs", 0, 0, 5),
    "half the tables": lambda p: _without(p, "copies"),
}


def _without(program, name):
    arrays = {k: v for k, v in program.arrays.items() if k != name}
    return replace(program, arrays=arrays)


@pytest.mark.parametrize("kind", sorted(FAULTS))
def test_what_cannot_be_a_crossbar_is_no_program(kind):
    program, spiking = made()
    assert fault(program) is None
    broken = FAULTS[kind](program)
    assert fault(broken) is not None
    assert not check_lift(broken, spiking).ok
    with pytest.raises(InputFileError, match="damaged"):
        Simulator(broken).run({port.name: np.zeros((1, *port.shape)) for port in program.inputs})
