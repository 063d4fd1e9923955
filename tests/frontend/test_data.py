"""Data files: what is read, what is refused with which sentence, and what is never opened."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from dataclasses import dataclass

import numpy as np
import pytest

from nmcompiler.errors import InputFileError
from nmcompiler.frontend.data import read_samples


@dataclass(frozen=True)
class Port:
    name: str
    shape: tuple[int, ...]


PORTS = [Port("image", (2, 3))]
TWO = [*PORTS, Port("state", (4,))]
X = np.arange(30).reshape(5, 2, 3)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data.npz"


def refused(path, ports=PORTS, **options):
    with pytest.raises(InputFileError) as caught:
        read_samples(path, ports, **options)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_an_archive_gives_samples_and_labels(path):
    np.savez(path, x=X, y=np.arange(5), other=np.zeros(2))
    read = read_samples(path, PORTS)
    assert len(read) == 5
    assert read.x["image"].dtype == np.float64
    assert np.array_equal(read.x["image"], X)
    assert read.y.tolist() == [0, 1, 2, 3, 4]
    few = read.first(2)
    assert len(few) == len(few.y) == 2
    assert len(read.first(None)) == 5


def test_samples_are_drawn_from_the_whole_file_with_their_labels(path):
    y = np.repeat([0, 1, 2], 50)
    np.savez(path, x=np.arange(150)[:, None, None] + np.zeros((1, 2, 3)), y=y)
    read = read_samples(path, PORTS)
    drawn = read.draw(60, seed=0)
    places = drawn.x["image"][:, 0, 0].astype(int)
    assert len(set(places.tolist())) == 60
    assert (np.diff(places) > 0).all()
    assert np.array_equal(drawn.y, y[places])
    assert set(drawn.y.tolist()) == {0, 1, 2}
    assert np.array_equal(read.draw(60, seed=0).x["image"], drawn.x["image"])
    assert not np.array_equal(read.draw(60, seed=1).x["image"], drawn.x["image"])
    assert np.array_equal(read.draw(999, seed=0).x["image"], read.x["image"])


def test_a_split_puts_every_sample_on_one_side_the_drawn_ones_first(path):
    y = np.arange(100) % 3
    np.savez(path, x=np.arange(100.0)[:, None, None] * np.ones((1, 2, 3)), y=y)
    read = read_samples(path, [Port("image", (2, 3))])
    drawn, others = read.split(60, seed=0)
    sides = [part.x["image"][:, 0, 0].astype(int).tolist() for part in (drawn, others)]
    assert sides[0] == read.draw(60, seed=0).x["image"][:, 0, 0].astype(int).tolist()
    assert sorted(sides[0] + sides[1]) == list(range(100))
    assert np.array_equal(others.y, y[sides[1]])


def test_a_compressed_archive_and_an_array_alone_are_read_too(path, tmp_path):
    np.savez_compressed(path, x=X)
    assert read_samples(path, PORTS).y is None
    np.save(tmp_path / "data.npy", X)
    alone = read_samples(tmp_path / "data.npy", PORTS)
    assert np.array_equal(alone.x["image"], X)
    assert alone.y is None


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", "i1", "u1", "i4", "u8", ">i2", "?", "longdouble"])
def test_real_and_whole_numbers_of_any_width_are_cast(path, dtype):
    x = (X % 2).astype(dtype)
    np.savez(path, x=x)
    read = read_samples(path, PORTS).x["image"]
    assert read.dtype == np.float64
    assert np.array_equal(read, X % 2)


@pytest.mark.parametrize("x", [X.astype(complex), X.astype(str), X.astype("S2"), X.astype("m8[s]")])
def test_other_types_are_refused_by_their_name(path, x):
    np.savez(path, x=x)
    sentence = refused(path)
    assert f"dtype {x.dtype}" in sentence
    assert "real numbers or integers" in sentence


def test_objects_are_never_loaded(path):
    np.savez(path, x=np.array([{}, []], dtype=object))
    assert "holds objects" in refused(path)


def test_labels_are_never_opened_for_calibration(path):
    np.savez(path, x=X, y=np.array([{}] * 5, dtype=object))
    assert read_samples(path, PORTS, labels=False).y is None
    assert "holds objects" in refused(path)


def test_even_damaged_labels_are_not_opened_for_calibration(path):
    held = io.BytesIO()
    np.save(held, X)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", held.getvalue())
        archive.writestr("y.npy", b"not an array")
    assert len(read_samples(path, PORTS, labels=False)) == 5


def test_a_missing_array_is_told_with_what_was_found(path):
    np.savez(path, images=X, y=np.arange(5))
    sentence = refused(path)
    assert "no array 'x' (found: images, y)" in sentence
    assert "(samples, 2, 3) for input 'image'" in sentence


@pytest.mark.parametrize("shape", [(5, 3, 2), (5, 6), (2, 3), (5, 2, 3, 1), ()])
def test_a_wrong_shape_is_told_with_the_right_one(path, shape):
    np.savez(path, x=np.zeros(shape))
    sentence = refused(path)
    assert f"has shape ({', '.join(map(str, shape))})" in sentence
    assert "(samples, 2, 3)" in sentence


def test_no_sample_is_too_few(path):
    np.savez(path, x=np.zeros((0, 2, 3)))
    assert "holds no sample" in refused(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_what_is_not_finite_is_told_with_its_sample(path, value, dtype):
    x = X.astype(dtype)
    x[3, 1, 2] = value
    np.savez(path, x=x)
    assert "NaN or infinity (first in sample 3)" in refused(path)


def test_values_whose_squares_overflow_are_refused(path):
    np.savez(path, x=-1e20 * X)
    assert "values up to 2.9e+21; allowed: up to 1e+15" in refused(path)


def test_of_many_arrays_some_are_named(path):
    np.savez(path, **{f"image{k}": X for k in range(20)})
    assert "and 12 more)" in refused(path)


def test_further_inputs_have_arrays_of_their_own(path):
    state = np.ones((5, 4))
    np.savez(path, x=X, x__state=state)
    read = read_samples(path, TWO)
    assert np.array_equal(read.x["state"], state)
    np.savez(path, x__image=X, x__state=state)
    assert np.array_equal(read_samples(path, TWO).x["image"], X)


def test_a_further_input_that_is_missing_or_shorter_is_refused(path, tmp_path):
    np.savez(path, x=X)
    assert "no array 'x__state'" in refused(path, TWO)
    np.savez(path, x=X, x__state=np.ones((4, 4)))
    assert "different numbers of samples ([4, 5])" in refused(path, TWO)
    np.save(tmp_path / "x.npy", X)
    assert "no array 'x__state'" in refused(tmp_path / "x.npy", TWO)


@pytest.mark.parametrize("dtype", ["i8", "u1", "f4", "?"])
def test_labels_are_whole_numbers_of_any_type(path, dtype):
    np.savez(path, x=X, y=np.array([0, 1, 1, 0, 1], dtype))
    read = read_samples(path, PORTS).y
    assert read.dtype == np.int64
    assert read.tolist() == [0, 1, 1, 0, 1]


@pytest.mark.parametrize("y", [np.arange(4), np.zeros((5, 2)), np.full(5, 0.5), np.array(list("abcde"))])
def test_labels_that_are_no_classes_are_refused(path, y):
    np.savez(path, x=X, y=y)
    sentence = refused(path)
    assert "'y'" in sentence
    assert "(5,) whole numbers" in sentence


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04broken", b"\x93NUMPY\x01\x00"])
def test_another_file_is_refused(path, content):
    path.write_bytes(content)
    refused(path)


def test_a_cut_archive_is_refused(path):
    np.savez(path, x=X)
    path.write_bytes(path.read_bytes()[:-40])
    assert "cut off" in refused(path)
    np.savez(path, x=X)
    data = bytearray(path.read_bytes())
    data[200] ^= 0xFF  # in the values: the checksum of the member says so
    path.write_bytes(data)
    assert "damaged" in refused(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    assert "cannot be read (No such file" in refused(tmp_path / "none.npz")
    assert "cannot be read (Is a directory" in refused(tmp_path)


def test_reading_samples_needs_no_onnx():
    code = "import sys, nmcompiler.yields.subject; sys.exit('onnx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
