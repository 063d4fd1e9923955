"""``nmc compare`` end to end, on a small network."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from nmcompiler.cli.compare import spread
from nmcompiler.comparison import keys, measure
from nmcompiler.registry import targets
from nmcompiler.report.schema import load_schema

CHIP = "generic-digital"
TIMED = ("compile_seconds", "wall_seconds")
# As the command is started from a shell; a test that runs in the background may have SIGINT ignored. The
# digest of the sources is fixed, as it is for an installed package: an edit meanwhile would change the keys.
SCRIPT = (
    "import signal, sys\n"
    "from nmcompiler.comparison import keys\n"
    "keys.code_digest = lambda package: package\n"
    "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "from nmcompiler.cli.main import main\n"
    "main(sys.argv[1:])"
)


def arguments(model: Path, calibration: Path, data: Path, *more: object) -> list[str]:
    given = ("compare", model, "--calibration", calibration, "--input", data, *more)
    return [str(a) for a in given]


def untimed(facts: dict[str, Any]) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k not in TIMED} for row in facts["rows"]]


def test_lists_of_values_become_repeated_options() -> None:
    options = ("--levels", "--target")
    given = ["net.onnx", "--levels", "3", "7", "--limit", "5", "--target=a", "b", "-o", "x", "y"]
    assert spread(given, options) == [
        *("net.onnx", "--levels", "3", "--levels", "7", "--limit", "5"),
        *("--target=a", "--target", "b", "-o", "x", "y"),
    ]


def test_every_row_is_there_in_order_and_matches_compile_and_run(
    nmc: Any, model: Path, calibration: Path, labelled: Path
) -> None:
    sizes = ("--levels", 3, 7, "--timesteps", 4, "--coding", "phase", "rate", "--target", "loihi2", CHIP)
    answer = nmc(*arguments(model, calibration, labelled, *sizes, "--limit", 10, "--json"))
    assert answer.code == 0
    facts = json.loads(answer.out)
    jsonschema.validate(facts, load_schema("compare"))
    assert [(r["target"], r["coding"], r["size"]) for r in facts["rows"]] == [
        (chip, code, size)
        for chip in ("loihi2", CHIP)
        for code, size in (("phase", "L=3"), ("phase", "L=7"), ("rate", "T=4"))
    ]
    assert facts["complete"]
    assert answer.err.count("\n") == facts["planned"] == 6  # one line of progress for each
    nmc("compile", model, "--target", CHIP, "--levels", 7, "--calibration", calibration, "-o", "a.nmc")
    run = json.loads(nmc("run", "a.nmc", "--input", labelled, "--limit", 10, "--json").out)
    row = facts["rows"][4]
    for key in ("accuracy", "agreement", "latency_steps", "spikes_per_neuron", "synops_per_sample", "energy"):
        assert row[key] == run[key]
    assert [r["exact"] for r in facts["rows"]] == [True, True, None] * 2
    assert any(r["pareto"] for r in facts["rows"])


def test_without_options_every_chip_is_tried_in_every_code_that_it_declares(
    nmc: Any, model: Path, calibration: Path, labelled: Path
) -> None:
    answer = nmc(*arguments(model, calibration, labelled, "--limit", 2, "--json"))
    facts = json.loads(answer.out)
    expected = [(name, code) for name, (_, chip) in targets().items() for code in chip.codings]
    assert [(r["target"], r["coding"]) for r in facts["rows"]] == expected
    assert {r["levels"] or r["timesteps"] for r in facts["rows"]} == {15, 16}


def test_a_row_that_cannot_run_says_why_and_the_others_run(
    nmc: Any, model: Path, calibration: Path, labelled: Path
) -> None:
    given = ("--target", "loihi1", CHIP, "--coding", "phase", "--weight-bits", 6, 30)
    answer = nmc(*arguments(model, calibration, labelled, *given, "-o", "all.json"))
    assert answer.code == 0
    facts = json.loads(Path("all.json").read_text())
    jsonschema.validate(facts, load_schema("compare"))
    assert [r["ok"] for r in facts["rows"]] == [False, False, True, False]
    first = facts["rows"][0]["refused"]
    assert first["short"] == "target 'loihi1' cannot run the coding 'phase'"
    assert first["reason"].startswith(first["short"])
    assert CHIP in first["reason"]  # what to try stands only in the whole sentence
    assert first["short"] in answer.out
    assert "--weight-bits 30 is out of range" in answer.out
    assert all(len(line) <= 80 for line in answer.out.splitlines())
    assert "\x1b" not in answer.out + answer.err


def test_output_levels_are_asked_of_the_rows_that_can_have_them(
    nmc: Any, model: Path, calibration: Path, labelled: Path
) -> None:
    text, both = nmc("targets", CHIP, "--toml").out, 'readout = ["membrane", "spikes"]'
    assert both in text
    for name, readout in (("reads-spikes", both), ("reads-membranes", 'readout = ["membrane"]')):
        Path(f"{name}.toml").write_text(text.replace(CHIP, name, 1).replace(both, readout))
    given = ("--target", "reads-spikes.toml", "reads-membranes.toml", "--coding", "graded", "rate")
    sizes = ("--output-levels", 7, 31, "--limit", 4, "--json")
    facts = json.loads(nmc(*arguments(model, calibration, labelled, *given, *sizes)).out)
    jsonschema.validate(facts, load_schema("compare"))
    assert [(r["target"], r["size"], r["output_levels"]) for r in facts["rows"]] == [
        ("reads-spikes", "L=15 O=7", 7),
        ("reads-spikes", "L=15 O=31", 31),
        ("reads-spikes", "T=16", None),
        ("reads-membranes", "L=15", None),
        ("reads-membranes", "T=16", None),
    ]
    assert [r["exact"] for r in facts["rows"]] == [True, True, None, True, None]


def test_where_nothing_runs_the_answer_is_no(
    nmc: Any, model: Path, calibration: Path, labelled: Path
) -> None:
    answer = nmc(*arguments(model, calibration, labelled, "--target", "loihi1", "--coding", "phase"))
    assert answer.code == 1


def test_without_labels_agreement_takes_the_place_of_accuracy(
    nmc: Any, model: Path, calibration: Path
) -> None:
    given = ("--target", CHIP, "--coding", "phase", "--levels", 1, 255, "-o", "a.json")
    answer = nmc(*arguments(model, calibration, calibration, *given))
    assert answer.code == 0
    assert "same %" in answer.out
    facts = json.loads(Path("a.json").read_text())
    assert facts["float_accuracy"] is None
    assert facts["pareto"][0] == {
        "key": "agreement.chip_float",
        "name": "agreement with the float network",
        "better": "higher",
    }
    assert facts["rows"][1]["agreement"]["chip_float"] > facts["rows"][0]["agreement"]["chip_float"]


def test_a_failure_in_the_middle_loses_no_finished_row(
    nmc: Any, model: Path, calibration: Path, labelled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = arguments(
        model, calibration, labelled, "--target", CHIP, "--coding", "phase", "--levels", 2, 3, 4, 5, "--json"
    )
    whole = json.loads(nmc(*given, "-o", "whole.jsonl").out)
    compiled: list[int] = []
    real = measure.compile_inputs

    def broken(inputs: Any, target: Any, code: Any, options: Any, progress: Any) -> Any:
        compiled.append(options.levels)
        if len(compiled) == 3:
            raise RuntimeError("a power cut")
        return real(inputs, target, code, options, progress)

    monkeypatch.setattr(measure, "compile_inputs", broken)
    assert nmc(*given).code == 3
    again = nmc(*given)
    assert again.code == 0
    assert compiled == [2, 3, 4, 4, 5]  # the third is done anew, the first two are not
    assert untimed(json.loads(again.out)) == untimed(whole)
    assert nmc(*given).out == again.out  # all from the journal, the times as well
    assert len(compiled) == 5


@pytest.mark.parametrize("what", ["model", "data", "labels", "calibration", "limit", "bits"])
def test_rows_of_other_inputs_are_not_mistaken_for_these(
    nmc: Any, model: Path, calibration: Path, labelled: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    more = ["--target", CHIP, "--coding", "phase", "--levels", "3"]
    compiled: list[object] = []
    real = measure.compile_inputs
    monkeypatch.setattr(measure, "compile_inputs", lambda *a: compiled.append(a) or real(*a))
    assert nmc(*arguments(model, calibration, labelled, *more)).code == 0
    with np.load(labelled) as file:
        x, y = file["x"], file["y"]
    if what == "model":
        model.write_bytes(model.read_bytes() + b"\x32\x00")  # an empty producer, in protobuf
    elif what == "data":
        np.savez(labelled, x=x * np.float32(0.99), y=y)
    elif what == "labels":
        np.savez(labelled, x=x, y=(y + 1) % 5)
    elif what == "calibration":
        np.savez(calibration, x=x[:8])
    else:
        more += ["--limit" if what == "limit" else "--weight-bits", "3"]
    assert nmc(*arguments(model, calibration, labelled, *more)).code == 0
    assert len(compiled) == 2
    # The same samples in another file, on other threads and in other batches, are the same.
    nmc(*arguments(model, calibration, labelled.rename("moved.npz"), *more, "--threads", 1, "--batch", 3))
    assert len(compiled) == 2


def test_ctrl_c_prints_what_is_finished_and_the_same_command_goes_on(
    nmc: Any,
    model: Path,
    calibration: Path,
    labelled: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keys, "code_digest", lambda package: package)
    given = arguments(
        model,
        calibration,
        labelled,
        *("--target", CHIP, "--coding", "phase", "rate-sync", "--levels", *range(2, 32), "--json"),
    )
    journal = tmp_path / "net.compare.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *given], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while process.poll() is None and (not journal.exists() or journal.read_text().count("\n") < 4):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    facts = json.loads(out)
    jsonschema.validate(facts, load_schema("compare"))
    assert not facts["complete"]
    assert 2 <= len(facts["rows"]) < facts["planned"] == 60
    assert journal.read_text().count("\n") > len(facts["rows"])  # and the line that names the format
    again = json.loads(nmc(*given[: given.index("--levels")], "--levels", 2, 3, "--json").out)
    assert again["rows"][:2] == [
        {**row, "pareto": again["rows"][k]["pareto"]} for k, row in enumerate(facts["rows"][:2])
    ]  # the times as well: they were not done anew


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--target", "loihi9"), "there is no target 'loihi9'"),
        (("--coding", "phse"), "did you mean 'phase'"),
        (("--levels", "3", "x"), "'x' is not a whole number"),
        (("-o", "table.csv"), "a name that ends with .json or .jsonl"),
        (("-o", "missing/table.json"), "a folder that does not exist"),
    ],
)
def test_a_wrong_option_is_one_sentence(
    nmc: Any, model: Path, calibration: Path, labelled: Path, more: tuple[str, ...], sentence: str
) -> None:
    answer = nmc(*arguments(model, calibration, labelled, *more))
    assert (answer.code, answer.out) == (2, "")
    assert sentence in answer.err
    assert answer.err.count("\n") == 1


def test_a_label_that_is_no_class_ends_the_comparison(
    nmc: Any, model: Path, calibration: Path, labelled: Path
) -> None:
    with np.load(labelled) as file:
        np.savez(labelled, x=file["x"], y=file["y"] + 4)
    answer = nmc(*arguments(model, calibration, labelled, "--target", CHIP))
    assert answer.code == 2
    assert "'y' holds the class" in answer.err


def test_other_sources_make_other_keys(nmc: Any, model: Path, calibration: Path, labelled: Path) -> None:
    given = arguments(model, calibration, labelled, "--target", CHIP, "--coding", "phase", "--levels", 3)
    journal = Path("net.compare.jsonl")
    with pytest.MonkeyPatch.context() as patch:
        for digest, lines in (("one", 2), ("one", 2), ("two", 3)):
            patch.setattr(keys, "code_digest", lambda package, digest=digest: digest + package)
            assert nmc(*given).code == 0
            assert len(journal.read_text().splitlines()) == lines
