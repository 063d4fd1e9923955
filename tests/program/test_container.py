import contextlib
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nmcompiler.errors import InputFileError, UsageError
from nmcompiler.program.container import load, save
from nmcompiler.program.layout import ARRAYS, Program
from nmcompiler.program.lift import check_lift
from nmcompiler.program.members import array_bytes, array_from, checksum
from nmcompiler.testing.programs import random_program


@pytest.fixture(scope="module")
def program() -> Program:
    made = random_program(7, "phase")
    return replace(made, source=b"onnx bytes", extra={"acme/a.bin": b"\x01"}, report={"seed": 3})


@pytest.fixture
def saved(program: Program, tmp_path: Path) -> Path:
    path = tmp_path / "a.nmc"
    save(program, path)
    return path


def rewrite(path: Path, change: dict[str, bytes | None], *, sums: bool = True, **manifest: Any) -> None:
    """Exchanges members and manifest entries; ``sums`` keeps the checksums right."""
    with zipfile.ZipFile(path) as archive:
        members = {n: archive.read(n) for n in archive.namelist()}
    for name, data in change.items():
        if data is None:
            del members[name]
        else:
            members[name] = data
    if "manifest.json" not in change:
        document = {**json.loads(members["manifest.json"]), **manifest}
        if sums:
            document["sha256"] = {n: checksum(d) for n, d in members.items() if n != "manifest.json"}
        members["manifest.json"] = json.dumps(document).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def same(a: Program, b: Program) -> bool:
    arrays = all(np.array_equal(a.arrays[n], b.arrays[n]) for n in ARRAYS)
    header = ("coding", "fires_when", "membrane_bits", "window_starts", "total_steps", "target")
    return arrays and all(getattr(a, n) == getattr(b, n) for n in header)


@pytest.mark.parametrize("seed", range(6))
def test_a_program_comes_back_as_it_was_written(seed: int, tmp_path: Path) -> None:
    program = random_program(seed, ("phase", "rate-sync", "rate")[seed % 3])
    path = tmp_path / "a.nmc"
    save(program, path)
    back = load(path)
    assert same(program, back)
    assert back.names == program.names
    assert program.golden is not None
    assert back.golden is not None
    assert check_lift(back, back.golden) == check_lift(program, program.golden)
    assert check_lift(program, back.golden).ok
    assert back.golden.schedule == program.golden.schedule
    again = tmp_path / "b.nmc"
    save(back, again)
    assert again.read_bytes() == path.read_bytes()


def test_equal_programs_give_equal_bytes(saved: Path, program: Program) -> None:
    first = saved.read_bytes()
    save(program, saved)
    assert saved.read_bytes() == first
    assert [p.name for p in saved.parent.iterdir()] == ["a.nmc"]


def test_source_extra_and_report_travel_along(saved: Path, program: Program) -> None:
    back = load(saved)
    assert (back.source, dict(back.extra), dict(back.report)) == (
        program.source,
        program.extra,
        program.report,
    )


def test_without_source_neither_network_nor_model_is_written(saved: Path, program: Program) -> None:
    save(program, saved, include_source=False)
    back = load(saved)
    assert back.source is None
    assert back.golden is None
    assert same(back, program)


def test_members_are_stored_with_fixed_dates_in_the_documented_order(saved: Path) -> None:
    with zipfile.ZipFile(saved) as archive:
        infos = archive.infolist()
    assert {i.date_time for i in infos} == {(1980, 1, 1, 0, 0, 0)}
    assert {i.compress_type for i in infos} == {zipfile.ZIP_STORED}
    folders = [i.filename.split("/")[0] for i in infos]
    assert list(dict.fromkeys(folders)) == [
        "manifest.json",
        "arrays",
        "io",
        "names",
        "golden",
        "source",
        "extra",
    ]


@pytest.mark.parametrize("prefix", ["names/", "golden/", "source/", "extra/", "golden/3"])
def test_what_decides_no_spike_may_be_deleted(saved: Path, program: Program, prefix: str) -> None:
    with zipfile.ZipFile(saved) as archive:
        gone = [n for n in archive.namelist() if n.startswith(prefix)]
    rewrite(saved, dict.fromkeys(gone), sums=False)
    assert same(load(saved), program)


@pytest.mark.parametrize(
    ("content", "message"), [(b"", "not a program"), (b"PK\x03\x04 no zip", "not a program")]
)
def test_a_file_that_is_no_zip_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.nmc"
    path.write_bytes(content)
    with pytest.raises(InputFileError, match=message):
        load(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="cannot be read: No such file"):
        load(tmp_path / "x.nmc")


