from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nmcompiler_backends.mixed_signal.variation import Chip

PLACES = [(f"block {b}", source) for b in range(12) for source in ("programming", "drift", "read")]


def test_a_chip_is_the_same_in_any_order_and_for_any_number_of_threads():
    def draw(place):
        return Chip(7).normals(*place, (40, 3)).tobytes()

    forwards = {place: draw(place) for place in PLACES}
    backwards = {place: draw(place) for place in reversed(PLACES)}
    with ThreadPoolExecutor(8) as pool:
        together = dict(zip(PLACES, pool.map(draw, PLACES), strict=True))
    assert forwards == backwards == together


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1))
def test_other_seeds_places_and_sources_are_other_numbers(a, b):
    first = Chip(a).normals("block 1", "read", (4,))
    assert (first == Chip(a).normals("block 1", "read", (4,))).all()
    assert (first != Chip(a).normals("block 11", "read", (4,))).all()
    assert (first != Chip(a).normals("block 1", "drift", (4,))).all()
    assert a == b or (first != Chip(b).normals("block 1", "read", (4,))).all()


def test_places_are_not_correlated():
    n = 20_000
    drawn = np.stack([Chip(3).normals(place, source, (n,)) for place, source in PLACES[:9]])
    correlation = np.corrcoef(drawn) - np.eye(9)
    assert np.abs(correlation).max() * np.sqrt(n) < 4.5
