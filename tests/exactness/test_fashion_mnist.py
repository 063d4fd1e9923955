"""Trained networks on Fashion-MNIST: exact on the chip, and as accurate as in floating point.

Besides the shipped network, a small ResNet and a MobileNet of the same task.
"""

from __future__ import annotations

import gzip
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from nmcompiler.compiler import compile_model, run_program
from nmcompiler.frontend.data import Samples, read_samples
from nmcompiler.plan import CompileOptions
from nmcompiler.testing import tiny_target

from .checks import WINDOWED

pytestmark = pytest.mark.usefixtures("normal_effort")

SHIPPED = Path(str(files("nmcompiler.demo_data")))
TRAINED = Path(__file__).parents[1] / "data"
MODELS = {
    "lenet": SHIPPED / "fashion_mnist_lenet.onnx",
    "resnet8": TRAINED / "resnet8.onnx",
    "mobile": TRAINED / "mobile.onnx",
}
DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # of the package dataset-fashion-mnist
CHIPS = ("generic-digital", "loihi2")


def compiled(model, target, code, levels=None, timesteps=None):
    options = CompileOptions(levels=levels, timesteps=timesteps)
    made = compile_model(MODELS[model], target, code, SHIPPED / "calibration.npz", options)
    assert made.facts["static_check"]["ok"]
    return made.program


program = cache(compiled)  # for targets by name


def shipped_images(made, count):
    return read_samples(SHIPPED / "test.npz", made.inputs).first(count)


def assert_exact(run, count):
    facts = run.facts
    assert facts["samples"] == count
    assert [facts[f"mismatched_{what}"] for what in ("outputs", "activations", "membranes")] == [0, 0, 0]
    assert facts["saturations"] == 0
    assert facts["agreement"]["chip_integer"] == 1
    assert facts["accuracy"]["chip"] == facts["accuracy"]["integer"]


@pytest.mark.parametrize(
    ("code", "target"),
    [(code, chip) for code in WINDOWED for chip in (CHIPS if code in ("phase", "rate-sync") else CHIPS[1:])],
)
def test_the_shipped_network_is_exact_and_accurate(code, target):
    made = program("lenet", target, code, 15)
    run = run_program(made, shipped_images(made, 200), threads=2)
    assert_exact(run, 200)
    assert run.facts["accuracy"]["chip"] > 0.9


@pytest.mark.parametrize("target", CHIPS)
@pytest.mark.parametrize("model", ["resnet8", "mobile"])
def test_deeper_networks_are_exact(model, target):
    made = program(model, target, "phase", 15)
    assert_exact(run_program(made, shipped_images(made, 50), threads=2), 50)


def test_the_shipped_network_is_exact_on_many_small_cores():
    target = tiny_target(
        neurons=256, input_axons=4096, weight_sharing=False, signed_spikes=False, fires_when="gt"
    )
    made = compiled("lenet", target, "phase", 15)
    assert len(made.arrays["cores"]) > 20
    assert_exact(run_program(made, shipped_images(made, 20), threads=2), 20)


@pytest.mark.long
@pytest.mark.parametrize("target", CHIPS)
@pytest.mark.parametrize("code", WINDOWED)
@pytest.mark.parametrize("model", sorted(MODELS))
def test_a_thousand_images_are_exact_however_they_run(model, code, target):
    made = program(model, target, code, 15)
    images = shipped_images(made, 1000)
    runs = [
        run_program(made, images, threads=threads, batch=batch, literal=literal)
        for threads, batch, literal in ((1, 250, False), (2, 333, False), (2, 250, True))
    ]
    for run in runs:
        assert_exact(run, 1000)
    assert runs[2].facts["literal_samples"] == 1000
    (first, *others) = (next(iter(run.outputs.values())) for run in runs)
    assert all(np.array_equal(first, other) for other in others)
    for counter in ("spikes_per_neuron", "synops_per_sample", "hops_per_sample"):
        assert len({run.facts[counter] for run in runs}) == 1


@pytest.fixture(scope="module")
def ten_thousand():
    """The whole test set of Fashion-MNIST, pixels 0 … 255, where Debian's package is installed."""
    images, labels = (DEBIAN / f"t10k-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1"))
    if not images.exists():
        pytest.skip("the package dataset-fashion-mnist is not installed")
    x = np.frombuffer(gzip.decompress(images.read_bytes()), np.uint8, offset=16)
    y = np.frombuffer(gzip.decompress(labels.read_bytes()), np.uint8, offset=8)
    return x.reshape(-1, 1, 28, 28), y.astype(np.int64)


def accuracies(made, images):
    """Accuracy of the float network, the integer network and the chip, in percent."""
    x, y = images
    port = made.inputs[0]
    samples = Samples({port.name: x.reshape(len(x), *port.shape)}, y)
    facts = run_program(made, samples, threads=2).facts
    if facts["mismatched_outputs"] is not None:
        assert facts["mismatched_outputs"] == facts["mismatched_membranes"] == 0
    return {kind: 100 * share for kind, share in facts["accuracy"].items()}


CONFIGURATIONS = [
    *[("generic-digital", "phase", levels, None) for levels in (255, 15)],
    *[(chip, "rate", None, steps) for chip in ("generic-digital", "loihi1") for steps in (16, 32)],
]
BUDGETS = {("lenet", 255): 0.3, ("lenet", 15): 0.5}  # percentage points


@pytest.mark.long
@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=str)
@pytest.mark.parametrize("model", sorted(MODELS))
def test_accuracy_on_ten_thousand_images(model, configuration, ten_thousand, capsys):
    target, code, levels, timesteps = configuration
    x, y = ten_thousand
    count = len(x) if levels else 1000  # rate has no shortcut: every step is simulated
    found = accuracies(program(model, target, code, levels, timesteps), (x[:count], y[:count]))
    with capsys.disabled():
        row = "  ".join(f"{kind} {percent:.2f}" for kind, percent in found.items())
        options = f"L={levels}" if levels else f"T={timesteps}"
        print(f"\n{model:8} {target:16} {code:6} {options:6} {count:6} images  {row}")
    assert found["float"] > 88
    budget = BUDGETS.get((model, levels))
    if budget is not None:
        assert found["chip"] >= found["float"] - budget
