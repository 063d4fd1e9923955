"""A third party's backend: one chip, its own file format, everything else from ``BackendBase``."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from nmcompiler import BackendBase, Program, Target
from nmcompiler.target import target_from_toml

__all__ = ["AcmeBackend"]


class AcmeBackend(BackendBase):
    """Compiles for Acme One: 64 small cores, unsigned spikes, fires on v > θ."""

    name = "acme"

    def targets(self) -> Mapping[str, Target]:
        """Returns the only chip."""
        text = resources.files("acme_neuro").joinpath("acme-one.toml").read_text(encoding="utf-8")
        return {"acme-one": target_from_toml(text, "acme-one.toml")}

    def export(self, program: Program, folder: Path) -> tuple[Path, ...]:
        """Writes the weights of every block as the chip's own hexadecimal image."""
        weights = program.arrays["weights"]
        path = folder / "weights.hex"
        path.write_text("\n".join(f"{int(w) & 0xFF:02x}" for w in weights) + "\n")
        return (path,)
