"""Compiles and runs one case after another, and says of each what it would be, or why it cannot be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from nmcompiler.codings import coding
from nmcompiler.comparison.cases import Case
from nmcompiler.comparison.keys import row_key
from nmcompiler.comparison.pareto import mark_best
from nmcompiler.compiler import Inputs, compile_inputs, read_inputs, run_program
from nmcompiler.digests import data_digest
from nmcompiler.errors import BackendFault, InputFileError, NmcError
from nmcompiler.evaluate.onnx_runtime import run_onnx
from nmcompiler.frontend.data import Samples, read_samples
from nmcompiler.ir.kernels import Array
from nmcompiler.ir.progress import Progress, silent
from nmcompiler.journal import Journal

__all__ = ["Subject", "comparison_facts", "measured", "read_subject"]

_COMPILED = (
    "cores",
    "chips",
    "neurons",
    "synapses",
    "windows",
    "input_levels",
    "input_encoding",
    "output_levels",
)
_RUN = (
    "accuracy",
    "agreement",
    "latency_steps",
    "latency_us",
    "time",
    "spikes_per_neuron",
    "synops_per_sample",
    "hops_per_sample",
    "energy",
    "mismatched_outputs",
    "mismatched_activations",
    "mismatched_membranes",
    "ideal_devices",
    "saturations",
    "wall_seconds",
)
_WRONG = ("mismatched_outputs", "mismatched_activations", "mismatched_membranes")


@dataclass(frozen=True, eq=False)
class Subject:
    """What is compared: read once, and asked of onnxruntime once.

    Attributes:
        inputs: Model and calibration samples.
        samples: What every case runs on.
        threads: Threads of the simulator and of onnxruntime; they change no result.
        batch: Samples simulated at a time.
    """

    inputs: Inputs
    samples: Samples
    threads: int = 1
    batch: int = 250

    @cached_property
    def digest(self) -> str:
        """A digest of model, calibration samples, samples and labels."""
        return data_digest(self.inputs.source, self.inputs.samples, self.samples.x, self.samples.y)

    @cached_property
    def reference(self) -> Mapping[str, Array]:
        """What the float network answers to the samples, by output name."""
        return run_onnx(self.inputs.source, self.samples.x, threads=self.threads)


def read_subject(
    model: Path,
    calibration: Path,
    data: Path,
    *,
    limit: int | None = None,
    threads: int = 1,
    batch: int = 250,
    input_shapes: Mapping[str, tuple[int, ...]] | None = None,
) -> Subject:
    """Returns a model and its samples as they stand in files.

    Raises:
        InputFileError: A file cannot be read as what it should be.
        UnsupportedModel: With all nodes that cannot be compiled for any chip.
    """
    inputs = read_inputs(model, calibration, input_shapes)
    samples = read_samples(data, inputs.layers.inputs).first(limit)
    return Subject(inputs, samples, threads, batch)


def measured(
    subject: Subject, cases: Sequence[Case], journal: Journal, progress: Progress = silent
) -> Iterator[dict[str, Any]]:
    """Yields the row of every case in order; a finished one comes from the journal, a new one goes into it.

    Raises:
        InputFileError: A label is no class of the network.
        Exception: Whatever is no error of the user's; rows before it are in the journal.
    """
    for case in cases:
        key = row_key(subject.digest, case)
        known = journal.get(key)
        if known is not None:
            yield dict(known)
            continue
        row, lasting = _row(subject, case, progress)
        if lasting:
            journal.add(key, row)
        yield row


def _row(subject: Subject, case: Case, progress: Progress) -> tuple[dict[str, Any], bool]:
    """Returns a row, and whether the same would come out another time."""
    try:
        made = compile_inputs(subject.inputs, case.target, case.coding, case.options, progress)
        run = run_program(
            made.program,
            subject.samples,
            threads=subject.threads,
            batch=subject.batch,
            reference=subject.reference,
            progress=progress,
        ).facts
    except InputFileError:  # the fault of the data, whatever the chip
        raise
    except NmcError as error:
        short = NmcError(error.found, asked=error.asked).sentence()
        refused = {"kind": type(error).__name__, "reason": str(error), "short": short}
        return _asked(case) | {"refused": refused}, not isinstance(error, BackendFault)
    except MemoryError:
        refused = {"kind": "MemoryError", "reason": "out of memory; try a smaller --batch", "short": ""}
        return _asked(case) | {"refused": refused | {"short": "out of memory"}}, False
    return _asked(case) | _found(case, made.facts, run), True


def _asked(case: Case) -> dict[str, Any]:
    """Returns the row of a case of which nothing is known yet; every key is there."""
    options = case.options
    return {
        "target": case.target.name,
        "coding": case.coding,
        "levels": options.levels,
        "timesteps": options.timesteps,
        "weight_bits": options.weight_bits,
        "size": case.size,
        "ok": False,
        "refused": None,
        "exact": None,
        "pareto": False,
        "compile_seconds": None,
        **dict.fromkeys((*_COMPILED, *_RUN)),
    }


def _found(case: Case, compiled: Mapping[str, Any], run: Mapping[str, Any]) -> dict[str, Any]:
    exact = not any(run[key] for key in _WRONG) if coding(case.coding).exact else None
    return {
        "ok": True,
        "weight_bits": compiled["weight_bits"],
        "exact": exact,
        "compile_seconds": compiled["compile_seconds"],
        **{key: compiled[key] for key in _COMPILED},
        **{key: run[key] for key in _RUN},
    }


def comparison_facts(subject: Subject, rows: Sequence[Mapping[str, Any]], planned: int) -> dict[str, Any]:
    """Returns the object of ``compare --json``.

    Args:
        subject: What was compared.
        rows: The rows that are finished, in order.
        planned: How many there would be.
    """
    marked, criteria = mark_best(rows)
    first = next((row for row in rows if row["ok"]), None)
    return {
        "schema": "nmcompiler.compare/1",
        "model": subject.inputs.layers.name,
        "samples": len(subject.samples),
        "float_accuracy": None if first is None else first["accuracy"]["float"],
        "complete": len(rows) == planned,
        "planned": planned,
        "rows": marked,
        "pareto": [{"key": c.key, "name": c.name, "better": _better(c.higher)} for c in criteria],
        "warnings": list(subject.inputs.layers.warnings),
    }


def _better(higher: bool) -> str:
    return "higher" if higher else "lower"
