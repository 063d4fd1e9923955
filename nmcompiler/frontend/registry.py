"""The table of operator handlers, by domain, name and the opset version from which they hold."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from nmcompiler.frontend.forms import Form
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.values import Refusal, Value

if TYPE_CHECKING:
    from nmcompiler.frontend.builder import Builder

__all__ = ["Handler", "Operator", "find", "operator", "operators"]

Handler: TypeAlias = "Callable[[Node, Builder], Value | tuple[Value, ...]]"
_H = TypeVar("_H", bound=Handler)


@dataclass(frozen=True)
class Operator:
    """A registered operator.

    Attributes:
        handler: Turns the operands of a node into its results, adding layers on the way.
        transparent: Whether a value that stays on the host may pass: host operators and copies.
        forms: What a node must be; any node of the operator where there are none.
    """

    handler: Handler
    transparent: bool = False
    forms: tuple[Form, ...] = ()


_table: dict[tuple[str, str], dict[int, Operator]] = {}


def operator(
    name: str,
    *forms: Form,
    since: int = 1,
    domain: str = "",
    transparent: bool = False,
) -> Callable[[_H], _H]:
    """Registers the decorated handler for an operator from an opset version on."""

    def register(handler: _H) -> _H:
        versions = _table.setdefault((domain, name), {})
        if since in versions:
            raise ValueError(f"two handlers for {domain}:{name} since {since}")
        versions[since] = Operator(handler, transparent, forms)
        return handler

    return register


def find(domain: str, name: str, opset: int) -> Operator:
    """Returns the newest handler that holds for an opset, or refuses with what is known instead."""
    versions = _loaded().get((domain, name))
    if versions is None:
        where = f" of domain '{domain}'" if domain else ""
        raise Refusal(f"operator {name}{where} is not supported")
    usable = [since for since in versions if since <= opset]
    if not usable:
        raise Refusal(
            f"its form in opset {opset} is not supported",
            f"convert the file to opset {max(min(versions), 13)} or newer",
        )
    return versions[max(usable)]


def operators() -> Mapping[tuple[str, str], Mapping[int, Operator]]:
    """Returns the whole table: by domain and name, by the opset version from which on a handler holds."""
    return _loaded()


@functools.cache
def _loaded() -> dict[tuple[str, str], dict[int, Operator]]:
    """Imports every file of the ``ops`` package once, at the first model that is read."""
    package = importlib.import_module("nmcompiler.frontend.ops")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return _table
