"""Train the Fashion-MNIST networks that ship with nmcompiler and its tests.

Three small networks are trained with PyTorch and written as ONNX files: `lenet` (two convolutions with max
pooling, two dense layers), `resnet8` (three residual blocks with batch normalisation) and `mobile`
(depthwise-separable convolutions with batch normalisation and ReLU6).

All take raw pixel values (float32, 0..255, shape (N, 1, 28, 28)) as `image` and give `logits`: they are
trained on pixels scaled to 0..1, and the factor 1/255 is folded into the first convolution on export.

These commands made the shipped files, with PyTorch 2.13.0 and two threads::

    python examples/train_fashion_mnist.py --network lenet --out nmcompiler/demo_data
    python examples/train_fashion_mnist.py --network resnet8 --out tests/data
    python examples/train_fashion_mnist.py --network mobile --out tests/data

They repeat bit for bit only with the same PyTorch, number of threads and kind of processor. The data set is
Debian's package dataset-fashion-mnist; `--data` names another folder with the same four files.
"""

from __future__ import annotations

import argparse
import gzip
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

DATA_FOLDERS = ("/usr/share/datasets/fashion-mnist", "/usr/share/dataset-fashion-mnist", "fashion-mnist")
DATA_FILES = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
PIXEL_SCALE = 255.0
BATCH = 128
MAX_SHIFT = 2  # pixels, for augmentation
SHIPPED = 1000  # test images, the first of the official ones


class Add(nn.Module):
    """Element-wise sum of two tensors, as a module so that it can be a layer."""

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Add two tensors."""
        return left + right


class Network(nn.Module):
    """A network as a flat list of named layers, in execution order.

    Both PyTorch's forward pass and the ONNX graph follow this list, so that they cannot differ in
    structure. Each layer's output carries the layer's name.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers: list[tuple[str, nn.Module, tuple[str, ...]]] = []

    def add(self, name: str, module: nn.Module, *inputs: str) -> str:
        """Append a layer, which reads the last one where no inputs are given; returns its name."""
        last = self.layers[-1][0] if self.layers else "image"
        self.layers.append((name, module, inputs or (last,)))
        self.add_module(name.replace(".", "_"), module)
        return name

    def conv_bn(self, prefix: str, suffix: str, conv: nn.Conv2d, *inputs: str) -> str:
        """Append a convolution and its batch normalisation; returns the latter's name."""
        self.add(f"{prefix}conv{suffix}", conv, *inputs)
        return self.add(f"{prefix}bn{suffix}", nn.BatchNorm2d(conv.out_channels))

    def classify(self, features: int) -> Network:
        """Append global average pooling and a dense layer for the ten classes."""
        self.add("pool", nn.AdaptiveAvgPool2d(1))
        self.add("flatten", nn.Flatten())
        self.add("fc", nn.Linear(features, 10))
        return self

    def forward(self, image: Tensor) -> Tensor:
        """Compute the logits of images whose pixels are scaled to 0..1."""
        values = {"image": image}
        for name, module, inputs in self.layers:
            values[name] = module(*(values[source] for source in inputs))
        return values[self.layers[-1][0]]


