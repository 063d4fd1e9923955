"""Clocked digital chips: everything that differs between them stands in their description."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from importlib import resources

from nmcompiler.backend import BackendBase
from nmcompiler.target import Target, target_from_toml

__all__ = ["DigitalBackend"]


class DigitalBackend(BackendBase):
    """Compiles for chips whose cores integrate and fire in clocked steps."""

    name = "digital"

    def targets(self) -> Mapping[str, Target]:
        """Returns the chips described in the folder ``chips``."""
        return self._targets

    @cached_property
    def _targets(self) -> Mapping[str, Target]:
        files = resources.files("nmcompiler_backends.digital.chips").iterdir()
        read = (
            target_from_toml(f.read_text(encoding="utf-8"), f.name) for f in files if f.name.endswith(".toml")
        )
        return {t.name: t for t in sorted(read, key=lambda t: t.name)}
