"""Finding backends and chips; packages that break are in ``tests/backends/test_plugins.py``."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from nmcompiler import registry
from nmcompiler.backend import BackendBase
from nmcompiler.errors import BackendFault, TargetFileError, UsageError
from nmcompiler.target import target_to_toml
from nmcompiler.testing import tiny_target


class Tiny(BackendBase):
    name = "tiny"

    def targets(self):
        return {"tiny": tiny_target()}


class Misnamed(BackendBase):
    name = "misnamed"

    def targets(self):
        return {"huge": tiny_target()}


class Failing(BackendBase):
    name = "failing"

    def __init__(self):
        raise OSError("no licence server")


@pytest.fixture
def installed(monkeypatch):
    """Pretends that backends of this file are installed beside the built-in ones."""

    def install(*kinds):
        points = [*real, *(EntryPoint(k.name, f"{__name__}:{k.__name__}", registry.GROUP) for k in kinds)]
        monkeypatch.setattr(registry, "entry_points", lambda group: points)
        clear()

    def clear():
        registry._entry_points.cache_clear()
        registry.backend.cache_clear()

    real = [p for points in registry._entry_points().values() for p in points]
    yield install
    clear()


def test_the_built_in_backend_comes_through_the_entry_point():
    assert "digital" in registry.backend_names()
    assert registry.backend("digital").name == "digital"
    assert registry.backend("digital") is registry.backend("digital")
    assert registry.faults() == {}


def test_an_unknown_backend_is_answered_with_the_nearest():
    with pytest.raises(UsageError, match="there is no backend 'digitl'; did you mean 'digital'"):
        registry.backend("digitl")


def test_a_target_is_found_with_its_backend():
    backend, target = registry.find_target("generic-digital")
    assert (backend.name, target.name) == ("digital", "generic-digital")
    assert registry.targets()["generic-digital"] == ("digital", target)
    assert registry.find_target("generic-digital", "digital")[1] is target


def test_an_unknown_target_is_answered_with_the_nearest():
    with pytest.raises(UsageError, match="there is no target 'lohi2'; did you mean 'loihi2'"):
        registry.find_target("lohi2")
    with pytest.raises(UsageError, match="there is no target 'lohi2' in backend 'digital'"):
        registry.find_target("lohi2", "digital")


def test_a_target_file_names_its_backend(tmp_path):
    path = tmp_path / "chip.toml"
    path.write_text(target_to_toml(tiny_target()))
    backend, target = registry.find_target(str(path))
    assert backend.name == "digital"
    assert target == tiny_target()
    path.write_text(target_to_toml(tiny_target()).replace('backend = "digital"', 'backend = "none"'))
    with pytest.raises(TargetFileError, match=r"'backend' is 'none'; allowed: .*digital"):
        registry.find_target(str(path))
    assert registry.find_target(str(path), "digital")[0].name == "digital"
    with pytest.raises(TargetFileError, match="cannot be read"):
        registry.find_target(str(tmp_path / "other.toml"))


def test_names_are_known_without_importing_anything(installed):
    installed(Tiny, Failing)
    assert set(registry.backend_names()) == {"digital", "mixed-signal", "failing", "tiny"}


def test_another_backend_adds_its_targets(installed):
    installed(Tiny)
    assert registry.targets()["tiny"][0] == "tiny"
    assert set(registry.targets(["tiny"])) == {"tiny"}
    assert registry.find_target("tiny")[0].name == "tiny"


def test_a_backend_that_fails_is_left_out_until_it_is_needed(installed):
    installed(Failing, Tiny)
    assert set(registry.faults()) == {"failing"}
    assert "OSError: no licence server" in registry.faults()["failing"]
    assert registry.find_target("tiny")[0].name == "tiny"
    with pytest.raises(BackendFault, match="backend 'failing'"):
        registry.targets(["failing"])
    with pytest.raises(BackendFault, match=r"no backend that can be used has the target 'x'.*'failing'"):
        registry.find_target("x")
    with pytest.raises(UsageError, match="there is no target 'x' in backend 'tiny'"):
        registry.find_target("x", "tiny")


def test_a_target_must_bear_its_own_name(installed):
    installed(Misnamed)
    with pytest.raises(BackendFault, match="gives the target 'huge' as a Target named 'tiny'"):
        registry.targets(["misnamed"])
