"""Facts of a small program and of a run of it, as ``--json`` prints them."""

from __future__ import annotations

from typing import Any

import pytest


def _layer(name: str, op: str, **changes: Any) -> dict[str, Any]:
    layer = {
        "name": name,
        "op": op,
        "onnx_nodes": [name],
        "neurons": 512,
        "cores": 1,
        "fan_in": 25,
        "synapse_bits": 8192,
        "sqnr_db": 31.25,
        "levels": 15,
        "window": 1,
        "fire_start": 8,
        "steps": 4,
    }
    return {**layer, **changes}


def _whys() -> dict[str, Any]:
    """Why there are two cores, where they stand, and what they and their link have to do."""
    sides = ("channels", "rows", "columns")
    cut = {
        "layer": "conv[1]",
        "shape": dict(zip(sides, (8, 8, 8), strict=True)),
        "boxes": 2,
        "shared_cores": 0,
        "largest_box": dict(zip(sides, (8, 4, 8), strict=True)),
        "binds": {"core": 0, "resource": "neurons", "used": 512, "limit": 1024, "shared": False},
        "at_least": {"neurons": 1},
    }
    whole = {"layer": "dense", "boxes": 1, "shape": dict(zip(sides, (10, 1, 1), strict=True))}
    place = {"pass": 0, "chip": 0, "row": 0, "column": 0}
    held = {"core": 0, **place, "layers": ["conv[1]"], "fill": 0.5}
    hot = {"core": 0, **place, "layers": ["conv[1]"], "neurons": 512, "synops": 99.5, "spikes": 8.25}
    senders = [{"name": "conv[1]", "spikes": 60.0}, {"name": "image", "spikes": 20.0}]
    return {
        "cuts": [cut, {**cut, **whole, "largest_box": whole["shape"]}],
        "needs": [{"resource": "neurons", "need": 522, "used": 522, "cores": 1, "fullest_on": 2}],
        "help": ["No partition of this network takes fewer than the 2 cores used."],
        "core_map": {
            "rows": 8,
            "columns": 16,
            "cores": [held, {**held, "core": 1, "row": 1, "column": 2, "layers": ["dense"], "fill": 0.01}],
        },
        "hottest": {
            "by": "time",
            "cores": [{**hot, "ns": 1500.0}],
            "links": [{**place, "direction": "east", "spikes": 80.0, "share": 0.5, "layers": senders}],
        },
    }


@pytest.fixture
def program_facts() -> dict[str, Any]:
    return {
        "schema": "nmcompiler.compile/1",
        "model": "lenet",
        "target": "generic-digital",
        "coding": "phase",
        "levels": 15,
        "input_levels": 255,
        "input_encoding": "spikes",
        "output_levels": None,
        "timesteps": 8,
        "settle": None,
        "windows": 3,
        "weight_bits": 8,
        "chips": 1,
        "cores": {"used": 2, "lower_bound": 2, "available": 128},
        "neurons": 522,
        "compartments_per_neuron": 1,
        "synapses": 17_920,
        "placement": {"cost": 120.5, "unicast_cost": 130.0, "lower_bound": 100.0, "max_link_load": 60.0},
        "layers": [
            _layer("conv[1]", "Conv"),
            _layer("dense", "Gemm", neurons=10, sqnr_db=None, levels=0, window=2, fire_start=12, steps=1),
        ],
        "limits": [
            {"core": 0, "resource": "neurons", "used": 512, "limit": 1024},
            {"core": 0, "resource": "synapse_bits", "used": 8192, "limit": None},
            {"core": 1, "resource": "neurons", "used": 10, "limit": 1024},
            {"core": 1, "resource": "synapse_bits", "used": 40960, "limit": None},
        ],
        "schedule": {"window_starts": [0, 8, 12], "total_steps": 13},
        **_whys(),
        "static_check": {"ok": True, "message": "equal", "populations": 3, "synapses": 17_920},
        "certificate": {"proved": 2, "blocks": 2},
        "host_macs_share": 0.0,
        "host_ops": ["Softmax"],
        "warnings": [],
        "seed": 0,
        "versions": {"nmcompiler": "0.1.0"},
        "compile_seconds": 1.25,
    }


@pytest.fixture
def run_facts() -> dict[str, Any]:
    return {
        "schema": "nmcompiler.run/1",
        "samples": 1000,
        "accuracy": {"float": 0.913, "integer": 0.91, "chip": 0.91},
        "agreement": {"integer_float": 0.98, "chip_integer": 1.0},
        "mismatched_outputs": 0,
        "mismatched_activations": 0,
        "mismatched_membranes": 0,
        "spikes_per_neuron": 0.75,
        "synops_per_sample": 250_000.0,
        "hops_per_sample": 4_000.0,
        "output_levels": None,
        "tied_answers": 0,
        "latency_steps": 13,
        "saturations": 0,
        "literal_samples": 4,
        "energy": {
            "total_uj": None,
            "static_uj": None,
            "dynamic_uj": None,
            "is_lower_bound": True,
            "unpriced": ["energy_per_synop_pj"],
        },
        "latency_us": None,
        "ann_energy_uj": None,
        "time": None,
        "ann": None,
        "wall_seconds": 1.5,
        "synops_per_second": 2.5e8,
        "jit_seconds": 0.0,
        "neurobench": {
            "footprint_bytes": 100_000,
            "connection_sparsity": 0.01,
            "activation_sparsity": 0.8,
            "synaptic_operations": {"Effective_MACs": 0.0, "Effective_ACs": 240_000.0, "Dense": 500_000.0},
        },
    }
