"""Backends of strangers: one that works, and ones that must harm nobody but who asks for them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from .plugins import nmc, plant, python

ACME = Path(__file__).parents[1] / "plugin_acme"
BROKEN = {
    "raises": ("raise RuntimeError('no licence')\n", "RuntimeError: no licence"),
    "imports": ("import a_module_that_nobody_has\n", "No module named 'a_module_that_nobody_has'"),
    "old": ("class Backend:\n    name = 'old'\n    api = 0\n", "version 0 of the backend protocol"),
    "partial": ("class Backend:\n    name = 'partial'\n    api = 1\n", "lacks methods"),
    "forgetful": (
        "from nmcompiler import BackendBase\n\nclass Backend(BackendBase):\n    name = 'forgetful'\n",
        "fails to say its targets: NotImplementedError",
    ),
    "confused": (
        "from nmcompiler import BackendBase\n\nclass Backend(BackendBase):\n"
        "    name = 'confused'\n\n    def targets(self):\n        return {'chip': 'a chip'}\n",
        "gives the target 'chip' as a str",
    ),
}


@pytest.fixture(scope="module")
def acme(tmp_path_factory) -> Path:
    """A folder in which the Acme backend is installed, as its user would install it, but offline."""
    folder = tmp_path_factory.mktemp("acme")
    offline = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--no-compile")
    command = [sys.executable, "-m", "pip", "install", *offline, "--target", folder, ACME]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return folder


@pytest.fixture(scope="module")
def compiled(acme, inputs) -> Path:
    answer = nmc(
        acme,
        *("compile", inputs / "net.onnx", "--target", "acme-one", "--calibration", inputs / "data.npz"),
        *("-o", "net.nmc", "--verify", "--json"),
    )
    assert answer.code == 0, answer.err
    facts = json.loads(answer.out)
    assert facts["target"] == "acme-one"
    assert facts["coding"] == "rate-sync"
    assert facts["static_check"]["ok"]
    return acme / "net.nmc"


def test_a_strangers_backend_and_its_chip_are_listed(acme):
    listed = json.loads(nmc(acme, "backends", "--json").out)["backends"]
    mine = next(b for b in listed if b["name"] == "acme")
    assert mine["ok"]
    assert (mine["package"], mine["version"], mine["targets"]) == ("acme-neuro", "0.1.0", ["acme-one"])
    assert {b["name"] for b in listed} >= {"acme", "digital"}
    described = nmc(acme, "targets", "acme-one")
    assert described.code == 0
    assert "Acme One" in described.out


def test_a_program_for_it_runs_exactly(compiled, inputs):
    answer = nmc(compiled.parent, "run", compiled, "--input", inputs / "data.npz", "--json")
    assert answer.code == 0, answer.err
    facts = json.loads(answer.out)
    assert facts["samples"] == 24
    assert facts["mismatched_outputs"] == facts["mismatched_activations"] == 0
    assert facts["mismatched_membranes"] == facts["saturations"] == 0
    assert facts["agreement"]["chip_integer"] == 1.0


@pytest.mark.parametrize("coding", ["phase", "rate"])
def test_its_other_codes_compile_and_run(acme, inputs, tmp_path, coding):
    program = tmp_path / "other.nmc"
    made = nmc(
        acme,
        *("compile", inputs / "net.onnx", "--target", "acme-one", "--coding", coding),
        *("--calibration", inputs / "data.npz", "-o", program),
    )
    assert made.code == 0, made.err
    assert nmc(acme, "run", program, "--input", inputs / "data.npz").code == 0


def test_a_program_whose_backend_is_missing_names_it(compiled, inputs, tmp_path):
    answer = nmc(tmp_path, "run", compiled, "--input", inputs / "data.npz")
    assert answer.code == 2
    assert "there is no backend 'acme'" in answer.err


def test_it_exports_its_own_image(compiled, tmp_path):
    script = (
        "import sys; from pathlib import Path; from nmcompiler import load; "
        "from nmcompiler.registry import backend; program = load(sys.argv[1]); "
        "print(*backend('acme').export(program, Path(sys.argv[2])))"
    )
    answer = python(compiled.parent, "-c", script, compiled, tmp_path)
    assert answer.out.split() == [str(tmp_path / "weights.hex")], answer.err
    assert all(len(line) == 2 for line in (tmp_path / "weights.hex").read_text().split())


def test_it_passes_the_suite_that_ships(acme):
    (acme / "test_acme.py").write_text(
        "from nmcompiler.testing import BackendConformance\n\n\n"
        "class TestAcme(BackendConformance):\n"
        "    backend_name = 'acme'\n"
        "    exclusions = {'test_every_published_figure_has_a_source': 'Acme publishes none'}\n"
    )
    answer = python(
        acme, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "-W", "error", "test_acme.py"
    )
    assert answer.code == 0, answer.out
    assert "Acme publishes none" in answer.out


@pytest.fixture(scope="module")
def broken(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("broken")
    for name, (source, _) in BROKEN.items():
        plant(folder, name, source)
    return folder


def test_backends_that_cannot_be_used_are_listed_with_the_reason(broken):
    answer = nmc(broken, "backends", "--json")
    assert answer.code == 0
    listed = {b["name"]: b for b in json.loads(answer.out)["backends"]}
    for name, (_, reason) in BROKEN.items():
        assert not listed[name]["ok"]
        assert f"backend '{name}'" in listed[name]["fault"]
        assert reason in listed[name]["fault"]
    assert listed["digital"]["ok"]
    assert "cannot be used" in nmc(broken, "backends").out


def test_they_break_no_other_backend(broken, inputs, tmp_path):
    program = tmp_path / "net.nmc"
    made = nmc(
        broken,
        *("compile", inputs / "net.onnx", "--target", "generic-digital"),
        *("--calibration", inputs / "data.npz", "-o", program, "--json"),
    )
    assert made.code == 0, made.err
    assert json.loads(made.out)["static_check"]["ok"]
    assert nmc(broken, "run", program, "--input", inputs / "data.npz", "--limit", 2).code == 0


def test_listings_leave_them_out_with_a_warning(broken, inputs):
    listed = nmc(broken, "targets", "--json")
    assert listed.code == 0
    assert "generic-digital" in [t["name"] for t in json.loads(listed.out)["targets"]]
    assert listed.err.count("warning: ") == len(BROKEN)
    checked = nmc(broken, "check", inputs / "net.onnx")
    assert checked.code == 0
    assert "RuntimeError: no licence" in checked.err


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_whoever_asks_for_one_is_told_its_name(broken, inputs, name):
    answer = nmc(
        broken,
        *("compile", inputs / "net.onnx", "--target", "its-chip", "--backend", name),
        *("--calibration", inputs / "data.npz"),
    )
    assert answer.code == 3
    assert answer.err.startswith(f"error: backend '{name}'")
    assert BROKEN[name][1] in answer.err
    assert "Traceback" not in answer.err


def test_a_target_that_may_be_theirs_is_their_fault(broken):
    answer = nmc(broken, "targets", "its-chip")
    assert answer.code == 3
    assert "'its-chip'" in answer.err
    assert all(reason in answer.err for _, reason in BROKEN.values())


def test_a_target_of_two_backends_needs_a_choice(tmp_path):
    source = (
        "from nmcompiler_backends.digital.backend import DigitalBackend\n\n"
        "class Backend(DigitalBackend):\n    name = 'twin'\n"
    )
    plant(tmp_path, "twin", source)
    answer = nmc(tmp_path, "targets", "loihi2")
    assert answer.code == 2
    assert "choose one with --backend: digital, twin" in answer.err
    assert nmc(tmp_path, "targets").code == 0


def test_two_packages_that_provide_one_backend_are_both_refused(tmp_path):
    for package in ("one", "two"):
        plant(tmp_path, "same", "raise RuntimeError\n", package=package)
    answer = nmc(tmp_path, "targets")
    assert answer.code == 0
    assert "2 packages provide the backend 'same'" in answer.err
