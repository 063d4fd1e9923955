"""What all tests share."""

from __future__ import annotations

import pytest

from nmcompiler.mapping import EFFORTS


@pytest.fixture(autouse=True, scope="session")
def _short_searches_for_places():
    """What is computed does not depend on where cores lie; tests of placement say how long they search."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(EFFORTS, "normal", EFFORTS["low"])
        yield
