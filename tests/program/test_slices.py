"""Passes in programs: when each runs, and what a file says of them."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nmcompiler.errors import InputFileError
from nmcompiler.program.container import load, save
from nmcompiler.program.layout import BLOCK_COLUMNS, Program
from nmcompiler.program.slices import block_steps, block_turns, chip_steps, turn_spans
from nmcompiler.program.structure import fault
from nmcompiler.program.usage import core_usage
from tests.program.test_container import rewrite
from tests.sim.handmade import program as handmade


def in_passes(*turns: int, code: str = "phase") -> Program:
    """An input, two neurons on core 0 and their read-out on core 1, loaded in these passes."""
    made = handmade(code)
    blocks = made.arrays["blocks"].copy()
    blocks[0, BLOCK_COLUMNS.index("param_n")] = 1  # of the inputs, which have none
    ports = tuple(replace(port, scale=np.ones(2), offset=np.zeros(2)) for port in made.inputs)
    return replace(made, inputs=ports).with_arrays(blocks=blocks, passes=np.array(turns, np.int32))


def test_a_pass_runs_from_the_first_spike_that_it_gets_to_the_last_that_it_sends() -> None:
    program = in_passes(0, 1)
    assert program.passes == 2
    # inputs fire in steps 0 and 1, the neurons in 2 and 3, and the read-out is read in step 4
    assert turn_spans(program) == [(0, 4), (2, 5)]
    assert chip_steps(program) == 7
    assert block_turns(program).tolist() == [-1, 0, 1]
    assert block_steps(program).tolist() == [0, 4, 3]


def test_a_single_pass_is_the_whole_sample() -> None:
    for program in (handmade("phase"), in_passes(0, 0)):
        assert (program.passes, turn_spans(program), chip_steps(program)) == (1, [(0, 5)], 5)
        assert block_steps(program).tolist() == [0, 5, 5]


def test_what_a_later_pass_reads_goes_to_one_destination() -> None:
    """Both neurons send to the read-out twice: its core counts once, and so does the host."""
    program = in_passes(0, 1)
    used = core_usage(program).used
    assert used["output_axons"].tolist() == [2, 0]
    assert used["destinations"].tolist() == [1, 0]
    more = np.array([(0, 0, 1), (0, 2, 3), (0, 1, 1), (0, 1, 2)], np.int32)
    routes = np.concatenate([program.arrays["routes"], [(2, 2, 2, 0, 1), (2, 2, 3, 0, 1)]]).astype(np.int32)
    turns = np.array([0, 1, 1, 0], np.int32)
    both = program.with_arrays(cores=more, routes=routes, passes=turns)
    assert fault(both) is None
    assert core_usage(both).used["destinations"].tolist() == [2, 0, 0, 0]  # core 3 and the host


def test_only_a_program_of_several_passes_is_of_version_4(tmp_path: Path) -> None:
    versions = []
    several = in_passes(0, 1)
    once = replace(several, arrays={k: v for k, v in several.arrays.items() if k != "passes"})
    for program in (once, several):
        save(program, tmp_path / "p.nmc")
        with zipfile.ZipFile(tmp_path / "p.nmc") as archive:
            versions.append(json.loads(archive.read("manifest.json"))["version"])
        loaded = load(tmp_path / "p.nmc")
        assert loaded.arrays.keys() == program.arrays.keys()
        assert loaded.turns.tolist() == program.turns.tolist()
    assert versions == [1, 4]


def test_passes_in_a_file_of_an_older_version_are_refused(tmp_path: Path) -> None:
    save(in_passes(0, 1), tmp_path / "p.nmc")
    rewrite(tmp_path / "p.nmc", {}, version=3)
    with pytest.raises(InputFileError, match=r"is damaged: .*several passes in version 3"):
        load(tmp_path / "p.nmc")


@pytest.mark.parametrize(
    ("turns", "sentence"),
    [
        ((1, 0), "route 1 leads from pass 1 back to pass 0"),
        ((0, 2), "the passes are not numbered from 0"),
        ((-1, 0), "the passes are not numbered from 0"),
        ((0,), "passes has 1 entries where there are 2 cores"),
        ((0, 1, 1), "passes has 3 entries where there are 2 cores"),
    ],
)
def test_wrong_passes_are_one_sentence(turns: tuple[int, ...], sentence: str) -> None:
    assert fault(in_passes(*turns)) == sentence


def test_two_cores_stand_at_one_place_in_different_passes_alone() -> None:
    place = np.array([(0, 0, 1), (0, 0, 1)], np.int32)
    assert fault(in_passes(0, 1).with_arrays(cores=place)) is None
    assert fault(in_passes(0, 0).with_arrays(cores=place)) == "cores 0 and 1 stand at one place in pass 0"


def test_a_core_that_runs_no_neuron_has_a_step_of_its_own() -> None:
    idle = np.array([(0, 0, 1), (0, 2, 3), (0, 0, 0)], np.int32)
    program = in_passes(0, 0, 1).with_arrays(cores=idle)
    assert fault(program) is None
    assert turn_spans(program) == [(0, 5), (0, 1)]
