"""Whether a network can be compiled, and on which chips it fits, before there is any data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nmcompiler.compiler import CompileOptions, place
from nmcompiler.errors import NmcError, UnsupportedModel
from nmcompiler.frontend.reader import read_model_bytes, read_source
from nmcompiler.ir.kernels import Array
from nmcompiler.ir.layers import Model
from nmcompiler.ir.progress import Progress, silent
from nmcompiler.registry import find_target, targets

__all__ = ["check_model"]

_STAND_INS = 4


def check_model(model: Path, target: str | None = None, progress: Progress = silent) -> dict[str, Any]:
    """Returns the object that ``nmc check --json`` prints.

    The network is mapped on each chip in the chip's first code, with weights that are quantised on random
    samples: cores and limits follow from shapes and formats, hardly from the values.

    Raises:
        InputFileError: The file is no sound ONNX file.
        UsageError: There is no such target.
    """
    names = [target] if target is not None else list(targets())
    chips = {name: find_target(name) for name in names}
    facts: dict[str, Any] = {
        "schema": "nmcompiler.check/1",
        "model": model.stem,
        "ok": False,
        "nodes": [],
        "targets": [],
    }
    try:
        layers = read_model_bytes(read_source(model), model.name)
    except UnsupportedModel as error:
        nodes = [{"name": n.name, "op": n.op, "reason": n.reason, "hint": n.hint} for n in error.nodes]
        return {**facts, "nodes": nodes}
    samples = _stand_ins(layers)
    for k, (backend, chip) in enumerate(chips.values()):
        progress("checking", k, len(chips))
        row: dict[str, Any] = {"name": chip.name, "title": chip.title, "ok": True, "obstacles": []}
        row |= {"coding": chip.codings[0], "cores": None, "cores_lower_bound": None}
        try:
            placed = place(layers, backend, chip, chip.codings[0], samples, CompileOptions())
            row |= {"cores": len(placed.cores.cores), "cores_lower_bound": placed.cores.lower_bound}
        except UnsupportedModel as error:
            row |= {"ok": False, "obstacles": [str(node) for node in error.nodes]}
        except NmcError as error:
            row |= {"ok": False, "obstacles": [str(error)]}
        facts["targets"].append(row)
    progress("checking", len(chips), len(chips))
    facts["ok"] = any(row["ok"] for row in facts["targets"])
    return facts


def _stand_ins(layers: Model) -> Mapping[str, Array]:
    rng = np.random.default_rng(0)
    return {port.name: rng.random((_STAND_INS, *port.shape)) for port in layers.inputs}
