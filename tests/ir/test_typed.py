"""Weights as sums of typed weights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.errors import DoesNotFit
from nmcompiler.ir.graph import Graph
from nmcompiler.ir.kernels import Conv, Dense, Sparse, identity
from nmcompiler.ir.layers import InputPort, OutputPort
from nmcompiler.ir.network import Network, Population, Projection
from nmcompiler.ir.typed import base_of, bits_of, held_types, largest_code, type_code
from nmcompiler.target import Crossbar
from nmcompiler.testing import tiny_target

ONE = np.ones((1, 1, 1), np.int64)


def population(name, shape, role):
    levels = 0 if role == "readout" else 7
    scale, offset = np.ones(shape[2]), np.zeros(shape[2])
    return Population(name, shape, role, 0 * ONE, ONE, levels, False, scale, offset)


def network(source, target, *kernels):
    graph = Graph()
    graph.add(population("a", source, "input"))
    graph.add(population("b", target, "readout"))
    for kernel in kernels:
        graph.connect("a", "b", Projection(kernel))
    order = np.arange(int(np.prod(source)))
    out = np.arange(int(np.prod(target)))
    ports = (InputPort("x", source, "a", order),), (OutputPort("y", target, "b", out),)
    return Network("n", graph, *ports)


def dense(rows):
    weight = np.array(rows)
    return network((1, 1, weight.shape[1]), (1, 1, weight.shape[0]), Dense(weight))


@pytest.mark.parametrize(
    ("row", "base", "unit", "used"),
    [
        ([0, 5, 5], (1,), 5, (0,)),
        ([0, -5, -5], (1,), -5, (0,)),
        ([0, 3, -3], (1, -1), 3, (0, 1)),
        ([0, 0, 0], (1,), 1, ()),
        ([0, 4, -8], (1, 2, -4), 4, (0, 1, 2)),  # 1 and −2, which is 2 − 4
        ([6, 10, -8], (1, 2, 4, -8), 2, (0, 1, 2, 3)),  # 3, 5 and −4, which is 4 − 8
        ([7, -8, 0], (1, 2, 4, -8), 1, (0, 1, 2, 3)),
    ],
)
def test_the_fewest_types_are_taken(row, base, unit, used):
    code = type_code(dense([row]), "b", 4)
    assert (code.base, code.unit.ravel().tolist(), code.used) == (base, [unit], {"a": used})


def test_every_neuron_has_its_own_unit():
    code = type_code(dense([[2, 4], [3, -3], [0, 0]]), "b", 4)
    assert code.base == (1, 2, -4)
    assert code.unit.ravel().tolist() == [2, 3, 1]


@settings(max_examples=100, deadline=None)
@given(data=st.data(), types=st.integers(2, 5))
def test_bits_times_typed_weights_are_the_weights(data, types):
    most = largest_code(types)
    rows = data.draw(
        st.lists(st.lists(st.integers(-most - (types > 2), most), min_size=4, max_size=4), min_size=1)
    )
    factor = np.array(data.draw(st.lists(st.integers(1, 9), min_size=len(rows), max_size=len(rows))))
    weight = np.array(rows) * factor[:, None]
    code = type_code(dense(weight), "b", types)
    assert code is not None
    bits = bits_of(weight // code.unit.reshape(-1, 1), code.base)
    typed = code.unit.reshape(1, -1, 1) * np.array(code.base)[:, None, None]
    assert np.array_equal((bits * typed).sum(axis=0), weight)
    assert code.used["a"] == tuple(t for t in range(len(code.base)) if bits[t].any())
    assert code.base == base_of(len(code.base))


def test_a_unit_that_is_too_large_for_all_types_is_divided():
    crossbar = Crossbar(axon_types=4, weight_bits=9)
    weight = [[32, 224], [0, 224], [0, -96]]
    code = type_code(dense(weight), "b", 4, crossbar)
    assert code.base == (1, 2, 4, -8)
    assert code.unit.ravel().tolist() == [32, 32, 32]
    assert type_code(dense(weight), "b", 4).unit.ravel().tolist() == [32, 224, 96]


@settings(max_examples=60, deadline=None)
@given(data=st.data(), types=st.integers(2, 4))
def test_codes_times_quanta_that_a_crossbar_holds_stay_within_it(data, types):
    crossbar, most = Crossbar(types, weight_bits=9), largest_code(types)
    codes = st.lists(st.integers(-most, most), min_size=3, max_size=3)
    rows = np.array(data.draw(st.lists(codes, min_size=1, max_size=5)))
    quanta = st.integers(1, crossbar.room(base_of(types)))
    factor = np.array(data.draw(st.lists(quanta, min_size=len(rows), max_size=len(rows))))
    weight = rows * factor[:, None]
    code = type_code(dense(weight), "b", types, crossbar)
    assert np.abs(code.unit).max() <= crossbar.room(code.base)
    assert not (weight % code.unit.reshape(-1, 1)).any()
    bits = bits_of(weight // code.unit.reshape(-1, 1), code.base)
    typed = code.unit.reshape(1, -1, 1) * np.array(code.base)[:, None, None]
    assert np.array_equal((bits * typed).sum(axis=0), weight)


def test_more_types_than_there_are_is_none():
    assert type_code(dense([[1, 8]]), "b", 4) is None
    assert type_code(dense([[1, -2]]), "b", 2) is None


def test_a_convolution_has_a_unit_for_each_channel():
    kernel = Conv(np.array([3, 2, -6, 4]).reshape(1, 1, 2, 2))
    code = type_code(network((4, 4, 2), (4, 4, 2), kernel), "b", 4)
    assert code.unit.shape == (1, 1, 2)
    assert code.unit.ravel().tolist() == [3, 2]


def test_what_two_kernels_add_to_one_pair_is_summed():
    # 3 at the middle tap and 1 of the skip are 4; the other taps are 3.
    kernel = Conv(np.full((1, 3, 1, 1), 3), padding=(0, 1))
    skip = identity(1)
    skip = Conv(skip.weight.astype(np.int64))
    code = type_code(network((1, 4, 1), (1, 4, 1), kernel, skip), "b", 4)
    assert code.base == (1, 2, 4, -8)
    assert type_code(network((1, 4, 1), (1, 4, 1), kernel, skip), "b", 3) is None
    pairs = Sparse(np.array([0, 0, 0]), np.array([1, 1, 2]), np.array([2, 1, 3]))
    assert type_code(network((1, 1, 3), (1, 1, 1), pairs), "b", 1).unit.ravel().tolist() == [3]


def test_a_chip_with_too_few_types_or_too_narrow_weights_is_told():
    chip = tiny_target(crossbar=Crossbar(axon_types=2, weight_bits=4))
    with pytest.raises(DoesNotFit, match="axon types where tiny has 2"):
        held_types(dense([[1, 2, 3]]), "b", chip)
    assert held_types(dense([[7, -7]]), "b", chip).largest == 7
    with pytest.raises(DoesNotFit, match="5 bits of a typed weight where tiny has 4"):
        held_types(dense([[8, -8]]), "b", chip)


def test_typed_weights_are_of_twos_complement():
    assert Crossbar(4, 9).room((1, 2, 4, -8)) == 32
    assert Crossbar(4, 9).room((1, -1)) == 255
