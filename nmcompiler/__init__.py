"""nmcompiler compiles trained ONNX networks to neuromorphic chips and proves what it made.

The facade: everything that a user or the author of a backend needs. Names are imported when they are first
used, so that ``import nmcompiler`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # as in ``typing``, whose import would cost something
if TYPE_CHECKING:
    from typing import Any

    from nmcompiler.backend import Backend, BackendBase, MapOptions, Obstacle
    from nmcompiler.compiler import Compilation, compile_model, run_program
    from nmcompiler.errors import (
        BackendFault,
        DoesNotFit,
        InputFileError,
        NmcError,
        NotVerified,
        TargetFileError,
        UnsupportedModel,
        UsageError,
    )
    from nmcompiler.ir.network import Network
    from nmcompiler.plan import CompileOptions
    from nmcompiler.program.container import load, save
    from nmcompiler.program.layout import Program
    from nmcompiler.target import Target

    compile = compile_model
    run = run_program

__all__ = [
    "compile",
    "run",
    "load",
    "save",
    "Compilation",
    "CompileOptions",
    "Network",
    "Program",
    "Target",
    "Backend",
    "BackendBase",
    "MapOptions",
    "Obstacle",
    "NmcError",
    "UsageError",
    "InputFileError",
    "UnsupportedModel",
    "TargetFileError",
    "DoesNotFit",
    "NotVerified",
    "BackendFault",
]

_HOMES = {
    "compile": ("nmcompiler.compiler", "compile_model"),
    "run": ("nmcompiler.compiler", "run_program"),
    "load": ("nmcompiler.program.container", "load"),
    "save": ("nmcompiler.program.container", "save"),
    "Compilation": ("nmcompiler.compiler", "Compilation"),
    "CompileOptions": ("nmcompiler.plan", "CompileOptions"),
    "Network": ("nmcompiler.ir.network", "Network"),
    "Program": ("nmcompiler.program.layout", "Program"),
    "Target": ("nmcompiler.target", "Target"),
    "Backend": ("nmcompiler.backend", "Backend"),
    "BackendBase": ("nmcompiler.backend", "BackendBase"),
    "MapOptions": ("nmcompiler.backend", "MapOptions"),
    "Obstacle": ("nmcompiler.backend", "Obstacle"),
}


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module 'nmcompiler' has no attribute '{name}'")
    module, attribute = _HOMES.get(name, ("nmcompiler.errors", name))
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
