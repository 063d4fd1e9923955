"""What kernels of vector code and the tables that are made for them must agree on.

The kernels' modules import numba, which commands that never simulate do without; this one does not.
"""

from __future__ import annotations

__all__ = [
    "GROUP_IS_NARROW",
    "IS_WIDE",
    "LANES",
    "LINK_IS_NARROW",
    "OTHER_VALUES",
    "PADDING",
    "SIGNED_UNITS",
    "UNITS",
]

LANES = 16
"""Entries of a vector."""

PADDING = 64
"""Entries behind weights, sums and what is sent, which vectors may read."""

# What a block sends in one step: 0 or 1; −1 too; or other values.
UNITS, SIGNED_UNITS, OTHER_VALUES = range(3)
# How wide what arrives is: all of a group has 16 bits; all of a link has; not even a product has.
GROUP_IS_NARROW, LINK_IS_NARROW, IS_WIDE = range(3)
