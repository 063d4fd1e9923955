"""Compiles, saves, loads and runs the network that ships with the package, from Python.

python examples/python_api.py
"""

from __future__ import annotations

import tempfile
from importlib import resources
from pathlib import Path

import numpy as np

import nmcompiler
from nmcompiler.frontend.data import read_samples


def main() -> None:
    """Prints what a person would want to know first."""
    with resources.as_file(resources.files("nmcompiler.demo_data")) as data:
        made = nmcompiler.compile(
            data / "fashion_mnist_lenet.onnx", "loihi2", "phase", data / "calibration.npz"
        )
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "lenet.nmc"
            nmcompiler.save(made.program, path)
            program = nmcompiler.load(path)
        samples = read_samples(data / "test.npz", program.inputs).first(200)
    run = nmcompiler.run(program, samples, threads=2)
    cores, accuracy = made.facts["cores"], run.facts["accuracy"]
    print(f"cores: {cores['used']} (no partition needs fewer than {cores['lower_bound']})")
    print(f"read back from the program: {made.facts['static_check']['message']}")
    answers = ", ".join(f"{who} {share:.3f}" for who, share in accuracy.items())
    print(f"accuracy: {answers}")
    print(f"activations that differ from the integer network: {run.facts['mismatched_activations']}")
    print(f"first answers: {np.argmax(run.outputs['logits'][:10], axis=1).tolist()}")


if __name__ == "__main__":
    main()
