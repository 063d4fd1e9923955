"""Networks with more inputs, hidden neurons or outputs than a chip has for each: see ``NetworkLimits``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from nmcompiler.ir.network import Role
from nmcompiler.target.layer_rules import NetworkLimits

__all__ = ["beyond_limits"]


def beyond_limits(
    limits: NetworkLimits | None, sizes: Iterable[tuple[str, Role, int]]
) -> Iterator[tuple[str, str]]:
    """Yields the largest layer of each role of which there are too many neurons, and a clause that says so.

    Args:
        limits: Those of the chip; None where it has none.
        sizes: Name, role and number of neurons of every layer.
    """
    if limits is None:
        return
    known = list(sizes)
    roles: tuple[tuple[Role, str, int | None], ...] = (
        ("input", "inputs", limits.inputs),
        ("hidden", "hidden neurons", limits.hidden),
        ("readout", "outputs", limits.outputs),
    )
    for role, noun, limit in roles:
        found = [(size, name) for name, has, size in known if has == role]
        total = sum(size for size, _ in found)
        if limit is None or total <= limit:
            continue
        largest, name = max(found)
        every = "" if len(found) == 1 else f" of {total:,} in all"
        yield name, f"has {largest:,}{every} {noun}, and the chip has {limit:,}"
