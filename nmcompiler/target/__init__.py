"""A chip as data."""

from nmcompiler.target.model import (
    BiasFormat,
    CoreType,
    Evidence,
    Figure,
    InputEncoding,
    Limits,
    Mesh,
    Target,
    ThresholdFormat,
)

__all__ = [
    "BiasFormat",
    "CoreType",
    "Evidence",
    "Figure",
    "InputEncoding",
    "Limits",
    "Mesh",
    "Target",
    "ThresholdFormat",
]
