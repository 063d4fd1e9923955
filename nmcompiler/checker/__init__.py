"""Whether a network can be compiled, and on which chips it fits, before there is any data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nmcompiler.checker.advice import advisories
from nmcompiler.checker.outcomes import Broken, Outcome
from nmcompiler.checker.proposals import Chip, Proposal, proposals
from nmcompiler.checker.trials import Trials
from nmcompiler.errors import UnsupportedModel
from nmcompiler.frontend.input_shapes import with_input_shapes
from nmcompiler.frontend.reader import read_model_bytes, read_source
from nmcompiler.ir.layers import Model
from nmcompiler.ir.progress import Progress, silent
from nmcompiler.plan import CompileOptions
from nmcompiler.registry import backend as backend_of
from nmcompiler.registry import find_target, targets
from nmcompiler.target import Target

__all__ = ["check_model"]

_MOST_ATTEMPTS = 5
_WEIGHTS_AND_MACS = 20_000_000, 2_000_000_000  # of all attempts at one option together
_OTHER_TARGETS = 2


def check_model(
    model: Path,
    target: str | Target | None = None,
    chips: int | None = None,
    progress: Progress = silent,
    *,
    input_shapes: Mapping[str, tuple[int, ...]] | None = None,
) -> dict[str, Any]:
    """Returns the object that ``nmc check --json`` prints.

    The network is placed on each chip in every code that the chip declares, with weights that are quantised
    on random samples: cores and limits follow from shapes and formats, hardly from the values. Changes that
    would make it fit are placed as well before they are proposed.

    Args:
        model: Path of the ONNX file.
        target: Name of a chip, path of a TOML file, or a description; None for all chips.
        chips: Most chips that may be used; None for as many as can be joined.
        progress: Told how far the work is.
        input_shapes: Shapes of inputs by name, batch included, where the file leaves dimensions open.

    Raises:
        InputFileError: The file is no sound ONNX file.
        UsageError: There is no such target.
    """
    asked = _asked(target)
    facts: dict[str, Any] = {
        "schema": "nmcompiler.check/1",
        "model": model.stem,
        "ok": False,
        "nodes": [],
        "targets": [],
        "advisories": [],
        "warnings": [],
    }
    try:
        source = with_input_shapes(read_source(model), input_shapes or {})
        layers = read_model_bytes(source, model.name)
        facts["warnings"] = list(layers.warnings)
        trials = Trials(layers)
        options = CompileOptions(chips=chips)
        outcomes = list(_outcomes(trials, asked, options, progress))
        first = trials.simplified(asked[0][1])
        attempts = _attempts(first.model)
    except UnsupportedModel as error:
        nodes = [{"name": n.name, "op": n.op, "reason": n.reason, "hint": n.hint} for n in error.nodes]
        return {**facts, "nodes": nodes}
    quantised = trials.quantised  # those of the network as it is, before any proposal changes it
    rows = []
    for k, (chip, tried) in enumerate(zip(asked, outcomes, strict=True)):
        progress("looking for what would fit", k, len(asked))
        found = proposals(trials, chip, tried, options, attempts)
        if not any(o.ok for o in tried):
            found += tuple(_elsewhere(trials, chip, asked, outcomes))
        rows.append(_row(chip[1], tried, found))
    progress("looking for what would fit", len(asked), len(asked))
    known = {name: t for name, (_, t) in targets().items()} | {t.name: t for _, t in asked}
    advice = advisories(first, quantised, known, thorough=attempts > 0)
    return {
        **facts,
        "ok": any(row["ok"] for row in rows),
        "targets": rows,
        "advisories": [{"layer": a.layer, "kind": a.kind, "text": a.text, "value": a.value} for a in advice],
    }


def _asked(target: str | Target | None) -> list[Chip]:
    if isinstance(target, Target):
        return [(backend_of(target.backend), target)]
    return [find_target(name) for name in ([target] if target is not None else targets())]


def _outcomes(
    trials: Trials, asked: Sequence[Chip], options: CompileOptions, progress: Progress
) -> Iterator[tuple[Outcome, ...]]:
    for k, (backend, chip) in enumerate(asked):
        progress("placing", k, len(asked))
        yield tuple(trials.attempt(backend, chip, code, options) for code in chip.codings)
    progress("placing", len(asked), len(asked))


def _attempts(model: Model) -> int:
    """Returns how many values of one option are tried: fewer for a large network, by work, never by time."""
    weights = sum(int(edge.payload.kernel.weight.size) for edge in model.graph.edges())
    most = (
        limit // max(1, size) for limit, size in zip(_WEIGHTS_AND_MACS, (weights, model.macs), strict=True)
    )
    return min(_MOST_ATTEMPTS, *most)


def _elsewhere(
    trials: Trials, chip: Chip, asked: Sequence[Chip], outcomes: Sequence[Sequence[Outcome]]
) -> Iterator[Proposal]:
    """Yields other chips that hold the network; those that nobody asked for are tried now."""
    known = {
        c.name: next((o for o in tried if o.ok), None) for (_, c), tried in zip(asked, outcomes, strict=True)
    }
    count = 0
    for name in targets():
        if name == chip[1].name or count == _OTHER_TARGETS:
            continue
        if name not in known:
            backend, other = find_target(name)
            tried = trials.attempt(backend, other, other.codings[0], CompileOptions())
            known[name] = tried if tried.ok else None
        fit = known[name]
        if fit is not None:
            count += 1
            yield Proposal(f"--target {name} --coding {fit.coding}", fit.cores or 0, fit.chips or 0)


def _row(chip: Target, tried: Sequence[Outcome], found: Sequence[Proposal]) -> dict[str, Any]:
    """Returns the facts of one chip; its best code is the first that fits, else the preferred one."""
    best = next((o for o in tried if o.ok), tried[0])
    return {
        "name": chip.name,
        "title": chip.title,
        "ok": best.ok,
        "obstacles": [b.reason + (f"; {b.hint}" if b.hint else "") for b in best.broken],
        "coding": best.coding,
        "cores": best.cores,
        "cores_lower_bound": best.lower_bound,
        "chips": best.chips,
        "codings": [_code(outcome) for outcome in tried],
        "proposals": [{"change": p.change, "cores": p.cores, "chips": p.chips} for p in found],
    }


def _code(outcome: Outcome) -> Mapping[str, Any]:
    return {
        "coding": outcome.coding,
        "ok": outcome.ok,
        "cores": outcome.cores,
        "cores_lower_bound": outcome.lower_bound,
        "chips": outcome.chips,
        "obstacles": [_obstacle(b) for b in outcome.broken],
    }


def _obstacle(broken: Broken) -> Mapping[str, Any]:
    return {
        "layer": broken.layer,
        "resource": broken.resource,
        "used": broken.used,
        "limit": broken.limit,
        "reason": broken.reason,
        "hint": broken.hint,
    }
