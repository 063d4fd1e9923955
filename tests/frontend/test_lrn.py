from __future__ import annotations

import numpy as np
import pytest

from nmcompiler.errors import UnsupportedModel
from nmcompiler.frontend import read_model_bytes

from .models import agreed, model, node, weights


@pytest.mark.parametrize(
    ("shape", "attributes"),
    [
        ((5, 4, 3), {"size": 5, "alpha": 2.0, "beta": 0.5, "bias": 2.0}),
        ((5, 4, 3), {"size": 7, "alpha": 1.0}),
        ((3, 4, 4), {"size": 9}),
        ((4, 6), {"size": 3, "alpha": 0.5}),
    ],
)
def test_lrn_normalises_along_channels(shape: tuple[int, ...], attributes: dict[str, float]) -> None:
    # onnxruntime knows two spatial axes only.
    nodes = [node("LRN", ["x"], "y", **attributes)]
    read = agreed(model(nodes, shape)) if len(shape) == 3 else read_model_bytes(model(nodes, shape), "net")
    assert read.graph.node("y").function is not None


def test_neighbours_are_those_of_the_file_where_channels_come_from_several_layers() -> None:
    nodes = [
        node("Conv", ["x", "k"], "a"),
        node("Conv", ["x", "l"], "b"),
        node("Concat", ["b", "a"], "c", axis=1),
        node("Gather", ["c", "order"], "g", axis=1),
        node("LRN", ["g"], "y", size=3, alpha=3.0),
    ]
    constants = {
        "k": weights(2, 3, 1, 1),
        "l": weights(3, 3, 1, 1, seed=1),
        "order": np.array([3, 0, 4, 1, 2]),
    }
    agreed(model(nodes, (3, 4, 4), constants))


def test_transposed_maps_are_normalised_along_the_channels_too() -> None:
    nodes = [node("Transpose", ["x"], "t", perm=[0, 1, 3, 2]), node("LRN", ["t"], "y", size=3, alpha=3.0)]
    agreed(model(nodes, (3, 4, 5)))


@pytest.mark.parametrize(
    ("shape", "attributes", "reason"),
    [
        ((5, 4, 3), {"size": 3, "bias": 0.0}, "can divide by 0"),
        ((5, 4, 3), {"size": 3, "alpha": -1.0}, "can divide by 0"),
        ((5, 4, 3), {"size": 0}, "must be at least 1"),
        ((5, 2, 4, 3), {"size": 3}, "1 or 2 spatial axes"),
    ],
)
def test_what_is_refused(shape: tuple[int, ...], attributes: dict[str, float], reason: str) -> None:
    with pytest.raises(UnsupportedModel, match=reason):
        read_model_bytes(model([node("LRN", ["x"], "y", **attributes)], shape), "net")
