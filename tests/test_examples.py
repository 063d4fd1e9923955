"""Every example runs; those that train at least parse their arguments where torch is there."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
ARGUMENTS = {
    "python_api.py": [],
    "real_networks.py": ["--help"],
    "results_table.py": ["--network", "depthwise", "--target", "loihi2", "--limit", "10"],
    "targets_table.py": [
        "--network",
        "digits",
        "--limit",
        "20",
        "--target",
        "akida1000",
        "loihi1",
        "truenorth",
    ],
    "train_digits.py": ["--help"],
    "train_fashion_mnist.py": ["--help"],
}


@pytest.mark.parametrize("name", sorted(p.name for p in EXAMPLES.glob("*.py")))
def test_an_example_runs(name):
    needed = ("torch", "sklearn") if name.startswith("train_") else ()
    if any(importlib.util.find_spec(package) is None for package in needed):
        pytest.skip("needs the extra 'examples' (torch, scikit-learn)")
    command = [sys.executable, str(EXAMPLES / name), *ARGUMENTS[name]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
