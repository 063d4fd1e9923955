"""How neurons reset, how low they go and when they compare, as keys of a document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nmcompiler.target.model import USUAL, Dynamics

__all__ = ["dynamics_document", "dynamics_from"]


def dynamics_document(dynamics: Dynamics) -> dict[str, Any]:
    """Returns the keys; none where neurons subtract θ, have no floor and compare once a step."""
    if dynamics == USUAL:
        return {}
    ties = {} if dynamics.ties is None else {"ties": dynamics.ties}
    return {
        "reset": dynamics.reset,
        "membrane_floor": dynamics.floor,
        "compares": dynamics.compares,
        **ties,
    }


def dynamics_from(document: Mapping[str, Any]) -> Dynamics:
    """Returns what the keys of a document say.

    Raises:
        ValueError: A key has a value that no neuron has.
    """
    reset = document.get("reset", USUAL.reset)
    floor = document.get("membrane_floor", USUAL.floor)
    compares = document.get("compares", USUAL.compares)
    if reset not in ("subtract", "zero"):
        raise ValueError(f"reset {reset!r}")
    if floor is not None and (type(floor) is not int or abs(floor) >= 2**53):
        raise ValueError(f"membrane_floor {floor!r}")
    if compares not in ("step", "event"):
        raise ValueError(f"compares {compares!r}")
    ties = document.get("ties")
    if ties is not None and (type(ties) is not int or not 0 <= ties < 2**63 or compares != "event"):
        raise ValueError(f"ties {ties!r}")
    return Dynamics(reset, floor, compares, ties)
