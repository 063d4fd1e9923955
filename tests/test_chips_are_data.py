"""Chips stand in TOML files: no code asks for a chip's name, or knows one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nmcompiler.registry import targets

ROOT = Path(__file__).parent.parent
SOURCES = sorted(
    path
    for room in ("nmcompiler", "backends")
    for kind in ("*.py", "*.json", "*.html", "*.css", "*.js")
    for path in (ROOT / room).rglob(kind)
)
# What is looked for: ids as they are, and the families that they belong to in any spelling.
FAMILIES = ("loihi", "truenorth", "spinnaker", "speck2", "xylo", "akida", "brainscales", "dynapse")
_NAME = r"\b(?:target|chip)\.name\b"
ASKS = re.compile(rf"""if {_NAME}|{_NAME}\s*(?:==|!=|in|not in)\s*["'(\[{{]|["']\s*(?:==|!=)\s*{_NAME}""")


def test_the_sources_are_found() -> None:
    assert len(SOURCES) > 200


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_chip_is_named_in_code(path: Path) -> None:
    text = path.read_text(encoding="utf-8").lower()
    ids = [rf"(?<![\w-]){re.escape(name)}(?![\w-])" for name in targets()]
    found = re.findall("|".join([*ids, *FAMILIES]), text)
    assert not found, (
        f"{path.relative_to(ROOT)} names {sorted(set(found))}: what differs is a field of Target"
    )


@pytest.mark.parametrize(
    "code",
    [
        "if target.name == other:",
        "x = 'x' != target.name",
        'x = chip.name in ("a", "b")',
        "a and chip.name == 'a'",
    ],
)
def test_questions_for_a_name_are_seen(code: str) -> None:
    assert ASKS.search(code)


def test_no_code_asks_for_the_name_of_a_chip() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in SOURCES
        if path.suffix == ".py"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if ASKS.search(line)
    ]
    assert not found
