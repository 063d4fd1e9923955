"""BatchNormalization with the statistics of training: a factor and a shift for each channel."""

from __future__ import annotations

import numpy as np

from nmcompiler.frontend.builder import Builder, Term
from nmcompiler.frontend.forms import FIRST_SIGNAL, INFERENCE
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.values import Refusal, Wire

_WITHOUT_TEST_FLAG = 7  # the opset since which inference is the rule


@operator("BatchNormalization", FIRST_SIGNAL, INFERENCE)
def batch_normalization(node: Node, builder: Builder) -> Wire:
    """``y = (x − mean) · gamma / sqrt(var + epsilon) + beta``."""
    if node.integer("training_mode", 0):
        raise Refusal(
            "training_mode=1 takes its statistics from the batch at hand", "export the model for inference"
        )
    if node.opset < _WITHOUT_TEST_FLAG and not node.integer("is_test", 0) and node.outputs > 1:
        raise Refusal("has the outputs of training", "export the model for inference")
    if not node.integer("spatial", 1):
        raise Refusal("spatial=0 is not supported")
    wire = node.wire(0)
    gamma, beta, mean, variance = (node.weights(k).astype(np.float64) for k in range(1, 5))
    channels = wire.shape[1] if len(wire.shape) > 1 else 1
    if any(v.shape != (channels,) for v in (gamma, beta, mean, variance)):
        raise Refusal(f"its parameters do not have one value for each of {channels} channels")
    spread = variance + node.number("epsilon", 1e-5)
    if (spread <= 0).any():
        raise Refusal(f"the variance of channel {int(np.argmin(spread))} is negative and has no square root")
    factor = gamma / np.sqrt(spread)
    along = (1, channels) + (1,) * (len(wire.shape) - 2)
    shift = (beta - mean * factor).reshape(along)
    return builder.sum(node, [Term(wire, 0, factor.reshape(along))], shift=shift)
