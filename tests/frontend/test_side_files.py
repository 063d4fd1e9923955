"""Models whose weights lie in files beside them."""

from __future__ import annotations

import os

import onnx
import pytest
from onnx import numpy_helper
from onnx.external_data_helper import convert_model_to_external_data, set_external_data

from nmcompiler.errors import InputFileError
from nmcompiler.frontend import read_model_bytes
from nmcompiler.frontend.reader import read_model, read_source

from .models import agreed, model, node, weights


@pytest.fixture
def whole():
    nodes = [node("Gemm", ["x", "w"], "a"), node("Relu", ["a"], "h"), node("Gemm", ["h", "v"], "y")]
    return model(nodes, (6,), {"w": weights(6, 40), "v": weights(40, 3, seed=1)})


@pytest.fixture
def split(whole, tmp_path):
    """The model with both weights in one side file, the second at an offset."""
    proto = onnx.load_model_from_string(whole)
    convert_model_to_external_data(proto, location="weights.bin", size_threshold=0)
    path = tmp_path / "net.onnx"
    onnx.save_model(proto, path)
    return path


def rewritten(path, **entries):
    proto = onnx.load_model(path, load_external_data=False)
    for entry in proto.graph.initializer[1].external_data:
        entry.value = entries.get(entry.key, entry.value)
    path.write_bytes(proto.SerializeToString())


def refusal(path):
    with pytest.raises(InputFileError) as caught:
        read_model(path)
    return str(caught.value)


def test_weights_beside_a_model_are_read_from_any_working_directory(split, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    agreed(read_source(split))


def test_a_model_in_one_file_is_returned_as_it_is(whole, tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(whole)
    assert read_source(path) == whole


def test_a_missing_side_file_is_named_with_its_tensor(split):
    (split.parent / "weights.bin").unlink()
    message = refusal(split)
    assert "'w'" in message
    assert "weights.bin" in message


def test_a_side_file_that_is_too_short_is_refused(split):
    rewritten(split, length="99999")
    assert "99999 bytes" in refusal(split)


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/hostname", "C:\\secret.bin", ""])
def test_a_model_cannot_read_files_outside_its_folder(split, location):
    rewritten(split, location=location)
    assert "folder of the model" in refusal(split)


def test_a_link_that_leads_out_of_the_folder_is_not_followed(split, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "weights.bin"
    outside.write_bytes((split.parent / "weights.bin").read_bytes())
    (split.parent / "link.bin").symlink_to(outside)
    rewritten(split, location="link.bin")
    assert "folder of the model" in refusal(split)


@pytest.mark.parametrize("value", ["many", "-4"])
def test_an_offset_that_is_no_position_is_refused(split, value):
    rewritten(split, offset=value)
    assert "offset" in refusal(split)


@pytest.mark.parametrize("location", ["nul\0byte", "loop.bin", "pipe.bin", "folder"])
def test_what_is_no_plain_file_is_refused_and_not_waited_for(split, location):
    (split.parent / "loop.bin").symlink_to("loop.bin")
    os.mkfifo(split.parent / "pipe.bin")
    (split.parent / "folder").mkdir()
    rewritten(split, location=location)
    assert "'v'" in refusal(split)


def test_side_files_are_not_read_beyond_the_limit(split, monkeypatch):
    monkeypatch.setattr("nmcompiler.frontend.side_files._MOST_BYTES", 1000)
    message = refusal(split)
    assert "takes 480 bytes" in message or "takes 960 bytes" in message
    assert "1000 bytes in all" in message


def test_tensors_of_constant_nodes_and_of_functions_may_lie_beside_the_model(tmp_path):
    stored = weights(6, 3)
    (tmp_path / "w.bin").write_bytes(stored.tobytes())
    tensor = numpy_helper.from_array(stored, "w")
    set_external_data(tensor, location="w.bin")
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    constant = onnx.helper.make_node("Constant", [], ["w"], name="c", value=tensor)
    path = tmp_path / "net.onnx"
    path.write_bytes(model([constant, node("Gemm", ["x", "w"], "y")], (6,)))
    data = read_source(path)
    agreed(data)
    assert b"w.bin" not in data


def test_bytes_alone_have_no_side_files(split):
    with pytest.raises(InputFileError, match=r"weights\.bin"):
        read_model_bytes(split.read_bytes(), "net.onnx")
