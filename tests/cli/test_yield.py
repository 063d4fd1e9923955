"""``nmc yield`` end to end, on a small network."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from nmcompiler.cli import yield_
from nmcompiler.compiler import compile_model
from nmcompiler.program.container import save
from nmcompiler.report.schema import load_schema

CHIP = "pcm-crossbar"
TIMED = ("wall_seconds", "cpu_seconds", "from_journal", "workers")
# As the command is started from a shell; a test that runs in the background may have SIGINT ignored.
SCRIPT = (
    "import signal, sys\n"
    "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "from nmcompiler.cli.main import main\n"
    "main(sys.argv[1:])"
)


@pytest.fixture
def program(inputs: Path, tmp_path: Path) -> Path:
    """The small network on a crossbar, in the current folder, with 60 samples in ``data.npz``."""
    made = inputs / "yield.nmc"
    if not made.exists():
        calibration = inputs / "few.npz"
        save(compile_model(inputs / "net.onnx", CHIP, "phase", calibration).program, made)
    x = np.random.default_rng(2).uniform(0, 1, (60, 1, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=x, y=np.arange(60) % 5)
    (tmp_path / "net.nmc").write_bytes(made.read_bytes())
    return tmp_path / "net.nmc"


def untimed(text: str) -> dict[str, Any]:
    return {k: v for k, v in json.loads(text).items() if k not in TIMED}


def test_json_is_as_documented_and_equal_for_any_number_of_workers(nmc: Any, program: Path) -> None:
    given = ("yield", program, "--input", "data.npz", "--chips", 9, "--first-seed", 5, "--json")
    two = nmc(*given, "--workers", 2, "--lose", 3, 0.5)
    assert two.code == 0, two.err
    facts = json.loads(two.out)
    jsonschema.validate(facts, load_schema("yield"))
    assert (facts["planned"], facts["finished"], facts["complete"], facts["workers"]) == (9, 9, True, 2)
    assert [chip["seed"] for chip in facts["chips"]] == list(range(5, 14))
    assert [entry["points"] for entry in facts["lose_less_than"]] == [3, 0.5]
    assert facts["accuracy"]["mean"] == pytest.approx(np.mean([c["accuracy"] for c in facts["chips"]]))
    assert facts["sources"] == ["programming", "drift", "read"]
    assert facts["cpu_seconds"] > 0
    one = nmc(*given, "--workers", 1, "--lose", 3, 0.5, "--batch", 7)
    assert untimed(one.out) == untimed(two.out)
    assert two.err == ""


def test_the_text_has_a_histogram_and_no_colours_off_a_terminal(nmc: Any, program: Path) -> None:
    answer = nmc("yield", program, "--input", "data.npz", "--chips", 6, "--limit", 20)
    assert answer.code == 0, answer.err
    assert "6 chips of pcm-crossbar, code phase, 20 samples" in answer.out
    assert "lose less than 0.5" in answer.out
    assert "█" in answer.out
    assert "\x1b" not in answer.out + answer.err
    assert all(len(line) <= 80 for line in answer.out.splitlines())


def test_compensated_chips_are_those_of_nmc_run(nmc: Any, program: Path, calibration: Path) -> None:
    given = ("--input", "data.npz", "--calibration", calibration, "--json")
    answer = nmc("yield", program, *given, "--chips", 2, "--sensitivity")
    assert answer.code == 0, answer.err
    facts = json.loads(answer.out)
    jsonschema.validate(facts, load_schema("yield"))
    assert facts["calibration_samples"] == 16
    for chip in facts["chips"]:
        seed = ("--chip-seed", chip["seed"])
        trimmed = json.loads(nmc("run", program, *given, *seed).out)
        plain = json.loads(nmc("run", program, "--input", "data.npz", "--json", *seed).out)
        assert chip["accuracy"] == trimmed["accuracy"]["chip"]
        assert chip["uncompensated"]["accuracy"] == plain["accuracy"]["chip"]
    assert [e["source"] for e in facts["sensitivity"]["sources"]] == facts["sources"]
    assert [e["method"] for e in facts["gains"]["methods"]] == facts["methods"]
    gained = sum(e["gain"] for e in facts["gains"]["methods"])
    lost = facts["uncompensated"]["loss"]["mean"] - facts["loss"]["mean"]
    assert gained == pytest.approx(lost)


def test_chips_judged_by_their_calibration_samples_are_flattered(
    nmc: Any, program: Path, calibration: Path
) -> None:
    given = ("--input", "data.npz", "--chips", 1, "--compensate", "output", "--calibration")
    answer = nmc("yield", program, *given, "data.npz", "--limit", 10)
    assert "warning: 10 samples of 10 are calibration samples as well" in answer.err
    assert "output; on 60 calibration samples" in answer.out
    assert nmc("yield", program, *given, calibration).err == ""


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--compensate", "all"), "--compensate all needs samples; add --calibration DATA.npz"),
        (("--lose", "nan"), "--lose nan"),
        (("--workers", "2", "--scheduler", "tcp://x:1"), "a Dask cluster has its own workers"),
        (("--first-seed", 2**63 - 1, "--chips", "2"), "allowed: seeds up to"),
        (("--chips", "0"), "0 is out of range"),
        (("--journal", "data.npz"), "--journal 'data.npz' would overwrite a file that is read"),
        (("--limit", "x"), "'x' is not a whole number"),
    ],
)
def test_contradictions_are_refused_in_one_sentence(
    nmc: Any, program: Path, more: tuple[object, ...], sentence: str
) -> None:
    answer = nmc("yield", program, "--input", "data.npz", *more)
    assert (answer.code, answer.out) == (2, "")
    assert sentence in answer.err
    assert answer.err.count("\n") == 1


def test_a_digital_chip_has_no_yield(nmc: Any, program: Path, model: Path, calibration: Path) -> None:
    target = "generic-digital"
    nmc("compile", model, "--target", target, "--calibration", calibration, "-o", "digital.nmc")
    answer = nmc("yield", "digital.nmc", "--input", "data.npz")
    assert answer.code == 2
    assert answer.err.startswith(f"error: all chips of target '{target}' are the same")


def rows(journal: Path) -> int:
    if not journal.exists():
        return 0
    return sum(line.startswith(b'{"key"') for line in journal.read_bytes().splitlines())


def test_ctrl_c_reports_finished_chips_and_the_same_command_goes_on(nmc: Any, program: Path) -> None:
    given = [str(a) for a in ("yield", program, "--input", "data.npz", "--chips", 3000, "--json")]
    journal = Path("rows.jsonl").resolve()
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *given, "--journal", str(journal)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        until = time.monotonic() + 120
        # Two rows: a row stands in the journal before it is counted as finished.
        while rows(journal) < 2 and running.poll() is None:
            assert time.monotonic() < until
            time.sleep(0.02)
        os.kill(running.pid, signal.SIGINT)
        out, err = running.communicate(timeout=60)
    assert running.returncode == 130
    facts = json.loads(out)
    jsonschema.validate(facts, load_schema("yield"))
    assert not facts["complete"]
    assert 0 < facts["finished"] < 3000
    assert "interrupted with" in err
    assert "the same command goes on from there" in err
    assert "Traceback" not in err
    assert rows(journal) >= facts["finished"]
    few = [*given[:4], "--chips", str(max(chip["seed"] for chip in facts["chips"]) + 1), "--json"]
    again = nmc(*few, "--journal", journal)
    assert again.code == 0, again.err
    assert json.loads(again.out)["from_journal"] >= facts["finished"]
    assert untimed(again.out) == untimed(nmc(*few).out)


def test_a_journal_of_another_command_is_left_alone(nmc: Any, program: Path) -> None:
    Path("rows.jsonl").write_text('{"format": "nmcompiler.compare-journal/1"}\n')
    answer = nmc("yield", program, "--input", "data.npz", "--journal", "rows.jsonl")
    assert answer.code == 2
    assert "no journal of nmc yield; choose another name with --journal" in answer.err


def test_the_time_left_is_counted_from_the_first_chip_that_came_back(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr(yield_.time, "monotonic", lambda: clock[0])
    log = yield_._Log(100)
    for at, done in ((0, 10), (50, 11), (51, 12), (60, 31), (61, 32), (75, 61), (80, 100)):
        clock[0] = at  # ten were in the journal, workers took 50 s to start
        log.show(done, known=10)
    assert capsys.readouterr().err == ("31/100 runs, about 35 s left\n61/100 runs, about 20 s left\n")
