"""The commands end to end, on a small network."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from nmcompiler.cli import demo as demo_command
from nmcompiler.cli.run import verdict, write_outputs
from nmcompiler.report.schema import load_schema
from nmcompiler.target import target_from_toml

CHIP = "generic-digital"


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory, inputs: Path) -> Path:
    """A program of the small network, compiled once."""
    from nmcompiler.cli.main import main

    folder = tmp_path_factory.mktemp("compiled")
    with pytest.raises(SystemExit) as done:
        main(
            [
                *("compile", str(inputs / "net.onnx"), "--target", CHIP),
                *("--calibration", str(inputs / "few.npz"), "-o", str(folder / "net.nmc")),
                *("--report", str(folder / "net.html")),
            ]
        )
    assert done.value.code == 0
    return folder / "net.nmc"


@pytest.fixture
def program(compiled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(compiled, tmp_path / "net.nmc"))


def test_compile_prints_one_object_and_writes_beside_the_current_folder(
    nmc: Any, model: Path, calibration: Path, tmp_path: Path
) -> None:
    answer = nmc("compile", model, "--target", CHIP, "--calibration", calibration, "--json", "--no-source")
    assert answer.code == 0
    facts = json.loads(answer.out)
    jsonschema.validate(facts, load_schema("compile"))
    assert facts["coding"] == "phase"  # the target's first
    assert facts["static_check"]["ok"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["few.npz", "net.nmc", "net.onnx"]


def test_the_smallest_chip_is_taken_and_the_reasons_are_said(
    nmc: Any, model: Path, calibration: Path, tmp_path: Path
) -> None:
    asked = ("compile", model, "--target", "auto", "--calibration", calibration)
    facts = json.loads(nmc(*asked, "--json").out)
    jsonschema.validate(facts, load_schema("compile"))
    assert facts["choice"]["target"] == facts["target"]
    said = " ".join(nmc(*asked, "--coding", "ttfs").out.split())
    assert "in 'ttfs' is the smallest that fits in an exact code: 1 chip, synapse memory of a chip" in said
    assert nmc(*asked, "--coding", "ttf").code == 2
    assert nmc("targets", "auto").code == 2


def test_the_report_is_a_page(compiled: Path) -> None:
    page = compiled.with_suffix(".html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert "<svg" in page


def test_inspect_prints_text_json_and_html(nmc: Any, program: Path) -> None:
    text = nmc("inspect", program, "--html", "net.html")
    assert text.code == 0
    assert "Schedule" in text.out
    assert "Wrote net.html" in text.out
    assert Path("net.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    facts = json.loads(nmc("inspect", program, "--json").out)
    jsonschema.validate(facts, load_schema("inspect"))


def test_inspect_shows_every_core_on_request(nmc: Any, program: Path) -> None:
    used = json.loads(nmc("inspect", program, "--json").out)["cores"]["used"]
    listing = nmc("inspect", program, "--all").out.partition("Cores, fullest first")[2].partition("How")[0]
    assert sum(line[:1].isdigit() for line in listing.splitlines()) == used


def test_inspect_says_why_there_are_so_many_cores_and_where_the_work_is(
    nmc: Any, model: Path, calibration: Path
) -> None:
    chip = nmc("targets", CHIP, "--toml").out.replace("neurons = 1024", "neurons = 40")
    Path("chip.toml").write_text(chip, encoding="utf-8")
    program = "cut.nmc"
    asked = ("compile", model, "--target", "chip.toml", "--calibration", calibration, "-o", program)
    jsonschema.validate(json.loads(nmc(*asked, "--json").out), load_schema("compile"))
    facts = json.loads(nmc("inspect", program, "--json").out)
    jsonschema.validate(facts, load_schema("inspect"))
    said = nmc("inspect", program).out
    assert facts["cores"]["used"] > 3
    assert sum(cut["boxes"] for cut in facts["cuts"]) >= facts["cores"]["used"]
    assert 1 <= len(facts["help"]) <= 3
    assert " ".join(facts["help"][0].split()) in " ".join(said.replace("•", "").split())
    busiest = facts["hottest"]["links"][0]["spikes"]
    assert busiest == pytest.approx(facts["placement"]["max_link_load"])
    assert {core["core"] for core in facts["hottest"]["cores"]} <= set(range(facts["cores"]["used"]))
    synops = [core["synops"] for core in facts["hottest"]["cores"]]
    assert facts["hottest"]["by"] == "synops"  # this chip prices nothing
    assert synops == sorted(synops, reverse=True)
    assert synops[0] > 0
    drawn = said.partition("Map of cores")[2].partition("Busiest")[0]
    assert drawn == nmc("inspect", program, "--map").out.partition("Map of cores")[2].partition("Busiest")[0]
    assert all(layer["name"] in drawn for layer in facts["layers"])
    assert f"A {facts['layers'][0]['name']}" in drawn
    assert max(map(len, said.splitlines())) <= 80


def test_run_prints_one_object_and_writes_outputs(nmc: Any, program: Path, labelled: Path) -> None:
    answer = nmc("run", program, "--input", labelled, "--limit", 10, "--json", "--output", "y.npz")
    assert answer.code == 0
    facts = json.loads(answer.out)
    jsonschema.validate(facts, load_schema("run"))
    assert facts["samples"] == 10
    assert [facts[f"mismatched_{w}"] for w in ("outputs", "activations", "membranes")] == [0, 0, 0]
    with np.load("y.npz") as arrays:
        assert arrays.files == ["y"]
        assert (arrays["y"].shape, arrays["y"].dtype) == ((10, 5), np.float32)


def test_run_step_by_step_counts_every_sample(nmc: Any, program: Path, labelled: Path) -> None:
    facts = json.loads(nmc("run", program, "--input", labelled, "--limit", 3, "--steps", "--json").out)
    assert facts["literal_samples"] == 3


@pytest.mark.parametrize("steps", [(), ("--steps",)])
def test_a_profile_has_a_row_for_every_layer(
    nmc: Any, program: Path, labelled: Path, steps: tuple[str, ...]
) -> None:
    given = ("run", program, "--input", labelled, *steps)
    facts = json.loads(nmc(*given, "--profile", "--json").out)
    jsonschema.validate(facts, load_schema("run"))
    rows = facts["profile"]
    assert sum(row["synops"] for row in rows) == round(facts["synops_per_sample"] * 20)
    assert all(row["seconds"] > 0 for row in rows)
    text = nmc(*given, "--profile").out
    assert "Gsynop/s" in text
    assert all(row["layer"] in text for row in rows)
    plain = nmc(*given, "--json").out
    assert json.loads(plain)["profile"] is None


def test_run_of_a_stream_is_for_graded_programs(
    nmc: Any, program: Path, inputs: Path, tmp_path: Path
) -> None:
    data = inputs / "few.npz"
    answer = nmc("run", program, "--input", data, "--stream")
    assert answer.code == 2
    assert "'phase' cannot run a stream" in answer.err
    compile_it = ("compile", inputs / "net.onnx", "--target", CHIP, "--coding", "graded")
    assert nmc(*compile_it, "--calibration", data, "-o", tmp_path / "g.nmc").code == 0
    facts = json.loads(nmc("run", tmp_path / "g.nmc", "--input", data, "--stream", "--json").out)
    assert facts["stream"] is True
    assert facts["mismatched_activations"] == 0


def test_run_prints_text(nmc: Any, program: Path, labelled: Path) -> None:
    answer = nmc("run", program, "--input", labelled)
    assert answer.code == 0
    assert "20 samples" in answer.out
    assert "outputs 0, activations 0, membranes 0" in answer.out


def test_check_says_where_the_network_fits(nmc: Any, model: Path) -> None:
    answer = nmc("check", model, "--json")
    facts = json.loads(answer.out)
    jsonschema.validate(facts, load_schema("check"))
    assert facts["ok"]
    assert answer.code == 0
    assert CHIP in {t["name"] for t in facts["targets"]}
    assert "every node can be compiled" in nmc("check", model, "--target", CHIP).out


def test_targets_lists_chips_and_prints_their_files(nmc: Any) -> None:
    facts = json.loads(nmc("targets", "--json").out)
    jsonschema.validate(facts, load_schema("targets"))
    for chip in facts["targets"]:
        assert target_from_toml(nmc("targets", chip["name"], "--toml").out, "here").name == chip["name"]
        assert chip["title"] in nmc("targets", chip["name"]).out


def test_a_printed_chip_can_be_changed_and_used_as_a_file(nmc: Any, tmp_path: Path) -> None:
    text = nmc("targets", CHIP, "--toml").out.replace(f'"{CHIP}"', '"mine"', 1)
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    assert json.loads(nmc("targets", "mine.toml", "--json").out)["targets"][0]["name"] == "mine"


def test_backends_lists_what_is_installed(nmc: Any) -> None:
    facts = json.loads(nmc("backends", "--json").out)
    jsonschema.validate(facts, load_schema("backends"))
    digital = next(b for b in facts["backends"] if b["name"] == "digital")
    assert digital["ok"]
    assert CHIP in digital["targets"]
    assert "digital" in nmc("backends").out


def test_demo_writes_its_files_once_and_says_how_to_use_them(nmc: Any, tmp_path: Path) -> None:
    answer = nmc("demo", "--write", "folder")
    assert answer.code == 0
    assert "nmc compile folder/model.onnx --target generic-digital" in answer.out
    assert sorted(p.name for p in (tmp_path / "folder").iterdir()) == [
        "calibration.npz",
        "model.onnx",
        "test.npz",
    ]
    again = nmc("demo", "--write", "folder")
    assert (again.code, again.out) == (2, "")
    assert "exists already" in again.err


def test_demo_compiles_proves_and_runs(nmc: Any, monkeypatch: pytest.MonkeyPatch, inputs: Path) -> None:
    names = {"model.onnx": "net.onnx", "calibration.npz": "few.npz", "test.npz": "labelled.npz"}
    monkeypatch.setattr(demo_command, "_shipped", lambda name: inputs / names[name])
    facts = json.loads(nmc("demo", "--json").out)
    jsonschema.validate(facts, load_schema("demo"))
    jsonschema.validate(facts["compile"], load_schema("compile"))
    jsonschema.validate(facts["run"], load_schema("run"))
    assert facts["run"]["samples"] == 20
    text = nmc("demo", "--coding", "rate-sync")
    assert text.code == 0
    assert "outputs 0, activations 0, membranes 0" in text.out
    assert "nmc compile FOLDER/model.onnx --target generic-digital --coding rate-sync" in text.out


@pytest.mark.long
def test_demo_of_the_shipped_network_is_exact_on_1000_images(nmc: Any) -> None:
    run = json.loads(nmc("demo", "--json").out)["run"]
    assert run["samples"] == 1000
    assert [run[f"mismatched_{w}"] for w in ("outputs", "activations", "membranes")] == [0, 0, 0]
    assert abs(run["accuracy"]["chip"] - run["accuracy"]["float"]) <= 0.005


def test_a_chip_that_is_not_its_network_is_warned_of_with_exit_code_1(
    capsys: pytest.CaptureFixture[str],
) -> None:
    facts = {"mismatched_outputs": 0, "mismatched_activations": 3, "mismatched_membranes": 1200}
    assert verdict(facts) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "0 outputs, 3 activations, 1,200 membranes" in said.err
    assert verdict(dict.fromkeys(facts, 0)) == verdict(dict.fromkeys(facts)) == 0


def test_a_program_without_its_source_runs_and_says_what_it_could_not_compare(
    nmc: Any, model: Path, calibration: Path, labelled: Path
) -> None:
    made = nmc(
        "compile", model, "--target", CHIP, "--calibration", calibration, "--no-source", "-o", "bare.nmc"
    )
    assert made.code == 0
    assert "Next: nmc run bare.nmc" in made.out
    facts = json.loads(nmc("run", "bare.nmc", "--input", labelled, "--json").out)
    jsonschema.validate(facts, load_schema("run"))
    assert facts["accuracy"]["float"] is None
    assert facts["accuracy"]["chip"] is not None


def test_further_outputs_are_written_under_their_names(tmp_path: Path) -> None:
    outputs = {"aux/box": np.ones((2, 4), np.float32), "scores": np.zeros((2, 3), np.float32)}
    write_outputs(tmp_path / "y.npz", ["scores", "aux/box"], outputs)
    with np.load(tmp_path / "y.npz") as arrays:
        assert {name: arrays[name].shape for name in arrays.files} == {"y": (2, 3), "y__aux/box": (2, 4)}


def test_a_network_too_large_for_a_chip_is_computed_in_passes_where_that_is_asked(
    nmc: Any, model: Path, calibration: Path, labelled: Path, tmp_path: Path
) -> None:
    chip = nmc("targets", CHIP, "--toml").out
    for number, other in (("max_chips = 16", 1), ("rows = 8", 1), ("columns = 16", 2), ("count = 128", 2)):
        assert number in chip
        chip = chip.replace(number, f"{number.split()[0]} = {other}")
    chip = chip.replace("neurons = 1024", "neurons = 64").replace(f'name = "{CHIP}"', 'name = "small"')
    Path("small.toml").write_text(chip, encoding="utf-8")
    asked = ("compile", model, "--target", "small.toml", "--calibration", calibration, "-o", "small.nmc")
    refused = nmc(*asked)
    assert refused.code == 1
    assert refused.err.count("\n") == 1
    assert "--passes auto" in refused.err
    assert not Path("small.nmc").exists()
    assert nmc(*asked, "--passes", "0").code == 2
    answer = nmc(*asked, "--passes", "auto", "--json", "--report", "page.html")
    assert answer.code == 0
    facts = json.loads(answer.out)
    jsonschema.validate(facts, load_schema("compile"))
    passes = facts["passes"]
    assert passes["count"] > 1
    assert passes["reload_bytes"] == sum(one["reload_bytes"] for one in passes["each"]) > 0
    assert passes["reload_us"] is None
    assert passes["spilled_spikes"] > 0
    assert facts["cores"]["used"] <= facts["cores"]["available"] == 2 * passes["count"]
    assert facts["static_check"]["ok"]
    assert "pass 1, chip 0" in Path("page.html").read_text(encoding="utf-8")
    tight = nmc(*asked, "--passes", passes["count"] - 1)
    assert (tight.code, f"--passes {passes['count']}" in tight.err) == (1, True) or passes["count"] == 2
    said = nmc("inspect", "small.nmc")
    assert "Passes over the chips" in said.out
    run = json.loads(nmc("run", "small.nmc", "--input", labelled, "--json").out)
    assert run["mismatched_outputs"] == run["mismatched_activations"] == run["mismatched_membranes"] == 0
    assert run["latency_steps"] == sum(one["steps"] for one in passes["each"])
    assert run["latency_steps"] > facts["schedule"]["total_steps"]
