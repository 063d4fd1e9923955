"""What all tests share."""

from __future__ import annotations

import pytest

from nmcompiler.mapping import EFFORTS

NORMAL = EFFORTS["normal"]


@pytest.fixture(autouse=True, scope="session")
def _little_effort_of_mapping():
    """What is computed does not depend on the mapping; who tests that too asks for ``normal_effort``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(EFFORTS, "normal", EFFORTS["low"])
        yield


@pytest.fixture
def normal_effort(monkeypatch):
    """Maps as a user does who says nothing of the effort."""
    monkeypatch.setitem(EFFORTS, "normal", NORMAL)


def pytest_collection_modifyitems(items):
    """Starts with the longest, which would else keep one process busy when the others have finished."""
    items.sort(key=lambda item: item.path.name not in ("test_readme.py", "test_examples.py"))
