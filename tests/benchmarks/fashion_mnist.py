"""The networks and images that the benchmarks share: three ONNX files and the test set of Fashion-MNIST."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

from nmcompiler.comparison import Subject
from nmcompiler.compiler import read_inputs
from nmcompiler.frontend.data import Samples

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "nmcompiler" / "demo_data"
NETWORKS = {
    "LeNet-like": DEMO / "fashion_mnist_lenet.onnx",
    "ResNet-8": ROOT / "tests" / "data" / "resnet8.onnx",
    "depthwise": ROOT / "tests" / "data" / "mobile.onnx",
}
FOLDERS = ("/usr/share/datasets/fashion-mnist", "/usr/share/dataset-fashion-mnist", "fashion-mnist")
IMAGES, LABELS = "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"


def official_images(folder: Path | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Returns the 10,000 test images ``(N, 1, 28, 28)`` uint8 and their classes ``(N,)``.

    Args:
        folder: Where the files of the data set lie; None looks where Debian's package puts them.
    """
    tried = FOLDERS if folder is None else (folder,)
    for place in map(Path, tried):
        if (place / IMAGES).is_file():
            return _read(place / IMAGES, 16).reshape(-1, 1, 28, 28), _read(place / LABELS, 8)
    raise SystemExit(f"no {IMAGES} in {', '.join(map(str, tried))}; name the folder with --data")


def _read(path: Path, header: int) -> np.ndarray:
    with gzip.open(path) as file:
        return np.frombuffer(file.read(), np.uint8, offset=header)


def subject(network: str, images: np.ndarray, classes: np.ndarray, limit: int, threads: int) -> Subject:
    """Returns a network with the calibration samples that ship and the first ``limit`` test images."""
    inputs = read_inputs(NETWORKS[network], DEMO / "calibration.npz")
    (port,) = inputs.layers.inputs
    x = images[:limit].astype(np.float64)
    return Subject(inputs, Samples({port.name: x}, classes[:limit].astype(np.int64)), threads)
