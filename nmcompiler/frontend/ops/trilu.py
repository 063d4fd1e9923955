"""Trilu: wiring that leaves out one side of a diagonal."""

from __future__ import annotations

import numpy as np

from nmcompiler.frontend.builder import Builder
from nmcompiler.frontend.forms import FIRST_SIGNAL
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.values import ZERO, Refusal, Wire


@operator("Trilu", FIRST_SIGNAL, since=14)
def trilu(node: Node, builder: Builder) -> Wire:
    """The last two axes are matrices, of which the upper or the lower triangle stays."""
    ids = node.wire(0).ids
    rank = ids.ndim
    if rank < 2:
        raise Refusal(f"works on a tensor of shape {list(ids.shape)}, which is no matrix")
    if rank == 2:
        node.spare_batch(0, "leaves out entries of samples (axis 0)")
    k = int(node.constant(1).ravel()[0]) if node.has(1) else 0
    everywhere = np.ones(ids.shape[-2:], np.bool_)
    kept = np.triu(everywhere, k) if node.integer("upper", 1) else np.tril(everywhere, k)
    return Wire(np.where(kept, ids, ZERO))
