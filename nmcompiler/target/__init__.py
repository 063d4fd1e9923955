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
from nmcompiler.target.reader import (
    read_target,
    target_from_document,
    target_from_toml,
    target_to_document,
    target_to_toml,
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
    "read_target",
    "target_from_document",
    "target_from_toml",
    "target_to_document",
    "target_to_toml",
]
