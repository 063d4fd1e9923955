from __future__ import annotations

from importlib import resources

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.errors import NmcError, TargetFileError
from nmcompiler.target import (
    read_target,
    target_from_document,
    target_from_toml,
    target_to_document,
    target_to_toml,
)

CHIPS = sorted(
    f for f in resources.files("nmcompiler_backends.digital.chips").iterdir() if f.name.endswith(".toml")
)
TEXT = next(f for f in CHIPS if f.name == "loihi1.toml").read_text()


@pytest.mark.parametrize("chip", CHIPS, ids=lambda f: f.name)
def test_a_chip_survives_writing_and_reading(chip):
    target = target_from_toml(chip.read_text(), chip.name)
    assert target_from_toml(target_to_toml(target), "again") == target
    assert target_from_document(target_to_document(target), "again") == target


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            "membrane_bits",
            "membrane_bit",
            r"line \d+: 'membrane_bit' is not a known key; did you mean 'membrane_bits'",
        ),
        ("weight_bits = 8\n", "", r"'weight_bits' is missing; allowed: a whole number"),
        (
            "weight_bits = 8",
            "weight_bits = 'eight'",
            r"line \d+: 'weight_bits' is 'eight'; allowed: a whole number",
        ),
        ("weight_bits = 8", "weight_bits = 40", r"line \d+: 'weight_bits' is 40; allowed: 2 to 16"),
        (
            "weight_bits = 8",
            "weight_bits = 8\ngraded_payload_bits = 33",
            r"line \d+: 'graded_payload_bits' is 33; allowed: 1 to 32, or left out",
        ),
        ('fires_when = "gt"', 'fires_when = "gte"', r"'fires_when' is 'gte'; allowed: ge, gt; did you mean"),
        (
            'evidence = "simulated"',
            'evidence = "guessed"',
            r"evidence' is 'guessed'; allowed: measured, simulated",
        ),
        (
            "weight_bits = 8",
            "weight_bits = 8\nreadout = []",
            r"'readout' is empty; allowed: membrane, spikes",
        ),
        (
            "weight_bits = 8",
            'weight_bits = 8\nreadout = ["spike"]',
            r"'readout\[0\]' is 'spike'; allowed: membrane, spikes; did you mean 'spikes'",
        ),
        ("rows = 8", "rows = 2", r"line \d+: 'mesh' has 32 places for 128 cores"),
        (
            "neurons = 1024",
            "neurons = 0",
            r"line \d+: 'core_types\[0\].limits.neurons' is 0; allowed: 1 or more",
        ),
        ("[mesh]", "[mesh", r"not valid TOML"),
    ],
)
def test_a_wrong_entry_is_named_with_what_is_allowed(old, new, sentence):
    assert old in TEXT
    with pytest.raises(TargetFileError, match=sentence) as caught:
        target_from_toml(TEXT.replace(old, new, 1), "mine.toml")
    assert "mine.toml" in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(TargetFileError, match="cannot be read"):
        read_target(tmp_path / "none.toml")


@given(st.data())
@settings(deadline=None)
def test_damaged_files_never_raise_anything_else(data):
    text = list(TEXT)
    for _ in range(data.draw(st.integers(1, 4))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.characters())
    try:
        target_from_toml("".join(text), "damaged.toml")
    except NmcError as error:
        assert "\n" not in str(error)  # noqa: PT017


def test_what_is_allowed_is_listed_once():
    with pytest.raises(TargetFileError) as caught:
        target_from_toml(
            TEXT.replace('input_encodings = ["spikes"]', 'input_encodings = ["phase"]'), "mine.toml"
        )
    assert str(caught.value).count("graded") == 1
