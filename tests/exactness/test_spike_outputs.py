"""Outputs that are read from spikes: nothing may differ from the golden network, with signs and in halves."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from nmcompiler.compiler import compile_model, run_program
from nmcompiler.frontend.data import read_samples
from nmcompiler.plan import CompileOptions
from nmcompiler.program.container import load, save
from nmcompiler.program.lift import check_lift
from nmcompiler.registry import targets
from nmcompiler.sim import Simulator
from nmcompiler.testing import mutations, random_network, random_samples, tiny_target
from nmcompiler.testing.chain import placed_program

from .checks import WINDOWED, counters, mismatches, nothing_wrong
from .test_oracle_agrees import CODES, compare

SHIPPED = Path(str(files("nmcompiler.demo_data")))
LEVELS = (1, 3, 10, 31)


def placed(seed, code, **options):
    """A random network whose outputs are read from spikes; every third chip sends them in halves."""
    target = tiny_target(
        neurons=12 + seed % 23,
        weight_sharing=seed % 2 == 0,
        signed_spikes=seed % 3 != 0,
        fires_when="gt" if seed % 4 == 1 else "ge",
        max_chips=4,
    )
    network = random_network(seed, output_levels=LEVELS[seed % 4], **options)
    return placed_program(network, target, code, seed=seed, timesteps=None if code in WINDOWED else 31)


@pytest.mark.parametrize("code", WINDOWED)
@pytest.mark.parametrize("seed", range(24))
def test_random_networks_with_outputs_in_spikes_are_exact(seed, code):
    program, spiking = placed(seed, code)
    assert program.output_levels == LEVELS[seed % 4]
    assert check_lift(program, spiking).ok
    samples = random_samples(spiking.network, seed, 12)
    wrong, two = mismatches(program, spiking, samples, threads=2)
    assert nothing_wrong(wrong)
    wrong, literal = mismatches(program, spiking, samples, literal=True)
    assert nothing_wrong(wrong)
    assert counters(two) == counters(literal)
    # Outputs do not depend on what else is recorded.
    alone = Simulator(program).run(samples)
    assert alone.values is None
    assert all(map(np.array_equal, alone.outputs, literal.outputs))


def test_halves_are_subtracted_and_outputs_keep_their_sign():
    both = [placed(seed, "phase") for seed in range(24)]
    halves = [(p, s) for p, s in both if p.outputs[0].off is not None]
    assert len(halves) > 4
    lowest = 0
    for seed, (program, spiking) in enumerate(halves):
        result = Simulator(program).run(random_samples(spiking.network, seed, 12))
        port = program.outputs[0]
        raw = result.outputs[0]
        assert raw.min() >= 0
        assert not (raw[:, port.order] * raw[:, port.off]).any()
        lowest = min(lowest, int(port.read(raw).min()))
    assert lowest < 0


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("seed", range(6))
def test_the_oracle_agrees(tmp_path, seed, code):
    program, spiking = placed(seed, code, levels=7)
    compare(program, random_samples(spiking.network, seed, 2), tmp_path / "p.nmc")


def test_a_stream_gives_the_outputs_of_its_frames(tmp_path):
    program, spiking = placed(1, "graded")
    frames = {name: np.repeat(x, 2, axis=0) for name, x in random_samples(spiking.network, 1, 4).items()}
    expected = compare(program, frames, tmp_path / "p.nmc", stream=True)
    alone = Simulator(program).run(frames)
    assert all(map(np.array_equal, alone.outputs, expected.results))


@pytest.mark.parametrize("code", WINDOWED)
def test_lift_sees_every_planted_fault(code):
    for seed in range(4):
        program, spiking = placed(seed, code)
        for mutation in mutations(program, seed):
            assert check_lift(mutation.program, spiking).ok == mutation.equivalent, mutation.description


def test_the_halves_of_an_output_survive_the_file_and_are_compared(tmp_path):
    program, spiking = next(
        made
        for made in (placed(seed, "phase") for seed in range(0, 24, 3))
        if made[0].outputs[0].off is not None
    )
    save(program, tmp_path / "p.nmc")
    again = load(tmp_path / "p.nmc")
    assert np.array_equal(again.outputs[0].off, program.outputs[0].off)
    assert check_lift(again, again.golden).ok
    port = again.outputs[0]
    for wrong in (
        replace(port, off=None),
        replace(port, off=port.off[::-1]),
        replace(port, off=port.off + 1),
    ):
        assert not check_lift(replace(again, outputs=(wrong,)), spiking).ok


@pytest.mark.parametrize(("levels", "least"), [(255, 0.90), (15, 0.90), (3, 0.82)])
def test_the_shipped_network_is_exact_with_few_and_many_output_levels(levels, least):
    """Measured on 1,000 images: 91.9 % from membranes; 91.9, 92.2 and 87.9 % from 255, 15 and 3 levels."""
    options = CompileOptions(output_levels=levels)
    model, calibration = SHIPPED / "fashion_mnist_lenet.onnx", SHIPPED / "calibration.npz"
    made = compile_model(model, "generic-digital", "phase", calibration, options)
    assert made.facts["output_levels"] == levels
    assert made.facts["levels"] == 15
    facts = run_program(
        made.program, read_samples(SHIPPED / "test.npz", made.program.inputs).first(400)
    ).facts
    assert [facts[f"mismatched_{what}"] for what in ("outputs", "activations", "membranes")] == [0, 0, 0]
    assert facts["accuracy"]["chip"] == facts["accuracy"]["integer"] >= least
    assert (facts["output_levels"], facts["saturations"]) == (levels, 0)
    # Few levels make several outputs the largest; the first of them is the answer.
    assert 0 <= facts["tied_answers"] <= {255: 4, 15: 40, 3: 120}[levels]


def test_a_chip_that_can_only_read_spikes_takes_255_levels_and_halves():
    chip = replace(targets()["generic-digital"][1], readout=("spikes",), signed_spikes=False)
    samples = np.load(SHIPPED / "calibration.npz")["x"][:48]
    made = compile_model(SHIPPED / "fashion_mnist_lenet.onnx", chip, "phase", {"image": samples})
    assert made.facts["output_levels"] == 255
    assert made.program.outputs[0].off is not None
    facts = run_program(made.program, read_samples(SHIPPED / "test.npz", made.program.inputs).first(50)).facts
    assert [facts[f"mismatched_{what}"] for what in ("outputs", "activations", "membranes")] == [0, 0, 0]
    assert facts["accuracy"]["chip"] > 0.8
