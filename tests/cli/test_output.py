from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.text import Text

from nmcompiler.cli.output import check_output, progress, say, say_json, warn, whole_file
from nmcompiler.errors import UsageError
from nmcompiler.ir.progress import silent


def test_json_is_one_object_without_nan(capsys: pytest.CaptureFixture[str]) -> None:
    say_json({"a": float("nan"), "b": np.float32(0.5), "c": (np.int64(3), float("inf")), "d": {"e": None}})
    said = capsys.readouterr()
    assert json.loads(said.out) == {"a": None, "b": 0.5, "c": [3, None], "d": {"e": None}}
    assert said.err == ""


def test_no_colours_and_no_trailing_spaces_where_stdout_is_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    say(Text("red  ", "bold red"), "[bold]plain[/bold]")
    assert capsys.readouterr().out == "red\n[bold]plain[/bold]\n"


def test_a_warning_is_one_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    warn("two\nlines")
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "warning: two lines\n")


def test_progress_is_silent_where_stderr_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress() as show:
        assert show is silent


def test_progress_draws_bars_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with progress() as show:
        show("running [x]", 0, 4)
        show("running [x]", 4, 4)
    said = capsys.readouterr()
    assert said.out == ""
    assert "running [x]" in said.err


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    path.write_text("old")

    def fail() -> None:
        with whole_file(path) as part:
            part.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert [p.name for p in tmp_path.iterdir()] == ["a.html"]
    assert path.read_text() == "old"
    with whole_file(path) as part:
        part.write_text("new")
    assert path.read_text() == "new"
    assert len(list(tmp_path.iterdir())) == 1


def test_an_output_must_not_be_an_input_by_any_name(tmp_path: Path) -> None:
    data = tmp_path / "data.npz"
    data.touch()
    (tmp_path / "link").symlink_to(data)
    for name in ("data.npz", "link", "../" + tmp_path.name + "/data.npz"):
        with pytest.raises(UsageError, match="would overwrite a file that is read"):
            check_output(tmp_path / name, (data,), option="--output")
    check_output(tmp_path / "new", (data,), option="--output")


def test_an_output_needs_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a folder that does not exist; make"):
        check_output(tmp_path / "no" / "a.nmc", option="--output")
    with pytest.raises(UsageError, match="is a folder"):
        check_output(tmp_path, option="--output")
