"""The real network that belongs to a golden one."""

from __future__ import annotations

import numpy as np
import pytest

from nmcompiler.compiler import compile_model
from nmcompiler.diagnose.reference import reference
from nmcompiler.errors import NmcError
from nmcompiler.evaluate.float import run_float
from nmcompiler.passes.base import Context
from nmcompiler.passes.split_signed import SplitSigned
from nmcompiler.registry import find_target
from nmcompiler.report.ladder import simple_model
from nmcompiler.testing import tiny_target
from nmcompiler.testing.random_onnx import random_onnx, random_samples


@pytest.mark.parametrize("seed", range(16))
def test_it_computes_the_float_network(seed: int) -> None:
    """Pools, skips, concats, signed values and on and off halves, all with real numbers."""
    onnx_model = random_onnx(seed)
    signed = seed % 2 == 0
    chip = tiny_target(signed_spikes=signed, neurons=None, input_axons=None)
    try:
        made = compile_model(
            onnx_model.SerializeToString(), chip, "phase", random_samples(onnx_model, 24, seed)
        )
    except NmcError:
        pytest.skip("the chip cannot hold this network")
    golden = made.program.golden
    assert golden is not None
    model = simple_model(made.program)
    real = reference(
        model, golden.network, () if signed else (SplitSigned(),), Context(None, made.program.target)
    )
    # Samples of the calibration: an input below its range has no off half to hold it.
    x = random_samples(onnx_model, 24, seed)
    values = real.values(x)
    wanted = run_float(model, {k: v.astype(np.float64) for k, v in x.items()}).outputs
    for port in golden.network.outputs:
        scale = golden.network.graph.node(port.node).scale[0]
        found = values[port.node].reshape(len(x["x"]), -1)[:, port.order].reshape(wanted[port.name].shape)
        spread = np.abs(wanted[port.name]).max() + 1e-9
        # An off half starts up to one unit lower, which is where its integers round.
        assert np.abs(found * scale - wanted[port.name]).max() <= (1e-6 if signed else 0.05) * spread


def test_every_population_has_its_twin() -> None:
    _, chip = find_target("generic-digital", None)
    onnx_model = random_onnx(2)
    made = compile_model(onnx_model.SerializeToString(), chip, "phase", random_samples(onnx_model, 24, 2))
    golden = made.program.golden
    assert golden is not None
    real = reference(simple_model(made.program), golden.network, (), Context(None, chip))
    for population in golden.network.graph:
        twin = real.network.graph.node(population.name)
        assert (twin.shape, twin.levels, twin.role) == (population.shape, population.levels, population.role)
        for mine, other in zip(
            golden.network.graph.in_edges(population.name),
            real.network.graph.in_edges(population.name),
            strict=True,
        ):
            assert mine.source == other.source
