from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nmcompiler.errors import InputFileError
from nmcompiler.journal import Journal


def test_what_was_added_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    journal = Journal(path)
    assert not path.exists()  # nothing is written for nothing
    journal.add("a", {"x": np.int64(1)})
    journal.add("b", {"x": [0.1, None]})
    again = Journal(path)
    assert (again.get("a"), again.get("b"), again.get("c")) == ({"x": 1}, {"x": [0.1, None]}, None)
    assert json.loads(path.read_text().splitlines()[0]) == {"format": "nmcompiler.compare-journal/1"}


@pytest.mark.parametrize("lost", range(1, 120, 7))
def test_a_journal_cut_off_anywhere_loses_only_what_was_cut(tmp_path: Path, lost: int) -> None:
    path = tmp_path / "rows.jsonl"
    whole = Journal(path)
    for k in range(4):
        whole.add(f"key {k}", {"k": k})
    data = path.read_bytes()
    path.write_bytes(data[:-lost])
    cut = Journal(path)
    # A row is whole when its text is; only the end of its line may be missing.
    kept = sum(data[:-lost].count(b'"row": {"k": %d}}' % k) for k in range(4))
    assert len(cut) == kept
    cut.add("new", {"k": 9})
    again = Journal(path)
    assert len(again) == kept + 1
    assert again.get("new") == {"k": 9}


def test_a_file_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.jsonl"
    path.write_text('{"mine": 1}\n')
    with pytest.raises(InputFileError, match="is no journal"):
        Journal(path)
    assert path.read_text() == '{"mine": 1}\n'


def test_an_empty_file_becomes_a_journal(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.touch()
    Journal(path).add("a", {})
    assert Journal(path).get("a") == {}


def test_without_a_path_rows_stay_in_memory() -> None:
    journal = Journal(None)
    journal.add("a", {"x": 1})
    assert journal.get("a") == {"x": 1}


def test_damaged_lines_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    Journal(path).add("a", {"x": 1})
    with path.open("ab") as file:
        file.write(b'[1]\n{"key": 3, "row": {}}\n\xff\xfe\n{"key": "b", "row": 7}\n')
    Journal(path).add("c", {"x": 2})
    assert len(Journal(path)) == 2


def test_rows_added_together_are_one_write_and_all_there(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    Journal(path).add_all((str(k), {"k": k}) for k in range(3))
    Journal(path).add_all([])
    assert len(path.read_text().splitlines()) == 4
    assert [Journal(path).get(str(k)) for k in range(3)] == [{"k": k} for k in range(3)]


def test_a_journal_of_one_command_is_none_of_another(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    Journal(path, "yield", "--journal").add("a", {})
    with pytest.raises(InputFileError, match="no journal of nmc compare; choose another name with -o"):
        Journal(path)
