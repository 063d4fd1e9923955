"""A chip as data."""

from nmcompiler.target.conductance import ConductanceTiles
from nmcompiler.target.figures import FIGURES, Evidence, Figure, unit_of
from nmcompiler.target.layer_rules import ConvolutionRules, DenseRules, LayerRules, NetworkLimits
from nmcompiler.target.model import (
    BiasFormat,
    CoreType,
    Crossbar,
    InputEncoding,
    Limits,
    Mesh,
    Target,
    ThresholdFormat,
)
from nmcompiler.target.neuron_array import NeuronArray, TrimDac
from nmcompiler.target.reader import read_target, target_from_document, target_from_toml
from nmcompiler.target.writer import target_to_document, target_to_toml

__all__ = [
    "FIGURES",
    "BiasFormat",
    "ConductanceTiles",
    "ConvolutionRules",
    "CoreType",
    "Crossbar",
    "DenseRules",
    "Evidence",
    "Figure",
    "InputEncoding",
    "LayerRules",
    "Limits",
    "Mesh",
    "NetworkLimits",
    "NeuronArray",
    "Target",
    "ThresholdFormat",
    "TrimDac",
    "read_target",
    "target_from_document",
    "target_from_toml",
    "target_to_document",
    "target_to_toml",
    "unit_of",
]
