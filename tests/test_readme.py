"""Runs the commands of the README and holds their output against what stands there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
# What depends on the machine: seconds, and what is counted per second.
TIMED = re.compile(r"(compiled in|wall time) .*")


def blocks():
    """(command, expected output) of every ``nmc`` command, in order."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", README.read_text(), flags=re.S):
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, _, output = part.partition("\n")
            if command.startswith("nmc "):
                found.append((command, output))
    return found


def numbers(text):
    return [float(n.replace(",", "")) for n in NUMBER.findall(text)]


def run(command, folder):
    arguments = [sys.executable, "-m", "nmcompiler", *shlex.split(command)[1:]]
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_command_prints_what_the_readme_shows(tmp_path):
    assert len(blocks()) >= 5
    for command, expected in blocks():
        printed = run(command, tmp_path)
        assert expected.strip(), f"the README shows no output of '{command}'"
        shown, real = (TIMED.sub("", text).strip() for text in (expected, printed))
        assert NUMBER.sub("#", shown).split() == NUMBER.sub("#", real).split(), command
        # Another processor may round a calibration sum otherwise, so that counts move by a little; but what
        # is 0 here (mismatches, saturations) is 0 everywhere.
        assert [n == 0 for n in numbers(shown)] == [n == 0 for n in numbers(real)], command
        assert numbers(shown) == pytest.approx(numbers(real), rel=0.05, abs=1), command


def test_the_test_command_of_the_readme_is_the_one_that_ci_runs():
    assert re.search(r"^\$ pip install -e '\.\[dev\]' && pytest", README.read_text(), flags=re.M)
