"""Finds backends through the entry points ``nmcompiler.backends``, and imports one only when it is needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from nmcompiler.backend import API_VERSION, Backend
from nmcompiler.errors import BackendFault, NmcError, UsageError, nearest
from nmcompiler.target import Target, read_target

__all__ = ["GROUP", "backend", "backend_names", "find_target", "targets"]

GROUP = "nmcompiler.backends"


@cache
def _entry_points() -> Mapping[str, EntryPoint]:
    return {point.name: point for point in sorted(entry_points(group=GROUP), key=lambda p: p.name)}


def backend_names() -> tuple[str, ...]:
    """Returns the names of the installed backends, without importing any."""
    return tuple(_entry_points())


@cache
def backend(name: str) -> Backend:
    """Returns a backend.

    Raises:
        UsageError: No backend of that name is installed.
        BackendFault: It cannot be imported, or was written for another version of the protocol.
    """
    points = _entry_points()
    if name not in points:
        raise UsageError(f"there is no backend '{name}'", hint=nearest(name, points))
    try:
        made = points[name].load()()
    except Exception as error:  # whatever a stranger's package raises, it is that package's fault
        raise BackendFault(
            f"backend '{name}' ({points[name].value}) cannot be imported: {type(error).__name__}: {error}",
            hint=f"reinstall or remove the package that provides '{name}'",
        ) from error
    api = getattr(made, "api", None)
    if api != API_VERSION:
        raise BackendFault(
            f"backend '{name}' was written for version {api} of the backend protocol",
            allowed=str(API_VERSION),
            hint=f"install a release of '{name}' that matches this nmcompiler",
        )
    if not isinstance(made, Backend):
        raise BackendFault(
            f"backend '{name}' lacks methods of the backend protocol", allowed="see BackendBase"
        )
    return made


def targets(names: Iterable[str] | None = None) -> dict[str, tuple[str, Target]]:
    """Returns all chips of the installed backends: chip name → (backend name, chip)."""
    found: dict[str, tuple[str, Target]] = {}
    for name in names if names is not None else backend_names():
        for key, target in backend(name).targets().items():
            if key in found:
                raise BackendFault(f"backends '{found[key][0]}' and '{name}' both provide the target '{key}'")
            found[key] = (name, target)
    return found


def find_target(name: str, backend_name: str | None = None) -> tuple[Backend, Target]:
    """Returns the chip of a name or of a TOML file, with the backend that compiles for it.

    Raises:
        NmcError: Unknown target (with the nearest names), wrong file, or unknown backend.
    """
    if name.endswith(".toml") or "/" in name:
        target = read_target(Path(name))
        return backend(backend_name or target.backend), target
    known = targets([backend_name] if backend_name else None)
    if name not in known:
        raise UsageError(
            f"there is no target '{name}'" + (f" in backend '{backend_name}'" if backend_name else ""),
            hint=nearest(name, known) + " (or give a path that ends with .toml)",
        )
    owner, target = known[name]
    return backend(owner), target


def faults() -> dict[str, str]:
    """Returns the sentence of every installed backend that cannot be used, by name."""
    wrong = {}
    for name in backend_names():
        try:
            backend(name)
        except NmcError as error:
            wrong[name] = str(error)
    return wrong
