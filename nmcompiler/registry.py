"""Finds backends through the entry points ``nmcompiler.backends``, and imports one only when it is needed.

A backend that cannot be used stands in nobody else's way: listings leave it out, ``faults`` says why, and
whoever asks for it, or for a target that only it can have, gets a ``BackendFault`` that names it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from nmcompiler.backend import API_VERSION, Backend
from nmcompiler.codings import CODINGS
from nmcompiler.errors import BackendFault, TargetFileError, UsageError, nearest
from nmcompiler.target import Target, read_target

__all__ = ["GROUP", "backend", "backend_names", "faults", "find_target", "targets"]

GROUP = "nmcompiler.backends"


@cache
def _entry_points() -> Mapping[str, tuple[EntryPoint, ...]]:
    """Returns the entry points by name; more than one where packages quarrel over it."""
    found: dict[str, tuple[EntryPoint, ...]] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda p: (p.name, p.value)):
        found[point.name] = (*found.get(point.name, ()), point)
    return found


def backend_names() -> tuple[str, ...]:
    """Returns the names of the installed backends, without importing any."""
    return tuple(_entry_points())


@cache
def backend(name: str) -> Backend:
    """Returns a backend.

    Raises:
        UsageError: No backend of that name is installed.
        BackendFault: It cannot be imported, was written for another version of the protocol, or lacks a
            part of it.
    """
    points = _entry_points()
    if name not in points:
        raise UsageError(f"there is no backend '{name}'", hint=nearest(name, points))
    point, *others = points[name]
    if others:
        raise BackendFault(
            f"{1 + len(others)} packages provide the backend '{name}'",
            allowed="one",
            hint="remove the package whose backend you do not use",
        )
    try:
        made = point.load()()
    except Exception as error:  # whatever a stranger's package raises, it is that package's fault
        raise BackendFault(
            f"backend '{name}' ({point.value}) cannot be imported: {_described(error)}",
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


def _chips(name: str) -> Mapping[str, Target]:
    """Returns the chips of a backend by name; raises ``BackendFault`` where it does not say them."""
    made = backend(name)
    try:
        chips = dict(made.targets())
    except Exception as error:
        raise BackendFault(
            f"backend '{name}' fails to say its targets: {_described(error)}",
            hint=f"reinstall or remove the package that provides '{name}'",
        ) from error
    for key, chip in chips.items():
        if not isinstance(chip, Target) or chip.name != key:
            raise BackendFault(
                f"backend '{name}' gives the target '{key}' as {_named(chip)}",
                allowed=f"a Target whose name is '{key}'",
            )
    return chips


def _described(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _named(chip: object) -> str:
    return f"a Target named '{chip.name}'" if isinstance(chip, Target) else f"a {type(chip).__name__}"


def targets(names: Iterable[str] | None = None) -> dict[str, tuple[str, Target]]:
    """Returns chips: chip name → (backend name, chip).

    Where several backends know a chip, the listing shows it under the first of them.

    Args:
        names: Backends whose chips are wanted; one that cannot be used raises ``BackendFault``. None for
            those of all installed backends that can be used.
    """
    wrong = faults() if names is None else {}
    found: dict[str, tuple[str, Target]] = {}
    for name in names if names is not None else backend_names():
        if name not in wrong:
            for key, target in _chips(name).items():
                found.setdefault(key, (name, target))
    return found


def find_target(name: str, backend_name: str | None = None) -> tuple[Backend, Target]:
    """Returns the chip of a name or of a TOML file, with the backend that compiles for it.

    Raises:
        UsageError: No backend has the target (with the nearest names), or several have it.
        TargetFileError: The TOML file is wrong.
        BackendFault: The backend asked for cannot be used, or the target is in no backend that can.
    """
    if name.endswith(".toml") or "/" in name:
        target = read_target(Path(name), tuple(CODINGS))
        if backend_name is None and target.backend not in _entry_points():
            raise TargetFileError(
                f"{name}: 'backend' is '{target.backend}'",
                allowed=", ".join(backend_names()),
                hint="it names the backend that compiles for the chip",
            )
        return backend(backend_name or target.backend), target
    if name == "auto":
        raise UsageError(
            "the target 'auto', the smallest chip, is known to nmc compile alone",
            hint="nmc check MODEL.onnx says where a network fits",
        )
    wrong = {} if backend_name else faults()
    usable = [backend_name] if backend_name else [n for n in backend_names() if n not in wrong]
    owners = [owner for owner in usable if name in _chips(owner)]
    if not owners:
        raise _unknown(name, backend_name, usable, wrong)
    if len(owners) > 1:
        raise UsageError(
            f"the target '{name}' is in several backends",
            hint=f"choose one with --backend: {', '.join(owners)}",
        )
    return backend(owners[0]), _chips(owners[0])[name]


def _unknown(
    name: str, backend_name: str | None, usable: Iterable[str], wrong: Mapping[str, str]
) -> UsageError | BackendFault:
    """Returns the error for a target that no usable backend has."""
    hint = nearest(name, targets(usable)) + " (or give a path that ends with .toml)"
    if wrong:  # it may well be a chip of theirs
        return BackendFault(
            f"no backend that can be used has the target '{name}', and {'; '.join(wrong.values())}", hint=hint
        )
    where = f" in backend '{backend_name}'" if backend_name else ""
    return UsageError(f"there is no target '{name}'{where}", hint=hint)


def faults() -> dict[str, str]:
    """Returns the sentence of every installed backend that cannot be used, by name."""
    wrong = {}
    for name in backend_names():
        try:
            _chips(name)
        except BackendFault as error:
            wrong[name] = str(error)
    return wrong
