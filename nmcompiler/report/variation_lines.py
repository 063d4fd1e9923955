"""Lines of a run on a chip whose devices vary: what was drawn, and how far it is from its network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nmcompiler.report.format import number, percent

__all__ = ["variation_lines"]

Facts = Mapping[str, Any]


def variation_lines(facts: Facts) -> Iterator[tuple[str, str]]:
    """Yields what was measured on a chip that is not exactly its program."""
    drawn, compared = facts["variation"], facts["compared"]
    compensation = facts.get("compensation")
    yield "chip", "; ".join(_chip(drawn)) + ("" if compensation else "; not compensated")
    if compensation:
        count = number(compensation["calibration_samples"])
        yield (
            "compensated",
            f"on {count} samples: answers as the integer network, deviation of outputs",
        )
        for step in compensation["steps"]:
            yield "", _step(step)
    if compared:
        shares = (
            f"{what} {percent(facts[f'mismatched_{what}'] / max(count, 1))}"
            for what, count in compared.items()
        )
        yield "deviates in", ", ".join(shares)
    if facts["tied_answers"]:
        yield "ties", f"in {number(facts['tied_answers'])} samples several outputs are the largest"
    if drawn["adc_bits"] is not None:
        yield "ADC clipped", f"{number(facts['saturations'])} codes"


def _chip(drawn: Facts) -> Iterator[str]:
    """Yields what makes a chip another than its program."""
    seed, after, tau = drawn["chip_seed"], drawn["read_after_s"], drawn.get("tau_steps")
    yield ("nominal circuits" if seed is None else f"seed {seed}") + (
        "" if after is None else f", {after:g} s after programming"
    )
    if tau is not None:
        yield f"membranes leak with a time constant of {tau:g} steps"
    yield f"variation: {', '.join(drawn['sources']) or 'none'}"
    if drawn["adc_bits"] is not None:
        yield f"ADCs of {drawn['adc_bits']} bits"


def _step(step: Facts) -> str:
    """Returns what a chip reached with one method more."""
    agreement, deviation = (
        "–" if step[name] is None else percent(step[name]) for name in ("agreement", "deviation")
    )
    method = "without" if step["method"] is None else f"+ {step['method']}"
    return f"{method:<12} {agreement:>7} {deviation:>8}"
