"""The least multicast cost that any placement of a few cores has, by integer programming.

Unknown are which core stands where, and for each net the outermost columns of its route and, in each column,
how far this goes down and up. Only small cases end in useful time: about eight cores.

scipy is imported by the first proof, not by commands that prove nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product

import numpy as np

from nmcompiler.mapping.nets import HOST, Nets

__all__ = ["least_cost"]


def least_cost(
    nets: Nets, cores: int, rows: int, columns: int, *, seconds: float = 60.0
) -> tuple[float, bool]:
    """Returns a lower bound of the multicast cost, and whether some placement reaches it.

    Cores are all of one type, and every position of the mesh can hold one. Then no more rows are needed than
    there are cores, nor columns: leaving out an empty row shortens every route that crosses it.

    Args:
        nets: What travels; the host stands at row 0, column 0.
        cores: Number of cores, at least 1.
        rows: Rows of the mesh.
        columns: Its columns.
        seconds: Time after which the best bound so far is returned.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array

    model = _Model(nets, cores, min(rows, cores), min(columns, cores))
    model.build()
    matrix = csr_array((model.values, (model.row_of, model.column_of)), (len(model.most), len(model.costs)))
    found = milp(
        np.array(model.costs),
        integrality=np.array(model.whole),
        bounds=Bounds(0.0, np.array(model.upper)),
        constraints=LinearConstraint(matrix, -np.inf, np.array(model.most)),
        options={"time_limit": seconds, "mip_rel_gap": 0.0},
    )
    if found.status == 0:
        return float(found.fun), True
    return float(max(found.mip_dual_bound or 0.0, 0.0)), False


@dataclass(eq=False)
class _Model:
    """The integer program: unknowns from 0 up, and sums of them that may be at most so large.

    Core i at position s is the unknown ``i · positions + s``; the others follow.
    """

    nets: Nets
    cores: int
    rows: int
    columns: int
    costs: list[float] = field(default_factory=list)
    whole: list[int] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)
    row_of: list[int] = field(default_factory=list)
    column_of: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    most: list[float] = field(default_factory=list)

    def build(self) -> None:
        """Writes all unknowns and sums."""
        spots = self.rows * self.columns
        for _ in range(self.cores * spots):
            self._unknown(0.0, 1.0, whole=True)
        for core in range(self.cores):
            everywhere = {core * spots + s: 1.0 for s in range(spots)}
            self._at_most(everywhere, 1.0)
            self._at_most(dict.fromkeys(everywhere, -1.0), -1.0)
        for s in range(spots):
            self._at_most({core * spots + s: 1.0 for core in range(self.cores)}, 1.0)
        for (source, *members), spikes in _by_ends(self.nets).items():
            self._net(source, members, spikes)

    def _net(self, source: int, members: list[int], spikes: float) -> None:
        """Writes the routes of one net: their outermost columns, and the ends of each column."""
        across = [self._unknown(spikes, self.columns - 1.0) for _ in range(2)]  # east, west of the source
        for member in members:
            for unknown, sign in zip(across, (1, -1), strict=True):
                self._reaches({unknown: -1.0}, self._difference(member, source, axis=1, sign=sign), 0.0)
        down = [[self._unknown(spikes, self.rows - 1.0) for _ in range(2)] for _ in range(self.columns)]
        for member, (side, sign) in product(members, enumerate((1, -1))):
            rise = self._difference(member, source, axis=0, sign=sign)
            # All columns together go as far as the member lies, and its own column does.
            self._reaches({ends[side]: -1.0 for ends in down}, rise, 0.0)
            if len(members) > 1:
                for column, ends in enumerate(down[: 1 if member == HOST else None]):
                    here = self._in_column(member, column, self.rows - 1.0)
                    most = 0.0 if member == HOST else self.rows - 1.0
                    self._reaches({ends[side]: -1.0}, _sum(rise, here), most)
        # A link leads into each member, but for one that may stand where the host does, and the host itself.
        everything = dict.fromkeys((*across, *(k for ends in down for k in ends)), -1.0)
        self._at_most(everything, -float(len(members) - (source == HOST) - (HOST in members)))

    def _difference(self, member: int, source: int, axis: int, sign: int) -> dict[int, float]:
        """Returns by how much a member lies further along an axis than the source."""
        found: dict[int, float] = {}
        for core, way in ((member, sign), (source, -sign)):
            if core == HOST:
                continue
            for s in range(self.rows * self.columns):
                at = divmod(s, self.columns)[axis]
                if at:
                    found[core * self.rows * self.columns + s] = float(way * at)
        return found

    def _in_column(self, core: int, column: int, value: float) -> dict[int, float]:
        """Returns ``value`` where a core stands in a column; the host always stands in the first."""
        if core == HOST:
            return {}
        spots = self.rows * self.columns
        return {core * spots + row * self.columns + column: value for row in range(self.rows)}

    def _reaches(self, less: dict[int, float], more: dict[int, float], most: float) -> None:
        self._at_most(_sum(less, more), most)

    def _unknown(self, cost: float, upper: float, *, whole: bool = False) -> int:
        self.costs.append(cost)
        self.whole.append(int(whole))
        self.upper.append(upper)
        return len(self.costs) - 1

    def _at_most(self, terms: dict[int, float], most: float) -> None:
        self.row_of += [len(self.most)] * len(terms)
        self.column_of += terms
        self.values += terms.values()
        self.most.append(most)


def _by_ends(nets: Nets) -> dict[tuple[int, ...], float]:
    """Returns the spikes of all nets with the same source and destinations: they take the same route."""
    found: dict[tuple[int, ...], float] = {}
    for net, (source, spikes) in enumerate(zip(nets.source.tolist(), nets.spikes.tolist(), strict=True)):
        ends = source, *sorted(nets.cores[nets.start[net] : nets.start[net + 1]].tolist())
        found[ends] = found.get(ends, 0.0) + spikes
    return found


def _sum(one: dict[int, float], other: dict[int, float]) -> dict[int, float]:
    return {key: one.get(key, 0.0) + other.get(key, 0.0) for key in (*one, *other)}
