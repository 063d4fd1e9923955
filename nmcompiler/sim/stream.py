"""A stream of frames: what a frame leaves to the next one, so that neurons send only what changes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nmcompiler.codings import CODINGS
from nmcompiler.errors import UsageError
from nmcompiler.sim.load import Block, Loaded
from nmcompiler.sim.result import Array, Int64Array

__all__ = ["Stream"]


@dataclass(eq=False)
class Stream:
    """Where a stream stands after some of its frames; M neurons.

    Without saturation a membrane is ``v0 + Σ w · value`` after every frame, since the changes that its
    sources have sent add up to their values: each frame gives the result that it would give alone. While the
    changes of one frame arrive, some sources count with their new and some with their old value, both of them
    within their levels, so the bounds of ``certificate`` hold on a stream too.

    Attributes:
        v: ``(M,)`` int64: membranes.
        values: ``(M,)`` int64: the value of each neuron, the sum of all that it has sent.
    """

    v: Int64Array
    values: Int64Array

    @classmethod
    def start(cls, loaded: Loaded) -> Stream:
        """Returns a stream before its first frame.

        Raises:
            UsageError: The program's code sends no changes, or the events of its chip cannot carry them.
        """
        _check(loaded)
        return cls(loaded.v0.copy(), np.zeros(loaded.neurons, np.int64))

    def copy(self) -> Stream:
        """Returns a stream that goes on from here by itself."""
        return Stream(self.v.copy(), self.values.copy())

    def send(self, block: Block, values: Array) -> Int64Array:
        """Moves a block on to the last of its values ``(S, n)``; returns ``(S, n)``, what it sends."""
        mine = slice(block.gid0, block.gid0 + block.n)
        before = np.concatenate([self.values[None, mine], values[:-1]])
        self.values[mine] = values[-1]
        changes: Int64Array = values - before
        return changes


def _check(loaded: Loaded) -> None:
    code, target = loaded.coding, loaded.program.target
    if not code.streams:
        able = ", ".join(name for name, c in CODINGS.items() if c.streams)
        raise UsageError(
            f"a program in the coding '{code.name}' cannot run a stream",
            allowed=f"programs in the coding {able}, whose neurons can send changes",
            hint="run its samples one by one, without --stream",
        )
    if not target.signed_spikes:
        raise UsageError(
            f"a stream needs events with a sign, which target '{target.name}' has not",
            hint="run the samples one by one, without --stream",
        )
    limit = target.graded_payload_bits or 0
    for block in loaded.blocks:
        if block.is_readout:
            continue
        need = code.payload_bits(block.levels, block.signed == 1, changes=True)
        if need > limit:
            names = loaded.program.names
            name = names.populations[block.population] if names else str(block.population)
            raise UsageError(
                f"changes of layer '{name}', whose values reach {block.levels}, take {need} bits",
                asked="a stream",
                allowed=f"{limit} bits, the sign included, in an event of target '{target.name}'",
                hint="compile it with fewer levels, or run the samples one by one",
            )