def conv(cin: int, cout: int, size: int, stride: int = 1, **extra: Any) -> nn.Conv2d:
    """Make a bias-free convolution with "same" padding."""
    return nn.Conv2d(cin, cout, size, stride, padding=size // 2, bias=False, **extra)


def lenet() -> Network:
    """Build the LeNet-like network: about 110,000 weights, with biases."""
    net = Network()
    net.add("conv1", nn.Conv2d(1, 16, 5, padding=2))
    net.add("relu1", nn.ReLU())
    net.add("pool1", nn.MaxPool2d(2))
    net.add("conv2", nn.Conv2d(16, 32, 5))
    net.add("relu2", nn.ReLU())
    net.add("pool2", nn.MaxPool2d(2))
    net.add("flatten", nn.Flatten())
    net.add("fc1", nn.Linear(800, 120))
    net.add("relu3", nn.ReLU())
    net.add("fc2", nn.Linear(120, 10))
    return net


def resnet8() -> Network:
    """Build the residual network: three basic blocks of 16, 32 and 64 channels."""
    net = Network()
    net.conv_bn("", "1", conv(1, 16, 3))
    source = net.add("relu1", nn.ReLU())
    for number, (cin, cout, stride) in enumerate([(16, 16, 1), (16, 32, 2), (32, 64, 2)], start=1):
        prefix = f"block{number}."
        net.conv_bn(prefix, "1", conv(cin, cout, 3, stride), source)
        net.add(f"{prefix}relu1", nn.ReLU())
        main = net.conv_bn(prefix, "2", conv(cout, cout, 3))
        if (cin, stride) != (cout, 1):
            source = net.conv_bn(prefix, "_skip", conv(cin, cout, 1, stride), source)
        net.add(f"{prefix}add", Add(), main, source)
        source = net.add(f"{prefix}relu2", nn.ReLU())
    return net.classify(64)


def mobile() -> Network:
    """Build the depthwise-separable network: four depthwise and pointwise pairs."""
    net = Network()
    net.conv_bn("", "1", conv(1, 16, 3, stride=2))
    net.add("relu1", nn.ReLU6())
    shapes = [(16, 32, 1), (32, 64, 2), (64, 64, 1), (64, 64, 1)]
    for number, (cin, cout, stride) in enumerate(shapes, start=1):
        prefix = f"block{number}."
        net.conv_bn(prefix, "_dw", conv(cin, cin, 3, stride, groups=cin))
        net.add(f"{prefix}relu_dw", nn.ReLU6())
        net.conv_bn(prefix, "_pw", conv(cin, cout, 1))
        net.add(f"{prefix}relu_pw", nn.ReLU6())
    return net.classify(64)


class Recipe(NamedTuple):
    """How one network is built, trained and named on disk."""

    build: Callable[[], Network]
    file_name: str
    epochs: int
    learning_rate: float


RECIPES = {
    "lenet": Recipe(lenet, "fashion_mnist_lenet.onnx", 8, 3e-3),
    "resnet8": Recipe(resnet8, "resnet8.onnx", 10, 1e-2),
    "mobile": Recipe(mobile, "mobile.onnx", 15, 1e-2),
}


def read_idx(path: Path) -> np.ndarray:
    """Read images as (n, 1, 28, 28) or labels as (n,) from a compressed IDX file of unsigned bytes."""
    raw = gzip.decompress(path.read_bytes())
    if raw[:3] != b"\x00\x00\x08":
        raise SystemExit(f"{path} is not an IDX file of unsigned bytes")
    values = np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3])
    return values.reshape(-1, 1, 28, 28) if raw[3] == 3 else values


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Shift each image by up to MAX_SHIFT pixels and mirror half of them."""
    count, _, height, width = images.shape
    padded = nn.functional.pad(images, (MAX_SHIFT,) * 4)[:, 0]
    shift = torch.randint(2 * MAX_SHIFT + 1, (2, count, 1), generator=generator)
    mirror = torch.rand((count, 1), generator=generator) < 0.5
    rows = torch.arange(height) + shift[0]
    columns = torch.where(mirror, torch.arange(width).flip(0), torch.arange(width)) + shift[1]
    return padded[torch.arange(count)[:, None, None], rows[:, :, None], columns[:, None]][:, None]


def train(recipe: Recipe, images: np.ndarray, labels: np.ndarray, epochs: int, seed: int) -> Network:
    """Train a network from scratch and put it into evaluation mode.

    Args:
        recipe: The network and its learning rate.
        images: Training images, uint8, (n, 1, 28, 28).
        labels: Their classes, 0..9.
        epochs: Number of passes over the data.
        seed: Seed of the initial weights, the order and the augmentation.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network = recipe.build()
    x, y = torch.from_numpy(images.copy()), torch.from_numpy(labels.astype(np.int64))
    steps = len(x) // BATCH
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, epochs * steps)
    for epoch in range(1, epochs + 1):
        started, total = time.monotonic(), 0.0
        order = torch.randperm(len(x), generator=generator)
        for chosen in order[: steps * BATCH].reshape(steps, BATCH):
            pixels = augment(x[chosen], generator).float() / PIXEL_SCALE
            loss = nn.functional.cross_entropy(network(pixels), y[chosen])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"  epoch {epoch}: loss {total / steps:.4f}, {time.monotonic() - started:.1f} s", flush=True)
    return network.eval()


