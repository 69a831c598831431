"""Loss and accuracy of a net on labelled images."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from resprobe_exporter.training.data import Data, Part, normalise


@dataclass(frozen=True)
class Score:
    """Score of a net on labelled images.

    Attributes:
        loss: Mean cross-entropy in nats.
        accuracy: Share of images that are classified as labelled.
    """

    loss: float
    accuracy: float


@torch.no_grad()
def evaluate(net: nn.Module, part: Part, data: Data, batch_size: int = 256) -> Score:
    """Measures loss and accuracy in evaluation mode, on images without augmentation; the net stays in that mode."""
    net.eval()
    sums = torch.zeros(2, dtype=torch.float64, device=part.labels.device)
    for images, labels in zip(torch.split(part.images, batch_size), torch.split(part.labels, batch_size), strict=True):
        sums += tally(net(normalise(images, data)), labels)
    loss, correct = (sums / len(part)).tolist()
    return Score(loss, correct)


def tally(logits: Tensor, labels: Tensor) -> Tensor:
    """Returns the cross-entropy in nats and the number of correct predictions, summed over a batch: float64 [2].

    It does not wait for the GPU.
    """
    loss = functional.cross_entropy(logits.detach().double(), labels, reduction="sum")
    return torch.stack([loss, (logits.argmax(1) == labels).sum().double()])