def test_a_folder_that_does_not_exist_cannot_be_written(program: Program, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        save(program, tmp_path / "none" / "x.nmc")


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ({"version": 5}, "newer version"),
        ({"compares": "event", "ties": -1}, "wrong entry"),
        ({"ties": 1}, "wrong entry"),
        ({"reset": "half"}, "wrong entry"),
        ({"compares": "never"}, "wrong entry"),
        ({"membrane_floor": 0.5}, "wrong entry"),
        ({"membrane_floor": 0}, "needs neurons that subtract"),
        ({"format": "other"}, "another format"),
        ({"version": "1"}, "another format"),
        ({"fires_when": "le"}, "wrong entry"),
        ({"total_steps": 1.5}, "not a whole number"),
        ({"total_steps": 2**40}, "total_steps"),
        ({"window_starts": []}, "window_starts"),
        ({"inputs": [{}]}, "wrong entry"),
        ({"inputs": 3}, "wrong entry"),
        (
            {"outputs": [{"name": "y", "shape": [1], "population": 99, "scale": 1, "host_ops": []}]},
            "read-out",
        ),
        ({"target": {}}, "damaged"),
    ],
)
def test_an_odd_manifest_is_one_clear_sentence(saved: Path, manifest: dict[str, Any], message: str) -> None:
    rewrite(saved, {}, **manifest)
    with pytest.raises(InputFileError, match=message):
        load(saved)


@pytest.mark.parametrize("name", ["arrays/runs.npy", "io/input0/order.npy"])
def test_a_missing_member_is_named(saved: Path, name: str) -> None:
    rewrite(saved, {name: None}, sums=False)
    with pytest.raises(InputFileError, match=f"'{name}' is missing"):
        load(saved)


def test_a_member_that_does_not_match_its_sum_is_named(saved: Path) -> None:
    rewrite(saved, {"names/names.json": b"{}"}, sums=False)
    with pytest.raises(InputFileError, match=r"names/names\.json"):
        load(saved)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((3, 7), np.int64),
        np.zeros((3, 6), np.int32),
        np.zeros(3, np.int32),
        np.full((3, 7), -1, np.int32),
        np.array([[0, 1, 99999, 0, 0, 0, 0]], np.int32),
    ],
)
def test_runs_of_the_wrong_form_are_refused(saved: Path, array: np.ndarray) -> None:
    rewrite(saved, {"arrays/runs.npy": array_bytes(array)})
    with pytest.raises(InputFileError):
        load(saved)


def test_a_header_that_promises_more_than_there_is_allocates_nothing() -> None:
    data = array_bytes(np.zeros(4, np.int64)).replace(b"(4,), }        ", b"(4000000000,),}")
    with pytest.raises(InputFileError, match="not as long"):
        array_from(data, "a.npy")


def test_objects_are_never_unpickled() -> None:
    data = array_bytes(np.zeros(4, np.int64)).replace(b"'<i8'", b"'|O' ")
    with pytest.raises(InputFileError):
        array_from(data, "a.npy")


@pytest.mark.parametrize("seed", range(4))
def test_flipped_bytes_give_a_clear_error_or_the_same_program(
    saved: Path, program: Program, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    whole = saved.read_bytes()
    for _ in range(40):
        data = bytearray(whole)
        # Half of the flips hit the directory at the end, where zip readers are weakest.
        first = 0 if rng.random() < 0.5 else len(data) - 3000
        for position in rng.integers(first, len(data), int(rng.integers(1, 4))):
            data[position] ^= 1 << int(rng.integers(8))
        if rng.random() < 0.1:
            del data[int(rng.integers(len(data))) :]
        saved.write_bytes(data)
        # Any other exception than the clear one fails the test.
        with contextlib.suppress(InputFileError):
            assert same(load(saved), program)


@pytest.mark.parametrize("report", [{"placement": 3}, {"sqnr_db": [1]}, {"levels": "x"}, {"warnings": 5}, []])
def test_a_report_of_another_type_is_damage(saved: Path, report: Any) -> None:
    rewrite(saved, {}, report=report)
    with pytest.raises(InputFileError, match=r"is damaged: manifest\.json"):
        load(saved)


def test_a_broken_manifest_is_told_with_the_file(saved: Path) -> None:
    rewrite(saved, {"manifest.json": b"{"})
    with pytest.raises(InputFileError, match=r"a\.nmc' is damaged: manifest\.json is not a JSON document"):
        load(saved)
