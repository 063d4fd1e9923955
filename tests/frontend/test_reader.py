from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from nmcompiler.errors import InputFileError, NmcError, UnsupportedModel
from nmcompiler.frontend import read_model, read_model_bytes

from .models import FLOAT, agreed, model, node, weights


def dense_model(**options: object) -> bytes:
    return model([node("Gemm", ["x", "w"], "y", "fc")], (4,), {"w": weights(4, 3)}, **options)  # type: ignore[arg-type]


def refusal(data: bytes) -> str:
    with pytest.raises(InputFileError) as caught:
        read_model_bytes(data, "net.onnx")
    return str(caught.value)


def test_the_file_name_names_the_model(tmp_path: Path) -> None:
    path = tmp_path / "tiny.v2.onnx"
    path.write_bytes(dense_model())
    assert read_model(path).name == "tiny.v2"


def test_a_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="cannot be read"):
        read_model(tmp_path / "none.onnx")


@pytest.mark.parametrize("data", [b"", b'{"not": "onnx"}', b"\x00" * 40, dense_model()[:-20]])
def test_what_is_no_whole_onnx_file_is_said_to_be_none(data: bytes) -> None:
    assert "ONNX file" in refusal(data)


def test_a_weight_that_is_not_a_number_is_named_with_its_reader() -> None:
    bad = weights(4, 3)
    bad[1, 1] = np.nan
    message = refusal(model([node("Gemm", ["x", "W1"], "y", "fc")], (4,), {"W1": bad}))
    assert "'W1'" in message
    assert "'fc'" in message


def test_every_free_dimension_is_named() -> None:
    message = refusal(model([node("Relu", ["x"], "y")], (3, "height", "width")))
    assert "dimension 2 ('height')" in message
    assert "dimension 3 ('width')" in message
    assert "input 'x'" in message


@pytest.mark.parametrize(("shape", "found"), [((0, 4), "dimension 1"), ((3, 200000, 200000), "200000")])
def test_impossible_sizes_are_refused(shape: tuple[int, ...], found: str) -> None:
    assert found in refusal(model([node("Relu", ["x"], "y")], shape))


def test_a_layer_too_large_for_any_chip_is_refused_before_it_is_made() -> None:
    data = model([node("Conv", ["x", "w"], "y", pads=[9000] * 4)], (1, 4, 4), {"w": weights(1, 1, 1, 1)})
    with pytest.raises(UnsupportedModel, match="at most"):
        read_model_bytes(data, "net.onnx")


def test_weights_outside_the_file_are_refused_with_tensor_and_file() -> None:
    proto = onnx.load_model_from_string(dense_model())
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="side.bin")
    message = refusal(proto.SerializeToString())
    assert "'w'" in message
    assert "'side.bin'" in message


def test_a_newer_opset_than_known_is_refused_with_both_numbers() -> None:
    message = refusal(dense_model(opset=99))
    assert "99" in message
    assert str(onnx.defs.onnx_opset_version()) in message


def test_a_cycle_names_its_nodes() -> None:
    nodes = [node("Add", ["x", "b"], "a"), node("Relu", ["a"], "b"), node("Relu", ["b"], "y")]
    assert "'a', 'b'" in refusal(model(nodes, (4,)))


def test_a_tensor_written_twice_is_named() -> None:
    nodes = [node("Relu", ["x"], "h", "one"), node("Relu", ["x"], "h", "two"), node("Relu", ["h"], "y")]
    assert "'h' is written twice" in refusal(model(nodes, (4,)))


def test_an_operand_from_nowhere_is_named() -> None:
    assert "'ghost', which nothing computes" in refusal(model([node("Add", ["x", "ghost"], "y")], (4,)))


def test_an_output_without_input_is_refused() -> None:
    data = model([node("Relu", ["x"], "y"), node("Relu", ["c"], "z")], (4,), {"c": [1.0]}, outputs=["y", "z"])
    assert "output 'z' does not depend on any input" in refusal(data)


def test_every_node_that_cannot_be_compiled_is_named_and_no_other() -> None:
    nodes = [
        node("Conv", ["x", "w"], "conv"),
        node("Sigmoid", ["conv"], "gate"),
        node("Relu", ["gate"], "fine"),
        node("Mul", ["conv", "fine"], "excite"),
        node("Softmax", ["excite"], "soft"),
        node("GlobalAveragePool", ["soft"], "pool"),
        node("Elu", ["pool"], "y"),
    ]
    with pytest.raises(UnsupportedModel) as caught:
        read_model_bytes(model(nodes, (3, 4, 4), {"w": weights(3, 3, 1, 1)}), "net.onnx")
    assert [n.name for n in caught.value.nodes] == ["gate", "excite", "soft", "y"]
    assert all(n.name in str(caught.value) for n in caught.value.nodes)


def test_operators_behind_an_unknown_shape_are_still_looked_up() -> None:
    odd = helper.make_node("Quant", ["x"], ["q"], name="quant", domain="acme")
    proto = onnx.load_model_from_string(model([node("Relu", ["q"], "r"), node("Erf", ["r"], "y")], (4,)))
    proto.graph.node.insert(0, odd)
    proto.opset_import.append(helper.make_opsetid("acme", 1))
    with pytest.raises(UnsupportedModel) as caught:
        read_model_bytes(proto.SerializeToString(), "net.onnx")
    assert [n.name for n in caught.value.nodes] == ["quant", "y"]
    assert "domain 'acme'" in str(caught.value)