OPERATORS: dict[type[nn.Module], tuple[str, dict[str, Any]]] = {
    nn.Conv2d: ("Conv", {}),  # its attributes depend on the layer
    nn.BatchNorm2d: ("BatchNormalization", {"epsilon": 1e-5}),
    nn.Linear: ("Gemm", {"transB": 1}),
    nn.ReLU: ("Relu", {}),
    nn.ReLU6: ("Clip", {}),
    nn.MaxPool2d: ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2]}),
    nn.AdaptiveAvgPool2d: ("GlobalAveragePool", {}),
    nn.Flatten: ("Flatten", {"axis": 1}),
    Add: ("Add", {}),
}


def export(network: Network, title: str) -> onnx.ModelProto:
    """Make the ONNX model of a trained network, taking pixel values 0..255."""
    nodes, initializers = [], []
    layers = network.layers
    for name, module, inputs in layers:
        constants = {key: value.numpy() for key, value in module.state_dict().items()}
        constants.pop("num_batches_tracked", None)
        if isinstance(module, nn.ReLU6):
            constants = {"min": np.array(0, np.float32), "max": np.array(6, np.float32)}
        if name == layers[0][0]:
            constants["weight"] = constants["weight"] / np.float32(PIXEL_SCALE)
        initializers += [numpy_helper.from_array(v, f"{name}.{key}") for key, v in constants.items()]
        operator, attributes = OPERATORS[type(module)]
        if isinstance(module, nn.Conv2d):
            sizes = {"kernel_shape": module.kernel_size, "strides": module.stride}
            pads = [int(size) for size in module.padding] * 2
            attributes = {**sizes, "pads": pads, "group": module.groups}
        sources = [*inputs, *(f"{name}.{key}" for key in constants)]
        output = "logits" if name == layers[-1][0] else name
        nodes.append(helper.make_node(operator, sources, [output], name, **attributes))
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 1, 28, 28])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 10])
    graph = helper.make_graph(nodes, title, [image], [logits], initializers)
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9, producer_name="nmcompiler")
    onnx.checker.check_model(model, full_check=True)
    return model


def verify(path: Path, network: Network, images: np.ndarray, labels: np.ndarray) -> None:
    """Compare a written file with PyTorch and print its accuracy under onnxruntime."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    pixels = images.astype(np.float32)
    logits = np.concatenate([session.run(None, {"image": part})[0] for part in np.split(pixels, 10)])
    with torch.no_grad():
        expected = network(torch.from_numpy(pixels[:256]) / PIXEL_SCALE).numpy()
    error = float(np.abs(logits[:256] - expected).max())
    if not error < 1e-3:
        raise SystemExit(f"{path}: onnxruntime differs from PyTorch by {error:g}")
    hits = logits.argmax(axis=1) == labels
    first = hits[:SHIPPED]
    print(f"  {path}: {path.stat().st_size} bytes, differs from PyTorch by {error:.1e}")
    print(f"  accuracy: {hits.mean():.2%} of {len(hits)}, {first.mean():.2%} of the first {len(first)}")


def main() -> None:
    """Train, export and check the networks named on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with the four .gz files")
    parser.add_argument("--network", choices=[*RECIPES, "all"], default="all")
    parser.add_argument("--out", type=Path, default=Path("."), help="output folder")
    parser.add_argument("--epochs", type=int, help="default: each network's own")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    data = args.data or next((Path(name) for name in DATA_FOLDERS if Path(name).is_dir()), None)
    if data is None or not data.is_dir():
        parser.error("no data: install Debian's dataset-fashion-mnist or name a folder with --data")
    torch.set_num_threads(args.threads)
    torch.use_deterministic_algorithms(True)
    args.out.mkdir(parents=True, exist_ok=True)
    images, labels, test_images, test_labels = (read_idx(data / f"{name}-ubyte.gz") for name in DATA_FILES)
    for name in RECIPES if args.network == "all" else [args.network]:
        print(f"{name}:", flush=True)
        recipe = RECIPES[name]
        network = train(recipe, images, labels, args.epochs or recipe.epochs, args.seed)
        path = args.out / recipe.file_name
        onnx.save(export(network, f"fashion_mnist_{name}"), path)
        verify(path, network, test_images, test_labels)
        if name == "lenet":  # the demo's network comes with the demo's images
            chosen = np.random.default_rng(args.seed).choice(len(images), 256, replace=False)
            np.savez_compressed(args.out / "calibration.npz", x=images[chosen])
            np.savez_compressed(args.out / "test.npz", x=test_images[:SHIPPED], y=test_labels[:SHIPPED])


if __name__ == "__main__":
    main()
