"""Fits the heads of early exits to labels and to the net's own answers, while the net stays as it is.

The loss is mostly distillation from the net's scores (Hinton et al. 2015, arXiv 1503.02531; for exits Phuong & Lampert
2019), and cross-entropy for the rest. Images are cropped and mirrored at random, so that heads learn none by heart.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import torch
from resprobe_protos.contract import LOGITS
from torch import Tensor
from torch.nn import functional

from resprobe_exporter import progress
from resprobe_exporter.exits.cut import Cut
from resprobe_exporter.exits.heads import ExitHead, HeadShape
from resprobe_exporter.readouts.images import TrainingImages
from resprobe_exporter.training import augment
from resprobe_exporter.verification.ort import Graph

BATCH = 64
RATE, DECAY = 3e-3, 1e-2  # of AdamW, in one cycle
TEMPERATURE, DISTILLED = 2.0, 0.9  # of the distillation, and its share of the loss
PADDING = 8  # a crop is moved by up to this part of the height
Images = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Trunk:
    """Net that heads are fitted to.

    Attributes:
        graph: Lean graph that also returns the values at the cuts.
        cuts: Cuts.
        classes: Number of classes.
        size: Height of the net's last block.
        width: Channels of it.
    """

    graph: Graph
    cuts: Sequence[Cut]
    classes: int
    size: int
    width: int

    @classmethod
    def of(cls, lean: ir.Model, directory: Path, cuts: Sequence[Cut], last: tuple[int, int], classes: int) -> "Trunk":
        """Makes the graph; `directory` has its weights, and `last` is channels and height of the last block."""
        model = lean.clone()
        values = {value.name: value for node in model.graph for value in node.outputs}
        model.graph.outputs.extend(values[one.value] for one in cuts)
        graph = Graph(ir.to_proto(model).SerializeToString(), "the graph with its cuts", folder=directory)
        return cls(graph, cuts, classes, last[1], last[0])

    def heads(self) -> list[ExitHead]:
        """Creates the heads, untrained."""
        shapes = [
            HeadShape(one.shape[0], max(1, one.shape[1] // self.size), self.width, self.classes) for one in self.cuts
        ]
        return [ExitHead(shape) for shape in shapes]

    def run(self, images: Images) -> tuple[Tensor, list[Tensor]]:
        """Returns the net's scores of a batch of images, and the values at the cuts."""
        outputs = self.graph.run(images)
        return torch.from_numpy(outputs[LOGITS]), [torch.from_numpy(outputs[one.value]) for one in self.cuts]


def fit(trunk: Trunk, training: TrainingImages, labels: npt.NDArray[np.int64], epochs: int) -> list[ExitHead]:
    """Fits a head at each cut.

    Args:
        trunk: Net with its cuts.
        training: Images to fit on.
        labels: Their classes, as places among the net's.
        epochs: Passes over the images; 0 leaves the heads as they were created.
    """
    torch.manual_seed(training.seed)
    heads, steps = trunk.heads(), -(-len(labels) // BATCH)
    parameters = [one for head in heads for one in head.parameters()]
    optimizer = torch.optim.AdamW(parameters, RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=max(1, epochs * steps) + 1)
    generator = torch.Generator().manual_seed(training.seed)
    for epoch in range(epochs):
        losses = []
        for images, targets in _batches(training, labels, generator):
            scores, values = trunk.run(images)
            each = [_loss(head(value), targets, scores) for head, value in zip(heads, values, strict=True)]
            loss = torch.stack(each).mean()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
        progress.note(f"heads of early exits: pass {epoch + 1}/{epochs}  loss {np.mean(losses):.3f}")
    return [head.eval() for head in heads]


def answers(trunk: Trunk, heads: Sequence[ExitHead], images: Images) -> npt.NDArray[np.float64]:
    """Returns the scores at the end of each part, those of the whole net last: [parts, n, classes]."""
    found = []
    with torch.no_grad():
        for start in range(0, len(images), BATCH):
            scores, values = trunk.run(images[start : start + BATCH])
            found.append(torch.stack([*(head(one) for head, one in zip(heads, values, strict=True)), scores]))
    stacked: npt.NDArray[np.float64] = torch.cat(found, 1).double().numpy()
    return stacked


def _batches(
    training: TrainingImages, labels: npt.NDArray[np.int64], generator: torch.Generator
) -> Iterator[tuple[Images, Tensor]]:
    """Yields augmented batches of one pass in a random order; one image that is left over is not a batch."""
    images, targets = torch.from_numpy(training.images).permute(0, 3, 1, 2), torch.from_numpy(labels)
    height, width = images.shape[2:]
    order = torch.randperm(len(labels), generator=generator)
    crops = augment.draw(len(labels), height, width, height // PADDING, training.name != "digits", generator)
    for start in range(0, len(labels), BATCH):
        rows = order[start : start + BATCH]
        if len(rows) > 1:
            cropped = crops[start : start + BATCH](images[rows])
            yield cropped.permute(0, 2, 3, 1).contiguous().numpy(), targets[rows]


def _loss(scores: Tensor, targets: Tensor, teacher: Tensor) -> Tensor:
    soft = functional.softmax(teacher / TEMPERATURE, 1)
    own = functional.log_softmax(scores / TEMPERATURE, 1)
    distance = functional.kl_div(own, soft, reduction="batchmean") * TEMPERATURE**2
    return (1 - DISTILLED) * functional.cross_entropy(scores, targets) + DISTILLED * distance
