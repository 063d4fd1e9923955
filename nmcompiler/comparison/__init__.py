"""One network on many chips, in many spike codes and sizes: what each of them would be."""

from __future__ import annotations

from nmcompiler.comparison.cases import Case, Sizes, cases
from nmcompiler.comparison.measure import Subject, comparison_facts, measured, read_subject
from nmcompiler.comparison.pareto import Criterion, criteria, mark_best
from nmcompiler.journal import Journal

__all__ = [
    "Case",
    "Criterion",
    "Journal",
    "Sizes",
    "Subject",
    "cases",
    "comparison_facts",
    "criteria",
    "mark_best",
    "measured",
    "read_subject",
]
