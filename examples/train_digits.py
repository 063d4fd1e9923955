"""Train the two networks on scikit-learn's handwritten digits that the table of targets shows.

`mlp` reads 8 × 8 pixels and has the layers 64-128-128-64-10. `small` is for chips of very few inputs: it
reads the digits 0 to 7 as the sums of 2 × 2 pixels, 16 of them, and has the layers 16-48-32-8.

Both take raw values (float32, 0..16 and 0..64) as `pixels`, (N, 64) or (N, 16), and give `logits`: they are
trained on values scaled to 0..1, and the factor is folded into the first layer on export. Two thirds of the
1,797 images, drawn at random, train; 128 of them calibrate; the last third is held out.

This command made the shipped files, with PyTorch 2.13.0 and scikit-learn 1.9::

    python examples/train_digits.py --out examples/digits

The images are the test set of 'Optical Recognition of Handwritten Digits' (E. Alpaydin, C. Kaynak, UCI
Machine Learning Repository, 1998, CC BY 4.0).
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from torch import nn

EPOCHS = 100
BATCH = 32
CALIBRATION = 128
LAYERS = {"mlp": (64, 128, 128, 64, 10), "small": (16, 48, 32, 8)}


def data(network: str) -> tuple[np.ndarray, np.ndarray, float]:
    """Returns the images of a network as (n, pixels) uint8, their classes, and the largest value."""
    images, labels = load_digits(return_X_y=True)
    if network == "mlp":
        return images.astype(np.uint8), labels, 16.0
    images, labels = images[labels < 8], labels[labels < 8]
    sums = images.reshape(-1, 4, 2, 4, 2).sum(axis=(2, 4))
    return sums.reshape(-1, 16).astype(np.uint8), labels, 64.0


def train(sizes: tuple[int, ...], x: torch.Tensor, y: torch.Tensor, seed: int) -> nn.Sequential:
    """Trains dense layers with ReLU between them on values from 0 to 1."""
    torch.manual_seed(seed)
    layers = [m for a, b in pairwise(sizes) for m in (nn.Linear(a, b), nn.ReLU())]
    network = nn.Sequential(*layers[:-1])
    steps = len(x) // BATCH
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, EPOCHS * steps)
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(x))[: steps * BATCH].reshape(steps, BATCH):
            loss = nn.functional.cross_entropy(network(x[chosen]), y[chosen])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
    return network.eval()


def export(network: nn.Sequential, title: str, largest: float) -> onnx.ModelProto:
    """Makes the ONNX model of a trained network, taking values from 0 to ``largest``."""
    nodes, initializers, source = [], [], "pixels"
    dense = [module for module in network if isinstance(module, nn.Linear)]
    for number, layer in enumerate(dense, start=1):
        weight = layer.weight.detach().numpy() / np.float32(largest if number == 1 else 1)
        initializers.append(numpy_helper.from_array(weight, f"fc{number}.weight"))
        initializers.append(numpy_helper.from_array(layer.bias.detach().numpy(), f"fc{number}.bias"))
        last = number == len(dense)
        output = "logits" if last else f"fc{number}"
        parts = [source, f"fc{number}.weight", f"fc{number}.bias"]
        nodes.append(helper.make_node("Gemm", parts, [output], f"fc{number}", transB=1))
        if not last:
            nodes.append(helper.make_node("Relu", [output], [f"relu{number}"], f"relu{number}"))
        source = f"relu{number}"
    ends = dense[0].in_features, dense[-1].out_features
    pixels, logits = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", size])
        for name, size in zip(("pixels", "logits"), ends, strict=True)
    )
    graph = helper.make_graph(nodes, title, [pixels], [logits], initializers)
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9, producer_name="nmcompiler")
    onnx.checker.check_model(model, full_check=True)
    return model


def accuracy(path: Path, x: np.ndarray, y: np.ndarray) -> float:
    """Returns the share of right answers of a file under onnxruntime."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"pixels": x.astype(np.float32)})
    return float(np.mean(logits.argmax(axis=1) == y))


def main() -> None:
    """Trains, exports and checks both networks, and writes their samples."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("."), help="output folder")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for name, sizes in LAYERS.items():
        x, y, largest = data(name)
        order = np.random.default_rng(args.seed).permutation(len(x))
        trained, held = order[len(x) // 3 :], order[: len(x) // 3]
        scaled = torch.from_numpy(x[trained].astype(np.float32)) / largest
        network = train(sizes, scaled, torch.from_numpy(y[trained].astype(np.int64)), args.seed)
        folder = args.out / name
        folder.mkdir(parents=True, exist_ok=True)
        onnx.save(export(network, f"digits_{name}", largest), folder / "model.onnx")
        np.savez_compressed(folder / "calibration.npz", x=x[trained[:CALIBRATION]])
        np.savez_compressed(folder / "test.npz", x=x[held], y=y[held].astype(np.uint8))
        right = accuracy(folder / "model.onnx", x[held], y[held])
        print(f"{name}: {right:.2%} of {len(held)} held-out images")


if __name__ == "__main__":
    main()
