"""The only caller of numba: compiles plain Python functions over flat arrays to machine code.

numba is imported with the first function that is compiled, so that commands that never simulate start fast.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any, TypeAlias

__all__ = ["Compiled", "compile_seconds", "jit", "pointer"]

Compiled: TypeAlias = Callable[..., Any]


@cache
def jit(function: Compiled) -> Compiled:
    """Returns the function as machine code, compiled at its first call for each set of argument types.

    - ``nogil``: threads over samples run at the same time.
    - ``error_model="numpy"``: a division does not raise, so that loops with one become vector code.
    - ``cache``: the next process loads what this one compiled. numba keeps the code beside the source or in
      the user's cache directory; where it can write to neither it refuses, and every process compiles anew.
      A directory in a shared temporary place is no way out: numba executes what it finds there.
      It looks only at the file of a function; the name by which code is kept tells of what is in others.
    - no ``fastmath``: thresholds are compared exactly.
    """
    return _compiled(function, "", no_cfunc_wrapper=True)


def _compiled(function: Compiled, suffix: str, **options: bool) -> Compiled:
    """Returns the function as machine code, less an entry that nobody takes, which costs time to compile.

    It is kept by a name of its own, ``suffix`` behind it.
    """
    import numba

    _recorder()
    njit: Any = numba.njit
    function = _named(function, suffix)
    options |= {"nogil": True}
    try:
        compiled: Compiled = njit(cache=True, error_model="numpy", **options)(function)
    except RuntimeError as error:
        if "cannot cache function" not in str(error):
            raise
        _warn_uncached()
        compiled = njit(error_model="numpy", **options)(function)
    return compiled


def _named(function: Compiled, suffix: str) -> Compiled:
    """Returns the function by a name that is new when what is compiled into many of them is."""
    named = FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    named.__module__, named.__doc__ = function.__module__, function.__doc__
    named.__qualname__ = f"{function.__qualname__}.{_digest()}{suffix}"
    return named


@cache
def _digest() -> str:
    sources = [(Path(__file__).parent / name).read_bytes() for name in ("vectors.py", "columns.py")]
    return hashlib.sha256(b"".join(sources)).hexdigest()[:8]


@cache
def pointer(function: Compiled, signature: Any) -> Any:
    """Returns the function as a value that other compiled functions take and call, for one signature.

    They are then compiled once for all functions of that signature, and call them by address.
    """
    from numba.core import types

    compiled: Any = _compiled(function, ".pointer", no_cpython_wrapper=True)
    compiled.compile(signature)
    made = compiled.get_compile_result(signature)
    address = made.library.get_pointer_to_function(made.fndesc.llvm_cfunc_wrapper_name)
    protocol: Any = types.WrapperAddressProtocol

    class Pointer(protocol):  # type: ignore[misc]
        kept = compiled  # its code is freed with it

        def __wrapper_address__(self) -> int:
            return int(address)

        def signature(self) -> Any:
            return signature

    return Pointer()


def compile_seconds() -> float:
    """Returns the seconds that this process has spent compiling; loading from the cache is not counted."""
    if not _recorder.cache_info().currsize:
        return 0.0
    total, depth, begun = 0.0, 0, 0.0
    for when, event in _recorder().buffer:
        if event.is_start:
            begun = begun if depth else when
            depth += 1
        else:
            depth -= 1
            total += 0.0 if depth else when - begun
    return total


@cache
def _warn_uncached() -> None:
    warnings.warn(
        "compiled kernels cannot be kept, so every run compiles them again: neither the package nor the home "
        "directory is writable; set NUMBA_CACHE_DIR to a directory that is",
        RuntimeWarning,
        stacklevel=4,
    )


@cache
def _recorder() -> Any:
    """Returns numba's record of compilations; they never overlap, since numba holds a lock in each."""
    from numba.core import event

    events: Any = event
    recorder = events.RecordingListener()
    events.register("numba:compile", recorder)
    return recorder
