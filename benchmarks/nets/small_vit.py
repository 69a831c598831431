"""Trains a small ViT on CIFAR-10 and writes it as ONNX: a trained transformer to compare with the published ResNets.

    python benchmarks/nets/small_vit.py --data DIR --epochs 12 --out vit.onnx
    exporter probe vit.onnx --mean … --std … --dataset cifar10 --data DIR --name vit    # it prints both

Layers as in Dosovitskiy et al. 2021 (arXiv 2010.11929): square patches, a class token, LayerNorm before each branch.
"""

import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from resprobe_exporter.training import data
from resprobe_exporter.training.batches import Batches
from resprobe_exporter.training.recipes import Recipe
from torch import Tensor, nn
from torch.nn import functional

SIZE, CLASSES = 32, 10


@dataclass(frozen=True)
class Options:
    """Options of the training."""

    data: Path
    """Directory of CIFAR-10's binary files."""
    out: Path = Path("vit.onnx")
    """ONNX file to write."""
    epochs: int = 12
    """Passes over the training images. 0 writes the untrained net."""
    patch: int = 4
    """Height and width of a patch in pixels."""
    width: int = 64
    """Channels of a token."""
    layers: int = 6
    """Number of layers, each of an attention and an MLP."""
    heads: int = 4
    """Number of attention heads."""
    batch: int = 128
    """Images in a batch."""
    learning_rate: float = 1.5e-3
    """Maximum learning rate of AdamW, which rises in the first tenth of the steps and falls along a cosine."""
    seed: int = 0
    """Seed of weights and batches."""
    threads: int = 1
    """Threads of PyTorch."""


class Attention(nn.Module):
    """LayerNorm and self-attention of tokens [n, t, c]."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm, self.heads = nn.LayerNorm(width), heads
        self.qkv, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the branch F(x)."""
        n, t, c = x.shape
        q, k, v = self.qkv(self.norm(x)).reshape(n, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        attended = functional.scaled_dot_product_attention(q, k, v)
        projected: Tensor = self.project(attended.transpose(1, 2).reshape(n, t, c))
        return projected


class ViT(nn.Module):
    """A vision transformer with a class token."""

    def __init__(self, patch: int, width: int, layers: int, heads: int) -> None:
        super().__init__()
        tokens = (SIZE // patch) ** 2 + 1
        self.embed = nn.Conv2d(3, width, patch, patch)
        self.token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.positions = nn.Parameter(0.02 * torch.randn(1, tokens, width))
        self.attentions = nn.ModuleList(Attention(width, heads) for _ in range(layers))
        self.mlps = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
            for _ in range(layers)
        )
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Returns scores [n, 10] of normalised images [n, 3, 32, 32]."""
        x = self.embed(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.positions
        for attention, mlp in zip(self.attentions, self.mlps, strict=True):
            x = x + attention(x)
            x = x + mlp(x)
        scores: Tensor = self.head(self.norm(x[:, 0]))
        return scores


def train(net: ViT, images: data.Data, options: Options) -> None:
    """Trains the net in place, and prints a line for each epoch."""
    optimizer = torch.optim.AdamW(net.parameters(), lr=options.learning_rate, weight_decay=0.05)
    batches = Batches(images, Recipe(options.epochs, batch_size=options.batch), options.seed)
    per_epoch = len(images.train) // options.batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, options.learning_rate, max(1, options.epochs * per_epoch), pct_start=0.1
    )
    begin = time.perf_counter()
    for epoch in range(options.epochs):
        right = 0
        for _ in range(per_epoch):
            pixels, labels = next(batches)
            scores = net(pixels)
            loss = functional.cross_entropy(scores, labels, label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # unannotated in torch
            optimizer.step()
            schedule.step()
            right += int((scores.argmax(1) == labels).sum())
        accuracy = right / (per_epoch * options.batch)
        print(f"epoch {epoch + 1}: training accuracy {accuracy:.4f}, {time.perf_counter() - begin:.0f} s", flush=True)


def main() -> None:
    """Trains and writes."""
    options = tyro.cli(Options, description=__doc__)
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    images = data.load("cifar10", options.data)
    net = ViT(options.patch, options.width, options.layers, options.heads)
    train(net, images, options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's exporter
        torch.onnx.export(
            net.eval(), (torch.zeros(2, 3, SIZE, SIZE),), options.out, dynamo=True, verbose=False,
            dynamic_shapes=({0: torch.export.Dim("n")},), external_data=False,
        )  # fmt: skip
    mean, std = (" ".join(f"{value:.4f}" for value in values) for values in (images.mean, images.std))
    print(f"{options.out}: exporter probe {options.out} --mean {mean} --std {std}")


if __name__ == "__main__":
    main()
