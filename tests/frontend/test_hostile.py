"""Files that are damaged, or made to hurt: one sentence or success, in bounded time and memory."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from nmcompiler.errors import InputFileError, NmcError, UnsupportedModel
from nmcompiler.frontend import read_model_bytes
from nmcompiler.frontend.reader import read_model
from nmcompiler.testing.random_onnx import random_onnx

from ..hostile import judge, listed, watchdog
from .models import model, node, weights

FILES = 1000
SHAPE = (2, 6, 6)


def refusal(data: bytes) -> str:
    """Returns the one sentence that a file is refused with, within the watchdog's time."""
    with watchdog(5), pytest.raises(NmcError) as caught:
        read_model_bytes(data, "net.onnx")
    sentence = str(caught.value)
    assert sentence.isprintable()
    return sentence


def sound(data: bytes) -> bool:
    """Whether a file is read, or refused in one printable sentence, within the watchdog's time."""
    try:
        with watchdog(5):
            read_model_bytes(data, "net.onnx")
    except NmcError as error:
        return str(error).isprintable()
    return True


def conv(**attributes) -> bytes:
    return model([node("Conv", ["x", "w"], "y", **attributes)], SHAPE, {"w": weights(3, 2, 2, 2)})


def edited(data: bytes, change) -> bytes:
    proto = onnx.load_model_from_string(data)
    change(proto)
    return proto.SerializeToString()


@pytest.mark.parametrize("kind", ["model bytes", "model fields"])
def test_mutated_networks_are_read_or_refused_in_one_sentence(kind, tmp_path):
    failures = [
        v for v in (judge(kind, seed, tmp_path) for seed in range(FILES // 2)) if v.outcome == "failed"
    ]
    assert not failures, listed(failures)


_ATTRIBUTES = st.dictionaries(
    st.sampled_from(
        ["strides", "pads", "dilations", "group", "kernel_shape", "auto_pad", "axis", "alpha", "perm"]
    ),
    st.one_of(
        st.integers(-(2**63), 2**63 - 1),
        st.floats(width=32),
        st.text(max_size=5),
        st.lists(st.integers(-3, 2**63 - 1), min_size=1, max_size=6),
        st.lists(st.floats(width=32), min_size=1, max_size=4),
        st.just(numpy_helper.from_array(np.ones(3, np.float32))),
        st.just(helper.make_graph([], "inner", [], [])),
    ),
    max_size=4,
)
_OPERATORS = [
    "Conv",
    "MaxPool",
    "AveragePool",
    "Transpose",
    "Flatten",
    "Concat",
    "Softmax",
    "Gemm",
    "ReduceMean",
]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(st.sampled_from(_OPERATORS), _ATTRIBUTES)
def test_attributes_of_any_type_and_size_are_read_or_refused(op, attributes):
    made = node(op, ["x", "w"] if op in ("Conv", "Gemm") else ["x"], "y", **attributes)
    data = model([made], SHAPE, {"w": weights(3, 2, 2, 2)})
    assert sound(data)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, 1, 2, 2**24]), max_size=6))
def test_inputs_of_any_shape_are_read_or_refused(shape):
    def change(proto):
        dims = proto.graph.input[0].type.tensor_type.shape
        del dims.dim[:]
        for length in shape:
            dims.dim.add().dim_value = length

    assert sound(edited(conv(), change))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-1, 4), max_size=5),
    st.binary(max_size=64),
    st.sampled_from(list(TensorProto.DataType.values())),
)
def test_weights_that_declare_more_than_they_hold_are_refused(dims, data, kind):
    def change(proto):
        tensor = proto.graph.initializer[0]
        del tensor.dims[:]
        tensor.dims.extend(dims)
        tensor.raw_data = data
        tensor.data_type = kind

    assert sound(edited(conv(), change))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.sampled_from(["", "ai.onnx", "ai.onnx.ml", "com.unknown", "\n", "é"]),
    st.integers(-(2**63), 2**63 - 1) | st.integers(-1, 40),
)
def test_operator_sets_of_any_domain_and_version_are_read_or_refused(domain, version):
    def change(proto):
        proto.opset_import[0].domain = domain
        proto.opset_import[0].version = version
        proto.graph.node[0].domain = domain

    assert sound(edited(conv(), change))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 30), st.randoms(use_true_random=False))
def test_networks_with_their_tensors_renamed_at_random_are_read_or_refused(seed, random):
    proto = random_onnx(seed)
    names = [name for made in proto.graph.node for name in (*made.input, *made.output)]
    for made in proto.graph.node:
        for side in (made.input, made.output):
            for k in range(len(side)):
                if random.random() < 0.15:
                    side[k] = random.choice(names)
    assert sound(proto.SerializeToString())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_named(value):
    data = model([node("Conv", ["x", "w"], "y")], SHAPE, {"w": np.full((3, 2, 2, 2), value, np.float32)})
    assert "not finite" in refusal(data)


@pytest.mark.parametrize(
    "attributes",
    [
        {"strides": [2**62, 1], "kernel_shape": [2, 2]},
        {"dilations": [2**62, 2**62], "pads": [2**62] * 4},
        {"pads": [2**23] * 4},
        {"pads": [0, 0, 2**40, 2**40]},
        {"group": 2**40},
        {"kernel_shape": [2, -(2**63)]},
    ],
)
def test_windows_that_reach_beyond_every_tensor_are_refused(attributes):
    assert "Conv 'y'" in refusal(conv(**attributes))


