"""Program files and chip descriptions that are damaged, or made to hurt."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.errors import InputFileError, NmcError, TargetFileError
from nmcompiler.program.container import load
from nmcompiler.program.structure import fault
from nmcompiler.target import target_from_document, target_from_toml
from nmcompiler.testing.programs import random_program
from tests.hostile import SECONDS, judge, listed, watchdog

FILES = 350


@pytest.mark.parametrize(
    ("kind", "count"), [("program bytes", FILES), ("program fields", FILES), ("target", FILES)]
)
def test_mutated_files_are_read_or_refused_in_one_sentence(kind, count, tmp_path):
    failures = [v for v in (judge(kind, seed, tmp_path) for seed in range(count)) if v.outcome == "failed"]
    assert not failures, listed(failures)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_KEYS = ["name", "backend", "codings", "mesh", "core_types", "weight_bits", "membrane_bits", "threshold"]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.dictionaries(st.sampled_from(_KEYS) | st.text(max_size=5), _VALUES, max_size=6))
def test_chip_descriptions_of_any_values_are_refused(document):
    with watchdog(SECONDS), pytest.raises(TargetFileError) as caught:
        target_from_document(document, "chip.toml")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 100_000,
        "a = " + "{ b = " * 5000,
        "a." * 20_000 + "b = 1",
        "\x00",
        "a = 1e999999",
        "a = 9" * 999,
    ],
    ids=["lists", "tables", "keys", "zero byte", "exponent", "run together"],
)
def test_chip_descriptions_nested_or_long_beyond_reason_are_refused_in_time(text):
    with watchdog(SECONDS), pytest.raises(TargetFileError) as caught:
        target_from_toml(text, "chip.toml")
    assert str(caught.value).isprintable()


def zipped(tmp_path, members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    path = tmp_path / "a.nmc"
    path.write_bytes(stream.getvalue())
    return path


@pytest.mark.parametrize("shape", [(2**31, 2**20), (-1, -1), (0,)])
def test_ports_of_another_size_than_their_neurons_are_refused(shape):
    program = random_program(0)
    port = replace(program.inputs[0], shape=shape)
    assert "has the shape" in str(fault(replace(program, inputs=(port,))))


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"[" * 100_000,
        b'{"format": "nmcompiler.program", "version": ' + b"9" * 5000 + b"}",
        b'{"format": "nmcompiler.program", "version": 1, "sha256": {}}',
        b'{"format": "nmcompiler.program", "version": true, "sha256": []}',
        b'{"format": "nmcompiler.program", "version": 1e400}',
        b"\xff\xfe",
    ],
)
def test_manifests_that_hold_nothing_sound_are_refused_in_time(manifest, tmp_path):
    with watchdog(SECONDS), pytest.raises(InputFileError) as caught:
        load(zipped(tmp_path, {"manifest.json": manifest}))
    assert str(caught.value).isprintable()


def test_a_member_that_unpacks_to_a_thousand_times_its_size_is_refused_unread(tmp_path):
    path = tmp_path / "bomb.nmc"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", np.zeros(10**7, np.uint8).tobytes())
    with pytest.raises(InputFileError):
        load(path)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(data=st.binary(max_size=200))
def test_any_bytes_are_no_program(data, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "any.nmc"
    path.write_bytes(data)
    with pytest.raises(NmcError):
        load(path)
