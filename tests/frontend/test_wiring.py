from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmcompiler.frontend.values import ZERO
from nmcompiler.frontend.wiring import Sources, layouts, spatial, unspatial


def two_layers() -> tuple[Sources, np.ndarray, np.ndarray]:
    sources = Sources()
    return sources, sources.add("a", (2, 3, 4)), sources.add("b", (2, 3, 2))


def test_a_slice_of_channels_is_found_with_its_layer() -> None:
    sources, a, b = two_layers()
    found = sources.channels(np.concatenate([b, a[..., 1:3]], axis=2))
    assert found is not None
    assert found.layer.tolist() == [1, 1, 0, 0]
    assert found.channel.tolist() == [0, 1, 1, 2]
    assert found.runs() == [slice(0, 2), slice(2, 4)]


def test_channels_of_zeros_belong_to_no_layer() -> None:
    sources, a, _ = two_layers()
    found = sources.channels(np.concatenate([np.full((2, 3, 1), ZERO), a], axis=2))
    assert found is not None
    assert found.layer.tolist() == [-1, 0, 0, 0, 0]
    assert found.runs() == [slice(1, 5)]


@pytest.mark.parametrize("change", ["transposed", "shifted", "one element", "flattened"])
def test_what_is_no_whole_channel_is_not_taken_for_one(change: str) -> None:
    sources, a, _ = two_layers()
    ids = {
        "transposed": a.swapaxes(0, 1),
        "shifted": np.roll(a, 1, axis=1),
        "one element": np.where(a == a[1, 2, 3], a[0, 0, 0], a),
        "flattened": a.reshape(1, 6, 4),
    }[change]
    assert sources.channels(ids) is None


@given(st.permutations(range(24)))
def test_a_rearrangement_of_a_layer_is_recognised(order: list[int]) -> None:
    sources, a, b = two_layers()
    ids = a.ravel()[np.array(order)].reshape(1, 4, 6)
    assert sources.whole(ids) == 0
    assert sources.whole(ids.ravel()[:23]) is None
    assert sources.whole(np.concatenate([ids.ravel()[:23], b.ravel()[:1]])) is None
    first = next(iter(layouts(sources, [ids])))
    np.testing.assert_array_equal(ids.ravel()[first], a)


def test_a_layer_read_twice_in_one_place_is_not_whole() -> None:
    sources, a, _ = two_layers()
    ids = a.ravel().copy()
    ids[5] = ids[6]
    assert sources.whole(ids) is None


@pytest.mark.parametrize("shape", [(1, 3), (1, 3, 5), (1, 3, 4, 5)])
def test_channels_last_and_back_is_the_same(shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape)).reshape(shape)
    assert spatial(array).shape[2] == 3
    np.testing.assert_array_equal(unspatial(spatial(array), len(shape)), array)