def test_pools_of_negative_windows_are_refused():
    data = model([node("MaxPool", ["x"], "y", kernel_shape=[2, -(2**63)])], SHAPE)
    assert "MaxPool 'y'" in refusal(data)


def test_a_pool_of_many_synapses_is_refused_before_they_are_listed():
    data = model([node("AveragePool", ["x"], "y", kernel_shape=[512, 512], pads=[511] * 4)], (4, 512, 512))
    assert "AveragePool 'y'" in refusal(data)


def test_many_layers_of_listed_synapses_are_refused_together():
    pools = [
        node("AveragePool", ["x"], f"p{k}", kernel_shape=[65, 65], strides=[2, 2], pads=[32] * 4)
        for k in range(12)
    ]
    data = model([*pools, node("Sum", [f"p{k}" for k in range(12)], "y")], (8, 64, 64))
    assert "one by one" in refusal(data)


def test_names_with_control_characters_stay_in_one_printable_sentence():
    data = model([node("Erf\n\x1b[31m", ["x"], "y", name="a\nb\x07")], SHAPE)
    assert "a\\nb\\x07" in refusal(data)


def test_endless_names_are_shortened():
    assert len(refusal(model([node("Erf", ["x"], "y", name="a" * 10**6)], SHAPE))) < 1000


def test_deeply_nested_subgraphs_are_refused():
    """Protobuf itself stops at a hundred messages, which are 30 subgraphs."""
    inner = helper.make_graph([helper.make_node("Identity", ["x"], ["z"])], "g", [], [])
    for _ in range(25):
        loop = helper.make_node("Loop", ["x"], ["z"], body=inner)
        inner = helper.make_graph([loop, loop], "g", [], [])
        if inner.ByteSize() > 2**20:
            break
    refusal(model([node("Loop", ["x"], "y", body=inner)], SHAPE))


def test_functions_that_call_themselves_are_refused():
    def change(proto):
        for name, other in (("f", "g"), ("g", "f")):
            body = [helper.make_node(other, ["a"], ["b"], domain="own")]
            proto.functions.append(
                helper.make_function("own", name, ["a"], ["b"], body, [helper.make_opsetid("own", 1)])
            )
        proto.opset_import.append(helper.make_opsetid("own", 1))
        proto.graph.node[0].op_type = "f"
        proto.graph.node[0].domain = "own"
        del proto.graph.node[0].input[1:]

    refusal(edited(conv(), change))


def test_functions_that_double_their_work_at_every_level_are_refused_in_time():
    def change(proto):
        for depth in range(40):
            callee, domain = ("Relu", "") if depth == 0 else (f"f{depth - 1}", "own")
            body = [
                helper.make_node(callee, ["a"], ["t"], domain=domain),
                helper.make_node(callee, ["t"], ["b"], domain=domain),
            ]
            sets = [helper.make_opsetid("own", 1), helper.make_opsetid("", 17)]
            proto.functions.append(helper.make_function("own", f"f{depth}", ["a"], ["b"], body, sets))
        proto.opset_import.append(helper.make_opsetid("own", 1))
        proto.graph.node[0].op_type = "f39"
        proto.graph.node[0].domain = "own"
        del proto.graph.node[0].input[1:]

    refusal(edited(conv(), change))


def test_constants_that_grow_without_end_are_refused_in_little_memory():
    """A chain of constant nodes that asks for petabytes, in a process that may not have them."""
    shape = numpy_helper.from_array(np.asarray([2**20, 2**20], np.int64))
    grown = [
        helper.make_node("Constant", [], ["s"], value=shape),
        helper.make_node("ConstantOfShape", ["s"], ["c"]),
        helper.make_node("Add", ["x", "c"], ["y"], name="y"),
    ]
    data = model(grown, SHAPE)
    program = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30))\n"
        "from nmcompiler.errors import NmcError\n"
        "from nmcompiler.frontend import read_model_bytes\n"
        "try:\n    read_model_bytes(sys.stdin.buffer.read(), 'net.onnx')\n"
        "except NmcError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], input=data, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    assert b"ConstantOfShape" in done.stdout


@pytest.mark.parametrize(
    "location", ["../weights.bin", "/etc/passwd", "a/../../b", "C:\\x", "", ".", "\x00", "a" * 5000, "~"]
)
def test_side_files_outside_the_folder_are_refused(location, tmp_path):
    def change(proto):
        tensor = proto.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", location

    path = tmp_path / "net.onnx"
    path.write_bytes(edited(conv(), change))
    with pytest.raises(InputFileError) as caught:
        read_model(path)
    assert "'w'" in str(caught.value)


def test_a_folder_or_a_device_is_no_model(tmp_path):
    with pytest.raises(InputFileError):
        read_model(tmp_path)
    with watchdog(5), pytest.raises(InputFileError):
        read_model(tmp_path.joinpath("\x00"))


def test_all_unknown_operators_are_named():
    data = model([node("Erf", ["x"], "a"), node("Mod", ["a"], "b"), node("Relu", ["b"], "y")], SHAPE)
    with pytest.raises(UnsupportedModel) as caught:
        read_model_bytes(data, "net.onnx")
    assert json.dumps([n.op for n in caught.value.nodes]) == '["Erf", "Mod"]'
