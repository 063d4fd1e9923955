"""How chips are trimmed: one method a file, each written against a session and nothing else."""

from nmcompiler_backends.mixed_signal.compensation.adc_range import AdcRange
from nmcompiler_backends.mixed_signal.compensation.bias import BiasTrim
from nmcompiler_backends.mixed_signal.compensation.column import ColumnAffine
from nmcompiler_backends.mixed_signal.compensation.output import OutputAffine
from nmcompiler_backends.mixed_signal.compensation.refit import ReadoutRefit
from nmcompiler_backends.mixed_signal.compensation.threshold import ThresholdTrim
from nmcompiler_backends.mixed_signal.compensation.tile_scale import TileScale

__all__ = [
    "AdcRange",
    "BiasTrim",
    "ColumnAffine",
    "OutputAffine",
    "ReadoutRefit",
    "ThresholdTrim",
    "TileScale",
]
