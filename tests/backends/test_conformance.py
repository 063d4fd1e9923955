"""Every installed backend passes the suite that ships for authors of backends."""

from __future__ import annotations

from nmcompiler.registry import backend_names
from nmcompiler.testing import BackendConformance


def suite(name):
    return type(f"Test_{name}", (BackendConformance,), {"backend_name": name})


globals().update({f"Test_{name}": suite(name) for name in backend_names()})