def test_a_second_output_that_is_used_is_refused() -> None:
    pool = helper.make_node("MaxPool", ["x"], ["y", "where"], name="pool", kernel_shape=[2, 2])
    with pytest.raises(UnsupportedModel, match=r"'pool'.*'where'"):
        read_model_bytes(model([pool], (3, 4, 4), outputs=["y", "where"]), "net.onnx")


def test_a_model_that_only_moves_values_is_refused() -> None:
    with pytest.raises(UnsupportedModel, match=r"'f'.*no layer is left"):
        read_model_bytes(model([node("Flatten", ["x"], "y", "f")], (3, 4)), "net.onnx")


def test_dead_branches_are_ignored_whatever_they_hold() -> None:
    nodes = [node("Erf", ["x"], "e"), node("Mul", ["e", "nan"], "d"), node("Relu", ["x"], "y")]
    read = agreed(model(nodes, (4,), {"nan": [np.nan]}))
    assert [layer.name for layer in read.graph if layer.op == "Relu"] == ["y"]


def test_nodes_out_of_order_are_sorted() -> None:
    nodes = [node("Relu", ["a"], "y"), node("Gemm", ["x", "w"], "a")]
    read = read_model_bytes(model(nodes, (4,), {"w": weights(4, 3)}), "net.onnx")
    assert read.graph.names()[:3] == ("x", "a", "y")


def test_layers_get_names_of_their_own() -> None:
    nodes = [node("Relu", ["x"], "a", ""), node("Relu", ["a"], "b", "same"), node("Relu", ["b"], "y", "same")]
    read = read_model_bytes(model(nodes, (4,)), "net.onnx")
    assert read.graph.names() == ("x", "Relu_0", "same", "same_2", "y")


def test_a_node_may_be_named_like_the_input() -> None:
    read = agreed(model([node("Relu", ["x"], "y", "x")], (4,)))
    assert read.graph.names()[:2] == ("x", "x_2")


def test_initialisers_listed_as_inputs_are_no_inputs() -> None:
    proto = onnx.load_model_from_string(dense_model())
    proto.graph.input.append(helper.make_tensor_value_info("w", FLOAT, [4, 3]))
    assert [p.name for p in read_model_bytes(proto.SerializeToString(), "net.onnx").inputs] == ["x"]


def test_sparse_initialisers_are_filled_up() -> None:
    proto = onnx.load_model_from_string(dense_model())
    del proto.graph.initializer[:]
    values = numpy_helper.from_array(np.array([2.0, -1.0], np.float32), "w")
    indices = numpy_helper.from_array(np.array([1, 11]))
    proto.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [4, 3]))
    read = agreed(proto.SerializeToString())
    kernel = read.graph.in_edges("fc")[0].payload.kernel
    assert np.argwhere(kernel.weight).tolist() == [[1, 0], [2, 3]]


def test_functions_of_the_file_are_inlined() -> None:
    function = helper.make_function(
        "own",
        "Twice",
        ["a"],
        ["b"],
        [helper.make_node("Add", ["a", "a"], ["b"])],
        [helper.make_opsetid("", 17)],
    )
    proto = onnx.load_model_from_string(dense_model())
    proto.graph.node[0].output[0] = "h"
    proto.graph.node.append(helper.make_node("Twice", ["h"], ["y"], domain="own"))
    proto.functions.append(function)
    proto.opset_import.append(helper.make_opsetid("own", 1))
    agreed(proto.SerializeToString())


def test_several_inputs_and_outputs_keep_their_order() -> None:
    nodes = [
        node("Add", ["x", "z"], "a"),
        node("Relu", ["a"], "second"),
        node("Gemm", ["second", "w"], "first"),
    ]
    data = model(nodes, (4,), {"w": weights(4, 3)}, outputs=["first", "second"], extra_inputs={"z": (4,)})
    read = agreed(data)
    assert [p.name for p in read.inputs] == ["x", "z"]
    assert [p.name for p in read.outputs] == ["first", "second"]


def test_outputs_that_share_a_layer_each_get_one_of_their_own() -> None:
    nodes = [node("Gemm", ["x", "w"], "a"), node("Identity", ["a"], "y"), node("Relu", ["a"], "z")]
    read = agreed(model(nodes, (4,), {"w": weights(4, 3)}, outputs=["a", "y", "z"]))
    assert len({p.node for p in read.outputs}) == 3
    for port in read.outputs:
        layer = read.graph.node(port.node)
        assert layer.activation.is_identity
        assert layer.max_pool is None
        assert not read.graph.out_edges(port.node)


def test_a_byte_input_is_read_after_its_cast() -> None:
    nodes = [node("Cast", ["x"], "f", to=1), node("Gemm", ["f", "w"], "y")]
    read = read_model_bytes(model(nodes, (4,), {"w": weights(4, 3)}, dtype=TensorProto.UINT8), "net.onnx")
    assert read.graph.names() == ("x", "y")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_files_end_in_one_sentence_or_in_a_model(data: st.DataObject) -> None:
    broken = bytearray(dense_model())
    for _ in range(data.draw(st.integers(1, 4))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(NmcError):  # anything else would be a traceback
        read_model_bytes(bytes(broken), "net.onnx")
