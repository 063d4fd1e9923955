"""What chips of one kind differ in: models with formula and source, and the seed that draws a chip."""

from nmcompiler_backends.mixed_signal.variation.chip import Chip, FloatArray, Normals
from nmcompiler_backends.mixed_signal.variation.mismatch import Mismatch
from nmcompiler_backends.mixed_signal.variation.pcm import PcmDevice, PcmDrift, PcmProgramming, PcmReadNoise
from nmcompiler_backends.mixed_signal.variation.rram import RramDevice, RramProgramming
from nmcompiler_backends.mixed_signal.variation.synapse import SynapseDevice

__all__ = [
    "Chip",
    "FloatArray",
    "Mismatch",
    "Normals",
    "PcmDevice",
    "PcmDrift",
    "PcmProgramming",
    "PcmReadNoise",
    "RramDevice",
    "RramProgramming",
    "SynapseDevice",
]
